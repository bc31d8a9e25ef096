//! Completions for bash, zsh and fish.
//!
//! `renewctl` completes itself, names of certificates among the rest: its scripts ask it. The two daemons, which are
//! seldom called by hand, have plain scripts.

use clap::Command;
use clap_complete::env::{EnvCompleter, Shells};
use clap_complete::{Shell, aot};

use crate::options;

/// A file below `/usr/share`, with its text and the package that it belongs to.
pub(crate) struct Script {
    pub(crate) package: &'static str,
    pub(crate) path: String,
    pub(crate) text: String,
}

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// All of them.
pub(crate) fn scripts() -> Vec<Script> {
    let programs = [
        ("renewd", "renewctl", None),
        ("renewd", "renewd", Some(options::renewd as fn() -> Command)),
        (
            "renewd-sample-api",
            "renewd-sample-api",
            Some(options::sample_api),
        ),
    ];
    let mut scripts = Vec::new();
    for (package, name, command) in programs {
        for shell in SHELLS {
            let text = match command {
                None => asking(name, shell),
                Some(command) => {
                    let mut text = Vec::new();
                    aot::generate(shell, &mut command(), name, &mut text);
                    String::from_utf8_lossy(&text).into_owned()
                }
            };
            scripts.push(Script {
                package,
                path: place(name, shell),
                text: lines(&text),
            });
        }
    }
    scripts
}

fn place(name: &str, shell: Shell) -> String {
    match shell {
        Shell::Bash => format!("bash-completion/completions/{name}"),
        Shell::Zsh => format!("zsh/vendor-completions/_{name}"),
        Shell::Fish => format!("fish/vendor_completions.d/{name}.fish"),
        other => unreachable!("no place for {other}"),
    }
}

/// The script that asks the program.
fn asking(name: &str, shell: Shell) -> String {
    let mut text = Vec::new();
    let completer = Shells::builtins();
    let completer: &dyn EnvCompleter = completer
        .completer(&shell.to_string())
        .unwrap_or_else(|| panic!("no completer for {shell}"));
    let variable = renewd::ctl::COMPLETION_VARIABLE;
    completer
        .write_registration(variable, name, name, name, &mut text)
        .unwrap_or_else(|error| panic!("{shell}: {error}"));
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if shell == Shell::Zsh {
        // zsh loads the file when TAB is first pressed, as the body of this very function: without the call, that
        // first time would offer nothing.
        text.push_str(&format!(
            "[ \"${{funcstack[1]}}\" = _{name} ] && _clap_dynamic_completer_{name} \"$@\"\n"
        ));
    }
    text
}

/// Without empty lines at either end and blanks at the ends of lines.
fn lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}
