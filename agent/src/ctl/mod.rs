//! `renewctl`: the command line.
//!
//! Owns: commands, what they print, and how they end. Never changes anything by itself except in
//! `apply`, which is root's part. Neighbours: [`crate::control::client`] asks the daemon.

mod apply;
mod check;
mod complete;
mod dependents;
mod doctor;
mod expiry;
mod failure;
mod issuer;
mod output;
mod published;
mod renew;
mod status;
mod wait;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};
use jiff::Timestamp;
use renewd_core::names::CertificateName;
use renewd_core::revocation::Reason;

pub use apply::{DIGEST_FILE, stale_rule};
pub use complete::VARIABLE as COMPLETION_VARIABLE;
pub use failure::{Code, Failure};
pub use output::Output;

use crate::control::client::{ControlClient, StatusClient};
use crate::journal;
use crate::units::{Systemd, Units};

/// Keeps short-lived TLS certificates fresh, and proves that they are in use: the command line.
#[derive(Debug, Parser)]
#[command(name = "renewctl", version, after_help = failure::EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Command,
}

/// Where things are.
#[derive(Debug, Clone, Args)]
struct Places {
    /// The configuration: renewd.toml and certs.d
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/etc/renewd",
        value_hint = ValueHint::DirPath
    )]
    config: PathBuf,
    /// What the daemon keeps and publishes
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/var/lib/renewd",
        value_hint = ValueHint::DirPath
    )]
    state: PathBuf,
    /// The daemon's sockets
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/run/renewd",
        value_hint = ValueHint::DirPath
    )]
    runtime: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every certificate: until when, renewed when, and whether it is served
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// One certificate in full, with its dependents and last generations
    Show {
        /// The certificate
        #[arg(add = complete::certificates())]
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Issue certificates anew now, whatever their schedule says
    Renew {
        /// The certificates
        #[arg(
            required_unless_present = "all",
            conflicts_with = "all",
            add = complete::certificates()
        )]
        names: Vec<String>,
        /// All of them
        #[arg(long)]
        all: bool,
        /// Tell each step as it happens; fail unless all are proven
        #[arg(long)]
        wait: bool,
    },
    /// Wait until a certificate has a published generation that is valid now
    Wait {
        /// The certificate
        #[arg(add = complete::certificates())]
        name: CertificateName,
        /// At most this long, such as "90s" or "5min"
        #[arg(long, value_name = "DURATION", default_value = "90s", value_parser = humantime::parse_duration)]
        timeout: Duration,
    },
    /// Judge the configuration, or single files of it, as the daemon would
    Check {
        /// Files or directories; without any the whole configuration
        files: Vec<PathBuf>,
        /// Do not ask systemd what the units can do: for files of other hosts
        #[arg(long)]
        offline: bool,
    },
    /// Look at the host as a whole, and say what to do about what is found
    Doctor(doctor::Options),
    /// Tell, without the daemon, which published certificates are about to expire
    Expiry,
    /// Allow the daemon, as root, to tell exactly the configured units what is configured
    Apply(apply::Options),
    /// Have a certificate revoked by its issuer; if it is the one in use, another one is asked for at once
    Revoke {
        /// The certificate
        #[arg(add = complete::certificates())]
        name: CertificateName,
        /// The leaf of this generation, and not of the published one
        #[arg(long, value_name = "NUMBER")]
        generation: Option<u64>,
        /// Why, for the revocation list
        #[arg(
            long,
            default_value = Reason::Unspecified.label(),
            value_parser = Reason::ALL.map(Reason::label)
        )]
        reason: String,
    },
    /// The issuers: who is asked for certificates
    Issuer {
        #[command(subcommand)]
        command: IssuerCommand,
    },
    /// The local certification authority
    Ca {
        #[command(subcommand)]
        command: CaCommand,
    },
    /// Remove what is left of a certificate that is no longer configured
    Forget {
        /// The certificate
        #[arg(add = complete::leftovers())]
        name: String,
    },
    /// Have the daemon read its configuration again: all of it, or nothing changes
    Reload,
    /// The versions of this program and of the running daemon
    Version,
}

