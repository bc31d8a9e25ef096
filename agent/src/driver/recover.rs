//! What a start finds: the record says what was meant, `current` says what is. Here they are brought to
//! agree, before anything else happens.

use renewd_core::names::CertificateName;
use renewd_core::record::{Context, Event, Record};
use renewd_store::StoreError;
use renewd_store::publish::Current;

use crate::config::CertificateSettings;
use crate::driver::world::World;

/// The record of a certificate, in agreement with what is published; and why the certificate must be
/// left alone, if so.
pub(super) fn record(world: &World, settings: &CertificateSettings) -> (Record, Option<String>) {
    let name = &settings.name;
    match load(world, name).and_then(|record| agree(world, settings, record)) {
        Ok(record) => (record, None),
        Err(error) => (Record::new(name.clone()), Some(error.to_string())),
    }
}

/// A damaged record is set aside: what is published stays, and a new certificate is asked for.
fn load(world: &World, name: &CertificateName) -> Result<Record, StoreError> {
    match world.store.load_record(name) {
        Ok(record) => Ok(record.unwrap_or_else(|| Record::new(name.clone()))),
        Err(error @ StoreError::Damaged { .. }) => {
            let aside = world.store.set_record_aside(name)?;
            tracing::error!(
                "RENEWD_CERT" = %name,
                "{error}; it was set aside as {}, what is published stays, and a new certificate is asked for",
                aside.display()
            );
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
    let context = Context {
        now: world.now(),
        chance: world.chance(),
        life: settings.request.lifetime,
        dependents: &settings
            .dependents
            .iter()
            .map(|dependent| dependent.dependent.clone())
            .collect::<Vec<_>>(),
    };
    let mut identities: Vec<_> = record
        .generations
        .values()
        .map(|generation| generation.identity)
        .collect();
    identities.dedup();
    for identity in identities {
        if let Err(error) = world.store.load_identity(name, identity) {
            tracing::error!("RENEWD_CERT" = %name, "{error}; this identity can no longer be published");
            record = record.fold(Event::IdentityLost(identity), context);
        }
    }
    let current = match world.store.current(name) {
        Current::Nothing => None,
        Current::Intact(number) => Some(number),
        Current::Damaged(why) => {
            tracing::error!("RENEWD_CERT" = %name, "what is published is not as it was written: {why}");
            None
        }
    };
    let highest = world.store.highest_number(name)?;
    record = record.fold(Event::Recovered { current, highest }, context);
    world.store.save_record(&record)?;
    Ok(record)
}
