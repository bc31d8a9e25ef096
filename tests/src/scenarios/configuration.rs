//! A broken configuration loses nothing, and the rights that come with a configuration are exactly those it needs.

use crate::agent::RENEWD;
use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::program::Finished;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[BROKEN, FIRST, RIGHTS, NAMES];

const BROKEN: Scenario = Scenario {
    name: "a_broken_configuration_is_refused_on_reload_and_survived_over_a_restart",
    disk: Disk::Installed,
    fault: "the file is not broken",
    red: "a refused reload",
    run: broken,
};

fn broken(trial: &mut Trial) -> Result<()> {
    trial.configure("api", "names = [\"api.test\"]\n")?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "api"])?;
    let process = trial.unit_property(RENEWD, "MainPID")?;

    let key = trial.choose("lifetme", "lifetime");
    trial.configure("bad", &format!("names = [\"bad.test\"]\n{key} = \"1h\"\n"))?;
    let checked = trial.attempt(&["renewctl", "check"])?;
    let reload = trial.attempt(&["systemctl", "reload", RENEWD])?;
    expect(!reload.succeeded(), "a refused reload", reload.output())?;
    expect(!checked.succeeded(), "a refused check", checked.output())?;
    for part in ["bad.toml:2", "lifetme"] {
        expect(
            checked.output().contains(part),
            format_args!("{part} in what `check` says"),
            checked.output(),
        )?;
    }

    trial.expect_unit(RENEWD, "active")?;
    expect_equal(
        "the daemon's process",
        &process,
        &trial.unit_property(RENEWD, "MainPID")?,
    )?;
    trial.renew(&["api"])?.success()?;

    trial.systemctl(&["restart", RENEWD])?;
    trial.expect_unit(RENEWD, "active")?;
    trial.renew(&["api"])?.success()?;
    trial.expect_issuances("api.test", 3)?;
    trial.expect_issuances("bad.test", 0)?;

    trial.configure("bad", "names = [\"bad.test\"]\nlifetime = \"1h\"\n")?;
    trial.reload_renewd()?;
    trial.run(&["renewctl", "wait", "bad"])?;
    trial.expect_issuances("bad.test", 1)
}

const FIRST: Scenario = Scenario {
    name: "a_broken_first_configuration_is_a_failed_unit_until_it_is_mended",
    disk: Disk::Installed,
    fault: "a daemon that is started again whatever its exit code",
    red: "renewd.service is failed",
    run: first,
};

fn first(trial: &mut Trial) -> Result<()> {
    trial.sabotage(|machine| machine.drop_in(RENEWD, "[Service]\nRestartPreventExitStatus=\n"))?;
    trial.systemctl(&["stop", RENEWD])?;
    // As if none had ever been accepted.
    trial.run(&["rm", "-r", "/var/lib/renewd/store"])?;
    let right = trial.read("/etc/renewd/renewd.toml")?;
    trial.write(
        "/etc/renewd/renewd.toml",
        "[issuer.internal]\ntyp = \"local\"\n",
    )?;
    let start = trial.attempt(&["systemctl", "start", RENEWD])?;
    expect(!start.succeeded(), "a start that fails", start.output())?;
    trial.expect_unit(RENEWD, "failed")?;
    let code = trial.unit_property(RENEWD, "ExecMainStatus")?;
    expect_equal("the daemon's exit code", &"78".to_owned(), &code)?;

    trial.write("/etc/renewd/renewd.toml", &right)?;
    trial.systemctl(&["start", RENEWD])?;
    trial.expect_unit(RENEWD, "active")
}

const RIGHTS: Scenario = Scenario {
    name: "renewd_may_reload_the_configured_unit_and_nothing_else",
    disk: Disk::Installed,
    fault: "a polkit rule that allows everything",
    red: "denied",
    run: rights,
};

