//! What each event says: its `MESSAGE_ID` (journald's catalogue key; never reused, never changed),
//! its level, its step, and its sentence.

use jiff::{Timestamp, Unit};
use renewd_core::leaf::Serial;
use renewd_core::names::{CertificateName, UnitName};
use renewd_core::proof::Proof;
use renewd_core::record::GenerationNumber;
use renewd_core::unit::OnChange;
use tracing::Level;

use super::Event;

/// One journal entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) message_id: &'static str,
    pub(super) level: Level,
    pub(super) step: &'static str,
    pub(super) certificate: Option<String>,
    pub(super) generation: Option<GenerationNumber>,
    pub(super) serial: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) text: String,
}

impl Entry {
    fn new(level: Level, message_id: &'static str, step: &'static str, text: String) -> Self {
        Self {
            message_id,
            level,
            step,
            certificate: None,
            generation: None,
            serial: None,
            unit: None,
            text,
        }
    }

    /// Sets whose entry it is, and says so first.
    fn of(mut self, certificate: &CertificateName) -> Self {
        self.text = format!("{certificate}: {}", self.text);
        self.certificate = Some(certificate.to_string());
        self
    }

    fn generation(mut self, generation: GenerationNumber) -> Self {
        self.generation = Some(generation);
        self
    }

    fn serial(mut self, serial: &Serial) -> Self {
        self.serial = Some(serial.to_string());
        self
    }

    fn unit(mut self, unit: &UnitName) -> Self {
        self.unit = Some(unit.to_string());
        self
    }

    fn for_each(self, certificates: &[CertificateName]) -> Vec<Self> {
        certificates
            .iter()
            .map(|certificate| self.clone().of(certificate))
            .collect()
    }
}

impl Event {
    /// The entries of this event.
    pub(super) fn entries(&self) -> Vec<Entry> {
        match self {
            Self::ReloadStarted { certificates, .. }
            | Self::ReloadDone { certificates, .. }
            | Self::ReloadFailed { certificates, .. } => self.entry().for_each(certificates),
            _ => vec![self.entry()],
        }
    }