#[derive(Debug, Subcommand)]
enum IssuerCommand {
    /// Every issuer: its type, its certificates, and how it went last
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Look whether an issuer answers, knows us and would issue, without asking it for a certificate
    Check {
        /// The issuer
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Give the account at an ACME CA another key
    Rollover {
        /// The issuer
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// Print the root certificates as PEM
    Root {
        /// The issuer; needed only where there are several local ones
        issuer: Option<String>,
    },
}

/// Runs one command line; the whole of `renewctl`.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    complete::answer();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no errors.
            let code = if error.use_stderr() {
                Code::Usage as u8
            } else {
                0
            };
            let printed = error.print();
            return ExitCode::from(if printed.is_err() {
                Code::Pipe as u8
            } else {
                code
            });
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let what = format!("cannot begin: {error}");
            return report(&Failure::new(Code::System, what, ""));
        }
    };
    match runtime.block_on(run(cli, &mut Output::stdout())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// Runs a parsed command line.
///
/// # Errors
///
/// A [`Failure`], which has not been printed yet.
pub async fn run(cli: Cli, out: &mut Output<'_>) -> Result<(), Failure> {
    let places = cli.places;
    let now = Timestamp::now();
    match cli.command {
        Command::Status { json } => {
            let report = StatusClient::connect(&places.runtime)
                .await?
                .status()
                .await?;
            if json {
                out.json(&report)?;
            } else {
                status::print_status(out, &report, now)?;
            }
        }
        Command::Show { name, json } => {
            let mut client = StatusClient::connect(&places.runtime).await?;
            let detail = client.show(&name).await?;
            if json {
                out.json(&detail)?;
            } else {
                status::print_detail(out, &detail, now)?;
            }
        }
        Command::Renew { names, all, wait } => {
            renew::renew(&places, names, all, wait, out).await?;
        }
        Command::Wait { name, timeout } => wait::wait(&places, &name, timeout, out).await?,
        Command::Check { files, offline } => {
            let systemd = (!offline).then(|| Systemd::new(None));
            let units = systemd.as_ref().map(|units| units as &dyn Units);
            check::check(&places, &files, units, out).await?;
        }
        Command::Doctor(options) => {
            doctor::doctor(&places, &options, &Systemd::new(None), out).await?;
        }
        Command::Expiry => {
            if journal::is_connected() {
                // Where no filter is set, none can be wrong.
                let _ = journal::init("renewctl", None);
            }
            expiry::expiry(&places, now, out)?;
        }
        Command::Apply(options) => {
            apply::apply(&places, &options, &Systemd::new(None), out).await?;
        }
        Command::Revoke {
            name,
            generation,
            reason,
        } => issuer::revoke(&places, name.as_str(), generation, &reason, out).await?,
        Command::Issuer {
            command: IssuerCommand::List { json },
        } => issuer::list(&places, json, now, out).await?,
        Command::Issuer {
            command: IssuerCommand::Check { name, json },
        } => issuer::check(&places, &name, json, out).await?,
        Command::Issuer {
            command: IssuerCommand::Rollover { name },
        } => issuer::rollover(&places, &name, out).await?,
        Command::Ca {
            command: CaCommand::Root { issuer },
        } => {
            let mut client = StatusClient::connect(&places.runtime).await?;
            out.raw(&client.ca_root(issuer.as_deref()).await?)?;
        }
        Command::Forget { name } => {
            let mut client = ControlClient::connect(&places.runtime).await?;
            client.forget(&name).await?;
            out.line(&format!("Forgot certificate {name}."))?;
        }
        Command::Reload => reload(&places, out).await?,
        Command::Version => version(&places, out).await?,
    }
    Ok(())
}

async fn reload(places: &Places, out: &mut Output<'_>) -> Result<(), Failure> {
    let mut client = ControlClient::connect(&places.runtime).await?;
    let report = client.reload().await?;
    out.line("The configuration is in force.")?;
    let lists = [
        ("new", &report.added),
        ("changed", &report.changed),
        ("removed; still published until forgotten", &report.removed),
    ];
    for (word, names) in lists {
        if !names.is_empty() {
            out.line(&format!("  {word}: {}", names.join(", ")))?;
        }
    }
    for warning in &report.warnings {
        out.line(&format!("  warning: {warning}"))?;
    }
    Ok(())
}

async fn version(places: &Places, out: &mut Output<'_>) -> Result<(), Failure> {
    out.line(concat!("renewctl ", env!("CARGO_PKG_VERSION")))?;
    // A daemon that is not there is no failure of this command, but of the next.
    let daemon = async {
        let mut client = StatusClient::connect(&places.runtime).await?;
        client.version().await
    };
    match daemon.await {
        Ok(version) => out.line(&format!("renewd {version}"))?,
        Err(error) => out.line(&format!("renewd unknown: {error}"))?,
    }
    Ok(())
}

/// Prints a failure as lines on standard error.
fn report(failure: &Failure) -> ExitCode {
    let mut text = String::new();
    for line in failure.what.lines() {
        text.push_str(&format!("renewctl: {}\n", output::printable(line)));
    }
    if !failure.remedy.is_empty() {
        text.push_str(&format!("  {}\n", failure.remedy));
    }
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(failure.code as u8)
}
