//! The command line of the sample API server.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use renewd_sample_api::Workers;
use renewd_sample_api::admin::{self, Request};
use renewd_sample_api::app::Server;
use renewd_sample_api::command::{Cli, Command};
use renewd_sample_api::config::Config;
use renewd_sample_api::file::FileError;
use renewd_sample_api::sockets::Passed;
use renewd_sample_api::{explain, log};
use tokio::signal::unix::{SignalKind, signal};

/// EX_CONFIG of sysexits(3).
const REFUSED_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(at) => serve(&at.config),
        Command::Reload(at) => ask(&at.config, Request::Reload),
        Command::Status(at) => ask(&at.config, Request::Status),
    }
}

fn serve(path: &Path) -> ExitCode {
    log::init();
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return refused(&error),
    };
    // Before there are threads, which could look at the environment at the same time.
    let passed = match Passed::take() {
        Ok(passed) => passed,
        Err(error) => {
            log::cannot_start(&format!(
                "a socket that was passed to us cannot be used: {error}"
            ));
            return ExitCode::FAILURE;
        }
    };
    let run = async {
        let server = Server::bind_with(config, passed)
            .await
            .map_err(|error| explain(&error))?
            .on(Workers::start().map_err(|error| error.to_string())?);
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
        server
            .run(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            })
            .await;
        Ok::<_, String>(())
    };
    // For all but the connections, which the workers have.
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(run));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            log::cannot_start(&reason);
            ExitCode::FAILURE
        }
    }
}

fn ask(path: &Path, request: Request) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return refused(&error),
    };
    match admin::ask(&config.admin, request) {
        Ok(reply) if reply.ok => {
            println!("{}", reply.message);
            ExitCode::SUCCESS
        }
        Ok(reply) => {
            eprintln!("renewd-sample-api: {}", reply.message);
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("renewd-sample-api: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn refused(error: &FileError) -> ExitCode {
    eprintln!("renewd-sample-api: {}", explain(error));
    ExitCode::from(REFUSED_CONFIGURATION)
}
