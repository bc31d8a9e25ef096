//! The kinds of issuers that a configuration may name. To add one: a module below, and its line in [`KINDS`].

mod acme;
mod challenge;
mod crls;
mod est;
mod exec;
mod local;
mod program;
mod spiffe;
mod step;
mod vault;

use std::time::Duration;

use renewd_core::names::San;

use super::document::{At, clipped};
use super::error::{ErrorKind, Location, Mismatch, Report};
use super::schema::Schema;
use super::settings::{IssuerKind, IssuerSettings};
use super::suggest::nearest;
use super::walk::Section;

/// What the configuration knows of a kind.
pub(super) struct Kind {
    /// As `type` has it.
    pub(super) name: &'static str,
    /// Its keys.
    pub(super) schema: &'static Schema,
    /// A key that none before it in [`KINDS`] has: it tells what is meant where `type` has a slip, which is one
    /// error then, and not one for each key.
    told_by: &'static str,
    /// Whether its certificates are for clients, too, where nothing else is asked for.
    pub(super) for_clients: bool,
    /// Reads its table; `None` where something that it needs is missing or wrong.
    pub(super) read: fn(&Section<'_>, &mut Report) -> Option<IssuerKind>,
    /// Notes what it can never give.
    pub(super) judge: fn(&IssuerSettings, &Wanted<'_>, &mut Report),
}

/// What a certificate wants of its issuer.
pub(super) struct Wanted<'a> {
    /// Its names.
    pub(super) names: &'a [At<San>],
    /// Its life.
    pub(super) lifetime: Duration,
    /// Where that stands.
    pub(super) lifetime_at: &'a Location,
}

/// All kinds, the embedded CA first: it is what a table without a type is taken for.
pub(super) static KINDS: [&Kind; 7] = [
    &local::KIND,
    &acme::KIND,
    &est::KIND,
    &exec::KIND,
    &step::KIND,
    &vault::KIND,
    &spiffe::KIND,
];

impl IssuerKind {
    /// As `type` has it.
    pub fn name(&self) -> &'static str {
        self.kind().name
    }

    /// What the configuration knows of it.
    pub(super) fn kind(&self) -> &'static Kind {
        match self {
            Self::Local(_) => &local::KIND,
            Self::Acme(_) => &acme::KIND,
            Self::Est(_) => &est::KIND,
            Self::Exec(_) => &exec::KIND,
            Self::Step(_) => &step::KIND,
            Self::Vault(_) => &vault::KIND,
            Self::Spiffe(_) => &spiffe::KIND,
        }
    }
}

/// The kind whose keys a table has, by its `type`, or else by a key that only it has; `None` for a type that there is
/// not.
pub(super) fn meant(named: Option<&str>, section: &Section<'_>) -> Option<&'static Kind> {
    let mut kinds = KINDS.iter().copied();
    match named {
        Some(name) => kinds.find(|kind| kind.name == name),
        None => Some(
            kinds
                .rev()
                .find(|kind| section.has(kind.told_by))
                .unwrap_or(KINDS[0]),
        ),
    }
}

/// Whether there is a type of that name.
pub(super) fn known(text: &str) -> Result<(), Mismatch> {
    let names = KINDS.iter().map(|kind| kind.name);
    if names.clone().any(|name| name == text) {
        return Ok(());
    }
    Err(Mismatch::new(
        format!("{:?} is no type of issuer", clipped(text)),
        in_words(|name| format!("{name:?}")),
        nearest(text, names).map_or(String::new(), |near| format!("did you mean {near:?}?")),
    ))
}

/// For a table without a type.
pub(super) fn missing() -> Mismatch {
    let lines = in_words(|name| format!("type = {name:?}"));
    Mismatch::of(
        ErrorKind::MissingKey,
        "is missing",
        "an issuer's type",
        format!("write {lines} below this line"),
    )
}

/// All names, as a sentence has them.
fn in_words(word: impl Fn(&str) -> String) -> String {
    let words: Vec<String> = KINDS.iter().map(|kind| word(kind.name)).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
