//! `renewd.toml`: issuers and defaults.

use std::collections::BTreeMap;

use renewd_core::names::IssuerName;

use crate::table::{ErrorKind, Location, Mismatch, Report, Source, clipped, nearest};

use super::common::{Common, issuer_name};
use super::environment::Environment;
use super::raw::{RawIssuer, RawMain};
use super::settings::IssuerSettings;
use super::trust::Trust;

/// What `renewd.toml` says, as far as it is right.
#[derive(Debug, Clone)]
pub(super) struct Main {
    pub(super) defaults: Common,
    pub(super) trust: Trust,
    pub(super) issuers: BTreeMap<IssuerName, IssuerSettings>,
    /// Names whose tables have errors: a certificate that names one is not wrong for that.
    pub(super) doubtful: Vec<String>,
    pub(super) location: Location,
}

impl Main {
    /// Judges the file; `None` where its syntax is broken.
    pub(super) fn read(
        source: &Source,
        environment: &Environment,
        report: &mut Report,
    ) -> Option<Self> {
        let raw = RawMain::read(source, environment.kinds, report)?;
        let mut main = Self {
            defaults: Common::read(&raw.defaults, environment, report),
            trust: Trust::read(&raw.trust, report),
            issuers: BTreeMap::new(),
            doubtful: Vec::new(),
            location: source.location(0),
        };
        for issuer in raw.issuers {
            let name = issuer.name.value.clone();
            match read_issuer(issuer, report) {
                Some(settings) => {
                    main.issuers.insert(settings.name.clone(), settings);
                }
                None => main.doubtful.push(name),
            }
        }
        for issuer in main.defaults.issuers.iter().flatten() {
            if let Err(mismatch) = main.issuer(issuer.value.as_str()) {
                issuer.refuse(report, mismatch);
            }
        }
        Some(main)
    }

    /// The issuer of that name; `None` where it is configured with errors.
    pub(super) fn issuer(&self, name: &str) -> Result<Option<&IssuerSettings>, Mismatch> {
        if let Some((_, issuer)) = self
            .issuers
            .iter()
            .find(|(known, _)| known.as_str() == name)
        {
            return Ok(Some(issuer));
        }
        if self.doubtful.iter().any(|known| known == name) {
            return Ok(None);
        }
        let known: Vec<&str> = self.issuers.keys().map(IssuerName::as_str).collect();
        let remedy = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!(
                "configure it in {}: [issuer.{name}]",
                self.location.file.display()
            ),
        };
        Err(Mismatch::of(
            ErrorKind::Reference,
            format!("the issuer {:?} is not configured", clipped(name)),
            one_of(&known),
            remedy,
        ))
    }

    /// The one issuer that needs no naming; `None` where it is configured with errors.
    pub(super) fn only_issuer(&self) -> Result<Option<&IssuerSettings>, Mismatch> {
        let known: Vec<&str> = self.issuers.keys().map(IssuerName::as_str).collect();
        match (self.issuers.len(), self.doubtful.len()) {
            (1, 0) => Ok(self.issuers.values().next()),
            (_, 1..) => Ok(None),
            (0, 0) => Err(Mismatch::of(
                ErrorKind::Reference,
                "no issuer is configured",
                "an issuer in renewd.toml",
                format!(
                    "write [issuer.internal] and type = \"local\" into {}",
                    self.location.file.display()
                ),
            )),
            _ => Err(Mismatch::of(
                ErrorKind::MissingKey,
                "is missing, and several issuers are configured",
                one_of(&known),
                "name one here, or for all in [defaults]",
            )),
        }
    }
}

fn one_of(known: &[&str]) -> String {
    if known.is_empty() {
        "the name of a configured issuer".to_owned()
    } else {
        format!("one of {}", known.join(", "))
    }
}

fn read_issuer(raw: RawIssuer, report: &mut Report) -> Option<IssuerSettings> {
    let name = raw.name.parse(report, |text| issuer_name(text));
    let (kind, configured) = raw.what?;
    Some(IssuerSettings {
        name: name?.value,
        kind,
        configured,
        location: raw.name.location,
    })
}
