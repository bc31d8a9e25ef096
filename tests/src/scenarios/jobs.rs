//! What the daemon makes of systemd's answers: every result of a job, each while another job is under way on that
//! unit, and every way in which systemd, polkit or the bus can refuse.
//!
//! `act` (`agent/examples/act.rs`) tells one unit to act by the daemon's own code and prints what came of it. The
//! units' commands wait at gates, so that what happens in which order is the scenario's choice, not the clock's.

use std::thread;
use std::time::Duration;

use crate::failure::{Result, expect, expect_equal};
use crate::machine::Machine;
use crate::packages::IN_MACHINE;
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[RESULTS, RUN_ANEW, REFUSALS, SHUTDOWN, POLKIT, BUS, JOURNAL];

/// What a single act may take.
const ACT: Duration = Duration::from_secs(50);
/// What systemd needs for anything but an act.
const MOMENT: Duration = Duration::from_secs(20);

/// `turn NAME CODE…`: waits at its gate; its n-th run ends with the n-th code.
const TURN: &str = r#"#!/bin/sh
name=$1
echo run >> "/run/$name.runs"
until [ -e "/run/$name.gate" ]; do sleep 0.05; done
shift "$(wc -l < "/run/$name.runs")"
exit "$1"
"#;

fn prepare(machine: &Machine) -> Result<()> {
    machine.write("/usr/local/bin/turn", TURN)?;
    machine.run(&["chmod", "0755", "/usr/local/bin/turn"])?;
    machine
        .shell("useradd --system --no-create-home renewd")
        .map(drop)
}

fn unit(machine: &Machine, name: &str, text: &str) -> Result<()> {
    machine.write(&format!("/etc/systemd/system/{name}.service"), text)?;
    machine.systemctl(&["daemon-reload"]).map(drop)
}

/// A running service whose reloads are turns.
fn service(machine: &Machine, name: &str, codes: &str, more: &str) -> Result<()> {
    let text = format!(
        "[Unit]\n{more}\n[Service]\nExecStart=/bin/sleep infinity\nExecReload=/usr/local/bin/turn {name} {codes}\n"
    );
    unit(machine, name, &text)?;
    machine.systemctl(&["start", name]).map(drop)
}

fn open(machine: &Machine, name: &str) -> Result<()> {
    machine.shell(&format!("touch /run/{name}.gate")).map(drop)
}

/// What became of telling a unit, as JSON. What it says on the way is in `/run/UNIT.log`.
fn act(machine: &Machine, unit: &str, verb: &str) -> Result<String> {
    let script =
        format!("RENEWD_LOG=renewd=debug {IN_MACHINE}/act \"$1\" \"$2\" 40s 2> \"/run/$1.log\"");
    let argv = ["sh", "-euc", &script, "act", unit, verb];
    let text = machine.attempt_with(&argv, &[], ACT)?.success()?;
    Ok(text.trim().to_owned())
}

/// Lets somebody else's job on the unit begin, then tells the unit, and lets `then` happen once systemd took the
/// request; what became of ours.
fn act_beside(
    trial: &Trial,
    name: &str,
    verb: &str,
    then: impl FnOnce(&Machine) -> Result<()>,
) -> Result<String> {
    let unit = format!("{name}.service");
    trial.systemctl(&["--no-block", verb, &unit])?;
    trial.wait_until(
        &format!("the other job on {unit} is under way"),
        MOMENT,
        || {
            let jobs = trial.systemctl(&["list-jobs", "--plain", "--no-legend"])?;
            expect(jobs.contains(&unit), format_args!("a job on {unit}"), jobs)?;
            expect(
                trial.count_lines(&format!("/run/{name}.runs"))? == 1,
                "its first run",
                "none",
            )
        },
    )?;
    let machine: &Machine = trial;
    thread::scope(|scope| {
        let ours = scope.spawn(|| act(machine, &unit, verb));
        let log = format!("/run/{unit}.log");
        trial.wait_until(
            &format!("systemd took the request for {unit}"),
            MOMENT,
            || {
                let text = trial.read(&log)?;
                expect(text.contains("waiting for the job"), "a job of ours", text)
            },
        )?;
        then(machine)?;
        ours.join().expect("the act does not panic")
    })
}

