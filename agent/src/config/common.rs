//! The keys that `[defaults]` and a certificate's file share, and their merging.

use std::time::Duration;

use renewd_core::names::IssuerName;
use renewd_core::request::{KeyType, Usages};

use crate::table::values::parse;
use crate::table::{At, ErrorKind, Location, Mismatch, Report, clipped, twice};

use super::accounts::number_of;
use super::environment::Environment;
use super::raw::{RawCertificate, RawCommon, RawList};
use super::settings::Ownership;
use super::values;

/// What is left to say after one file: each key that stands there with a right value. A key with a
/// wrong one is absent, and its error noted.
#[derive(Debug, Clone, Default)]
pub(super) struct Common {
    /// At least one.
    pub(super) issuers: Option<Vec<At<IssuerName>>>,
    pub(super) lifetime: Option<At<Duration>>,
    pub(super) key_type: Option<KeyType>,
    pub(super) usages: Option<Usages>,
    owner: Option<Account>,
    group: Option<Account>,
    mode: Option<u32>,
}

#[derive(Debug, Clone)]
struct Account {
    number: u32,
    text: String,
}

impl Common {
    /// Judges the keys of one file.
    pub(super) fn read(raw: &RawCommon, environment: &Environment, report: &mut Report) -> Self {
        let accounts = &environment.accounts;
        let mut account = |at: &Option<At<String>>, what: &str| {
            let at = at.as_ref()?;
            let number = at.parse(report, |text| {
                number_of(text, what, |name| match what {
                    "user" => accounts.user(name),
                    _ => accounts.group(name),
                })
            })?;
            Some(Account {
                number: number.value,
                text: at.value.clone(),
            })
        };
        let owner = account(&raw.owner, "user");
        let group = account(&raw.group, "group");
        let mode = parse(&raw.mode, report, |text| values::mode(text));
        Self {
            issuers: raw.issuer.as_ref().and_then(|list| issuers(list, report)),
            lifetime: parse(&raw.lifetime, report, |text| {
                values::duration(text, &values::LIFETIME)
            }),
            key_type: parse(&raw.key_type, report, |text| values::key_type(text))
                .map(|at| at.value),
            usages: raw.usage.as_ref().and_then(|list| usages(list, report)),
            owner,
            group,
            mode: mode.map(|at| at.value),
        }
    }

    /// These keys, and where one is absent, the default.
    pub(super) fn over(self, defaults: &Self) -> Self {
        let defaults = defaults.clone();
        Self {
            issuers: self.issuers.or(defaults.issuers),
            lifetime: self.lifetime.or(defaults.lifetime),
            key_type: self.key_type.or(defaults.key_type),
            usages: self.usages.or(defaults.usages),
            owner: self.owner.or(defaults.owner),
            group: self.group.or(defaults.group),
            mode: self.mode.or(defaults.mode),
        }
    }

    /// Whose the private files are: root:root 0600; of an owner alone, with its primary group; with a
    /// group 0640. `raw` is the certificate's own file.
    ///
    /// The directories are the daemon's with this group, and closed to others: an owner outside of it
    /// could not reach what it owns.
    pub(super) fn ownership(
        &self,
        raw: &RawCertificate,
        environment: &Environment,
        report: &mut Report,
    ) -> Option<Ownership> {
        // A value that is wrong was refused already; what else would be asked is a guess.
        let wrong = |raw: &Option<_>, own: &Option<_>| raw.is_some() && own.is_none();
        if wrong(&raw.common.owner, &self.owner) || wrong(&raw.common.group, &self.group) {
            return None;
        }
        let owner = self.owner.clone().unwrap_or_else(Account::root);
        let mut mode = 0o600;
        let group = match &self.group {
            Some(group) => {
                mode = 0o640;
                warn_of_a_closed_directory(&owner, group, &raw.location, report);
                group.clone()
            }
            None if owner.number == 0 => Account::root(),
            None => match primary_group(&owner, environment) {
                Ok(group) => group,
                Err(mismatch) => {
                    report.error(&raw.location, "group", mismatch);
                    return None;
                }
            },
        };
        let mut known = true;
        let accounts = &environment.accounts;
        for (key, written, account, knows) in [
            (
                "owner",
                &raw.common.owner,
                &owner,
                accounts.knows_user(owner.number),
            ),
            (
                "group",
                &raw.common.group,
                &group,
                accounts.knows_group(group.number),
            ),
        ] {
            if knows {
                continue;
            }
            known = false;
            match written {
                Some(at) => at.refuse(report, unknown_to_the_sandbox(account)),
                None => report.error(&raw.location, key, unknown_to_the_sandbox(account)),
            }
        }
        if !known {
            return None;
        }
        Some(Ownership {
            uid: owner.number,
            gid: group.number,
            mode: self.mode.unwrap_or(mode),
            owner: owner.text,
            group: group.text,
        })
    }
}

