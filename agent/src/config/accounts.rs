//! Users and groups: who a published file may be given to.

use std::io;

use crate::table::{ErrorKind, Mismatch, clipped};

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

    /// The group that the user of that number logs in with; `None` when there is no such user.
    ///
    /// # Errors
    ///
    /// When the host's databases cannot be asked.
    fn primary_group(&self, user: u32) -> io::Result<Option<Group>>;

    /// Whether this process can give a file to the user of that number: not to one that its user
    /// namespace does not know (user_namespaces(7)).
    fn knows_user(&self, number: u32) -> bool;

    /// The same of a group.
    fn knows_group(&self, number: u32) -> bool;
}

/// A group of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub number: u32,
    /// Its name, or its number where it has none.
    pub name: String,
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

    fn primary_group(&self, user: u32) -> io::Result<Option<Group>> {
        use nix::unistd::{Group as Entry, Uid, User};
        let Some(user) = User::from_uid(Uid::from_raw(user))? else {
            return Ok(None);
        };
        let entry = Entry::from_gid(user.gid)?;
        Ok(Some(Group {
            number: user.gid.as_raw(),
            name: entry.map_or_else(|| user.gid.to_string(), |entry| entry.name),
        }))
    }

    fn knows_user(&self, number: u32) -> bool {
        is_mapped("/proc/self/uid_map", number)
    }

    fn knows_group(&self, number: u32) -> bool {
        is_mapped("/proc/self/gid_map", number)
    }
}

/// Whether a map of user_namespaces(7) has this number. One that cannot be read is no reason to refuse.
fn is_mapped(map: &str, number: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(map) else {
        return true;
    };
    maps(&text, number)
}

/// Lines of three numbers: the first inside, the first outside, how many.
fn maps(text: &str, number: u32) -> bool {
    let mut ranges = text.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let first = numbers.next()?.ok()?;
        Some(first..first.saturating_add(numbers.nth(1)?.ok()?))
    });
    ranges.any(|range| range.contains(&u64::from(number)))
}

#[test]
fn a_user_namespace_knows_whom_its_map_names() {
    let identity = "         0          0      65536\n";
    assert!(maps(identity, 0) && maps(identity, 65_535) && !maps(identity, 65_536));
    let whole = "         0          0 4294967295\n";
    assert!(maps(whole, 1_234_567_890));
    let two = "0 100000 1000\n1000 1000 1\n";
    assert!(maps(two, 1000) && !maps(two, 1001) && !maps("", 0));
    assert!(SystemAccounts.knows_user(nix::unistd::getuid().as_raw()));
    assert!(SystemAccounts.knows_group(nix::unistd::getgid().as_raw()));
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

    fn primary_group(&self, _: u32) -> io::Result<Option<Group>> {
        Ok(Some(Group {
            number: 0,
            name: "root".to_owned(),
        }))
    }

    fn knows_user(&self, _: u32) -> bool {
        true
    }

    fn knows_group(&self, _: u32) -> bool {
        true
    }
}

/// A user or a group: its number, from its name or its number in digits.
pub(super) fn number_of(
    text: &str,
    what: &str,
    look_up: impl FnOnce(&str) -> io::Result<Option<u32>>,
) -> Result<u32, Mismatch> {
    let expected = format!("a {what} of this host, by name or number");
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // The highest number means "unchanged" to chown(2).
        return text
            .parse()
            .ok()
            .filter(|number| *number != u32::MAX)
            .ok_or_else(|| {
                Mismatch::new(
                    format!("{:?} is no number of a {what}", clipped(text)),
                    expected,
                    "choose one below 4294967295",
                )
            });
    }
    let malformed = text.is_empty()
        || text.len() > 255
        || text.chars().any(|letter| {
            letter.is_whitespace() || letter.is_control() || letter == ':' || letter == '/'
        });
    if malformed {
        return Err(Mismatch::new(
            format!("{:?} is no name of a {what}", clipped(text)),
            expected,
            format!("write one {what} only"),
        ));
    }
    match look_up(text) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(Mismatch::of(
            ErrorKind::Account,
            format!("the {what} {text:?} does not exist on this host"),
            expected,
            format!(
                "install the package that brings it, or create it by sysusers.d(5) or {}",
                if what == "group" {
                    "groupadd --system"
                } else {
                    "useradd --system"
                }
            ),
        )),
        Err(error) => Err(Mismatch::of(
            ErrorKind::Account,
            format!("the {what} {text:?} cannot be looked up: {error}"),
            expected,
            "repair the host's name service (nsswitch.conf(5)), or write the number",
        )),
    }
}

/// The fake: users and groups as a test lists them, each user in the group of its name.
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

    fn primary_group(&self, user: u32) -> io::Result<Option<Group>> {
        let found = self.0.iter().find(|(_, number)| *number == user);
        Ok(found.map(|(name, number)| Group {
            number: *number,
            name: (*name).to_owned(),
        }))
    }

    fn knows_user(&self, number: u32) -> bool {
        number < 65_536
    }

    fn knows_group(&self, number: u32) -> bool {
        number < 65_536
    }
}
