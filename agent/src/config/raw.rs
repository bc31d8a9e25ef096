//! What the files say: each value in the type that the file gives it, with its place. Nothing is
//! judged here but keys and types.

use super::document::{At, parse};
use super::error::{Location, Report};
use super::schema::{ACME, CERTIFICATE, DEFAULTS, EXEC, ISSUER, MAIN, UNIT};
use super::source::Source;
use super::walk::Section;

/// A list of texts, each with its own line.
pub(super) type RawList = At<Vec<At<String>>>;

/// `renewd.toml`.
#[derive(Debug, Default)]
pub(super) struct RawMain {
    pub(super) defaults: RawCommon,
    pub(super) issuers: Vec<RawIssuer>,
}

/// The keys that stand in `[defaults]` and in a certificate's file.
#[derive(Debug, Default)]
pub(super) struct RawCommon {
    pub(super) issuer: Option<At<String>>,
    pub(super) lifetime: Option<At<String>>,
    pub(super) key_type: Option<At<String>>,
    pub(super) usage: Option<RawList>,
    pub(super) owner: Option<At<String>>,
    pub(super) group: Option<At<String>>,
    pub(super) mode: Option<At<String>>,
}

/// `[issuer.NAME]`.
#[derive(Debug)]
pub(super) struct RawIssuer {
    pub(super) name: At<String>,
    /// Whether every key of it is known and of its type.
    pub(super) clean: bool,
    pub(super) kind: Option<At<String>>,
    /// Whether `type` stands there at all: a value of a wrong type is an error of its own.
    pub(super) kind_given: bool,
    pub(super) issuing_ca: Option<At<String>>,
    pub(super) root_lifetime: Option<At<String>>,
    pub(super) intermediate_lifetime: Option<At<String>>,
    pub(super) permitted_dns: Option<RawList>,
    pub(super) permitted_ip: Option<RawList>,
    pub(super) permitted_uri: Option<RawList>,
    pub(super) acme: RawAcme,
    pub(super) exec: RawExec,
}

/// The keys of `[issuer.NAME]` with `type = "acme"`.
#[derive(Debug, Default)]
pub(super) struct RawAcme {
    pub(super) directory: Option<At<String>>,
    /// Whether `directory` stands there at all: a value of a wrong type is an error of its own.
    pub(super) directory_given: bool,
    pub(super) ca: Option<At<String>>,
    pub(super) trust: Option<At<String>>,
    pub(super) proxy: Option<At<String>>,
    pub(super) contact: Option<RawList>,
    pub(super) terms_of_service: Option<At<String>>,
    pub(super) eab_key_id: Option<At<String>>,
    pub(super) eab_key: Option<At<String>>,
    pub(super) webroot: Option<At<String>>,
    pub(super) profile: Option<At<String>>,
}

/// The keys of `[issuer.NAME]` with `type = "exec"`.
#[derive(Debug, Default)]
pub(super) struct RawExec {
    pub(super) command: Option<RawList>,
    /// Whether `command` and `trust` stand there at all: a value of a wrong type is an error of its own.
    pub(super) command_given: bool,
    pub(super) trust: Option<At<String>>,
    pub(super) trust_given: bool,
    pub(super) credentials: Option<RawList>,
    pub(super) timeout: Option<At<String>>,
    pub(super) output_limit: Option<At<i64>>,
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
        let issuers = top
            .named_tables("issuer", &ISSUER, report)
            .into_iter()
            .map(|(name, section)| RawIssuer::read(name, section, report))
            .collect();
        Some(Self { defaults, issuers })
    }
}

impl RawCommon {
    fn read(section: &Section<'_>, report: &mut Report) -> Self {
        Self {
            issuer: section.text("issuer", report),
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
        let kind = section.text("type", report);
        let kind_given = section.has("type");
        // A slip in "type" is one error, and not one for each key of that type.
        let meant = match (section.has("command"), section.has("directory")) {
            (true, _) => Some("exec"),
            (false, true) => Some("acme"),
            _ => None,
        };
        let section = match kind.as_ref().map(|kind| kind.value.as_str()).or(meant) {
            Some("acme") => {
                let section = section.of(&ACME);
                section.refuse_unknown_keys(report);
                let acme = RawAcme::read(&section, report);
                return Self {
                    clean: report.errors.len() == before,
                    kind,
                    kind_given,
                    acme,
                    ..Self::bare(name)
                };
            }
            Some("exec") => {
                let section = section.of(&EXEC);
                section.refuse_unknown_keys(report);
                let exec = RawExec::read(&section, report);
                return Self {
                    clean: report.errors.len() == before,
                    kind,
                    kind_given,
                    exec,
                    ..Self::bare(name)
                };
            }
            None | Some("local") => {
                section.refuse_unknown_keys(report);
                section
            }
            // The keys of another type are not known here; its type alone is the error.
            Some(_) => section,
        };
        let mut raw = Self {
            clean: true,
            kind,
            kind_given,
            issuing_ca: section.text("issuing_ca", report),
            root_lifetime: section.text("root_lifetime", report),
            intermediate_lifetime: section.text("intermediate_lifetime", report),
            permitted_dns: section.texts("permitted_dns", report),
            permitted_ip: section.texts("permitted_ip", report),
            permitted_uri: section.texts("permitted_uri", report),
            ..Self::bare(name)
        };
        raw.clean = report.errors.len() == before;
        raw
    }

    fn bare(name: At<String>) -> Self {
        Self {
            name,
            clean: true,
            kind: None,
            kind_given: false,
            issuing_ca: None,
            root_lifetime: None,
            intermediate_lifetime: None,
            permitted_dns: None,
            permitted_ip: None,
            permitted_uri: None,
            acme: RawAcme::default(),
            exec: RawExec::default(),
        }
    }
}

impl RawAcme {
    fn read(section: &Section<'_>, report: &mut Report) -> Self {
        Self {
            directory: section.text("directory", report),
            directory_given: section.has("directory"),
            ca: section.text("ca", report),
            trust: section.text("trust", report),
            proxy: section.text("proxy", report),
            contact: section.texts("contact", report),
            terms_of_service: section.text("terms_of_service", report),
            eab_key_id: section.text("eab_key_id", report),
            eab_key: section.text("eab_key", report),
            webroot: section.text("webroot", report),
            profile: section.text("profile", report),
        }
    }
}

impl RawExec {
    fn read(section: &Section<'_>, report: &mut Report) -> Self {
        Self {
            command: section.texts("command", report),
            command_given: section.has("command"),
            trust: section.text("trust", report),
            trust_given: section.has("trust"),
            credentials: section.texts("credentials", report),
            timeout: section.text("timeout", report),
            output_limit: section.integer("output_limit", report),
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
