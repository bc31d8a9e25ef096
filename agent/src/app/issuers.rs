//! The concrete issuers: what each kind in the configuration becomes.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;
use renewd_core::names::IssuerName;
use renewd_core::pem;

use crate::config::{IssuerKind, IssuerSettings, LocalIssuerSettings};
use crate::driver::Issuers;
use crate::issuer::Issuer;
use crate::issuer::acme::{AcmeIssuer, Challenges};
use crate::issuer::est::EstIssuer;
use crate::issuer::exec::ExecIssuer;
use crate::issuer::local::{LocalIssuer, LocalSettings};
use crate::issuer::program::Surroundings;
use crate::issuer::spiffe::SpiffeIssuer;
use crate::issuer::step::StepIssuer;
use crate::issuer::vault::VaultIssuer;
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
    fn directory(&self, settings: &IssuerSettings) -> PathBuf {
        issuer_directory(&self.state, settings)
    }

    /// What is ours is hidden from programs, and what is root's is believed.
    fn surroundings(&self) -> Surroundings {
        Surroundings {
            hidden: vec![self.state.clone(), self.runtime.clone()],
            credentials: self.secrets.credentials.clone(),
            owner: ROOT,
        }
    }

    fn local(&self, name: &IssuerName, local: &LocalIssuerSettings) -> LocalSettings {
        LocalSettings {
            common_name: format!("renewd {name}"),
            root_life: local.root_lifetime,
            issuing_life: local.intermediate_lifetime,
            constraints: local.constraints.clone(),
            issuing_ca: local.issuing_ca.clone(),
            secrets: self.secrets.clone(),
        }
    }
}

impl Issuers for ConcreteIssuers {
    fn make(&self, settings: &IssuerSettings) -> Rc<dyn Issuer> {
        match &settings.kind {
            IssuerKind::Local(local) => Rc::new(LocalIssuer::new(
                self.directory(settings),
                self.local(&settings.name, local),
                Arc::new(Timestamp::now),
            )),
            IssuerKind::Acme(acme) => Rc::new(AcmeIssuer::new(
                self.directory(settings),
                acme.clone(),
                self.secrets.clone(),
                Arc::clone(&self.challenges),
                &self.surroundings(),
            )),
            IssuerKind::Est(est) => Rc::new(EstIssuer::new(
                self.directory(settings),
                est.clone(),
                self.secrets.clone(),
            )),
            IssuerKind::Exec(exec) => Rc::new(ExecIssuer::new(exec.clone(), self.surroundings())),
            IssuerKind::Step(step) => Rc::new(StepIssuer::new(
                self.directory(settings),
                step.clone(),
                self.secrets.clone(),
                Arc::new(Timestamp::now),
            )),
            IssuerKind::Vault(vault) => {
                Rc::new(VaultIssuer::new(vault.clone(), self.secrets.clone()))
            }
            IssuerKind::Spiffe(spiffe) => Rc::new(SpiffeIssuer::new(spiffe.clone())),
        }
    }

    fn root_pem(&self, settings: &IssuerSettings) -> Result<String, String> {
        match &settings.kind {
            IssuerKind::Local(local) => {
                let local = self.local(&settings.name, local);
                LocalIssuer::root_pem(&self.directory(settings), &local)
                    .map_err(|error| crate::issuer::IssueError::from(error).operator_text())
            }
            IssuerKind::Acme(_)
            | IssuerKind::Est(_)
            | IssuerKind::Vault(_)
            | IssuerKind::Spiffe(_) => Err(format!(
                "the issuer {} keeps no root here; what its certificates chain to is published with each as ca.pem",
                settings.name
            )),
            IssuerKind::Exec(exec) => ExecIssuer::roots(&exec.trust, ROOT)
                .map(|roots| pem::certificates(&roots))
                .map_err(|error| crate::issuer::IssueError::from(error).operator_text()),
            IssuerKind::Step(step) => StepIssuer::root_pem(&self.directory(settings), step)
                .map_err(|error| error.operator_text()),
        }
    }
}
