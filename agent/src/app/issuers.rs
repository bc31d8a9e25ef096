//! The concrete issuers: what each kind in the configuration becomes.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::{IssuerKind, IssuerSettings};
use crate::driver::Issuers;
use crate::issuer::Issuer;
use crate::issuer::local::{LocalIssuer, LocalSettings};

/// Where an issuer keeps its state.
pub fn issuer_directory(state: &Path, settings: &IssuerSettings) -> PathBuf {
    state
        .join("store")
        .join("issuer")
        .join(settings.name.as_str())
}

/// Makes issuers that keep their state below the daemon's.
pub(super) struct ConcreteIssuers {
    pub(super) state: PathBuf,
}

impl ConcreteIssuers {
    fn directory(&self, settings: &IssuerSettings) -> PathBuf {
        issuer_directory(&self.state, settings)
    }
}

impl Issuers for ConcreteIssuers {
    fn make(&self, settings: &IssuerSettings) -> Rc<dyn Issuer> {
        match &settings.kind {
            IssuerKind::Local(local) => Rc::new(LocalIssuer::new(
                self.directory(settings),
                LocalSettings {
                    common_name: format!("renewd {}", settings.name),
                    root_life: local.root_lifetime,
                    issuing_life: local.intermediate_lifetime,
                    constraints: local.constraints.clone(),
                },
                Arc::new(Timestamp::now),
            )),
        }
    }

    fn root_pem(&self, settings: &IssuerSettings) -> Result<String, String> {
        match &settings.kind {
            IssuerKind::Local(_) => {
                LocalIssuer::root_pem(&self.directory(settings)).map_err(|error| error.to_string())
            }
        }
    }
}
