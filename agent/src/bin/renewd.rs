//! The daemon; see [`renewd::app`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use renewd::app::{self, Places};

/// Keeps short-lived TLS certificates fresh, and proves that they are in use.
#[derive(Debug, Parser)]
#[command(name = "renewd", version)]
struct Options {
    /// The configuration: renewd.toml and certs.d
    #[arg(long, value_name = "DIR", default_value = "/etc/renewd")]
    config: PathBuf,
    /// What is kept and published
    #[arg(long, value_name = "DIR", default_value = "/var/lib/renewd")]
    state: PathBuf,
    /// The sockets
    #[arg(long, value_name = "DIR", default_value = "/run/renewd")]
    runtime: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    app::main(Places {
        configuration: options.config,
        state: options.state,
        runtime: options.runtime,
    })
}
