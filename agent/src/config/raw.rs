//! What the files say: each value in the type that the file gives it, with its place. Nothing is
//! judged here but keys and types.

use super::document::{At, parse};
use super::error::{Location, Report};
use super::kind::{self, KINDS};
use super::schema::{CERTIFICATE, DEFAULTS, MAIN, TRUST, UNIT};
use super::settings::IssuerKind;
use super::source::Source;
use super::walk::Section;

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
    pub(super) kind: Option<IssuerKind>,
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
    pub(super) fn read(source: &Source, report: &mut Report) -> Option<Self> {
        let document = parse(source, report)?;
        let top = Section::top(source, document.get_ref(), &MAIN, report);
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
            .named_tables("issuer", KINDS[0].schema, report)
            .into_iter()
            .map(|(name, section)| RawIssuer::read(name, section, report))
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
    fn read(name: At<String>, section: Section<'_>, report: &mut Report) -> Self {
        let before = report.errors.len();
        let named = section.text("type", report);
        match &named {
            Some(at) => drop(at.parse(report, |text| kind::known(text))),
            None if section.has("type") => {}
            None => report.error(section.location(), section.field("type"), kind::missing()),
        }
        let meant = kind::meant(named.as_ref().map(|at| at.value.as_str()), &section);
        // The keys of a type that there is not are not known; its type alone is the error.
        let kind = meant.and_then(|kind| {
            let section = section.of(kind.schema);
            section.refuse_unknown_keys(report);
            (kind.read)(&section, report)
        });
        let clean = report.errors.len() == before;
        Self {
            name,
            kind: kind.filter(|_| clean),
        }
    }
}

impl RawCertificate {
    /// Reads a certificate's file; `None` where its syntax is broken.
    pub(super) fn read(source: &Source, report: &mut Report) -> Option<Self> {
        let document = parse(source, report)?;
        let top = Section::top(source, document.get_ref(), &CERTIFICATE, report);
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
