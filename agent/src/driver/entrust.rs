//! Which units may load which certificate as a systemd credential, and what they are given: always the published
//! generation. What no unit loads is not held in memory.

use renewd_core::record::{GenerationNumber, Record};
use renewd_store::Identity;
use zeroize::Zeroizing;

use crate::config::CertificateSettings;
use crate::driver::sound;
use crate::driver::world::World;
use crate::journal;

/// What the settings say holds from now on. Reads the published identity where it is not held yet: at start, and
/// for the first unit that loads it.
pub(super) fn settings_in_force(world: &World, settings: &CertificateSettings, record: &Record) {
    let (vault, name) = (&world.credentials, &settings.name);
    let readers = settings.dependents.iter().filter_map(|own| {
        let credential = own.credential.clone()?;
        Some((own.dependent.unit.clone(), credential))
    });
    vault.entrust(name, readers.collect());
    let (Some(number), Some(generation)) = (record.published, record.published_generation()) else {
        return;
    };
    if !vault.is_entrusted(name) || vault.held(name) == Some(number) {
        return;
    }
    match sound::identity(&world.store, name, generation) {
        Ok(identity) => published(world, settings, number, &identity),
        Err(error) => journal::emit(&journal::Event::CredentialNotHeld {
            certificate: name.clone(),
            error: error.to_string(),
        }),
    }
}

/// This generation is the current one now.
pub(super) fn published(
    world: &World,
    settings: &CertificateSettings,
    number: GenerationNumber,
    identity: &Identity,
) {
    if world.credentials.is_entrusted(&settings.name) {
        let pem = combined(identity);
        world.credentials.hold(&settings.name, number, pem);
    }
}

/// As the published `combined.pem`.
fn combined(identity: &Identity) -> Zeroizing<String> {
    let parts = [
        identity.key_pem.as_str(),
        &identity.leaf_pem,
        &identity.chain_pem,
    ];
    // Of the right size from the start, for a buffer that grows leaves copies behind.
    let length = parts.iter().map(|part| part.len()).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    parts.iter().for_each(|part| text.push_str(part));
    text
}
