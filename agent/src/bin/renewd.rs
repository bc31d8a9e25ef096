//! The daemon; see [`renewd::app`].

use std::process::ExitCode;

use clap::Parser;
use renewd::app::{self, Places};

fn main() -> ExitCode {
    app::main(Places::parse())
}