impl Account {
    fn root() -> Self {
        Self {
            number: 0,
            text: "root".to_owned(),
        }
    }
}

fn primary_group(owner: &Account, environment: &Environment) -> Result<Account, Mismatch> {
    let Account { number, text } = owner;
    match environment.accounts.primary_group(*number) {
        Ok(Some(group)) => Ok(Account {
            number: group.number,
            text: group.name,
        }),
        Ok(None) => Err(Mismatch::of(
            ErrorKind::MissingKey,
            format!("is missing, and the owner {text} has no account that would have one"),
            "a group of this host, by name or number",
            "write the group that the owner is in",
        )),
        Err(error) => Err(Mismatch::of(
            ErrorKind::Account,
            format!("is missing, and that of the owner {text} cannot be looked up: {error}"),
            "a group of this host, by name or number",
            "repair the host's name service (nsswitch.conf(5)), or write the group",
        )),
    }
}

fn unknown_to_the_sandbox(account: &Account) -> Mismatch {
    let Account { number, text } = account;
    Mismatch::of(
        ErrorKind::Account,
        format!("{text} has the number {number}, to which renewd's sandbox can give nothing"),
        "a number below 65536",
        "\"systemctl edit renewd\", and add PrivateUsers=no below [Service]",
    )
}

fn warn_of_a_closed_directory(
    owner: &Account,
    group: &Account,
    location: &Location,
    report: &mut Report,
) {
    if owner.number != 0 && group.number == 0 {
        report.warning(
            location,
            "group",
            format!(
                "is root, and only root and that group can enter the directory: {} cannot",
                owner.text
            ),
            "leave the group out for the owner's own, or write one that the owner is in",
        );
    }
}

/// An issuer's name.
pub(super) fn issuer_name(text: &str) -> Result<IssuerName, Mismatch> {
    text.parse().map_err(|_| {
        Mismatch::new(
            format!("{:?} is no name of an issuer", clipped(text)),
            "1 to 64 of a-z A-Z 0-9 . _ - @, beginning with a letter or digit",
            "choose such a name",
        )
    })
}

/// The issuers, in the order in which they are asked; `None` where one of the names is wrong.
fn issuers(list: &RawList, report: &mut Report) -> Option<Vec<At<IssuerName>>> {
    if list.value.is_empty() {
        let mismatch = Mismatch::new("is empty", "at least one name", "name an issuer");
        list.refuse(report, mismatch);
        return None;
    }
    let before = report.errors.len();
    let mut issuers: Vec<At<IssuerName>> = Vec::new();
    for at in &list.value {
        let Some(issuer) = at.parse(report, |text| issuer_name(text)) else {
            continue;
        };
        if issuers.iter().any(|known| known.value == issuer.value) {
            at.refuse(report, twice(&at.value));
        }
        issuers.push(issuer);
    }
    (report.errors.len() == before).then_some(issuers)
}

fn usages(list: &RawList, report: &mut Report) -> Option<Usages> {
    if list.value.is_empty() {
        list.refuse(
            report,
            Mismatch::new("is empty", "server, client or both", "name at least one"),
        );
        return None;
    }
    let mut usages = Usages {
        server: false,
        client: false,
    };
    for at in &list.value {
        let Some(server) = at.parse(report, |text| values::usage(text)) else {
            continue;
        };
        let usage = if server.value {
            &mut usages.server
        } else {
            &mut usages.client
        };
        if std::mem::replace(usage, true) {
            at.refuse(report, twice(&at.value));
        }
    }
    Some(usages)
}
