//! The command line, as the parser, the manual and the completions know it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

use crate::config;

/// A mutual-TLS API server that changes keys and trust without dropping a connection.
///
/// Exit codes: 0 done, 1 failed (for `reload`: the new pair was refused, the old one stays in use),
/// 2 wrong usage, 78 the configuration was refused.
#[derive(Debug, Parser)]
#[command(name = "renewd-sample-api", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT, then finish the open connections
    Serve(At),
    /// Tell the running server to take up the published certificate; fails if it refuses
    Reload(At),
    /// Print what the running server serves
    Status(At),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct At {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        default_value = config::DEFAULT_PATH,
        value_hint = ValueHint::FilePath
    )]
    pub config: PathBuf,
}
