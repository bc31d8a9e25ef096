//! Every event that an operator may see. What each says, and its `MESSAGE_ID`, is in
//! [`super::entry`].

use jiff::Timestamp;
use renewd_core::leaf::Serial;
use renewd_core::names::{CertificateName, UnitName};
use renewd_core::proof::{Proof, Reason};
use renewd_core::record::GenerationNumber;
use renewd_core::unit::OnChange;

/// Something that happened, in the operator's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The daemon began.
    Started {
        /// Its version.
        version: String,
    },
    /// The record agrees with what is published, and the sockets are open.
    Ready {
        /// How many certificates are managed.
        certificates: usize,
    },
    /// A new configuration was refused as a whole; the one before stays in force.
    ConfigurationRefused {
        /// Each with file, line, field and remedy.
        errors: Vec<String>,
    },
    /// A certificate's file is wrong at start; the certificate goes on as it was last accepted.
    ConfigurationHeld {
        /// Whose.
        certificate: CertificateName,
        /// Each with file, line, field and remedy.
        errors: Vec<String>,
    },
    /// A new configuration is in force.
    ConfigurationReloaded {
        /// How many certificates are managed.
        certificates: usize,
    },
    /// An issuer is asked.
    IssuanceStarted {
        /// For which certificate.
        certificate: CertificateName,
        /// Why now.
        why: String,
    },
    /// The issuer did not answer, or refused.
    IssuanceFailed {
        /// For which certificate.
        certificate: CertificateName,
        /// What the issuer said, and what helps.
        error: String,
        /// The next try; `None` when only the operator can help.
        retry_at: Option<Timestamp>,
    },
    /// A new identity was accepted.
    Issued {
        /// For which certificate.
        certificate: CertificateName,
        /// The generation it became.
        generation: GenerationNumber,
        /// Its serial number.
        serial: Serial,
        /// The end of its life.
        not_after: Timestamp,
    },
    /// The issuer's answer was not what was asked for; it is not published.
    AnswerRefused {
        /// For which certificate.
        certificate: CertificateName,
        /// What was wrong with it.
        reason: String,
        /// The next try; `None` when only the operator can help.
        retry_at: Option<Timestamp>,
    },
    /// A generation is the current one now.
    Published {
        /// Of which certificate.
        certificate: CertificateName,
        /// Which.
        generation: GenerationNumber,
        /// Its serial number.
        serial: Serial,
    },
    /// A unit is told.
    ReloadStarted {
        /// All certificates that this serves.
        certificates: Vec<CertificateName>,
        /// Which unit.
        unit: UnitName,
        /// What it is told.
        verb: OnChange,
    },
    /// The unit's job ended well, which proves nothing yet.
    ReloadDone {
        /// All certificates that this serves.
        certificates: Vec<CertificateName>,
        /// Which unit.
        unit: UnitName,
    },
    /// The unit's job did not end well, or could not be asked for.
    ReloadFailed {
        /// All certificates that this was for.
        certificates: Vec<CertificateName>,
        /// Which unit.
        unit: UnitName,
        /// Why, and what helps.
        reason: String,
    },
    /// A dependent is as good as proven as it can be.
    Proven {
        /// Of which certificate.
        certificate: CertificateName,
        /// Which generation.
        generation: GenerationNumber,
        /// Which unit.
        unit: UnitName,
        /// How.
        proof: Proof,
    },
    /// A dependent is not proven.
    NotProven {
        /// Of which certificate.
        certificate: CertificateName,
        /// Which generation.
        generation: GenerationNumber,
        /// Which unit.
        unit: UnitName,
        /// Why, in a word.
        reason: Reason,
        /// Why, in a sentence.
        detail: String,
    },
    /// The alarm: renewed on disk, stale in memory.
    StaleInMemory {
        /// Of which certificate.
        certificate: CertificateName,
        /// The generation that is published.
        generation: GenerationNumber,
        /// Which unit serves something else.
        unit: UnitName,
        /// The serial number that it serves.
        served: Option<Serial>,
    },
    /// The previous identity was published again.
    Reverted {
        /// Of which certificate.
        certificate: CertificateName,
        /// The generation under suspicion.
        from: GenerationNumber,
        /// The generation that went out instead.
        to: GenerationNumber,
    },
    /// With the previous identity everything works: the new one was to blame.
    Blamed {
        /// Of which certificate.
        certificate: CertificateName,
        /// The blamed generation.
        generation: GenerationNumber,
        /// What failed.
        cause: String,
    },
    /// With the previous identity it fails, too: the new one is published again.
    NotTheCertificate {
        /// Of which certificate.
        certificate: CertificateName,
        /// The generation that is published again.
        generation: GenerationNumber,
        /// What fails.
        cause: String,
    },
    /// Something fails, and the previous identity is not usable: the new one stays.
    HeldForward {
        /// Of which certificate.
        certificate: CertificateName,
        /// The generation that stays.
        generation: GenerationNumber,
        /// What fails.
        cause: String,
    },
    /// This certificate is left alone until the daemon starts again.
    CertificateHeld {
        /// Which.
        certificate: CertificateName,
        /// What happened.
        why: String,
    },
    /// The published certificate is close to its end, or past it.
    Expiring {
        /// Which.
        certificate: CertificateName,
        /// The end of its life.
        not_after: Timestamp,
    },
    /// The wall clock was set.
    ClockStepped {
        /// By how much, as far as known.
        detail: String,
    },
    /// The polkit rule is not that of the configuration.
    PolkitStale,
    /// The daemon ends.
    Stopping,
}
