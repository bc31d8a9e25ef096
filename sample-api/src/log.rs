//! Where log events go: to the journal with their fields, or to standard error as plain lines.
//!
//! Owns: that choice. Never does: log a key. Neighbour: every `tracing` macro.

use std::fmt::{self, Debug};
use std::os::unix::fs::MetadataExt;

use tracing::field::Field;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::events::tell;

/// Starts logging, once per process. `RUST_LOG` narrows or widens what is logged; `info` by default.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = journal();
    let plain = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .fmt_fields(debug_fn(plain_field))
            .with_target(false)
            .with_ansi(false)
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(plain)
        .init();
}

/// Says that the server cannot start.
pub fn cannot_start(reason: &str) {
    tell!(CANNOT_START, "cannot start: {reason}");
}

/// The text, then what else there is. What an event is called is for the journal: the text says it.
fn plain_field(line: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(line, "{value:?}"),
        "MESSAGE_ID" => Ok(()),
        name => write!(line, " {name}={value:?}"),
    }
}

/// The journal, when standard error is connected to it.
fn journal() -> Option<tracing_journald::Layer> {
    let stream = std::env::var("JOURNAL_STREAM").ok()?;
    // The variable is inherited by children whose standard error goes elsewhere: systemd.exec(5) says
    // to compare device and inode.
    let stderr = std::fs::metadata("/proc/self/fd/2").ok()?;
    if stream != format!("{}:{}", stderr.dev(), stderr.ino()) {
        return None;
    }
    let layer = tracing_journald::layer().ok()?;
    Some(
        layer
            .with_field_prefix(None)
            .with_syslog_identifier("renewd-sample-api".to_owned())
            .with_priority_mappings(PriorityMappings {
                info: Priority::Informational,
                debug: Priority::Debug,
                ..PriorityMappings::new()
            }),
    )
}
