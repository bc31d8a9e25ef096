//! One journal entry: an event's kind, its sentence, and the fields that say whose it is.

use renewd_core::names::CertificateName;
use renewd_core::record::GenerationNumber;

use super::Event;
use super::kind::Kind;

/// One journal entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) fields: Fields,
    pub(super) text: String,
}

/// What a history can be asked for by; absent where the event does not know it.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    pub(super) certificate: Option<String>,
    pub(super) generation: Option<GenerationNumber>,
    pub(super) serial: Option<String>,
    pub(super) unit: Option<String>,
}

impl Event {
    /// The entries of this event: one, or one for each of its certificates.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let entry = |certificate: Option<&CertificateName>| {
            let mut fields = self.fields();
            let mut text = self.text();
            if let Some(certificate) = certificate {
                text = format!("{certificate}: {text}");
                fields.certificate = Some(certificate.to_string());
            }
            Entry {
                kind: self.kind(),
                fields,
                text,
            }
        };
        match self {
            Self::ReloadStarted { certificates, .. }
            | Self::ReloadDone { certificates, .. }
            | Self::ReloadFailed { certificates, .. } => {
                certificates.iter().map(|one| entry(Some(one))).collect()
            }
            _ => vec![entry(self.certificate())],
        }
    }

    /// Whose it is, if it is one certificate's.
    fn certificate(&self) -> Option<&CertificateName> {
        match self {
            Self::CertificateHeld { certificate, .. }
            | Self::ClockInDoubt { certificate, .. }
            | Self::ConfigurationHeld { certificate, .. }
            | Self::IssuanceStarted { certificate, .. }
            | Self::IssuanceFailed { certificate, .. }
            | Self::IssuerSaid { certificate, .. }
            | Self::IssuerWarning { certificate, .. }
            | Self::Issued { certificate, .. }
            | Self::AnswerRefused { certificate, .. }
            | Self::AcceptedWithWarning { certificate, .. }
            | Self::TrustChanged { certificate, .. }
            | Self::CrlsChanged { certificate, .. }
            | Self::CrlNotHad { certificate, .. }
            | Self::RenewalAdvised { certificate, .. }
            | Self::FallenBack { certificate, .. }
            | Self::Revoked { certificate, .. }
            | Self::RecordDamaged { certificate, .. }
            | Self::IdentityLost { certificate, .. }
            | Self::DiskRefuses { certificate, .. }
            | Self::DiskTakes { certificate }
            | Self::NotTidied { certificate, .. }
            | Self::Published { certificate, .. }
            | Self::NotPublished { certificate, .. }
            | Self::PublishedDamaged { certificate, .. }
            | Self::Expiring { certificate, .. }
            | Self::Expired { certificate, .. }
            | Self::NothingPublished { certificate }
            | Self::PublishedUnreadable { certificate, .. }
            | Self::Proven { certificate, .. }
            | Self::NotProven { certificate, .. }
            | Self::StaleInMemory { certificate, .. }
            | Self::ProbeImpossible { certificate, .. }
            | Self::Reverted { certificate, .. }
            | Self::Blamed { certificate, .. }
            | Self::NotTheCertificate { certificate, .. }
            | Self::HeldForward { certificate, .. }
            | Self::CredentialGiven { certificate, .. }
            | Self::CredentialNotHeld { certificate, .. } => Some(certificate),
            Self::Started { .. }
            | Self::Ready { .. }
            | Self::CannotStart { .. }
            | Self::LogFilterRefused { .. }
            | Self::CoreDumpsPossible { .. }
            | Self::Stopping
            | Self::ControlNotShared { .. }
            | Self::CallerLost { .. }
            | Self::ClockStepped { .. }
            | Self::TimerRefused { .. }
            | Self::ConfigurationReloaded { .. }
            | Self::ConfigurationRefused { .. }
            | Self::MainFileHeld { .. }
            | Self::FilesPassedOver { .. }
            | Self::ConfigurationWarning { .. }
            | Self::AcceptedCopyTrouble { .. }
            | Self::PolkitStale
            | Self::CredentialRefused { .. }
            | Self::CredentialsUnserved
            | Self::AuthorityMade { .. }
            // One entry for each.
            | Self::ReloadStarted { .. }
            | Self::ReloadDone { .. }
            | Self::ReloadFailed { .. } => None,
        }
    }

    /// The fields but for the certificate.
    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        match self {
            Self::Issued {
                generation, serial, ..
            }
            | Self::Revoked {
                generation, serial, ..
            }
            | Self::Published {
                generation, serial, ..
            } => {
                fields.generation = Some(*generation);
                fields.serial = Some(serial.to_string());
            }
            Self::Expiring { serial, .. } | Self::Expired { serial, .. } => {
                fields.serial = Some(serial.to_string());
            }
            Self::Proven {
                generation,
                serial,
                unit,
                ..
            } => {
                fields.generation = Some(*generation);
                fields.serial = Some(serial.to_string());
                fields.unit = Some(unit.to_string());
            }
            Self::NotProven {
                generation, unit, ..
            }
            | Self::CredentialGiven {
                generation, unit, ..
            } => {
                fields.generation = Some(*generation);
                fields.unit = Some(unit.to_string());
            }
            Self::StaleInMemory {
                generation,
                unit,
                served,
                ..
            } => {
                fields.generation = Some(*generation);
                fields.serial = served.as_ref().map(ToString::to_string);
                fields.unit = Some(unit.to_string());
            }
            Self::CredentialRefused { unit, .. } => {
                fields.unit = unit.as_ref().map(ToString::to_string);
            }
            Self::NotPublished { generation, .. }
            | Self::IdentityLost { generation, .. }
            | Self::Reverted { to: generation, .. }
            | Self::Blamed { generation, .. }
            | Self::NotTheCertificate { generation, .. }
            | Self::HeldForward { generation, .. } => fields.generation = Some(*generation),
            Self::ReloadStarted { unit, .. }
            | Self::ReloadDone { unit, .. }
            | Self::ReloadFailed { unit, .. }
            | Self::ProbeImpossible { unit, .. } => fields.unit = Some(unit.to_string()),
            _ => {}
        }
        fields
    }
}
