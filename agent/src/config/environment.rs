//! What the configuration's meaning depends on besides its text: the host's names and accounts, and the kinds of issuers
//! that there are.

use std::sync::Arc;

use crate::issuer::kind::Kinds;

use super::accounts::{Accounts, SystemAccounts};

/// The host, as far as a configuration speaks of it.
#[derive(Clone)]
pub struct Environment {
    /// What `%H` and `%l` stand for.
    pub host_name: Option<String>,
    /// What `%m` stands for.
    pub machine_id: Option<String>,
    /// Who exists.
    pub accounts: Arc<dyn Accounts>,
    /// What an issuer may be.
    pub kinds: Kinds,
}

impl Environment {
    /// The environment of this host: its host name, `/etc/machine-id`, its users and groups. The kinds are given by whoever
    /// composes the program.
    pub fn of_this_host(kinds: Kinds) -> Self {
        let host_name = nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok());
        let machine_id = std::fs::read_to_string("/etc/machine-id").ok();
        Self::new(
            host_name.as_deref().unwrap_or_default(),
            machine_id.as_deref().unwrap_or_default().trim(),
            SystemAccounts,
            kinds,
        )
    }

    /// Whether the host has the name that all hosts have before they are given one.
    pub(super) fn is_unnamed(&self) -> bool {
        self.host_name
            .as_deref()
            .is_some_and(|name| name.split('.').next() == Some("localhost"))
    }

    /// A host of these names; an empty one means that it has none.
    pub fn new(
        host_name: &str,
        machine_id: &str,
        accounts: impl Accounts + 'static,
        kinds: Kinds,
    ) -> Self {
        // "(none)" is what the kernel says before anybody has named the host.
        let some = |text: &str| (!text.is_empty() && text != "(none)").then(|| text.to_owned());
        Self {
            host_name: some(host_name),
            machine_id: some(machine_id),
            accounts: Arc::new(accounts),
            kinds,
        }
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("host_name", &self.host_name)
            .field("machine_id", &self.machine_id)
            .finish_non_exhaustive()
    }
}
