//! `renewctl doctor` on a sound host, and on one with a fault of each kind.

use serde_json::Value;

use super::evidence::json;
use super::nginx;
use super::plain::unit;
use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[DOCTOR];

const DOCTOR: Scenario = Scenario {
    name: "doctor_is_silent_when_all_is_well_and_names_each_planted_fault_with_a_remedy",
    disk: Disk::Installed,
    fault: "the unit that cannot reload can",
    red: "cannot reload",
    run: doctor,
};

/// What is wrong with each, as check, subject, finding and remedy.
const PLANTED: &[[&str; 4]] = &[
    [
        "configuration in force",
        "sick",
        "the daemon does not know it",
        "systemctl reload renewd",
    ],
    [
        "polkit rule",
        "50-renewd.rules",
        "is stale",
        "renewctl apply",
    ],
    [
        "units",
        "sick.toml:2",
        "umbrella.service only stands for other units",
        "umbrella@INSTANCE.service",
    ],
    [
        "units",
        "sick.toml:3",
        "rigid.service cannot reload",
        "restart",
    ],
    [
        "probe addresses",
        "tls://127.0.0.1:6666",
        "dead.service does not answer there",
        "sick.toml:4",
    ],
];

/// Findings of `doctor` that are more than notes.
fn findings(trial: &Trial) -> Result<Vec<Value>> {
    let told = trial.attempt(&["renewctl", "doctor", "--json"])?;
    let report = json(&told.stdout)?;
    let all = report["findings"].as_array().cloned().unwrap_or_default();
    let found: Vec<Value> = all
        .into_iter()
        .filter(|finding| finding["severity"] != "note")
        .collect();
    let errors = found.iter().any(|finding| finding["severity"] == "error");
    expect_equal("doctor's exit code", &Some(i32::from(errors)), &told.code)?;
    Ok(found)
}

fn doctor(trial: &mut Trial) -> Result<()> {
    // In a container nobody keeps the clock; this is the mark of somebody who does.
    trial.write("/run/systemd/timesync/synchronized", "")?;
    nginx::serve(trial, "24h")?;
    let well = findings(trial)?;
    expect(
        well.is_empty(),
        "silence when all is well",
        format_args!("{well:?}"),
    )?;

    let lasting = "[Service]\nExecStart=/bin/sleep infinity\n";
    let reloadable = "[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/true\n";
    let oneshot =
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecReload=/bin/true\n";
    unit(trial, "umbrella.service", oneshot)?;
    unit(trial, "rigid.service", trial.choose(lasting, reloadable))?;
    unit(trial, "dead.service", reloadable)?;
    trial.systemctl(&["start", "umbrella.service", "rigid.service", "dead.service"])?;
    trial.configure(
        "sick",
        "names = [\"sick.test\"]\n[unit.\"umbrella.service\"]\n[unit.\"rigid.service\"]\n[unit.\"dead.service\"]\nprobe = \"tls://127.0.0.1:6666\"\n",
    )?;
    let found = findings(trial)?;
    let told = trial.attempt(&["renewctl", "doctor"])?.stdout;
    for planted in PLANTED {
        let keys = ["check", "subject", "what", "remedy"];
        let is_it = |finding: &&Value| {
            let holds = |(key, part): (&&str, &&str)| {
                finding[*key]
                    .as_str()
                    .is_some_and(|text| text.contains(part))
            };
            keys.iter().zip(planted).all(holds)
        };
        expect(
            found.iter().any(|finding| is_it(&finding)),
            format_args!("a finding: {planted:?}"),
            format_args!("{found:?}"),
        )?;
        for part in planted {
            expect(
                told.contains(part),
                format_args!("{part} in the text"),
                &told,
            )?;
        }
    }
    expect_equal("findings", &PLANTED.len(), &found.len())
}
