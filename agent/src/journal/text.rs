//! The sentence of each event. Whose it is stands before it, and is left out here.

use jiff::{Timestamp, Unit};
use renewd_core::leaf::{Fingerprint, Serial};
use renewd_core::names::UnitName;
use renewd_core::proof::Proof;
use renewd_core::record::GenerationNumber;
use renewd_core::unit::OnChange;

use super::Event;
use super::event::NextTry;

impl Event {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Started { version } => format!("renewd {version} starts"),
            Self::Ready { certificates } => format!("Ready: {}", count(*certificates)),
            Self::CannotStart { error } => format!("renewd cannot start: {error}"),
            Self::LogFilterRefused { error } => format!("RENEWD_LOG cannot be read: {error}"),
            Self::CoreDumpsPossible { error } => {
                format!("Core dumps could not be forbidden: {error}")
            }
            Self::Stopping => "Stopping; published files stay as they are".to_owned(),
            Self::CertificateHeld { why, .. } => {
                format!("held, and left as it is until the next reload or start of renewd: {why}")
            }
            Self::ControlNotShared { detail } | Self::CallerLost { detail } => detail.clone(),
            Self::ClockStepped { detail } => format!("The clock was set: {detail}"),
            Self::ClockInDoubt { detail, .. } => detail.clone(),
            Self::TimerRefused { error } => format!("The kernel refused to set a timer: {error}"),
            Self::ConfigurationReloaded { certificates } => format!(
                "The new configuration is in force: {}",
                count(*certificates)
            ),
            Self::ConfigurationRefused { errors } => format!(
                "The new configuration is refused, the one before stays in force: {}",
                errors.join("; ")
            ),
            Self::ConfigurationHeld { errors, .. } => format!(
                "held on its last accepted settings, its file is wrong: {}",
                errors.join("; ")
            ),
            Self::MainFileHeld { errors } => format!(
                "renewd.toml is bad; what was accepted last is in force: {}",
                errors.join("; ")
            ),
            Self::FilesPassedOver { errors } => {
                format!("The configuration has errors: {}", errors.join("; "))
            }
            Self::ConfigurationWarning { warning } => warning.clone(),
            Self::AcceptedCopyTrouble { detail } => detail.clone(),
            Self::PolkitStale => {
                "The polkit rule is not that of the configuration, so units may refuse to reload: \
                 run `renewctl apply` as root"
                    .to_owned()
            }
            Self::CredentialGiven {
                generation,
                unit,
                credential,
                ..
            } => format!(
                "generation {generation} was given to {unit}, which starts or reloads, as credential {credential}"
            ),
            Self::CredentialRefused { unit, why } => match unit {
                Some(unit) => format!("{unit} starts and is refused its credential: {why}"),
                None => format!("A credential was asked for and refused: {why}"),
            },
            Self::CredentialNotHeld { error, .. } => format!(
                "{error}; units that load it as a credential are refused until the next reload or generation"
            ),
            Self::CredentialsUnserved => {
                "Units are to load certificates as credentials, and nobody answers them: systemd handed over no \
                 socket; run `systemctl enable renewd-credentials.socket` and `systemctl restart renewd`"
                    .to_owned()
            }
            Self::AuthorityMade { what } => format!("Made {what}"),
            Self::IssuerSaid { line, .. } => format!("the issuer's program says: {line}"),
            Self::IssuerWarning { warning, .. } => warning.clone(),
            Self::IssuanceStarted { why, .. } => {
                format!("asking its issuer for a new certificate: {why}")
            }
            Self::IssuanceFailed { error, next, .. } => {
                format!("issuance failed: {error}; {}", next_try(*next))
            }
            Self::Issued {
                generation,
                serial,
                not_after,
                ..
            } => format!(
                "issued: generation {generation}, serial {serial}, valid until {}",
                instant(*not_after)
            ),
            Self::AnswerRefused { reason, next, .. } => format!(
                "the issuer's answer is refused and not published: {reason}; {}",
                next_try(*next)
            ),
            Self::AcceptedWithWarning { warning, .. } => warning.clone(),
            Self::TrustChanged {
                added,
                dropped,
                removed,
                ..
            } => trust_changed(added, dropped, removed),
            Self::CrlsChanged { of, until, .. } => {
                let of = if of.is_empty() { "none".to_owned() } else { of.join("; ") };
                format!("its revocation lists have changed: {of}{}", first_ends(*until))
            }
            Self::CrlNotHad { error, until, .. } => format!(
                "its revocation lists may not be the newest: {error}{}",
                first_ends(*until)
            ),
            Self::RenewalAdvised {
                from,
                until,
                explanation,
                ..
            } => {
                let why = explanation.as_ref();
                let why = why.map_or(String::new(), |url| format!(" ({url})"));
                format!("its issuer advises a renewal between {from} and {until}{why}")
            }
            Self::FallenBack { issuer, error, .. } => {
                format!("its issuer failed for long, so {issuer} is asked in its place ({error})")
            }
            Self::Revoked {
                generation,
                serial,
                reason,
                ..
            } => format!("generation {generation} was revoked by its issuer (serial {serial}, {reason})"),
            Self::RecordDamaged { detail, .. } => detail.clone(),
            Self::IdentityLost { error, .. } => {
                format!("{error}; this identity can no longer be published")
            }
            Self::DiskRefuses { error, .. } => format!(
                "{error}; nothing is begun until the disk takes it, and what is published stays"
            ),
            Self::DiskTakes { .. } => "the disk takes what is written again".to_owned(),
            Self::NotTidied { error, .. } => error.clone(),
            Self::Published {
                generation, serial, ..
            } => format!("generation {generation} is published, serial {serial}"),
            Self::NotPublished { error, .. } => format!("cannot publish: {error}"),
            Self::PublishedDamaged { detail, .. } => format!(
                "what is published is not as it was written: {detail}; it is published anew"
            ),
            Self::Expiring {
                certificate,
                not_after,
                above,
                ..
            } => format!(
                "the published certificate ends at {}{}; `renewctl show {certificate}` tells why \
                 it was not renewed",
                instant(*not_after),
                with(above.as_deref())
            ),
            Self::Expired {
                certificate,
                not_after,
                above,
                ..
            } => format!(
                "the published certificate has expired, at {}{}; `renewctl show {certificate}` \
                 tells why it was not renewed",
                instant(*not_after),
                with(above.as_deref())
            ),
            Self::NothingPublished { .. } => "is configured, and nothing is published".to_owned(),
            Self::PublishedUnreadable { error, .. } => {
                format!("what is published cannot be judged: {error}")
            }
            Self::ReloadStarted { unit, verb, .. } => format!("{unit} is told: {}", told(*verb)),
            Self::ReloadDone { unit, .. } => format!("{unit} has acted"),
            Self::ReloadFailed { unit, reason, .. } => format!("{unit} has not acted: {reason}"),
            Self::Proven {
                generation,
                unit,
                proof,
                ..
            } => proven(*generation, unit, *proof),
            Self::NotProven {
                generation,
                unit,
                reason,
                detail,
                ..
            } => format!("generation {generation} is not proven at {unit}: {reason}: {detail}"),
            Self::StaleInMemory {
                generation,
                unit,
                served,
                ..
            } => stale(*generation, unit, served.as_ref()),
            Self::ProbeImpossible { unit, error, .. } => format!("cannot probe {unit}: {error}"),
            Self::Reverted { from, to, .. } => format!(
                "the identity before generation {from} is published again, as generation {to}"
            ),
            Self::Blamed {
                generation, cause, ..
            } => format!("generation {generation} is to blame and quarantined: {cause}"),
            Self::NotTheCertificate {
                generation, cause, ..
            } => format!(
                "not the certificate's fault, generation {generation} is published again and only \
                 the unit is retried: {cause}"
            ),
            Self::HeldForward {
                generation, cause, ..
            } => format!(
                "generation {generation} stays published although something fails, since the \
                 identity before is no longer usable: {cause}"
            ),
        }
    }
}

