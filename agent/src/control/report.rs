//! What the daemon tells its operators, and what they may ask of it.
//!
//! Owns: the trait that the driver implements, and the plain reports that `renewctl` prints (its
//! `--json` is these types and nothing else). Never holds a key or another secret: `status` is for
//! every user of the host. Neighbours: [`super::serve`] answers with these types over Varlink,
//! [`super::client`] reads them.

use std::fmt;

use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use renewd_core::names::{CertificateName, IssuerName};
use renewd_core::record::GenerationNumber;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use zlink::introspect::{CustomType, Type};

/// The daemon as the control sockets see it. The driver implements it; calls come from one task, one
/// at a time for each connection.
pub trait Daemon {
    /// Everything that `status` shows: from memory, without waiting for anything.
    fn status(&self) -> StatusReport;

    /// Everything that is known of one certificate; `None` when there is none of that name.
    fn show(&self, name: &CertificateName) -> Option<CertificateDetail>;

    /// Resolves at any change of what [`Daemon::status`] would say. The value does not matter.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Has the named certificates issued anew now, whatever their schedule says.
    ///
    /// The steps come as they happen, and the last one of each certificate has `finished` set. The
    /// receiver may be dropped at any time: nobody watches any more, and the work goes on.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchCertificate`] before anything was begun; [`ControlError::Stopping`].
    fn renew(
        &self,
        names: Vec<CertificateName>,
    ) -> Result<mpsc::UnboundedReceiver<Step>, ControlError>;

    /// Reads the configuration again and puts all of it in force, or none; never waits for a rotation.
    ///
    /// # Errors
    ///
    /// Every fault that was found, each in the form that `renewctl check` prints.
    fn reload(&self) -> LocalBoxFuture<'_, Result<ReloadReport, Vec<String>>>;

    /// Removes what is published and recorded of a certificate that has left the configuration.
    ///
    /// # Errors
    ///
    /// [`ControlError::StillConfigured`], [`ControlError::NoSuchCertificate`], or
    /// [`ControlError::Failed`] when the disk refused.
    fn forget(&self, name: CertificateName) -> LocalBoxFuture<'_, Result<(), ControlError>>;

    /// Has the leaf of a generation revoked by its issuer; without a number that of the published one.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchCertificate`], [`ControlError::Stopping`], or [`ControlError::Failed`] with what the issuer
    /// said.
    fn revoke(
        &self,
        name: CertificateName,
        generation: Option<GenerationNumber>,
        reason: &str,
    ) -> LocalBoxFuture<'_, Result<Revoked, ControlError>>;

    /// All issuers in brief.
    fn issuers(&self) -> IssuersReport;

    /// Looks at an issuer, without asking it for a certificate.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchIssuer`].
    fn check_issuer(
        &self,
        name: &IssuerName,
    ) -> LocalBoxFuture<'static, Result<IssuerFindings, ControlError>>;

    /// Gives an issuer's account another key.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchIssuer`], or [`ControlError::Failed`] with what the issuer said.
    fn rollover_issuer(
        &self,
        name: &IssuerName,
    ) -> LocalBoxFuture<'static, Result<(), ControlError>>;

    /// The root certificates of a local issuer, as PEM; without a name those of the only one.
    ///
    /// # Errors
    ///
    /// [`ControlError::NoSuchIssuer`], also when the issuer has no root of its own to show.
    fn ca_root(&self, issuer: Option<&IssuerName>) -> Result<String, ControlError>;
}

/// Why the daemon did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no certificate of that name.
    #[error("there is no certificate named {0:?}")]
    NoSuchCertificate(String),
    /// There is no issuer of that name, or it has no root. The text says which, and what to do.
    #[error("{0}")]
    NoSuchIssuer(String),
    /// `forget` of a certificate that is still configured.
    #[error("certificate {0:?} is still configured")]
    StillConfigured(String),
    /// The daemon is on its way out.
    #[error("renewd is stopping")]
    Stopping,
    /// Something else went wrong; the text names what, where and the remedy.
    #[error("{0}")]
    Failed(String),
}

/// An instant, in RFC 3339 and UTC on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcTime(pub Timestamp);

impl From<Timestamp> for UtcTime {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

/// For people: to the second.
impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.strftime("%Y-%m-%dT%H:%M:%SZ").fmt(f)
    }
}

impl Type for UtcTime {
    const TYPE: &'static zlink::idl::Type<'static> = &zlink::idl::Type::String;
}

/// What was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Revoked {
    /// Which generation's leaf.
    pub generation: u64,
    /// Its serial number in lower-case hex.
    pub serial: String,
    /// Whether it was the one in use: then another one is asked for.
    pub in_use: bool,
}

/// The answer of `renewctl issuer list --json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct IssuersReport {
    /// All issuers, by name.
    pub issuers: Vec<IssuerStatus>,
}

/// One issuer in `issuer list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct IssuerStatus {
    /// Its name.
    pub name: String,
    /// Its type, as the configuration has it.
    pub kind: String,
    /// Where it is; null where its type says so.
    pub address: Option<String>,
    /// The certificates that name it, by name.
    pub certificates: Vec<String>,
    /// When a certificate of its was accepted last.
    pub last_issued: Option<UtcTime>,
    /// What went wrong last with one of those certificates, until it went right again.
    pub last_error: Option<String>,
}

/// The answer of `renewctl issuer check --json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct IssuerFindings {
    /// What was found, in the order in which it was asked.
    pub findings: Vec<IssuerFinding>,
}

