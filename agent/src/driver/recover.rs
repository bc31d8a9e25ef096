//! What a start finds: the record says what was meant, `current` says what is. Here they are brought to
//! agree, before anything else happens. Changes nothing that is published, and saves nothing: the lane
//! does, before its first step.

use std::collections::BTreeMap;

use renewd_core::names::CertificateName;
use renewd_core::record::{Context, Event, Record};
use renewd_store::StoreError;
use renewd_store::publish::Current;

use crate::config::CertificateSettings;
use crate::driver::lane::View;
use crate::driver::sound;
use crate::driver::world::World;
use crate::journal;

/// The record of a certificate, in agreement with what is published; held where the certificate must
/// be left alone.
pub(super) fn view(world: &World, settings: &CertificateSettings) -> View {
    let name = &settings.name;
    match load(world, name).and_then(|record| agree(world, settings, record)) {
        Ok(record) => View::new(record, None),
        Err(error) => View::new(Record::new(name.clone()), Some(error.to_string())),
    }
}

/// A damaged record is set aside: what is published stays, and a new certificate is asked for. With another key: without
/// the record nobody can tell whether one that an issuer was asked with is in a certificate already.
fn load(world: &World, name: &CertificateName) -> Result<Record, StoreError> {
    match world.store.load_record(name) {
        Ok(Some(record)) => Ok(record),
        Ok(None) => {
            world.store.forget_all_asked(name)?;
            Ok(Record::new(name.clone()))
        }
        Err(error @ StoreError::Damaged { .. }) => {
            world.store.forget_all_asked(name)?;
            let aside = world.store.set_record_aside(name)?;
            journal::emit(&journal::Event::RecordDamaged {
                certificate: name.clone(),
                detail: format!(
                    "{error}; it was set aside as {}, what is published stays, and a new \
                     certificate is asked for",
                    aside.display()
                ),
            });
            Ok(Record::new(name.clone()))
        }
        Err(error) => Err(error),
    }
}

fn agree(
    world: &World,
    settings: &CertificateSettings,
    mut record: Record,
) -> Result<Record, StoreError> {
    let name = &settings.name;
    let dependents: Vec<_> = settings
        .dependents
        .iter()
        .map(|dependent| dependent.dependent.clone())
        .collect();
    let context = Context {
        now: world.now(),
        chance: world.chance(),
        life: settings.request.lifetime,
        dependents: &dependents,
    };
    let identities: BTreeMap<_, _> = record
        .generations
        .values()
        .filter(|generation| !generation.lost)
        .map(|generation| (generation.identity, generation.clone()))
        .collect();
    for (identity, generation) in identities {
        match sound::identity(&world.store, name, &generation) {
            Err(error) if error.is_lasting() => {
                journal::emit(&journal::Event::IdentityLost {
                    certificate: name.clone(),
                    generation: identity,
                    error: error.to_string(),
                });
                record = record.fold(Event::IdentityLost(identity), context);
            }
            // What cannot be read just now is read again when it is to be published.
            _ => {}
        }
    }
    let current = match world.store.current(name) {
        Current::Nothing => None,
        Current::Intact(number) => Some(number),
        Current::Damaged(why) => {
            journal::emit(&journal::Event::PublishedDamaged {
                certificate: name.clone(),
                detail: why,
            });
            None
        }
    };
    let highest = world.store.highest_number(name)?;
    Ok(record.fold(Event::Recovered { current, highest }, context))
}
