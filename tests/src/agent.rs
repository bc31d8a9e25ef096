//! renewd as an operator meets it: its command line, its files and its units, on a [`Machine`].
//!
//! Owns the words in which scenarios speak of certificates. It knows renewd only from outside; what is served it asks
//! OpenSSL, and what was issued it counts in the certificate authority's own log, never in what renewd says.

use std::time::Duration;

use serde::Deserialize;

use crate::failure::{Failure, Result, expect, expect_equal};
use crate::machine::Machine;
use crate::program::Finished;
use crate::scenario::Trial;

/// The daemon's unit.
pub const RENEWD: &str = "renewd.service";
/// Long enough for an issuance, a reload and its proof on a loaded host.
pub const PROOF: Duration = Duration::from_secs(45);

const ISSUED: &str = "/var/lib/renewd/store/issuer/internal/issued.log";

/// What `renewctl status --json` says about one certificate, as far as scenarios ask.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// The certificate's name.
    pub name: String,
    /// Where its supply and activation stand.
    pub state: String,
    /// The published generation; absent before the first.
    pub generation: Option<u64>,
    /// The published leaf's serial.
    pub serial: Option<String>,
    /// Why the last step failed.
    pub last_error: Option<String>,
    /// Its dependents.
    pub units: Vec<Unit>,
}

/// One dependent's entry in [`Status`].
#[derive(Debug, Clone, Deserialize)]
pub struct Unit {
    /// The unit's name.
    pub unit: String,
    /// What is known of it.
    pub proof: String,
    /// Why the proof failed.
    pub reason: Option<String>,
    /// The serial that the last handshake showed.
    pub served_serial: Option<String>,
}

#[derive(Deserialize)]
struct Report {
    certificates: Vec<Status>,
}

/// Where a certificate's published files are.
#[must_use]
pub fn published(certificate: &str, file: &str) -> String {
    format!("/var/lib/renewd/certs/{certificate}/{file}")
}

impl Machine {
    /// Writes a certificate's configuration, which the daemon does not see before a reload.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, certificate: &str, text: &str) -> Result<()> {
        self.write(&format!("/etc/renewd/certs.d/{certificate}.toml"), text)
    }

    /// Has the daemon take up its configuration.
    ///
    /// # Errors
    /// When it is refused.
    pub fn reload_renewd(&self) -> Result<()> {
        self.systemctl(&["reload", RENEWD]).map(drop)
    }

    /// A certificate's status.
    ///
    /// # Errors
    /// When the daemon does not answer, or does not know the certificate.
    pub fn status(&self, certificate: &str) -> Result<Status> {
        let text = self.run(&["renewctl", "status", "--json"])?;
        let report: Report = serde_json::from_str(&text).map_err(|error| Failure::Expectation {
            expected: "the documented JSON of `renewctl status`".to_owned(),
            found: format!("{error} in {text}"),
        })?;
        let found = report
            .certificates
            .into_iter()
            .find(|status| status.name == certificate);
        found.ok_or_else(|| Failure::Expectation {
            expected: format!("{certificate} in the status"),
            found: text,
        })
    }

    /// Has a certificate renewed, and awaits the outcome; how it ended is for the caller to judge.
    ///
    /// # Errors
    /// When the command could not be started.
    pub fn renew(&self, certificates: &[&str]) -> Result<Finished> {
        let argv = [&["renewctl", "renew"], certificates, &["--wait"]].concat();
        self.attempt_with(&argv, &[], 2 * PROOF)
    }

    /// How many certificates with this name on them the local authority has issued.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn issuances(&self, name: &str) -> Result<usize> {
        // A line: time, serial, end of life, names.
        let log = self.read(ISSUED)?;
        Ok(log
            .lines()
            .filter(|line| line.split([' ', ',']).skip(3).any(|word| word == name))
            .count())
    }

    /// Fails unless the local authority has issued exactly so many certificates with this name.
    ///
    /// # Errors
    /// When it has issued more or fewer.
    pub fn expect_issuances(&self, name: &str, count: usize) -> Result<()> {
        expect_equal(
            &format!("issuances for {name} at the authority"),
            &count,
            &self.issuances(name)?,
        )
    }

    /// The serial of the published leaf, read from its file.
    ///
    /// # Errors
    /// When nothing is published.
    pub fn published_serial(&self, certificate: &str) -> Result<String> {
        self.run(&[
            "openssl",
            "x509",
            "-noout",
            "-serial",
            "-in",
            &published(certificate, "cert.pem"),
        ])
        .map(|line| serial(&line))
    }

    /// The serial of the leaf that is served at an address.
    ///
    /// # Errors
    /// When no handshake is possible.
    pub fn served_serial(&self, address: &str) -> Result<String> {
        // Only the server's part counts: one that demands a client certificate is read as well.
        let script =
            "openssl s_client -connect \"$1\" </dev/null 2>/dev/null | openssl x509 -noout -serial";
        self.run(&["sh", "-c", script, "served", address])
            .map(|line| serial(&line))
    }

    /// Fails unless the leaf with this serial is both published and served.
    ///
    /// # Errors
    /// When another one is.
    pub fn expect_in_use(&self, certificate: &str, address: &str, serial: &str) -> Result<()> {
        let (published, served) = (
            self.published_serial(certificate)?,
            self.served_serial(address)?,
        );
        expect(
            published == serial,
            format_args!("{serial} published for {certificate}"),
            &published,
        )?;
        expect(
            served == serial,
            format_args!("{serial} served at {address}"),
            &served,
        )
    }

    /// A file with one line for each event that a unit of a scenario writes down.
    ///
    /// # Errors
    /// When the machine cannot be asked.
    pub fn count_lines(&self, path: &str) -> Result<usize> {
        if self.exists(path)? {
            Ok(self.read(path)?.lines().count())
        } else {
            Ok(0)
        }
    }
}

