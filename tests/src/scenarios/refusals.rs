//! Every way in which a unit, systemd, polkit or the bus can refuse, and what the daemon says of it then.

use super::jobs::{ACT, MOMENT, act, act_beside, open, prepare, service, unit};
use crate::failure::{Result, expect};
use crate::machine::Machine;
use crate::packages::IN_MACHINE;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[REFUSALS, SHUTDOWN, POLKIT, BUS, JOURNAL];

const REFUSALS: Scenario = Scenario {
    name: "a_unit_that_does_not_run_stays_down_and_one_that_cannot_act_says_why",
    disk: Disk::Bare,
    fault: "somebody else starts the unit",
    red: "\"not-running\"",
    run: refusals,
};

fn refusals(trial: &mut Trial) -> Result<()> {
    prepare(trial)?;
    let lasting = "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=2\n[Service]\nExecStart=/bin/sleep infinity\n";
    unit(trial, "lasting", lasting)?;
    let remains = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";
    unit(trial, "remains", remains)?;
    trial.systemctl(&["mask", "masked.service"])?;
    service(trial, "down", "0 0", "")?;
    // After the last time that systemd read its units: on 252 that makes it forget how often they started.
    trial.systemctl(&["start", "lasting.service", "remains.service"])?;
    open(trial, "down")?;
    trial.systemctl(&["stop", "down.service"])?;
    trial.sabotage(|machine| machine.systemctl(&["start", "down.service"]).map(drop))?;
    for verb in ["reload", "restart", "signal-hup", "none"] {
        let found = act(trial, "down.service", verb)?;
        expect(
            found == "\"not-running\"",
            format_args!("\"not-running\" for {verb}"),
            found,
        )?;
    }
    trial.expect_unit("down.service", "inactive")?;

    for (unit, verb, words) in [
        ("masked.service", "reload", "is masked"),
        ("unknown.service", "reload", "does not exist"),
        ("lasting.service", "reload", "has no ExecReload="),
        ("lasting.service", "start", "no Type=oneshot service"),
        ("remains.service", "start", "still active"),
        ("remains.service", "signal-hup", "no main process"),
        ("lasting.service", "restart", r#"{"job":"done"}"#),
        ("lasting.service", "restart", "at its start limit"),
    ] {
        let found = act(trial, unit, verb)?;
        expect(
            found.contains(words),
            format_args!("{words} for {verb} of {unit}"),
            found,
        )?;
    }
    Ok(())
}

const SHUTDOWN: Scenario = Scenario {
    name: "nothing_is_asked_of_a_system_that_shuts_down",
    disk: Disk::Bare,
    fault: "the unit is told before the shutdown",
    red: "shutting down",
    run: shutdown,
};

fn shutdown(trial: &mut Trial) -> Result<()> {
    prepare(trial)?;
    service(trial, "served", "0 0", "")?;
    open(trial, "served")?;
    let tell = format!("{IN_MACHINE}/act served.service reload 10s");
    let sleep = "ExecStart=/bin/sleep infinity";
    let late = format!(
        "[Service]\n{sleep}\nExecStop=/bin/sh -c '[ -e /var/outcome ] || {tell} > /var/outcome'\n"
    );
    unit(
        trial,
        "late",
        &format!("[Unit]\nAfter=dbus.service dbus.socket\n{late}"),
    )?;
    trial.systemctl(&["start", "late.service"])?;
    trial.sabotage(|machine| machine.systemctl(&["stop", "late.service"]).map(drop))?;
    trial.reboot()?;
    let found = trial.read("/var/outcome")?;
    expect(found.contains("shutting down"), "shutting down", found)
}

const POLKIT: Scenario = Scenario {
    name: "the_rule_allows_exactly_its_units_and_verbs_to_exactly_its_user",
    disk: Disk::Bare,
    fault: "the rule is made for another user",
    red: "allowed: ",
    run: polkit,
};

/// As [`act`], by an unprivileged user.
fn act_as(machine: &Machine, user: &str, unit: &str, verb: &str) -> Result<String> {
    let act = format!("{IN_MACHINE}/act");
    let own = [
        "setpriv",
        "--reuid",
        user,
        "--regid",
        user,
        "--clear-groups",
    ];
    let bare = [
        "--inh-caps=-all",
        "--bounding-set=-all",
        &act,
        unit,
        verb,
        "40s",
    ];
    let text = machine
        .attempt_with(&[&own[..], &bare].concat(), &[], ACT)?
        .success()?;
    Ok(text.trim().to_owned())
}

fn polkit(trial: &mut Trial) -> Result<()> {
    const ODD: &str = r"odd\x2dname@a:b.service";
    prepare(trial)?;
    for name in ["mine", "other", r"odd\x2dname@"] {
        let text = "[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/true\n";
        unit(trial, name, text)?;
    }
    trial.systemctl(&["start", "mine.service", "other.service", ODD])?;
    let expect_refused = |trial: &Trial, user: &str, unit: &str, verb: &str| {
        let found = act_as(trial, user, unit, verb)?;
        let expected = format_args!("refused to {user}: {verb} of {unit}");
        expect(found.contains("refused by polkit"), expected, found)
    };
    expect_refused(trial, "renewd", "mine.service", "reload")?;
    let user = trial.choose("renewd", "nobody");
    let odd = format!("{ODD}=reload");
    let act = format!("{IN_MACHINE}/act");
    let rule = trial.run(&[
        &act,
        "--rule",
        user,
        "mine.service=reload",
        "other.service=restart",
        &odd,
    ])?;
    trial.write("/etc/polkit-1/rules.d/60-renewd.rules", &rule)?;
    trial.systemctl(&["restart", "polkit.service"])?;
    for (unit, verb) in [
        ("mine.service", "reload"),
        ("other.service", "restart"),
        (ODD, "reload"),
    ] {
        let found = act_as(trial, "renewd", unit, verb)?;
        expect(
            found == r#"{"job":"done"}"#,
            format_args!("allowed: {verb} of {unit}"),
            found,
        )?;
    }
    for (user, unit, verb) in [
        ("renewd", "mine.service", "restart"),
        ("renewd", "mine.service", "signal-hup"),
        ("renewd", "other.service", "reload"),
        ("daemon", "mine.service", "reload"),
    ] {
        expect_refused(trial, user, unit, verb)?;
    }
    trial.systemctl(&["mask", "--runtime", "--now", "polkit.service"])?;
    let found = act_as(trial, "renewd", "mine.service", "reload")?;
    expect(
        found.contains("polkit does not work"),
        "polkit named as the cause",
        found,
    )
}

const BUS: Scenario = Scenario {
    name: "the_bus_goes_away_and_comes_back",
    disk: Disk::Bare,
    fault: "the bus does not go away",
    red: "the connection to the bus was lost",
    run: bus,
};

fn bus(trial: &mut Trial) -> Result<()> {
    prepare(trial)?;
    service(trial, "slow", "0 0", "")?;
    service(trial, "watched", "0", "")?;
    trial.systemctl(&["stop", "watched.service"])?;
    let watch = format!("{IN_MACHINE}/act --watch watched.service > /run/activations");
    trial.run(&["systemd-run", "--quiet", "--unit=watch", "sh", "-c", &watch])?;
    let stays = trial.choose(false, true);
    let found = act_beside(trial, "slow", "reload", |machine| {
        if !stays {
            machine.systemctl(&["restart", "dbus.service"])?;
        }
        open(machine, "slow")
    })?;
    let lost = "the connection to the bus was lost";
    expect(found.contains(lost), lost, &found)?;
    trial.systemctl(&["stop", "dbus.socket", "dbus.service"])?;
    let found = act(trial, "slow.service", "reload")?;
    expect(found.contains("bus cannot be reached"), "no bus", found)?;
    trial.systemctl(&["start", "dbus.socket", "dbus.service"])?;
    trial.shell("rm /run/slow.runs")?;
    trial.wait_until("the unit is told again", MOMENT, || {
        // systemd comes back to the bus in its own time.
        let found = act(trial, "slow.service", "reload")?;
        expect(found == r#"{"job":"done"}"#, "done", found)
    })?;
    trial.systemctl(&["start", "watched.service"])?;
    trial.wait_until("the activation is heard of", MOMENT, || {
        let heard = trial.read("/run/activations")?;
        expect(heard.contains("watched.service"), "watched.service", heard)
    })
}

const JOURNAL: Scenario = Scenario {
    name: "an_event_reaches_the_journal_with_its_fields",
    disk: Disk::Bare,
    fault: "standard error leads elsewhere",
    red: "an entry",
    run: journal,
};

fn journal(trial: &mut Trial) -> Result<()> {
    let errors = trial.choose("", "2>/dev/null");
    let emit = format!("{IN_MACHINE}/act --journal {errors}");
    trial.run(&[
        "systemd-run",
        "--quiet",
        "--wait",
        "--unit=emit",
        "sh",
        "-c",
        &emit,
    ])?;
    trial.wait_until("the entry is there", MOMENT, || {
        let argv = [
            "journalctl",
            "--output=json",
            "RENEWD_CERT=web",
            "RENEWD_STEP=reload",
        ];
        let entry = trial.run(&argv)?;
        expect(!entry.trim().is_empty(), "an entry", "none")?;
        for field in [
            r#""MESSAGE_ID":"e94405a4c46948df858dbc4c12b43dbe""#,
            r#""RENEWD_UNIT":"nginx.service""#,
            r#""PRIORITY":"6""#,
        ] {
            let compact = entry.replace("\" : \"", "\":\"");
            expect(compact.contains(field), field, &entry)?;
        }
        Ok(())
    })
}