/// One thing that was found of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct IssuerFinding {
    /// What was asked: reachable, authenticated, clock or may-issue.
    pub question: String,
    /// Yes, no, or unknown: only an issuance would tell.
    pub is: String,
    /// In words, with the remedy.
    pub text: String,
}

/// The answer of `renewctl status --json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct StatusReport {
    /// All certificates, by name.
    pub certificates: Vec<CertificateStatus>,
}

/// One certificate in `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct CertificateStatus {
    /// Its name.
    pub name: String,
    /// Where it stands: fresh, issuing, activating, back-off, stopped, held and the core's other words.
    pub state: String,
    /// The published generation; null before the first.
    pub generation: Option<u64>,
    /// The published leaf's serial number in lower-case hex.
    pub serial: Option<String>,
    /// The first instant of the published leaf's validity.
    pub not_before: Option<UtcTime>,
    /// Its last instant.
    pub not_after: Option<UtcTime>,
    /// When the next issuance is due.
    pub next_renewal: Option<UtcTime>,
    /// What went wrong last, until it went right again.
    pub last_error: Option<String>,
    /// Its dependents.
    pub units: Vec<UnitStatus>,
}

/// One dependent in `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct UnitStatus {
    /// The systemd unit.
    pub unit: String,
    /// What is known: served, reloaded, not running, unobservable, pending or failed.
    pub proof: String,
    /// Why not, when failed.
    pub reason: Option<String>,
    /// The serial number of the leaf that a handshake showed last.
    pub served_serial: Option<String>,
    /// Since when the proof is what it is.
    pub since: Option<UtcTime>,
}

/// The answer of `renewctl show NAME --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CertificateDetail {
    /// Its name.
    pub name: String,
    /// As in [`CertificateStatus`].
    pub state: String,
    /// Since when the state is what it is.
    pub since: Option<UtcTime>,
    /// The subject alternative names asked for.
    pub names: Vec<String>,
    /// The configured issuer, which is asked first.
    pub issuer: String,
    /// Those that stand in for it, in their order.
    pub fallbacks: Vec<String>,
    /// The issuer of the published leaf; null before the first.
    pub issued_by: Option<String>,
    /// The published directory.
    pub directory: String,
    /// The owner of the published key.
    pub owner: String,
    /// The group of the published key.
    pub group: String,
    /// The published generation; null before the first.
    pub generation: Option<u64>,
    /// The published leaf's serial number in lower-case hex.
    pub serial: Option<String>,
    /// The SHA-256 fingerprint of the published leaf in lower-case hex.
    pub fingerprint: Option<String>,
    /// The first instant of the published leaf's validity.
    pub not_before: Option<UtcTime>,
    /// Its last instant.
    pub not_after: Option<UtcTime>,
    /// When the next issuance is due.
    pub next_renewal: Option<UtcTime>,
    /// Why then, in words.
    pub next_renewal_reason: String,
    /// The address at which the issuer explains what it advises about the renewal, as long as it does.
    pub explanation: Option<String>,
    /// How many certificates the issuer has signed for it so far.
    pub issuances: u64,
    /// What went wrong last, until it went right again.
    pub last_error: Option<String>,
    /// The last generations and what became of them, newest first.
    pub verdicts: Vec<GenerationVerdict>,
    /// Its dependents.
    pub units: Vec<UnitDetail>,
}

/// What became of one generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct GenerationVerdict {
    /// The generation.
    pub generation: u64,
    /// The verdict in the core's words: proven, blamed, held forward and so on.
    pub verdict: String,
    /// When it fell.
    pub at: Option<UtcTime>,
    /// What it rests on; empty when there is nothing to add.
    pub cause: String,
}

/// One dependent in `show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct UnitDetail {
    /// The systemd unit.
    pub unit: String,
    /// What it is told when a new generation was published.
    pub on_change: String,
    /// Its place in the order: lower waves are proven first.
    pub wave: u64,
    /// The addresses that are probed.
    pub probe: Vec<String>,
    /// Whether the published generation has still to be reloaded or proven here.
    pub debt: bool,
    /// As in [`UnitStatus`].
    pub proof: String,
    /// As in [`UnitStatus`].
    pub reason: Option<String>,
    /// In words: which address, and what happened there; empty when there is nothing to add.
    pub detail: String,
    /// As in [`UnitStatus`].
    pub served_serial: Option<String>,
    /// As in [`UnitStatus`].
    pub since: Option<UtcTime>,
}

/// One step of a renewal, told as it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Step {
    /// When.
    pub at: UtcTime,
    /// The certificate.
    pub certificate: String,
    /// What: issuing, issuing failed, accepted, baseline, published, publishing failed, reverting,
    /// settled, failed, or a dependent's proof as in the status.
    pub step: String,
    /// The dependent that it is about.
    pub unit: Option<String>,
    /// In words; empty when there is nothing to add.
    pub detail: String,
    /// How long this step took, in milliseconds.
    pub elapsed_ms: u64,
    /// Set on the certificate's last step: whether the new generation is published and proven.
    pub finished: Option<bool>,
}

/// What a reload of the daemon's configuration changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ReloadReport {
    /// Certificates that are new.
    pub added: Vec<String>,
    /// Certificates whose settings changed.
    pub changed: Vec<String>,
    /// Certificates that left the configuration; they stay published until `forget`.
    pub removed: Vec<String>,
    /// What the operator should know although it stops nothing, such as a stale polkit rule.
    pub warnings: Vec<String>,
}
