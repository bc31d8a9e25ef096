//! What is read about the programs on an installed host: the man pages, the journal's explanations, and what the shells
//! offer for TAB.

use super::plain;
use crate::agent::{PROOF, RENEWD};
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[PAGES, EXPLAINED, TAB];

const PAGES: Scenario = Scenario {
    name: "every_man_page_is_shown_without_a_warning",
    disk: Disk::Installed,
    fault: "a page with a macro that nobody knows",
    red: "no warning",
    run: pages,
};

/// With its section, as `man` wants them.
const MANUAL: [[&str; 2]; 7] = [
    ["1", "renewctl"],
    ["5", "renewd.toml"],
    ["5", "renewd-cert"],
    ["7", "renewd.credentials"],
    ["7", "renewd.journal"],
    ["8", "renewd"],
    ["8", "renewd-sample-api"],
];

fn pages(trial: &mut Trial) -> Result<()> {
    trial.sabotage(|machine| {
        machine
            .shell("echo .NOSUCHMACRO | gzip >> /usr/share/man/man8/renewd.8.gz")
            .map(drop)
    })?;
    for [section, name] in MANUAL {
        let file = trial.run(&["man", "--where", section, name])?;
        let shown = trial.attempt(&[
            "sh",
            "-c",
            "MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z \"$1\" >/dev/null",
            "man",
            file.trim(),
        ])?;
        expect(
            shown.succeeded() && shown.output().is_empty(),
            format_args!("no warning of {name}({section})"),
            shown.output(),
        )?;
    }
    // No page is installed that is not looked at here.
    let installed =
        trial.shell("dpkg --listfiles renewd renewd-sample-api | grep -c '/man/.*gz$'")?;
    expect_equal(
        "pages installed",
        &MANUAL.len().to_string().as_str(),
        &installed.trim(),
    )
}

const EXPLAINED: Scenario = Scenario {
    name: "journalctl_explains_what_renewd_tells",
    disk: Disk::Installed,
    fault: "the catalogue is not installed",
    red: "explanation",
    run: explained,
};

const CATALOGUE: &str = "/usr/lib/systemd/catalog/renewd.catalog";

fn explained(trial: &mut Trial) -> Result<()> {
    trial.sabotage(|machine| {
        machine.run(&["rm", CATALOGUE])?;
        machine.run(&["journalctl", "--update-catalog"]).map(drop)
    })?;
    plain::bare_certificates(trial, &["api"])?;
    let explained = || trial.run(&["journalctl", "--boot", "--catalog", "--unit", RENEWD]);
    let all = trial.wait_until("an explanation is shown", PROOF, || {
        let all = explained()?;
        expect(
            all.contains("Subject: Generation 1 of api is published"),
            "the explanation of a publication",
            &all,
        )?;
        Ok(all)
    })?;
    for part in ["Next: ", "Do: ", "More: \"renewctl show api\""] {
        expect(all.contains(part), format_args!("`{part}`"), &all)?;
    }
    expect(!all.contains("@RENEWD_"), "every field filled in", &all)?;
    // Systemd has read all of it, and has nothing to say against it.
    let said = trial.attempt(&["journalctl", "--update-catalog"])?;
    expect(
        said.succeeded() && said.output().is_empty(),
        "a catalogue that systemd accepts",
        said.output(),
    )?;
    let sorted = |command: &str| -> Result<String> { trial.shell(&format!("{command} | sort")) };
    let ours = sorted(&format!("sed -n 's/^-- //p' {CATALOGUE}"))?;
    let known = sorted("journalctl --list-catalog | awk '$2 == \"renewd:\" { print $1 }'")?;
    expect_equal("the events that systemd knows", &ours, &known)
}

const TAB: Scenario = Scenario {
    name: "the_tab_key_offers_the_names_of_certificates",
    disk: Disk::Installed,
    fault: "the scripts of the shells are gone",
    red: "api offered by bash",
    run: tab,
};

/// As bash-completion does on TAB: it loads the script by the command's name, and calls its function.
const BASH: &str = r#"
. /usr/share/bash-completion/bash_completion
if declare -F _comp_load >/dev/null; then _comp_load -- renewctl; else _completion_loader renewctl; fi
COMP_WORDS=(renewctl show a) COMP_CWORD=2 COMP_LINE="renewctl show a" COMP_POINT=15 COMP_TYPE=9
"$(complete -p renewctl | sed 's/.* -F \([^ ]*\) .*/\1/')" renewctl a show
printf '%s\n' "${COMPREPLY[@]}"
"#;

/// The first TAB of an interactive shell.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty tab zsh -f -i
zpty -w tab 'autoload -Uz compinit; compinit -u -D; echo rea""dy'
zpty -r tab said '*ready*'
zpty -n -w tab $'renewctl show a\t'
zpty -r tab said '*show api*' && echo api
zpty -d tab
"#;

fn tab(trial: &mut Trial) -> Result<()> {
    trial.sabotage(|machine| {
        machine
            .shell(
                "rm /usr/share/bash-completion/completions/renewctl \
                 /usr/share/zsh/vendor-completions/_renewctl \
                 /usr/share/fish/vendor_completions.d/renewctl.fish",
            )
            .map(drop)
    })?;
    plain::bare_certificates(trial, &["api", "web"])?;
    let fish = r#"complete -C "renewctl show a""#;
    for (shell, command) in [
        ("bash", ["bash", "-c", BASH]),
        ("fish", ["fish", "-c", fish]),
        ("zsh", ["zsh", "-fc", ZSH]),
    ] {
        let told = trial.attempt(&[&["timeout", "20"], &command[..]].concat())?;
        let offered: Vec<&str> = told.stdout.split_whitespace().collect();
        expect(
            offered.first() == Some(&"api") && !offered.contains(&"web"),
            format_args!("api offered by {shell}"),
            told.output(),
        )?;
    }
    for (shell, files) in [
        ("bash", "/usr/share/bash-completion/completions/renew*"),
        ("zsh", "/usr/share/zsh/vendor-completions/_renew*"),
        ("fish", "/usr/share/fish/vendor_completions.d/renew*"),
    ] {
        silent(trial, shell, files)?;
    }
    Ok(())
}

/// Each script of the three programs is one that its shell can read.
fn silent(machine: &Machine, shell: &str, files: &str) -> Result<()> {
    let script = format!("set -- {files}; [ $# = 3 ]; for file; do {shell} -n \"$file\"; done");
    let said = machine.attempt(&["sh", "-euc", &script])?;
    expect(
        said.succeeded() && said.output().is_empty(),
        format_args!("three scripts that {shell} can read"),
        said.output(),
    )
}
