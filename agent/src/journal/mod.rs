//! Where the daemon's lines go, and the events that an operator reads.
//!
//! Under systemd each line is a journal entry with fields of its own, so `journalctl
//! RENEWD_CERT=api` is a certificate's history; elsewhere it is a plain line on stderr. Owns the
//! set-up and the catalogue of [`Event`]s; never logs a secret, because no event has a place for one.

mod entry;
mod event;
mod kind;
mod plain;
mod text;

use std::io::IsTerminal;

use nix::sys::stat::fstat;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use entry::Entry;
pub use event::{Event, NextTry};

/// The target of every event, for filters.
const TARGET: &str = "renewd::event";

/// Directs all lines of this process: to the journal when stderr leads there, else to stderr.
/// `filter` is a list such as `renewd=debug,zlink=info`; without one, what is worth knowing.
///
/// # Errors
/// When the filter cannot be read; the lines are then directed as without one.
pub fn init(identifier: &str, filter: Option<&str>) -> Result<(), String> {
    let (targets, wrong) = match filter.map(str::parse::<Targets>) {
        None => (default_targets(), None),
        Some(Ok(targets)) => (targets, None),
        Some(Err(error)) => (default_targets(), Some(error.to_string())),
    };
    let journal = stderr_is_journal()
        .then(|| journald(identifier))
        .and_then(Result::ok);
    let subscriber: Box<dyn Subscriber + Send + Sync> = match journal {
        Some(journal) => Box::new(tracing_subscriber::registry().with(targets).with(journal)),
        None => {
            let colours = std::io::stderr().is_terminal();
            let plain = plain::Plain::new(colours, std::io::stderr);
            Box::new(tracing_subscriber::registry().with(targets).with(plain))
        }
    };
    // Only a second call could fail, and then the first one's way is as good.
    let _ = tracing::subscriber::set_global_default(subscriber);
    wrong.map_or(Ok(()), Err)
}

fn default_targets() -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("renewd", LevelFilter::INFO)
        // A client that hangs up is its own business; what matters of a connection is told by us.
        .with_target("zlink", LevelFilter::OFF)
}

fn journald(identifier: &str) -> std::io::Result<tracing_journald::Layer> {
    Ok(tracing_journald::layer()?
        .with_syslog_identifier(identifier.to_owned())
        // The fields are RENEWD_* and MESSAGE_ID by name; a prefix would hide the latter.
        .with_field_prefix(None)
        .with_priority_mappings(PriorityMappings {
            error: Priority::Error,
            warn: Priority::Warning,
            info: Priority::Informational,
            debug: Priority::Debug,
            trace: Priority::Debug,
        }))
}

/// Whether [`init`] leads to the journal.
pub fn is_connected() -> bool {
    stderr_is_journal()
}

/// Whether stderr is the stream that systemd connected to the journal (systemd.exec(5),
/// `$JOURNAL_STREAM`): it says "device:inode" of that stream, which a redirection changes.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(std::io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Logs an event: once, or once for each of its certificates, so that each one's history is whole.
pub fn emit(event: &Event) {
    for entry in event.entries() {
        write(&entry);
    }
}

fn write(entry: &Entry) {
    let Entry { kind, fields, text } = entry;
    let generation = fields.generation.map(|number| number.to_string());
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: TARGET,
                MESSAGE_ID = kind.message_id,
                RENEWD_STEP = kind.step,
                RENEWD_CERT = fields.certificate.as_deref(),
                RENEWD_GENERATION = generation.as_deref(),
                RENEWD_SERIAL = fields.serial.as_deref(),
                RENEWD_UNIT = fields.unit.as_deref(),
                "{text}"
            )
        };
    }
    match kind.level {
        tracing::Level::ERROR => line!(error),
        tracing::Level::WARN => line!(warn),
        _ => line!(info),
    }
}

/// Runs something whose lines all come to this subscriber.
///
/// While there is only one, tracing asks the subscriber of the thread that comes to a line first, and other
/// tests have none: that line would be silent for everybody, for good.
#[cfg(test)]
pub(crate) fn heard_by<T>(
    subscriber: impl Subscriber + Send + Sync + 'static,
    run: impl FnOnce() -> T,
) -> T {
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    tracing::subscriber::with_default(subscriber, run)
}

#[cfg(test)]
mod tests;
