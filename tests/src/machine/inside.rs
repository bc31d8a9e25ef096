//! The ways into a running machine: commands, files, and systemd's view of its units.
//!
//! Every one of them runs a program in the machine's namespaces, as root; [`Machine::from_outside`] in that of its network
//! only. Nothing here looks at the machine's disk from outside: what a scenario sees is what a process in there sees.

use std::time::Duration;

use super::{COMMAND, Machine};
use crate::failure::{Result, expect};
use crate::program::{Finished, run};

impl Machine {
    /// Runs a command in the machine, as root, and returns how it ended.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn attempt(&self, argv: &[&str]) -> Result<Finished> {
        self.attempt_with(argv, &[], COMMAND)
    }

    /// Runs a command that has to end well, and returns its standard output.
    ///
    /// # Errors
    /// When it did not.
    pub fn run(&self, argv: &[&str]) -> Result<String> {
        self.attempt(argv)?.success()
    }

    /// Runs a shell script that has to end well (`sh -eu`), and returns its standard output.
    ///
    /// # Errors
    /// When it did not.
    pub fn shell(&self, script: &str) -> Result<String> {
        self.run(&["sh", "-euc", script])
    }

    /// Runs a command with the given standard input, under a deadline of its own.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn attempt_with(&self, argv: &[&str], input: &[u8], within: Duration) -> Result<Finished> {
        let init = self.process.init.to_string();
        let enter = [
            "nsenter",
            "--target",
            &init,
            "--all",
            "--",
            "env",
            "-i",
            "LC_ALL=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive",
        ];
        let path = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=dumb",
            "HOME=/root",
        ];
        let finished = run(&[&enter[..], &path, argv].concat(), input, within)?;
        Ok(Finished {
            command: argv.join(" "),
            ..finished
        })
    }

    /// Runs a program of the host, as root, that sees the machine's network and nothing else of it.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn from_outside(&self, argv: &[&str]) -> Result<Finished> {
        let network = format!("--net=/proc/{}/ns/net", self.process.init);
        run(&[&["nsenter", &network, "--"], argv].concat(), &[], COMMAND)
    }

    /// Writes a file (mode 0644, directories as needed). The machine sees it change at once, and never half of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let script = r#"umask 022; mkdir -p "${1%/*}"; cat > "$1.written"; mv "$1.written" "$1""#;
        self.attempt_with(
            &["sh", "-euc", script, "write", path],
            text.as_bytes(),
            COMMAND,
        )?
        .success()
        .map(drop)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> Result<String> {
        self.run(&["cat", path])
    }

    /// Whether something is at a path; a link that points nowhere is something.
    ///
    /// # Errors
    /// When the machine cannot be asked.
    pub fn exists(&self, path: &str) -> Result<bool> {
        Ok(self
            .attempt(&["sh", "-c", r#"[ -e "$1" ] || [ -L "$1" ]"#, "exists", path])?
            .succeeded())
    }

    /// Runs `systemctl` with these arguments; it has to end well.
    ///
    /// # Errors
    /// When it did not.
    pub fn systemctl(&self, arguments: &[&str]) -> Result<String> {
        self.run(&[&["systemctl"], arguments].concat())
    }

    /// Writes a drop-in for a unit, and has systemd load it.
    ///
    /// # Errors
    /// When systemd cannot load it.
    pub fn drop_in(&self, unit: &str, text: &str) -> Result<()> {
        self.write(&format!("/etc/systemd/system/{unit}.d/scenario.conf"), text)?;
        self.systemctl(&["daemon-reload"]).map(drop)
    }

    /// One property of a unit, as `systemctl show` prints it.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    pub fn unit_property(&self, unit: &str, property: &str) -> Result<String> {
        Ok(self
            .systemctl(&["show", "--value", "--property", property, unit])?
            .trim()
            .to_owned())
    }

    /// Fails unless a unit is in this state (`active`, `inactive`, `failed` …).
    ///
    /// # Errors
    /// When it is in another.
    pub fn expect_unit(&self, unit: &str, state: &str) -> Result<()> {
        let found = self.unit_property(unit, "ActiveState")?;
        expect(found == state, format_args!("{unit} is {state}"), found)
    }
}
