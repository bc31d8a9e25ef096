//! Every event that an operator may see. Its `MESSAGE_ID` and level are in [`super::kind`], its sentence is in
//! [`super::text`], and what it means in `docs/journal.md`, from which the message catalogue is made.

use jiff::Timestamp;
use renewd_core::leaf::{Fingerprint, Serial};
use renewd_core::names::{CertificateName, CredentialName, IssuerName, UnitName};
use renewd_core::proof::{Proof, Reason};
use renewd_core::record::GenerationNumber;
use renewd_core::unit::OnChange;

/// When something that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextTry {
    /// The instant; `None` when only the operator can help.
    pub at: Option<Timestamp>,
    /// Whether that is before the published certificate ends; so it is where none is published.
    pub in_time: bool,
}

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
    /// The daemon could not begin its work.
    CannotStart {
        /// What stands in the way, and what helps.
        error: String,
    },
    /// `RENEWD_LOG` cannot be read, and is passed over.
    LogFilterRefused {
        /// What is wrong with it.
        error: String,
    },
    /// The kernel did not forbid core dumps, in which keys could lie.
    CoreDumpsPossible {
        /// What the kernel said.
        error: String,
    },
    /// The control socket could not be given to the administrators' group.
    ControlNotShared {
        /// Which socket, which group, and what the kernel said.
        detail: String,
    },
    /// A caller at a control socket was not served.
    CallerLost {
        /// What happened.
        detail: String,
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
    /// `renewd.toml` is wrong at start; its last accepted text is in force.
    MainFileHeld {
        /// Each with file, line, field and remedy.
        errors: Vec<String>,
    },
    /// Files that belong to no certificate are wrong at start, and passed over.
    FilesPassedOver {
        /// Each with file, line, field and remedy.
        errors: Vec<String>,
    },
    /// The configuration is in force, and something in it is odd.
    ConfigurationWarning {
        /// With file, line, field and remedy.
        warning: String,
    },
    /// The copy of the accepted configuration, for the next start, cannot be kept or read.
    AcceptedCopyTrouble {
        /// What, and why.
        detail: String,
    },
    /// A new configuration is in force.
    ConfigurationReloaded {
        /// How many certificates are managed.
        certificates: usize,
    },
    /// A local issuer made itself a root or an intermediate.
    AuthorityMade {
        /// Which, and where it lies.
        what: String,
    },
    /// An issuer is asked.
    IssuanceStarted {
        /// For which certificate.
        certificate: CertificateName,
        /// Why now.
        why: String,
    },
    /// A program that is the issuer wrote a line on its stderr.
    IssuerSaid {
        /// For which certificate it was run.
        certificate: CertificateName,
        /// The line, cleaned.
        line: String,
    },
    /// Something about the issuer should be changed in time.
    IssuerWarning {
        /// For which certificate it was asked.
        certificate: CertificateName,
        /// What, and what helps.
        warning: String,
    },
    /// The issuer did not answer, or refused.
    IssuanceFailed {
        /// For which certificate.
        certificate: CertificateName,
        /// What the issuer said, and what helps.
        error: String,
        /// The next try.
        next: NextTry,
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
        /// The next try.
        next: NextTry,
    },
    /// The issuer's answer is accepted, and not quite what was asked for.
    AcceptedWithWarning {
        /// For which certificate.
        certificate: CertificateName,
        /// What, and what helps.
        warning: String,
    },
    /// The CA has other roots than before, or one that it dropped is kept no longer.
    TrustChanged {
        /// Whose bundle.
        certificate: CertificateName,
        /// Trusted from now on.
        added: Vec<Fingerprint>,
        /// Dropped by the CA, and kept for now.
        dropped: Vec<Fingerprint>,
        /// Trusted no longer.
        removed: Vec<Fingerprint>,
    },
    /// Other revocation lists go with the trust bundle from now on.
    CrlsChanged {
        /// Whose bundle.
        certificate: CertificateName,
        /// The CAs that issued those that are there now.
        of: Vec<String>,
        /// When the first of them ends.
        until: Option<Timestamp>,
    },
    /// Newer revocation lists could not be had, or not be published.
    CrlNotHad {
        /// Whose bundle.
        certificate: CertificateName,
        /// Why, and what helps.
        error: String,
        /// When the first of those ends that are published.
        until: Option<Timestamp>,
    },
    /// The issuer says when it wants the newest certificate to be renewed.
    RenewalAdvised {
        /// Which certificate.
        certificate: CertificateName,
        /// When its window begins.
        from: Timestamp,
        /// When it ends.
        until: Timestamp,
        /// Where it says why.
        explanation: Option<String>,
    },
    /// The issuer before it failed for long, so the next one is asked.
    FallenBack {
        /// For which certificate.
        certificate: CertificateName,
        /// Who is asked.
        issuer: IssuerName,
        /// How the one before it failed.
        error: String,
    },
    /// A leaf was revoked on the operator's order.
    Revoked {
        /// Of which certificate.
        certificate: CertificateName,
        /// Of which generation.
        generation: GenerationNumber,
        /// Its serial number.
        serial: Serial,
        /// Why, as the CA was told.
        reason: &'static str,
    },
    /// The record was damaged, and set aside.
    RecordDamaged {
        /// Of which certificate.
        certificate: CertificateName,
        /// What was wrong, and where it lies now.
        detail: String,
    },
    /// The private copy of an identity is gone or damaged.
    IdentityLost {
        /// Of which certificate.
        certificate: CertificateName,
        /// The generation that it became.
        generation: GenerationNumber,
        /// What was found.
        error: String,
    },
    /// Something must be written down before anything else may happen, and the disk refuses.
    DiskRefuses {
        /// For which certificate.
        certificate: CertificateName,
        /// What the kernel said, and where.
        error: String,
    },
    /// The disk takes again what is written.
    DiskTakes {
        /// For which certificate.
        certificate: CertificateName,
    },
    /// What is no longer needed could not be removed.
    NotTidied {
        /// Of which certificate.
        certificate: CertificateName,
        /// What the kernel said, and where.
        error: String,
    },
    /// A generation could not be published.
    NotPublished {
        /// Of which certificate.
        certificate: CertificateName,
        /// Which.
        generation: GenerationNumber,
        /// Why.
        error: String,
    },
    /// What is published is not as it was written.
    PublishedDamaged {
        /// Of which certificate.
        certificate: CertificateName,
        /// What was found.
        detail: String,
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
        /// Its serial number.
        serial: Serial,
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
    /// A unit cannot be probed, because what it should serve cannot be read.
    ProbeImpossible {
        /// Of which certificate.
        certificate: CertificateName,
        /// Which unit.
        unit: UnitName,
        /// What cannot be read, and why.
        error: String,
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
    /// The published certificate is close to its end.
    Expiring {
        /// Which.
        certificate: CertificateName,
        /// Its serial number.
        serial: Serial,
        /// When it can be used no longer.
        not_after: Timestamp,
        /// The certificate above it by whose end that is; `None`: its own.
        above: Option<String>,
    },
    /// The published certificate is past its end.
    Expired {
        /// Which.
        certificate: CertificateName,
        /// Its serial number.
        serial: Serial,
        /// When it can be used no longer.
        not_after: Timestamp,
        /// The certificate above it by whose end that is; `None`: its own.
        above: Option<String>,
    },
    /// A certificate was configured a while ago, and nothing is published.
    NothingPublished {
        /// Which.
        certificate: CertificateName,
    },
    /// What is published cannot be judged.
    PublishedUnreadable {
        /// Of which certificate.
        certificate: CertificateName,
        /// Why.
        error: String,
    },
    /// The wall clock was set.
    ClockStepped {
        /// By how much, as far as known.
        detail: String,
    },
    /// The clock stands where the certificate is not valid yet.
    ClockInDoubt {
        /// Which certificate.
        certificate: CertificateName,
        /// What is waited for.
        detail: String,
    },
    /// The kernel refused to set a timer.
    TimerRefused {
        /// What it said.
        error: String,
    },
    /// The polkit rule is not that of the configuration.
    PolkitStale,
    /// A starting unit was given its certificate as a systemd credential.
    CredentialGiven {
        /// Which certificate.
        certificate: CertificateName,
        /// Which generation of it.
        generation: GenerationNumber,
        /// To which unit.
        unit: UnitName,
        /// Under which name.
        credential: CredentialName,
    },
    /// Somebody asked for a systemd credential and was given nothing.
    CredentialRefused {
        /// The unit, where it is known.
        unit: Option<UnitName>,
        /// Who asked for what, and why it was refused.
        why: String,
    },
    /// What units load as a credential could not be read.
    CredentialNotHeld {
        /// Which certificate.
        certificate: CertificateName,
        /// Why not.
        error: String,
    },
    /// Units are to load certificates as credentials, and systemd handed the daemon no socket for it.
    CredentialsUnserved,
    /// The daemon ends.
    Stopping,
}

impl Event {
    /// That a published certificate is about to expire, or has.
    pub fn ending(
        certificate: &CertificateName,
        serial: &Serial,
        not_after: Timestamp,
        above: Option<String>,
        over: bool,
    ) -> Self {
        let (certificate, serial) = (certificate.clone(), serial.clone());
        match over {
            false => Self::Expiring {
                certificate,
                serial,
                not_after,
                above,
            },
            true => Self::Expired {
                certificate,
                serial,
                not_after,
                above,
            },
        }
    }
}
