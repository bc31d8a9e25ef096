//! Where log events go: to the journal with their fields, or to standard error as plain lines.
//!
//! Owns: that choice. Never does: log a key. Neighbour: every `tracing` macro.

use std::os::unix::fs::MetadataExt;

use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging, once per process. `RUST_LOG` narrows or widens what is logged; `info` by default.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = journal();
    let plain = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(false)
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(plain)
        .init();
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
