//! The command lines, as the parsers know them.

use clap::{Arg, Command, CommandFactory};

use crate::markdown::Inline;
use crate::roff::Roff;

/// The command line of `renewctl`.
pub(crate) fn renewctl() -> Command {
    built(renewd::ctl::Cli::command())
}

/// The command line of `renewd`.
pub(crate) fn renewd() -> Command {
    built(renewd::app::Places::command())
}

/// The command line of `renewd-sample-api`.
pub(crate) fn sample_api() -> Command {
    built(renewd_sample_api::command::Cli::command())
}

fn built(mut command: Command) -> Command {
    command.build();
    command
}

/// How a command is called: its name in bold, what is to be replaced in italics.
pub(crate) fn synopsis(command: &Command) -> Vec<Inline> {
    let usage = usage(command);
    let (name, rest) = usage.split_once(" [").unwrap_or((&usage, ""));
    let mut line = vec![Inline::Code(name.to_owned())];
    if !rest.is_empty() {
        line.push(Inline::Text(format!(" [{rest}")));
    }
    line
}

fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    usage.replace(['<', '>'], "")
}

/// What each command takes, and what all of them take.
pub(crate) fn write(roff: &mut Roff, program: &Command) {
    let commands = leaves(program).into_iter();
    for command in commands.filter(|_| program.has_subcommands()) {
        let own: Vec<&Arg> = arguments(command)
            .filter(|one| !one.is_global_set())
            .collect();
        if own.is_empty() {
            continue;
        }
        roff.subsection(&usage(command));
        for argument in own {
            term(roff, argument);
        }
    }
    roff.section("Options");
    for argument in arguments(program) {
        term(roff, argument);
    }
    roff.term(
        &[code("--help"), text(", "), code("-h")],
        &[text("Print help, for the program or for a command.")],
    );
    roff.term(
        &[code("--version"), text(", "), code("-V")],
        &[text("Print the version.")],
    );
}

/// The commands without commands of their own; the program itself where it has none.
pub(crate) fn leaves(command: &Command) -> Vec<&Command> {
    let children = command.get_subcommands();
    let below: Vec<&Command> = children
        .filter(|child| child.get_name() != "help")
        .flat_map(leaves)
        .collect();
    if below.is_empty() {
        vec![command]
    } else {
        below
    }
}

/// What a command takes, but for help and version.
pub(crate) fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|one| !one.is_hide_set() && !["help", "version"].contains(&one.get_id().as_str()))
}

fn term(roff: &mut Roff, argument: &Arg) {
    let values = argument.get_value_names().unwrap_or_default();
    let value = values
        .first()
        .filter(|_| argument.get_action().takes_values());
    let value = value.map(|name| Inline::Emphasis(vec![text(name)]));
    let term = match argument.get_long() {
        Some(long) => {
            let mut term = vec![code(&format!("--{long}"))];
            term.extend(value.into_iter().flat_map(|value| [text(" "), value]));
            term
        }
        None => value.into_iter().collect(),
    };
    let help = argument.get_help().map(ToString::to_string);
    let mut explanation = format!("{}.", help.unwrap_or_default());
    let defaults = argument.get_default_values();
    if let Some(default) = defaults
        .first()
        .filter(|_| argument.get_action().takes_values())
    {
        explanation.push_str(&format!(" Default: {}.", default.to_string_lossy()));
    }
    roff.term(&term, &[text(&explanation)]);
}

fn code(word: &str) -> Inline {
    Inline::Code(word.to_owned())
}

fn text(words: &str) -> Inline {
    Inline::Text(words.to_owned())
}