fn rights(trial: &mut Trial) -> Result<()> {
    for unit in ["mine", "other"] {
        trial.write(
            &format!("/etc/systemd/system/{unit}.service"),
            "[Service]\nExecStart=sleep infinity\nExecReload=/bin/true\n",
        )?;
    }
    trial.systemctl(&["daemon-reload"])?;
    trial.systemctl(&["start", "mine.service", "other.service"])?;
    trial.configure("api", "names = [\"api.test\"]\n[unit.\"mine.service\"]\n")?;
    trial.reload_renewd()?;
    trial.sabotage(|machine| {
        machine.write(
            "/etc/polkit-1/rules.d/00-all.rules",
            "polkit.addRule(function() { return polkit.Result.YES; });\n",
        )?;
        machine.systemctl(&["restart", "polkit.service"]).map(drop)
    })?;

    let allowed = ask(trial, "renewd", "ReloadUnit", "mine.service")?;
    expect(
        allowed.succeeded(),
        "renewd allowed to reload its unit",
        allowed.output(),
    )?;
    let denied = [
        ("renewd", "ReloadUnit", "other.service"),
        ("renewd", "RestartUnit", "mine.service"),
        ("renewd", "StopUnit", "mine.service"),
        ("www-data", "ReloadUnit", "mine.service"),
    ];
    for (user, verb, unit) in denied {
        let answer = ask(trial, user, verb, unit)?;
        expect(
            !answer.succeeded(),
            format_args!("{verb} of {unit} denied to {user}"),
            answer.output(),
        )?;
    }
    Ok(())
}

const NAMES: Scenario = Scenario {
    name: "units_by_alias_template_and_odd_name_are_allowed_by_apply_and_reloaded",
    disk: Disk::Installed,
    fault: "the alias leads to another unit than when the rule was written",
    red: "is reloaded by nick.service",
    run: names,
};

fn names(trial: &mut Trial) -> Result<()> {
    const ODD: &str = r"odd\x2dname@a:b.service";
    const RULE: &str = "/etc/polkit-1/rules.d/50-renewd.rules";
    let plain = "[Service]\nExecStart=sleep infinity\nExecReload=/bin/true\n[Install]\n";
    for (file, install) in [
        ("real.service", "Alias=nick.service\n"),
        ("other.service", ""),
        ("many@.service", ""),
        (r"odd\x2dname@.service", ""),
    ] {
        trial.write(
            &format!("/etc/systemd/system/{file}"),
            &format!("{plain}{install}"),
        )?;
    }
    trial.systemctl(&["daemon-reload"])?;
    trial.systemctl(&["enable", "real.service"])?;
    trial.systemctl(&[
        "start",
        "real.service",
        "other.service",
        "many@a.service",
        "many@b.service",
        ODD,
    ])?;
    let units = ["nick.service", "many@a.service", ODD];
    let tables = units.map(|unit| format!("[unit.'{unit}']\n")).concat();
    trial.configure("api", &format!("names = [\"api.test\"]\n{tables}"))?;

    let before = trial.run(&["cat", RULE])?;
    let shown = trial.run(&["renewctl", "apply", "--dry-run"])?;
    for unit in ["real.service", "many@a.service", ODD] {
        let line = format!("+ reload {unit}\n");
        expect(shown.contains(&line), &line, &shown)?;
    }
    expect_equal(
        "the rule after a dry run",
        &before,
        &trial.run(&["cat", RULE])?,
    )?;

    trial.reload_renewd()?;
    for unit in units {
        trial.await_proof("api", unit, "reloaded")?;
    }
    let shown = trial.run(&["renewctl", "apply", "--dry-run"])?;
    expect(shown.contains("is up to date"), "nothing to change", &shown)?;
    trial.sabotage(|machine| {
        machine.shell("cd /etc/systemd/system && ln -sfn other.service nick.service")?;
        machine.systemctl(&["daemon-reload"]).map(drop)
    })?;
    trial.systemctl(&["restart", "polkit.service"])?;
    trial.renew(&["api"])?;
    for unit in units {
        let status = trial.await_proof("api", unit, "reloaded")?;
        expect_equal("the generation", &Some(2), &status.generation)?;
    }
    for unit in ["other.service", "many@b.service", "many@.service"] {
        let answer = ask(trial, "renewd", "ReloadUnit", unit)?;
        expect(
            !answer.succeeded(),
            format_args!("a reload of {unit} denied"),
            answer.output(),
        )?;
    }
    Ok(())
}

/// Has a user ask systemd for something, over D-Bus as the daemon does.
fn ask(machine: &Machine, user: &str, verb: &str, unit: &str) -> Result<Finished> {
    let become_user = [
        "setpriv",
        "--reuid",
        user,
        "--regid",
        user,
        "--clear-groups",
    ];
    let manager = [
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
    ];
    machine.attempt(
        &[
            &become_user[..],
            &["busctl", "call"],
            &manager,
            &[verb, "ss", unit, "fail"],
        ]
        .concat(),
    )
}
