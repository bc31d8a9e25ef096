//! Users and groups: who a published file may be given to.

use std::io;

/// Who exists on a host.
pub trait Accounts: Send + Sync {
    /// The number of the user of that name; `None` when there is no such user.
    ///
    /// # Errors
    ///
    /// When the host's databases cannot be asked.
    fn user(&self, name: &str) -> io::Result<Option<u32>>;

    /// The number of the group of that name; `None` when there is no such group.
    ///
    /// # Errors
    ///
    /// When the host's databases cannot be asked.
    fn group(&self, name: &str) -> io::Result<Option<u32>>;
}

/// This host's accounts, through its name service (`nsswitch.conf(5)`).
#[derive(Debug, Clone, Copy)]
pub struct SystemAccounts;

impl Accounts for SystemAccounts {
    fn user(&self, name: &str) -> io::Result<Option<u32>> {
        let user = nix::unistd::User::from_name(name)?;
        Ok(user.map(|user| user.uid.as_raw()))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        let group = nix::unistd::Group::from_name(name)?;
        Ok(group.map(|group| group.gid.as_raw()))
    }
}

/// Everybody exists, under the number 0: for `check` of files that are meant for other hosts. What
/// was resolved by it must never be published.
#[derive(Debug, Clone, Copy)]
pub struct AnyAccounts;

impl Accounts for AnyAccounts {
    fn user(&self, _: &str) -> io::Result<Option<u32>> {
        Ok(Some(0))
    }

    fn group(&self, _: &str) -> io::Result<Option<u32>> {
        Ok(Some(0))
    }
}

/// The fake: users and groups as a test lists them.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(crate) struct ListedAccounts(pub(crate) Vec<(&'static str, u32)>);

#[cfg(test)]
impl Accounts for ListedAccounts {
    fn user(&self, name: &str) -> io::Result<Option<u32>> {
        Ok(self
            .0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|found| found.1))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        self.user(name)
    }
}