impl Trial {
    /// Waits until a dependent's proof of the published generation is the one given, and returns the status.
    ///
    /// # Errors
    /// When it does not become so in time.
    pub fn await_proof(&self, certificate: &str, unit: &str, proof: &str) -> Result<Status> {
        self.wait_until(
            &format!("{certificate} is {proof} by {unit}"),
            PROOF,
            || {
                let status = self.status(certificate)?;
                let found = status.units.iter().find(|entry| entry.unit == unit);
                let found = found.map_or("nothing", |entry| entry.proof.as_str());
                expect(
                    found == proof,
                    format_args!("{proof} by {unit}"),
                    format_args!("{found} in {status:?}"),
                )?;
                Ok(status)
            },
        )
    }

    /// Waits until the published leaf is another one than that with this serial, and returns the new one's.
    ///
    /// # Errors
    /// When it does not become so in time.
    pub fn await_published_after(&self, certificate: &str, previous: &str) -> Result<String> {
        self.wait_until(&format!("{certificate} is published anew"), PROOF, || {
            let serial = self.published_serial(certificate)?;
            expect(serial != previous, "a new leaf", &serial).map(|()| serial)
        })
    }
}

/// `serial=0AB1` as OpenSSL prints it, in the one form that all are compared in.
fn serial(line: &str) -> String {
    line.trim()
        .trim_start_matches("serial=")
        .to_ascii_lowercase()
        .trim_start_matches('0')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_compared_without_case_and_leading_zeros() {
        assert_eq!(serial("serial=0AB1\n"), "ab1");
    }

    #[test]
    fn the_documented_status_is_understood() {
        let text = r#"{"certificates":[{"name":"api","state":"fresh","generation":2,"serial":"ab","not_before":"2026-11-21T00:00:00Z",
            "not_after":"2026-11-22T00:00:00Z","next_renewal":"2026-11-21T16:00:00Z","last_error":null,
            "units":[{"unit":"nginx.service","proof":"served","reason":null,"served_serial":"ab","since":"2026-11-21T00:00:01Z"}]}]}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(report.certificates[0].units[0].proof, "served");
    }
}
