//! The configuration at start: what is bad in it is held on what was accepted last, and said.

use std::collections::BTreeMap;

use renewd_core::names::CertificateName;
use renewd_store::Store;

use super::{Places, StartError};
use crate::config::{self, Environment, Held, Loaded, Texts};
use crate::journal::{self, Event};

/// At start, what is bad in the configuration is held on what was accepted last, and said.
pub(super) fn load(
    places: &Places,
    store: &Store,
    environment: &Environment,
) -> Result<Loaded, StartError> {
    let last = accepted(store);
    let loaded = config::load_at_start(&places.configuration, &last, environment);
    let errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
    if loaded.settings.issuers.is_empty() && !errors.is_empty() {
        return Err(StartError::Configuration(errors));
    }
    for (certificate, held) in &loaded.held {
        let mut errors: Vec<String> = loaded
            .errors_of(certificate)
            .map(ToString::to_string)
            .collect();
        errors.push(match held {
            Held::LastAccepted => "it goes on as it was last accepted".to_owned(),
            Held::Nothing => {
                "it has no accepted settings; what is published stays, and is not renewed"
                    .to_owned()
            }
        });
        journal::emit(&Event::ConfigurationHeld {
            certificate: certificate.clone(),
            errors,
        });
    }
    if loaded.main_held {
        journal::emit(&Event::MainFileHeld { errors });
    } else if loaded.held.is_empty() && !errors.is_empty() {
        journal::emit(&Event::FilesPassedOver { errors });
    }
    for warning in &loaded.warnings {
        let warning = warning.to_string();
        journal::emit(&Event::ConfigurationWarning { warning });
    }
    Ok(loaded)
}

/// What is wrong with the files that cannot be used.
pub(super) fn bad_files(loaded: &Loaded) -> BTreeMap<CertificateName, String> {
    let text = |name| {
        let errors: Vec<String> = loaded.errors_of(name).map(ToString::to_string).collect();
        errors.join("; ")
    };
    let held = loaded.held.keys();
    held.map(|name| (name.clone(), text(name))).collect()
}

/// The texts that were accepted last. One that cannot be read is done without: it is needed only where a
/// file is bad.
fn accepted(store: &Store) -> Texts {
    let told = |error| {
        let detail = format!("An accepted configuration is done without: {error}");
        journal::emit(&Event::AcceptedCopyTrouble { detail });
    };
    let mut texts = Texts::default();
    for file in store.accepted_names().map_err(told).unwrap_or_default() {
        if let Some(text) = store.load_accepted(&file).map_err(told).ok().flatten() {
            texts.take_in(&file, text);
        }
    }
    texts
}
