//! What every other scenario stands on: a machine boots, reboots and tells the truth about its units.

use crate::failure::{Result, expect, expect_equal};
use crate::scenario::{Disk, Scenario, Trial};

pub(super) const ALL: &[Scenario] = &[BOOT, REBOOT];

const BOOT: Scenario = Scenario {
    name: "a_machine_boots_without_a_failed_unit_and_runs_a_new_one",
    disk: Disk::Bare,
    fault: "a unit that fails",
    red: "no failed unit",
    run: boot,
};

fn boot(trial: &mut Trial) -> Result<()> {
    let program = trial.choose("/bin/true", "/bin/false");
    trial.write(
        "/etc/systemd/system/trivial.service",
        &format!("[Service]\nType=oneshot\nExecStart={program}\nRemainAfterExit=yes\n"),
    )?;
    trial.systemctl(&["daemon-reload"])?;
    trial.attempt(&["systemctl", "start", "trivial.service"])?;
    let failed = trial.systemctl(&["list-units", "--failed", "--plain", "--no-legend"])?;
    expect(failed.is_empty(), "no failed unit", failed)?;
    trial.expect_unit("trivial.service", "active")?;
    expect_equal(
        "the state of the system",
        &"running\n".to_owned(),
        &trial.systemctl(&["is-system-running"])?,
    )
}

const REBOOT: Scenario = Scenario {
    name: "a_machine_keeps_its_disk_over_a_reboot_and_its_journal_after_power_off",
    disk: Disk::Bare,
    fault: "the file is removed before the reboot",
    red: "the file survives",
    run: reboot,
};

fn reboot(trial: &mut Trial) -> Result<()> {
    let before = trial.read("/proc/sys/kernel/random/boot_id")?;
    trial.write("/var/kept", "kept")?;
    trial.run(&["logger", "written before the reboot"])?;
    trial.sabotage(|machine| machine.run(&["rm", "/var/kept"]).map(drop))?;
    trial.reboot()?;
    expect(
        trial.exists("/var/kept")?,
        "the file survives the reboot",
        "nothing",
    )?;
    let after = trial.read("/proc/sys/kernel/random/boot_id")?;
    expect(after != before, "another boot", after)?;
    trial.power_off()?;
    let journal = trial.journal();
    expect(
        journal.contains("written before the reboot"),
        "the journal of both boots",
        journal,
    )
}
