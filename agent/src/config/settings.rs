//! The settings: what the configuration means. No value here is a wrong one.
//!
//! Two settings are equal when they ask for the same things: a comment added, or a line moved, is no
//! change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use renewd_core::names::{CertificateName, CredentialName, IssuerName, San};
use renewd_core::request::Request;
use renewd_core::unit::Dependent;
use renewd_store::disk::Owner;
use renewd_store::publish;

use crate::issuer::kind::{Configured, Kind};
use crate::probe::ProbeTarget;
use crate::table::{ConfigError, ErrorKind, Location, Mismatch};

use super::files::MAIN_FILE;

/// Everything that is configured.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The issuers.
    pub issuers: BTreeMap<IssuerName, IssuerSettings>,
    /// The certificates.
    pub certificates: BTreeMap<CertificateName, CertificateSettings>,
    pub(super) texts: Texts,
}

impl Settings {
    /// The texts to be kept until the next start, on which a file that is bad then is held. Each was
    /// accepted once.
    pub fn accepted_texts(&self) -> &Texts {
        &self.texts
    }

    /// Each dependent of each certificate, for checks that only systemd can make; the dependent knows
    /// its place for the error.
    pub fn units(&self) -> impl Iterator<Item = (&CertificateName, &DependentSettings)> {
        self.certificates.iter().flat_map(|(name, certificate)| {
            certificate
                .dependents
                .iter()
                .map(move |dependent| (name, dependent))
        })
    }
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.issuers == other.issuers && self.certificates == other.certificates
    }
}

/// The accepted texts of the configuration's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    /// `renewd.toml`.
    pub main: Option<String>,
    /// Each certificate's file.
    pub certificates: BTreeMap<CertificateName, String>,
}

/// What tells the kept text of a certificate from that of the main file.
const CERTIFICATE_SUFFIX: &str = ".certificate.toml";

impl Texts {
    /// Each text with the name of the file that it is kept in.
    pub fn files(&self) -> impl Iterator<Item = (String, &str)> {
        let main = self.main.iter().map(|text| (MAIN_FILE.to_owned(), text));
        let certificates = self
            .certificates
            .iter()
            .map(|(name, text)| (format!("{name}{CERTIFICATE_SUFFIX}"), text));
        main.chain(certificates)
            .map(|(file, text)| (file, text.as_str()))
    }

    /// Takes in a text that was kept in a file of that name; one of another name is none of these.
    pub fn take_in(&mut self, file: &str, text: String) {
        if file == MAIN_FILE {
            self.main = Some(text);
        } else if let Some(name) = certificate_of(file) {
            self.certificates.insert(name, text);
        }
    }

    /// Which of the files that are `kept` belong to certificates that are not among these: once these
    /// texts are kept they are to be forgotten, or a certificate that comes back under such a name could
    /// be held on what it was long ago. The main file never is.
    pub fn gone<'a>(&self, kept: &'a [String]) -> impl Iterator<Item = &'a str> {
        kept.iter()
            .map(String::as_str)
            .filter(|file| certificate_of(file).is_some_and(|name| !self.has(&name)))
    }

    fn has(&self, name: &CertificateName) -> bool {
        self.certificates.contains_key(name)
    }
}

fn certificate_of(file: &str) -> Option<CertificateName> {
    file.strip_suffix(CERTIFICATE_SUFFIX)?.parse().ok()
}

/// One issuer.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// Its name.
    pub name: IssuerName,
    /// What it is.
    pub kind: &'static Kind,
    /// What is written of it, which its kind alone understands.
    pub configured: Arc<dyn Configured>,
    /// Where it is configured.
    pub location: Location,
}

impl IssuerSettings {
    /// Its table, as it is written.
    pub(super) fn table(&self) -> String {
        format!("[issuer.{}]", self.name)
    }
}

impl PartialEq for IssuerSettings {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            name,
            kind,
            configured,
            location: _,
        } = self;
        *name == other.name && kind.name == other.kind.name && **configured == *other.configured
    }
}

/// One certificate.
#[derive(Debug, Clone)]
pub struct CertificateSettings {
    /// Its name: the stem of its file.
    pub name: CertificateName,
    /// What is asked of the issuer.
    pub request: Request,
    /// Who is asked in its place when it fails for long, in their order.
    pub fallbacks: Vec<IssuerName>,
    /// How its trust bundle changes.
    pub trust: TrustSettings,
    /// Whose the published files are.
    pub ownership: Ownership,
    /// The units that depend on it, in the order of their waves, then of the file.
    pub dependents: Vec<DependentSettings>,
    /// Its file.
    pub location: Location,
}

impl CertificateSettings {
    /// All issuers that may be asked, in their order.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerName> {
        std::iter::once(&self.request.issuer).chain(&self.fallbacks)
    }

    /// The name that a probe asks for when its address gives none: the first DNS name that is no
    /// wildcard.
    pub fn server_name(&self) -> Option<&str> {
        self.request.names.iter().find_map(|name| match name {
            San::Dns(name) if !name.starts_with('*') => Some(name.as_str()),
            _ => None,
        })
    }
}

impl PartialEq for CertificateSettings {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            name,
            request,
            fallbacks,
            trust,
            ownership,
            dependents,
            location: _,
        } = self;
        *name == other.name
            && *request == other.request
            && *fallbacks == other.fallbacks
            && *trust == other.trust
            && *ownership == other.ownership
            && *dependents == other.dependents
    }
}

/// How a trust bundle changes when the CA's roots do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustSettings {
    /// How long a root stays that the CA stands for no longer.
    pub keep: Duration,
    /// How long a new root is known on this host before a certificate under it is asked for.
    pub settle: Duration,
}

/// Whose the published private files (key and combined) are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Their mode: 0400, 0440, 0600 or 0640.
    pub mode: u32,
    /// The owner as configured, for messages.
    pub owner: String,
    /// The group as configured, for messages.
    pub group: String,
}

impl From<&Ownership> for publish::Ownership {
    fn from(ownership: &Ownership) -> Self {
        Self {
            owner: Some(Owner {
                uid: ownership.uid,
                gid: ownership.gid,
            }),
            private_mode: ownership.mode,
        }
    }
}

/// One unit that depends on a certificate.
#[derive(Debug, Clone)]
pub struct DependentSettings {
    /// The unit, what it is told, and when.
    pub dependent: Dependent,
    /// Where it is probed; empty when it cannot be.
    pub probes: Vec<ProbeTarget>,
    /// The name under which the unit loads the certificate as a systemd credential, if it does.
    pub credential: Option<CredentialName>,
    /// How long its job may take.
    pub reload_timeout: Duration,
    /// How long after its job the new leaf may take to be served everywhere.
    pub probe_timeout: Duration,
    /// Where the unit is configured.
    pub location: Location,
}

impl DependentSettings {
    /// An error that only systemd could tell, such as a unit that cannot reload, at the unit's line.
    pub fn error(
        &self,
        key: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ConfigError {
        Mismatch::of(ErrorKind::Unit, found, expected, remedy).at(
            self.location.clone(),
            format!("unit.\"{}\".{key}", self.dependent.unit),
        )
    }
}

impl PartialEq for DependentSettings {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            dependent,
            probes,
            credential,
            reload_timeout,
            probe_timeout,
            location: _,
        } = self;
        *dependent == other.dependent
            && *probes == other.probes
            && *credential == other.credential
            && *reload_timeout == other.reload_timeout
            && *probe_timeout == other.probe_timeout
    }
}