    fn entry(&self) -> Entry {
        let error = |id, step, text| Entry::new(Level::ERROR, id, step, text);
        let warn = |id, step, text| Entry::new(Level::WARN, id, step, text);
        let info = |id, step, text| Entry::new(Level::INFO, id, step, text);
        match self {
            Self::Started { version } => info(
                "e703595fb5f2478eb0bb2a226728a9bc",
                "start",
                format!("renewd {version} starts"),
            ),
            Self::Ready { certificates } => info(
                "7a08b32499734b5cb7b969b7b9f35c70",
                "start",
                format!("Ready: {}", count(*certificates)),
            ),
            Self::ConfigurationRefused { errors } => error(
                "b7924996cec54e298f96f480f419754f",
                "configure",
                format!(
                    "The new configuration is refused, the one before stays in force: {}",
                    errors.join("; ")
                ),
            ),
            Self::ConfigurationHeld {
                certificate,
                errors,
            } => error(
                "90f7dd54bd084293b22f33ac792fb571",
                "configure",
                format!(
                    "held on its last accepted settings, its file is wrong: {}",
                    errors.join("; ")
                ),
            )
            .of(certificate),
            Self::ConfigurationReloaded { certificates } => info(
                "2757f53d0a934e9e9957c46c377d0e07",
                "configure",
                format!(
                    "The new configuration is in force: {}",
                    count(*certificates)
                ),
            ),
            Self::IssuanceStarted { certificate, why } => info(
                "099b213aaae64808ab6ee37adb2a9206",
                "issue",
                format!("asking its issuer for a new certificate: {why}"),
            )
            .of(certificate),
            Self::IssuanceFailed {
                certificate,
                error,
                retry_at,
            } => warn(
                "4709f7b28ac9454ead324a072af2665d",
                "issue",
                format!("issuance failed: {error}; {}", next_try(*retry_at)),
            )
            .of(certificate),
            Self::Issued {
                certificate,
                generation,
                serial,
                not_after,
            } => info(
                "5eaea4b54ccd49e9979490b9be5ab3a7",
                "issue",
                format!(
                    "issued: generation {generation}, serial {serial}, valid until {}",
                    instant(*not_after)
                ),
            )
            .generation(*generation)
            .serial(serial)
            .of(certificate),
            Self::AnswerRefused {
                certificate,
                reason,
                retry_at,
            } => error(
                "d32e063b034e4c62abaf0c536035d900",
                "accept",
                format!(
                    "the issuer's answer is refused and not published: {reason}; {}",
                    next_try(*retry_at)
                ),
            )
            .of(certificate),
            Self::Published {
                certificate,
                generation,
                serial,
            } => info(
                "a17021d7f63c4755b7a7cf3127e2144c",
                "publish",
                format!("generation {generation} is published, serial {serial}"),
            )
            .generation(*generation)
            .serial(serial)
            .of(certificate),
            Self::ReloadStarted { unit, verb, .. } => info(
                "ad6301b72ed3449ea708d7c8b1e84227",
                "reload",
                format!("{unit} is told: {}", told(*verb)),
            )
            .unit(unit),
            Self::ReloadDone { unit, .. } => info(
                "e94405a4c46948df858dbc4c12b43dbe",
                "reload",
                format!("{unit} has acted"),
            )
            .unit(unit),
            Self::ReloadFailed { unit, reason, .. } => warn(
                "88b2bde15db94d6ca51b3a9183831db1",
                "reload",
                format!("{unit} has not acted: {reason}"),
            )
            .unit(unit),
            Self::Proven {
                certificate,
                generation,
                unit,
                proof,
            } => info(
                "ade1725629c54f4f900b8a2b07298d56",
                "probe",
                proven(*generation, unit, *proof),
            )
            .generation(*generation)
            .unit(unit)
            .of(certificate),
            Self::NotProven {
                certificate,
                generation,
                unit,
                reason,
                detail,
            } => error(
                "c8b722621f4c49909c21df286691044b",
                "probe",
                format!("generation {generation} is not proven at {unit}: {reason}: {detail}"),
            )
            .generation(*generation)
            .unit(unit)
            .of(certificate),
            Self::StaleInMemory {
                certificate,
                generation,
                unit,
                served,
            } => stale(*generation, unit, served.as_ref()).of(certificate),
            Self::Reverted {
                certificate,
                from,
                to,
            } => warn(
                "9a540654b1b74207ac5f780f93b231f6",
                "revert",
                format!(
                    "the identity before generation {from} is published again, as generation {to}"
                ),
            )
            .generation(*to)
            .of(certificate),
            Self::Blamed {
                certificate,
                generation,
                cause,
            } => error(
                "ec5fe790fe454b96967a922a14a5a89c",
                "verdict",
                format!("generation {generation} is to blame and quarantined: {cause}"),
            )
            .generation(*generation)
            .of(certificate),
            Self::NotTheCertificate {
                certificate,
                generation,
                cause,
            } => error(
                "91c0d095a4a74effbdaf9476d2032f42",
                "verdict",
                format!(
                    "not the certificate's fault, generation {generation} is published again and \
                     only the unit is retried: {cause}"
                ),
            )
            .generation(*generation)
            .of(certificate),
            Self::HeldForward {
                certificate,
                generation,
                cause,
            } => error(
                "80429ac01e70456c94bcf78037077e33",
                "verdict",
                format!(
                    "generation {generation} stays published although something fails, since the \
                     identity before is no longer usable: {cause}"
                ),
            )
            .generation(*generation)
            .of(certificate),
            Self::CertificateHeld { certificate, why } => error(
                "8e53791bcad64804b3a81bfd8601081f",
                "hold",
                format!("held, and left as it is until the next reload or start of renewd: {why}"),
            )
            .of(certificate),
            Self::Expiring {
                certificate,
                not_after,
            } => error(
                "da4b89f038564871b6a6fc0428b4765c",
                "expire",
                format!(
                    "the published certificate ends at {}; `renewctl show {certificate}` tells why \
                     it was not renewed",
                    instant(*not_after)
                ),
            )
            .of(certificate),
            Self::ClockStepped { detail } => warn(
                "022f73d173614eb18af29c783e19db62",
                "clock",
                format!("The clock was set: {detail}"),
            ),
            Self::PolkitStale => error(
                "e1f1497baa214db69ffd5edbbaa22afc",
                "configure",
                "The polkit rule is not that of the configuration, so units may refuse to reload: \
                 run `renewctl apply` as root"
                    .to_owned(),
            ),
            Self::Stopping => info(
                "d1ac921b2c3c4685b1baa3466f1e709f",
                "stop",
                "Stopping; published files stay as they are".to_owned(),
            ),
        }
    }
}

fn stale(generation: GenerationNumber, unit: &UnitName, served: Option<&Serial>) -> Entry {
    let what = match served {
        Some(serial) => format!("still serves serial {serial}"),
        None => "does not serve it".to_owned(),
    };
    let entry = Entry::new(
        Level::ERROR,
        "954debfc030446278957c256bb845549",
        "probe",
        format!(
            "renewed on disk, stale in memory: generation {generation} is published and {unit} {what}"
        ),
    )
    .generation(generation)
    .unit(unit);
    match served {
        Some(serial) => entry.serial(serial),
        None => entry,
    }
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

fn next_try(at: Option<Timestamp>) -> String {
    match at {
        Some(at) => format!("next try at {}", instant(at)),
        None => "not tried again by itself".to_owned(),
    }
}

/// To the second: what a person compares with a clock.
fn instant(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}
