//! The events as journald and as a person sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex};

use renewd_core::leaf::Serial;
use renewd_core::proof::{Proof, Reason};
use renewd_core::unit::OnChange;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::*;

mod document;

/// One of each.
fn samples() -> Vec<Event> {
    let certificate = || "api".parse().unwrap();
    let certificates = || vec!["api".parse().unwrap(), "web".parse().unwrap()];
    let unit = || "nginx.service".parse().unwrap();
    let serial = || Serial::from_der(&[0, 0xab, 1]);
    let at = || "2026-01-02T03:04:05Z".parse().unwrap();
    let errors = || vec!["a.toml:3: life: no duration".to_owned()];
    let text = || "because".to_owned();
    let generation = 7;
    vec![
        Event::Started {
            version: "0.1.0".into(),
        },
        Event::Ready { certificates: 1 },
        Event::ConfigurationRefused { errors: errors() },
        Event::ConfigurationHeld {
            certificate: certificate(),
            errors: errors(),
        },
        Event::ConfigurationReloaded { certificates: 2 },
        Event::IssuanceStarted {
            certificate: certificate(),
            why: text(),
        },
        Event::IssuanceFailed {
            certificate: certificate(),
            error: text(),
            retry_at: Some(at()),
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
            retry_at: None,
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
        Event::Expiring {
            certificate: certificate(),
            not_after: at(),
        },
        Event::ClockStepped { detail: text() },
        Event::PolkitStale,
        Event::Stopping,
    ]
}

type Fields = BTreeMap<&'static str, String>;

/// Takes down the fields of each event, as tracing-journald would.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Fields>>>);

struct Collector(Fields);

impl Visit for Collector {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber> Layer<S> for Seen {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut collector = Collector(Fields::new());
        event.record(&mut collector);
        self.0.lock().unwrap().push(collector.0);
    }
}

fn seen(event: &Event) -> Vec<Fields> {
    let seen = Seen::default();
    let subscriber = tracing_subscriber::registry().with(seen.clone());
    tracing::subscriber::with_default(subscriber, || emit(event));
    seen.0.lock().unwrap().clone()
}

#[test]
fn every_event_has_a_message_id_of_its_own() {
    let mut ids = BTreeSet::new();
    for event in samples() {
        let entries = seen(&event);
        let id = &entries[0]["MESSAGE_ID"];
        assert!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{event:?} has {id:?}"
        );
        assert!(entries.iter().all(|entry| entry["MESSAGE_ID"] == *id));
        assert!(ids.insert(id.clone()), "{event:?} has another event's id");
    }
    assert_eq!(ids.len(), 25);
}

#[test]
fn a_field_is_there_when_the_event_knows_it_and_else_absent() {
    let published = &seen(&samples()[9])[0];
    assert_eq!(published["RENEWD_CERT"], "api");
    assert_eq!(published["RENEWD_GENERATION"], "7");
    assert_eq!(published["RENEWD_SERIAL"], "ab01");
    assert_eq!(published["RENEWD_STEP"], "publish");
    assert_eq!(
        published["message"],
        "api: generation 7 is published, serial ab01"
    );
    assert!(!published.contains_key("RENEWD_UNIT"));
}

#[test]
fn a_reload_stands_in_the_history_of_each_certificate_it_serves() {
    let entries = seen(&samples()[11]);
    let certificates: Vec<&str> = entries
        .iter()
        .map(|entry| entry["RENEWD_CERT"].as_str())
        .collect();
    assert_eq!(certificates, ["api", "web"]);
    assert!(
        entries
            .iter()
            .all(|entry| entry["RENEWD_UNIT"] == "nginx.service")
    );
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_plain_line_has_the_text_and_none_of_the_journals_fields() {
    let buffer = Buffer::default();
    let output = buffer.clone();
    let plain = plain::Plain::new(false, move || output.clone());
    let subscriber = tracing_subscriber::registry().with(plain);
    tracing::subscriber::with_default(subscriber, || emit(&samples()[9]));
    let line = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    assert!(
        line.ends_with(" info  api: generation 7 is published, serial ab01\n"),
        "{line}"
    );
    assert!(!line.contains("MESSAGE_ID"), "{line}");
}

#[test]
fn by_default_our_own_news_is_shown_and_of_others_only_warnings() {
    let targets = default_targets();
    assert!(targets.would_enable("renewd::event", &tracing::Level::INFO));
    assert!(!targets.would_enable("renewd::event", &tracing::Level::DEBUG));
    assert!(!targets.would_enable("zbus", &tracing::Level::INFO));
    assert!(targets.would_enable("zbus", &tracing::Level::WARN));
    assert!(!targets.would_enable("zlink_core::server", &tracing::Level::WARN));
}