const RESULTS: Scenario = Scenario {
    name: "each_result_of_a_job_is_told_while_another_job_is_under_way_on_the_unit",
    disk: Disk::Bare,
    fault: "the reload that has to succeed fails",
    red: "the outcome of done.service",
    run: results,
};

fn results(trial: &mut Trial) -> Result<()> {
    prepare(trial)?;
    let expect_outcome = |name: &str, found: &str| {
        let unit = format!("the outcome of {name}.service");
        expect_equal(&unit, &format!(r#"{{"job":"{name}"}}"#), &found.to_owned())
    };
    // The other's reload fails, and ours does not: each has its own result.
    service(trial, "done", trial.choose("1 0", "1 1"), "")?;
    let found = act_beside(trial, "done", "reload", |machine| open(machine, "done"))?;
    expect_outcome("done", &found)?;

    service(trial, "failed", "0 1", "")?;
    let found = act_beside(trial, "failed", "reload", |machine| open(machine, "failed"))?;
    expect_outcome("failed", &found)?;

    service(trial, "timeout", "0 0", "JobRunningTimeoutSec=3")?;
    let found = act_beside(trial, "timeout", "reload", |_| Ok(()))?;
    expect_outcome("timeout", &found)?;

    service(trial, "canceled", "0 0", "")?;
    let found = act_beside(trial, "canceled", "reload", |machine| {
        machine.systemctl(&["stop", "canceled.service"]).map(drop)
    })?;
    expect_outcome("canceled", &found)?;

    // It waits for another, whose run is the first that is seen, and which fails.
    let oneshot = "[Service]\nType=oneshot\nExecStart=";
    unit(
        trial,
        "needed",
        &format!("{oneshot}/usr/local/bin/turn dependency 1\n"),
    )?;
    let needs = "[Unit]\nRequires=needed.service\nAfter=needed.service\n";
    unit(trial, "dependency", &format!("{needs}{oneshot}/bin/true\n"))?;
    let found = act_beside(trial, "dependency", "start", |machine| {
        open(machine, "dependency")
    })?;
    expect_outcome("dependency", &found)?;

    // It can no longer reload when the turn of our reload comes.
    service(trial, "skipped", "0 0", "")?;
    let found = act_beside(trial, "skipped", "reload", |machine| {
        machine.shell("sed -i /ExecReload/d /etc/systemd/system/skipped.service")?;
        machine.systemctl(&["daemon-reload"])?;
        open(machine, "skipped")
    })?;
    expect_outcome("skipped", &found)
}

const RUN_ANEW: Scenario = Scenario {
    name: "a_run_that_began_before_the_request_does_not_count_for_it",
    disk: Disk::Bare,
    fault: "the unit fails when it runs a second time",
    red: "the outcome",
    run: run_anew,
};

fn run_anew(trial: &mut Trial) -> Result<()> {
    prepare(trial)?;
    let codes = trial.choose("0 0", "0 1");
    let text = format!("[Service]\nType=oneshot\nExecStart=/usr/local/bin/turn once {codes}\n");
    unit(trial, "once", &text)?;
    let found = act_beside(trial, "once", "start", |machine| open(machine, "once"))?;
    expect_equal("the outcome", &r#"{"job":"done"}"#, &found.as_str())?;
    expect_equal("the runs", &2, &trial.count_lines("/run/once.runs")?)?;

    // systemd itself does the same for reloads.
    service(trial, "again", "0 0", "")?;
    let found = act_beside(trial, "again", "reload", |machine| open(machine, "again"))?;
    expect_equal("the outcome", &r#"{"job":"done"}"#, &found.as_str())?;
    expect_equal("the reloads", &2, &trial.count_lines("/run/again.runs")?)
}

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
