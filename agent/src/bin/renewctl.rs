//! The command line; see [`renewd::ctl`].

use std::process::ExitCode;

fn main() -> ExitCode {
    renewd::ctl::main(std::env::args_os())
}
