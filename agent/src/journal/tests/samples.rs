//! Every event, with each level and each field that it may have.

use renewd_core::leaf::{Fingerprint, Serial};
use renewd_core::proof::{Proof, Reason};
use renewd_core::unit::OnChange;

use super::{Event, NextTry};

/// One of each; two of those that differ in level or fields.
pub(super) fn samples() -> Vec<Event> {
    let certificate = || "api".parse().unwrap();
    let certificates = || vec!["api".parse().unwrap(), "web".parse().unwrap()];
    let unit = || "nginx.service".parse().unwrap();
    let serial = || Serial::from_der(&[0, 0xab, 1]);
    let at = || "2026-01-02T03:04:05Z".parse().unwrap();
    let errors = || vec!["a.toml:3: life: no duration".to_owned()];
    let text = || "because".to_owned();
    let generation = 7;
    let next = |at, in_time| NextTry { at, in_time };
    vec![
        Event::Started {
            version: "0.1.0".into(),
        },
        Event::Ready { certificates: 1 },
        Event::CannotStart { error: text() },
        Event::LogFilterRefused { error: text() },
        Event::CoreDumpsPossible { error: text() },
        Event::ControlNotShared { detail: text() },
        Event::CallerLost { detail: text() },
        Event::ConfigurationRefused { errors: errors() },
        Event::ConfigurationHeld {
            certificate: certificate(),
            errors: errors(),
        },
        Event::MainFileHeld { errors: errors() },
        Event::FilesPassedOver { errors: errors() },
        Event::ConfigurationWarning { warning: text() },
        Event::AcceptedCopyTrouble { detail: text() },
        Event::ConfigurationReloaded { certificates: 2 },
        Event::AuthorityMade { what: text() },
        Event::IssuanceStarted {
            certificate: certificate(),
            why: text(),
        },
        Event::IssuerSaid {
            certificate: certificate(),
            line: text(),
        },
        Event::IssuerWarning {
            certificate: certificate(),
            warning: text(),
        },
        Event::IssuanceFailed {
            certificate: certificate(),
            error: text(),
            next: next(Some(at()), true),
        },
        Event::IssuanceFailed {
            certificate: certificate(),
            error: text(),
            next: next(Some(at()), false),
        },
        Event::Issued {
            certificate: certificate(),
            generation,
            serial: serial(),
            not_after: at(),
        },
        Event::AnswerRefused {
            certificate: certificate(),
            reason: text(),
            next: next(Some(at()), true),
        },
        Event::AnswerRefused {
            certificate: certificate(),
            reason: text(),
            next: next(None, false),
        },
        Event::RenewalAdvised {
            certificate: certificate(),
            from: at(),
            until: at(),
            explanation: Some("https://ca.test/why".to_owned()),
        },
        Event::FallenBack {
            certificate: certificate(),
            issuer: "backup".parse().unwrap(),
            error: text(),
        },
        Event::Revoked {
            certificate: certificate(),
            generation: 7,
            serial: serial(),
            reason: "superseded",
        },
        Event::TrustChanged {
            certificate: certificate(),
            added: vec![Fingerprint::of(b"new")],
            dropped: vec![Fingerprint::of(b"old"), Fingerprint::of(b"older")],
            removed: vec![Fingerprint::of(b"oldest")],
        },
        Event::CrlsChanged {
            certificate: certificate(),
            of: vec!["CN=Example CA".to_owned()],
            until: Some(jiff::Timestamp::UNIX_EPOCH),
        },
        Event::CrlNotHad {
            certificate: certificate(),
            error: text(),
            until: None,
        },
        Event::AcceptedWithWarning {
            certificate: certificate(),
            warning: text(),
        },
        Event::RecordDamaged {
            certificate: certificate(),
            detail: text(),
        },
        Event::IdentityLost {
            certificate: certificate(),
            generation,
            error: text(),
        },
        Event::DiskRefuses {
            certificate: certificate(),
            error: text(),
        },
        Event::DiskTakes {
            certificate: certificate(),
        },
        Event::NotTidied {
            certificate: certificate(),
            error: text(),
        },
        Event::NotPublished {
            certificate: certificate(),
            generation,
            error: text(),
        },
        Event::PublishedDamaged {
            certificate: certificate(),
            detail: text(),
        },
        Event::Published {
            certificate: certificate(),
            generation,
            serial: serial(),
        },
        Event::ReloadStarted {
            certificates: certificates(),
            unit: unit(),
            verb: OnChange::Reload,
        },
        Event::ReloadDone {
            certificates: certificates(),
            unit: unit(),
        },
        Event::ReloadFailed {
            certificates: certificates(),
            unit: unit(),
            reason: text(),
        },
        Event::Proven {
            certificate: certificate(),
            generation,
            serial: serial(),
            unit: unit(),
            proof: Proof::Served,
        },
        Event::NotProven {
            certificate: certificate(),
            generation,
            unit: unit(),
            reason: Reason::WrongKey,
            detail: text(),
        },
        Event::StaleInMemory {
            certificate: certificate(),
            generation,
            unit: unit(),
            served: Some(serial()),
        },
        Event::StaleInMemory {
            certificate: certificate(),
            generation,
            unit: unit(),
            served: None,
        },
        Event::ProbeImpossible {
            certificate: certificate(),
            unit: unit(),
            error: text(),
        },
        Event::Reverted {
            certificate: certificate(),
            from: generation,
            to: 8,
        },
        Event::Blamed {
            certificate: certificate(),
            generation,
            cause: text(),
        },
        Event::NotTheCertificate {
            certificate: certificate(),
            generation,
            cause: text(),
        },
        Event::HeldForward {
            certificate: certificate(),
            generation,
            cause: text(),
        },
        Event::CertificateHeld {
            certificate: certificate(),
            why: text(),
        },
        Event::NothingPublished {
            certificate: certificate(),
        },
        Event::PublishedUnreadable {
            certificate: certificate(),
            error: text(),
        },
        Event::Expiring {
            certificate: certificate(),
            serial: serial(),
            not_after: at(),
            above: Some(text()),
        },
        Event::Expired {
            certificate: certificate(),
            serial: serial(),
            not_after: at(),
            above: None,
        },
        Event::ClockStepped { detail: text() },
        Event::ClockInDoubt {
            certificate: certificate(),
            detail: text(),
        },
        Event::TimerRefused { error: text() },
        Event::PolkitStale,
        Event::CredentialGiven {
            certificate: certificate(),
            generation,
            unit: unit(),
            credential: "tls.pem".parse().unwrap(),
        },
        Event::CredentialRefused {
            unit: Some(unit()),
            why: text(),
        },
        Event::CredentialRefused {
            unit: None,
            why: text(),
        },
        Event::CredentialNotHeld {
            certificate: certificate(),
            error: text(),
        },
        Event::CredentialsUnserved,
        Event::Stopping,
    ]
}
