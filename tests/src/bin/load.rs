//! `load`: keeps mutual-TLS connections busy against a server, and fails if it lost anything.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hyper::Uri;
use renewd_tests::load::{Ends, Files, Load, LoadError, Plan, Report};
use tokio::signal::unix::{SignalKind, signal};

/// Keep connections busy over mutual TLS, shake hands afresh beside them, and report.
///
/// Exit status: 0 only if every connection was answered often enough and nothing failed or was
/// dropped; 1 if not; 69 if the load could not begin. SIGINT and SIGTERM end it early.
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Arguments {
    /// What to ask for, by an https URL
    #[arg(long)]
    url: Uri,
    /// PEM certificates to verify the server with
    #[arg(long)]
    ca: PathBuf,
    /// PEM chain of the client; read again for each new connection
    #[arg(long)]
    cert: PathBuf,
    /// PEM key of the client; the same file as --cert for a combined one
    #[arg(long)]
    key: PathBuf,
    /// Kept connections, half HTTP/1.1 and half HTTP/2
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// How many of them read /stream?seconds=1 over and over
    #[arg(long, default_value_t = 4)]
    streams: usize,
    /// Requests per second over all connections; 0 is as fast as they are answered
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// How long, once every connection has been answered
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Milliseconds between two fresh handshakes
    #[arg(long, default_value_t = 25)]
    handshake_every: u64,
    /// Seconds within which every connection must have been answered
    #[arg(long, default_value_t = 15.0)]
    ready_within: f64,
    /// Requests that each connection must have had answered
    #[arg(long, default_value_t = 1)]
    min_requests: u64,
    /// Distinct leaves that fresh handshakes must have been shown, exactly
    #[arg(long)]
    expect_leaves: Option<usize>,
    /// A published directory: the half second after a swap of its `current` counts as rotating
    #[arg(long, value_name = "DIR")]
    published: Option<PathBuf>,
    /// A file to create once every connection has been answered
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(report) => {
            let lost = losses(&arguments, &report);
            print(&arguments, &report, &lost);
            ExitCode::from(u8::from(!lost.is_empty()))
        }
        Err(error) => {
            let mut text = format!("load: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(inner) = source {
                text.push_str(&format!(": {inner}"));
                source = inner.source();
            }
            eprintln!("{text}");
            ExitCode::from(69)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<Report, LoadError> {
    let mut load = Load::start(&Plan {
        url: arguments.url.clone(),
        files: Files {
            ca: arguments.ca.clone(),
            certificate: arguments.cert.clone(),
            key: arguments.key.clone(),
        },
        connections: arguments.connections,
        streams: arguments.streams.min(arguments.connections),
        rate: arguments.rate,
        stream_seconds: 1,
        handshake_every: Duration::from_millis(arguments.handshake_every),
        ends: Ends::AreLosses,
    })?;
    if let Some(directory) = &arguments.published {
        load.watch_published(directory);
    }
    load.ready(Duration::from_secs_f64(arguments.ready_within))
        .await?;
    if let Some(file) = &arguments.ready_file
        && let Err(error) = std::fs::write(file, "ready\n")
    {
        eprintln!("load: cannot write {}: {error}", file.display());
    }
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs_f64(arguments.seconds)) => {}
        () = told_to_end() => {}
    }
    Ok(load.stop().await)
}

async fn told_to_end() {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Each reason for which this load did not go well.
fn losses(arguments: &Arguments, report: &Report) -> Vec<String> {
    let mut lost = Vec::new();
    if report.failed_requests > 0 {
        lost.push(format!("{} requests failed", report.failed_requests));
    }
    if report.dropped_connections > 0 {
        lost.push(format!(
            "{} connections were dropped",
            report.dropped_connections
        ));
    }
    if report.min_requests_per_connection < arguments.min_requests {
        lost.push(format!(
            "a connection had {} requests answered, fewer than {}",
            report.min_requests_per_connection, arguments.min_requests
        ));
    }
    if let Some(expected) = arguments.expect_leaves
        && report.distinct_leaves_seen != expected
    {
        lost.push(format!(
            "fresh handshakes were shown {} distinct leaves, not {expected}",
            report.distinct_leaves_seen
        ));
    }
    lost
}

fn print(arguments: &Arguments, report: &Report, lost: &[String]) {
    let text = if arguments.json {
        serde_json::to_string(report).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    } else {
        let ms = |p99: Option<f64>| p99.map_or("-".to_owned(), |ms| format!("{ms:.2} ms"));
        format!(
            "{} requests on {} connections, {} failed, {} dropped; p99 {} steady, {} rotating; \
             {} fresh handshakes, {} distinct leaves",
            report.requests,
            report.connections,
            report.failed_requests,
            report.dropped_connections,
            ms(report.p99_ms_steady),
            ms(report.p99_ms_rotating),
            report.handshakes,
            report.distinct_leaves_seen,
        )
    };
    // A reader that went away does not change what happened.
    let _ = writeln!(std::io::stdout(), "{text}");
    for reason in lost {
        eprintln!("load: {reason}");
    }
    if !lost.is_empty() {
        for (fault, times) in &report.faults {
            eprintln!("load: {times}× {fault}");
        }
    }
}
