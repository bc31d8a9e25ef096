//! Where issuers are at home in this process: what each of them is made with.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::IssuerSettings;
use crate::driver::Issuers;
use crate::issuer::kind::Home;
use crate::issuer::program::Surroundings;
use crate::issuer::{Challenges, Issuer};
use crate::secret::Secrets;

const ROOT: u32 = 0;

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
    pub(super) secrets: Secrets,
    /// What is answered on the sockets for challenges.
    pub(super) challenges: Arc<Challenges>,
    /// Where the daemon's sockets are.
    pub(super) runtime: PathBuf,
}

impl ConcreteIssuers {
    fn home(&self, settings: &IssuerSettings) -> Home {
        Home {
            name: settings.name.clone(),
            directory: issuer_directory(&self.state, settings),
            secrets: self.secrets.clone(),
            // What is ours is hidden from programs, and what is root's is believed.
            surroundings: Surroundings {
                hidden: vec![self.state.clone(), self.runtime.clone()],
                credentials: self.secrets.credentials.clone(),
                owner: ROOT,
            },
            challenges: Arc::clone(&self.challenges),
            clock: Arc::new(Timestamp::now),
        }
    }
}

impl Issuers for ConcreteIssuers {
    fn make(&self, settings: &IssuerSettings) -> Rc<dyn Issuer> {
        settings.configured.make(self.home(settings))
    }

    fn root_pem(&self, settings: &IssuerSettings) -> Result<String, String> {
        let root = settings.configured.root_pem(&self.home(settings));
        root.map_err(|error| error.operator_text())
    }
}

#[cfg(test)]
mod tests;
