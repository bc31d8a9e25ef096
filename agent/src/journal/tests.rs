//! The events as journald and as a person sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::*;

mod document;
mod samples;

use samples::samples;

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
    heard_by(subscriber, || emit(event));
    seen.0.lock().unwrap().clone()
}

/// The sample of an event by its name.
fn sample(name: &str) -> Event {
    let mut all = samples().into_iter();
    all.find(|event| variant(event) == name).unwrap()
}

/// An event's name in the code.
fn variant(event: &Event) -> String {
    let debug = format!("{event:?}");
    debug.split([' ', '{']).next().unwrap().to_owned()
}

#[test]
fn every_event_has_a_message_id_of_its_own() {
    let mut owners = BTreeMap::new();
    for event in samples() {
        let entries = seen(&event);
        let id = &entries[0]["MESSAGE_ID"];
        assert!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{event:?} has {id:?}"
        );
        assert!(entries.iter().all(|entry| entry["MESSAGE_ID"] == *id));
        let owner = owners.entry(id.clone()).or_insert_with(|| variant(&event));
        assert_eq!(*owner, variant(&event), "{id} belongs to another event");
    }
    let source = include_str!("event.rs");
    let variants = source.split("pub enum Event {").nth(1).unwrap().lines();
    let variants: BTreeSet<String> = variants
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| line.trim_end_matches([' ', '{', ',']).to_owned())
        .collect();
    let owners: BTreeSet<String> = owners.into_values().collect();
    assert_eq!(owners, variants, "each event has a sample");
}

#[test]
fn a_failed_try_is_a_warning_only_where_another_comes_in_time() {
    for event in samples() {
        let (Event::IssuanceFailed { next, .. } | Event::AnswerRefused { next, .. }) = &event
        else {
            continue;
        };
        let expected = match next.in_time {
            true => tracing::Level::WARN,
            false => tracing::Level::ERROR,
        };
        assert_eq!(event.kind().level, expected, "{event:?}");
    }
}

#[test]
fn a_field_is_there_when_the_event_knows_it_and_else_absent() {
    let published = &seen(&sample("Published"))[0];
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
    let entries = seen(&sample("ReloadDone"));
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
    heard_by(subscriber, || emit(&sample("Published")));
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
