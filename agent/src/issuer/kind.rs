//! A kind of issuers, as everybody else knows it: its name, its keys, and what becomes of them.
//!
//! Owns the two abstractions between the configuration and a CA's protocol. A [`Kind`] reads a table into something
//! [`Configured`], which makes the [`Issuer`]. Both are the kind's own: it is one module beside this one, and one line in
//! [`crate::kinds`], and nobody else knows what is in its settings.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use renewd_core::names::{IssuerName, San};

use super::challenges::Challenges;
use super::program::Surroundings;
use super::{IssueError, Issuer, Retry};
use crate::secret::{Secret, Secrets};
use crate::table::{At, ErrorKind, Location, Mismatch, Report, Schema, Section, clipped, nearest};

/// What is known of a kind without an issuer of it.
pub struct Kind {
    /// As `type` has it.
    pub name: &'static str,
    /// Its keys.
    pub schema: &'static Schema,
    /// A key that none before it in the list has: it tells what is meant where `type` has a slip, which is one
    /// error then, and not one for each key.
    pub told_by: &'static str,
    /// Whether its certificates are for clients, too, where nothing else is asked for.
    pub for_clients: bool,
    /// The sockets that systemd may hold for it, each by its name (`FileDescriptorName=`).
    pub sockets: &'static [(&'static str, Responder)],
    /// Reads its table; `None` where something that it needs is missing or wrong.
    pub read: fn(&Section<'_>, &mut Report) -> Option<Arc<dyn Configured>>,
}

/// Answers CAs on a socket until the runtime ends. To be called within a runtime.
pub type Responder = fn(TcpListener, Arc<Challenges>) -> io::Result<()>;

/// Tells the time; injected, so that tests can simulate years.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What is written of one issuer, read and found right. Two are equal when they ask for the same things.
pub trait Configured: Comparable + fmt::Debug + Send + Sync {
    /// Makes the issuer, without asking anybody for anything.
    fn make(&self, home: Home) -> Rc<dyn Issuer>;

    /// Where the CA is, if that tells one CA from another under the same name.
    fn address(&self) -> Option<&str> {
        None
    }

    /// Where the secrets are that it is to be given, to be looked at from outside.
    fn secrets(&self) -> Vec<&Secret> {
        Vec::new()
    }

    /// Notes what it can never give.
    fn judge(&self, _demand: &Demand<'_>, _report: &mut Report) {}

    /// Whether nobody on other hosts has to hear of a new root by renewd before it is used.
    fn needs_no_settling(&self) -> bool {
        false
    }

    /// Its root as PEM, where it has one of its own: asks nobody, and changes nothing.
    ///
    /// # Errors
    /// When it has none, or none yet.
    fn root_pem(&self, home: &Home) -> Result<String, IssueError> {
        Err(IssueError::new(
            "no-root",
            Retry::Operator,
            format!("the issuer {} keeps no root here", home.name),
            "what its certificates chain to is published with each as ca.pem",
        ))
    }
}

/// Where an issuer is at home: what is its own on this host, and what it shares with the others.
#[derive(Clone)]
pub struct Home {
    /// Its name in the configuration.
    pub name: IssuerName,
    /// What is kept of it (`STATE/store/issuer/NAME`); this process alone must use it.
    pub directory: PathBuf,
    /// Where its secrets are read from.
    pub secrets: Secrets,
    /// Where its programs run.
    pub surroundings: Surroundings,
    /// What is shown to CAs on the sockets.
    pub challenges: Arc<Challenges>,
    /// The time.
    pub clock: Clock,
}

/// What a certificate demands of an issuer.
pub struct Demand<'a> {
    /// Its names.
    pub names: &'a [At<San>],
    /// Its life.
    pub lifetime: Duration,
    /// Where that stands.
    pub lifetime_at: &'a Location,
    /// The issuer's table, as it is written.
    pub table: &'a str,
    /// Where that stands.
    pub table_at: &'a Location,
}

/// What can be compared with whatever else is configured: every type that can be compared with its own.
pub trait Comparable: Any {
    /// Whether the other one is of the same type and equal.
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<T: PartialEq + Any> Comparable for T {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }
}

impl PartialEq for dyn Configured {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The kinds that there are: at least one.
#[derive(Debug, Clone, Copy)]
pub struct Kinds(&'static [&'static Kind]);

impl Kinds {
    /// These. The first is what a table without a type is taken for.
    pub const fn of(kinds: &'static [&'static Kind]) -> Self {
        assert!(!kinds.is_empty());
        Self(kinds)
    }

    /// One after the other.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = &'static Kind> + Clone {
        self.0.iter().copied()
    }

    /// What a table without a type is taken for.
    pub fn first(self) -> &'static Kind {
        self.0[0]
    }

    /// The kind whose keys a table has, by its `type`, or else by a key that only it has; `None` for a type that there
    /// is not.
    pub fn meant(self, named: Option<&str>, section: &Section<'_>) -> Option<&'static Kind> {
        match named {
            Some(name) => self.iter().find(|kind| kind.name == name),
            None => {
                let told = self.iter().rev().find(|kind| section.has(kind.told_by));
                Some(told.unwrap_or(self.first()))
            }
        }
    }

    /// Whether there is a type of that name.
    ///
    /// # Errors
    /// When there is none, with those that there are.
    pub fn known(self, text: &str) -> Result<(), Mismatch> {
        let names = self.iter().map(|kind| kind.name);
        if names.clone().any(|name| name == text) {
            return Ok(());
        }
        Err(Mismatch::new(
            format!("{:?} is no type of issuer", clipped(text)),
            self.in_words(|name| format!("{name:?}")),
            nearest(text, names).map_or(String::new(), |near| format!("did you mean {near:?}?")),
        ))
    }

    /// For a table without a type.
    pub fn missing(self) -> Mismatch {
        let lines = self.in_words(|name| format!("type = {name:?}"));
        Mismatch::of(
            ErrorKind::MissingKey,
            "is missing",
            "an issuer's type",
            format!("write {lines} below this line"),
        )
    }

    /// All names, as a sentence has them.
    fn in_words(self, word: impl Fn(&str) -> String) -> String {
        let words: Vec<String> = self.iter().map(|kind| word(kind.name)).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        }
    }
}
