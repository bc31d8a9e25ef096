//! What the files say: each value in the type that the file gives it, with its place. Nothing is
//! judged here but keys and types.

use std::sync::Arc;

use crate::issuer::kind::{Configured, Kind, Kinds};
use crate::table::{At, Location, Report, Section, Source, document};

use super::schema::{CERTIFICATE, DEFAULTS, MAIN, TRUST, UNIT, vocabulary};

/// A list of texts, each with its own line.
pub(super) type RawList = At<Vec<At<String>>>;

/// `renewd.toml`.
#[derive(Debug, Default)]
pub(super) struct RawMain {
    pub(super) defaults: RawCommon,
    pub(super) trust: RawTrust,
    pub(super) issuers: Vec<RawIssuer>,
}

/// `[trust]`.
#[derive(Debug, Default)]
pub(super) struct RawTrust {
    pub(super) keep: Option<At<String>>,
    pub(super) settle: Option<At<String>>,
}

/// The keys that stand in `[defaults]` and in a certificate's file.
#[derive(Debug, Default)]
pub(super) struct RawCommon {
    pub(super) issuer: Option<RawList>,
    pub(super) lifetime: Option<At<String>>,
    pub(super) key_type: Option<At<String>>,
    pub(super) usage: Option<RawList>,
    pub(super) owner: Option<At<String>>,
    pub(super) group: Option<At<String>>,
    pub(super) mode: Option<At<String>>,
}

/// `[issuer.NAME]`, whose keys are judged at once: they are nobody's but its kind's.
#[derive(Debug)]
pub(super) struct RawIssuer {
    pub(super) name: At<String>,
    /// What it is; `None` where there is an error in its table.
    pub(super) what: Option<(&'static Kind, Arc<dyn Configured>)>,
}

/// `NAME.toml` in `certs.d`.
#[derive(Debug)]
pub(super) struct RawCertificate {
    pub(super) location: Location,
    pub(super) names: Option<RawList>,
    /// Whether `names` stands there at all: a value of a wrong type is an error of its own.
    pub(super) names_given: bool,
    pub(super) common: RawCommon,
    pub(super) units: Vec<RawUnit>,
}

/// `[unit."NAME"]`.
#[derive(Debug)]
pub(super) struct RawUnit {
    pub(super) name: At<String>,
    pub(super) on_change: Option<At<String>>,
    pub(super) probe: Option<RawList>,
    pub(super) credential: Option<At<String>>,
    pub(super) order: Option<At<i64>>,
    pub(super) reload_timeout: Option<At<String>>,
    pub(super) probe_timeout: Option<At<String>>,
}

impl RawMain {
    /// Reads `renewd.toml`; `None` where its syntax is broken.
    pub(super) fn read(source: &Source, kinds: Kinds, report: &mut Report) -> Option<Self> {
        let document = document(source, report)?;
        let vocabulary = vocabulary(kinds);
        let top = Section::top(source, document.get_ref(), &MAIN, &vocabulary, report);
        let defaults = top
            .table("defaults", &DEFAULTS, report)
            .map(|section| RawCommon::read(&section, report))
            .unwrap_or_default();
        let trust = top
            .table("trust", &TRUST, report)
            .map(|section| RawTrust {
                keep: section.text("keep", report),
                settle: section.text("settle", report),
            })
            .unwrap_or_default();
        let issuers = top
            .named_tables("issuer", kinds.first().schema, report)
            .into_iter()
            .map(|(name, section)| RawIssuer::read(name, section, kinds, report))
            .collect();
        Some(Self {
            defaults,
            trust,
            issuers,
        })
    }
}

impl RawCommon {
    fn read(section: &Section<'_>, report: &mut Report) -> Self {
        Self {
            issuer: section.text_or_texts("issuer", report),
            lifetime: section.text("lifetime", report),
            key_type: section.text("key_type", report),
            usage: section.texts("usage", report),
            owner: section.text("owner", report),
            group: section.text("group", report),
            mode: section.text("mode", report),
        }
    }
}

impl RawIssuer {
    fn read(name: At<String>, section: Section<'_>, kinds: Kinds, report: &mut Report) -> Self {
        let before = report.errors.len();
        let named = section.text("type", report);
        match &named {
            Some(at) => drop(at.parse(report, |text| kinds.known(text))),
            None if section.has("type") => {}
            None => report.error(section.location(), section.field("type"), kinds.missing()),
        }
        let meant = kinds.meant(named.as_ref().map(|at| at.value.as_str()), &section);
        // The keys of a type that there is not are not known; its type alone is the error.
        let what = meant.and_then(|kind| {
            let section = section.of(kind.schema);
            section.refuse_unknown_keys(report);
            Some((kind, (kind.read)(&section, report)?))
        });
        let clean = report.errors.len() == before;
        Self {
            name,
            what: what.filter(|_| clean),
        }
    }
}

impl RawCertificate {
    /// Reads a certificate's file; `None` where its syntax is broken.
    pub(super) fn read(source: &Source, kinds: Kinds, report: &mut Report) -> Option<Self> {
        let document = document(source, report)?;
        let vocabulary = vocabulary(kinds);
        let top = Section::top(
            source,
            document.get_ref(),
            &CERTIFICATE,
            &vocabulary,
            report,
        );
        Some(Self {
            location: top.location().clone(),
            names: top.texts("names", report),
            names_given: top.has("names"),
            common: RawCommon::read(&top, report),
            units: top
                .named_tables("unit", &UNIT, report)
                .into_iter()
                .map(|(name, section)| RawUnit::read(name, &section, report))
                .collect(),
        })
    }
}

impl RawUnit {
    fn read(name: At<String>, section: &Section<'_>, report: &mut Report) -> Self {
        section.refuse_unknown_keys(report);
        Self {
            on_change: section.text("on_change", report),
            probe: section.text_or_texts("probe", report),
            credential: section.text("credential", report),
            order: section.integer("order", report),
            reload_timeout: section.text("reload_timeout", report),
            probe_timeout: section.text("probe_timeout", report),
            name,
        }
    }
}