fn stale(generation: GenerationNumber, unit: &UnitName, served: Option<&Serial>) -> String {
    let what = match served {
        Some(serial) => format!("still serves serial {serial}"),
        None => "does not serve it".to_owned(),
    };
    format!(
        "renewed on disk, stale in memory: generation {generation} is published and {unit} {what}"
    )
}

fn proven(generation: GenerationNumber, unit: &UnitName, proof: Proof) -> String {
    match proof {
        Proof::Served => format!("{unit} serves generation {generation}"),
        Proof::Reloaded => format!("{unit} has reloaded for generation {generation}; not probed"),
        Proof::Unobservable => {
            format!("whether {unit} uses generation {generation} cannot be observed")
        }
        other => format!("{unit}, generation {generation}: {}", other.label()),
    }
}

fn told(verb: OnChange) -> &'static str {
    match verb {
        OnChange::Reload => "reload",
        OnChange::Restart => "restart",
        OnChange::Start => "start",
        OnChange::SignalHup => "SIGHUP",
        OnChange::None => "nothing",
    }
}

fn count(certificates: usize) -> String {
    match certificates {
        1 => "1 certificate".to_owned(),
        n => format!("{n} certificates"),
    }
}

/// Which roots came and went, by as much of their fingerprints as tells them apart.
fn trust_changed(
    added: &[Fingerprint],
    dropped: &[Fingerprint],
    removed: &[Fingerprint],
) -> String {
    let said = [
        (added, "is trusted from now on"),
        (dropped, "is the CA's no longer, and kept for now"),
        (removed, "is trusted no longer"),
    ];
    let mut parts = Vec::new();
    for (roots, what) in said {
        let Some(first) = roots.first() else { continue };
        let first = &first.to_string()[..16];
        let others = match roots.len() - 1 {
            0 => String::new(),
            others => format!(" (and {others} more)"),
        };
        parts.push(format!("the root {first}…{others} {what}"));
    }
    parts.join("; ")
}

fn next_try(next: NextTry) -> String {
    match next {
        NextTry { at: None, .. } => "until you have mended it, tried once an hour".to_owned(),
        NextTry {
            at: Some(at),
            in_time: true,
        } => format!("next try at {}", instant(at)),
        NextTry { at: Some(at), .. } => format!(
            "next try at {}, when the published certificate has ended",
            instant(at)
        ),
    }
}

/// To the second: what a person compares with a clock.
/// When the first of the published lists ends.
fn first_ends(until: Option<Timestamp>) -> String {
    until.map_or(String::new(), |until| {
        format!(
            "; the first of those that are published ends at {}",
            instant(until)
        )
    })
}

fn instant(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

/// By whose end, where it is not the certificate's own.
fn with(above: Option<&str>) -> String {
    above.map_or_else(String::new, |above| format!(" with {above} above it"))
}
