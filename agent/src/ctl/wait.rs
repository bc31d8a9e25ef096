//! `wait NAME`: until the certificate has a published generation that is valid now.
//!
//! Owns: what counts as that. It is looked up on disk as well as asked of the daemon, since what is
//! published outlives the daemon: a unit that waits for its first certificate must start on a host
//! where renewd is masked. Neighbour: `renewd-wait@.service` runs this.

use std::pin::pin;
use std::time::Duration;

use futures_util::stream::StreamExt;
use jiff::Timestamp;
use renewd_core::names::CertificateName;
use tokio::time::{Instant, interval, sleep_until, timeout_at};

use super::Places;
use super::failure::{Code, Failure, no_such_certificate};
use super::output::Output;
use super::published;
use crate::control::client::{ClientError, StatusClient};
use crate::control::report::{CertificateStatus, StatusReport};

/// How often the disk is looked at, and a daemon that is not there yet is tried.
const LOOK: Duration = Duration::from_millis(500);

/// Waits for the certificate `name`, at most for `patience`.
pub(super) async fn wait(
    places: &Places,
    name: &CertificateName,
    patience: Duration,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let deadline = Instant::now() + patience;
    let mut waiting = Waiting {
        places,
        name,
        out,
        said: String::new(),
    };
    // Asked of the clock, too: an attempt that fails without waiting never meets its time limit.
    while Instant::now() < deadline {
        match timeout_at(deadline, waiting.once()).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => sleep_until((Instant::now() + LOOK).min(deadline)).await,
            Ok(Err(failure)) => return Err(failure),
            Err(_) => break,
        }
    }
    Err(Failure::new(
        Code::Temporary,
        format!(
            "certificate {name} has no published generation that is valid now, after {}: {}",
            humantime::format_duration(patience),
            waiting.said
        ),
        format!("\"renewctl show {name}\" and \"journalctl RENEWD_CERT={name}\" tell why"),
    ))
}

struct Waiting<'a, 'b> {
    places: &'a Places,
    name: &'a CertificateName,
    out: &'a mut Output<'b>,
    /// What was said last, so that nothing is said twice.
    said: String,
}

impl Waiting<'_, '_> {
    /// One attempt: true when the certificate is there, false when the daemon could not be asked.
    async fn once(&mut self) -> Result<bool, Failure> {
        if self.on_disk()? {
            return Ok(true);
        }
        match self.ask().await {
            Ok(there) => Ok(there),
            Err(Trouble::Final(failure)) => Err(failure),
            Err(Trouble::Passing(error)) => {
                let text = match error {
                    ClientError::Unreachable { source, path } => {
                        format!("renewd does not answer at {} ({source})", path.display())
                    }
                    other => other.to_string(),
                };
                self.say(&text)?;
                Ok(false)
            }
        }
    }

    async fn ask(&mut self) -> Result<bool, Trouble> {
        let mut client = StatusClient::connect(&self.places.runtime).await?;
        let mut reports = pin!(client.watch().await?);
        let mut look = interval(LOOK);
        let mut last: Option<StatusReport> = None;
        loop {
            tokio::select! {
                report = reports.next() => match report {
                    Some(report) => last = Some(report?),
                    None => return Ok(false),
                },
                // Time alone can make it valid, and the disk has its own say.
                _ = look.tick() => {
                    if self.on_disk()? {
                        return Ok(true);
                    }
                }
            }
            let Some(report) = &last else { continue };
            let own = report
                .certificates
                .iter()
                .find(|own| own.name == self.name.as_str())
                .ok_or_else(|| Trouble::Final(no_such_certificate(self.name.as_str())))?;
            if valid_now(own) {
                return Ok(true);
            }
            self.say(&lacking(own))?;
        }
    }

    fn on_disk(&mut self) -> Result<bool, Failure> {
        // If this user may not read it, the daemon is asked.
        Ok(
            published::published(&self.places.state, self.name).is_ok_and(|published| {
                let now = Timestamp::now();
                published.leaf.not_before <= now && now < published.end.at
            }),
        )
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        if self.said != text {
            self.out
                .line(&format!("waiting for certificate {}: {text}", self.name))?;
            self.said = text.to_owned();
        }
        Ok(())
    }
}

enum Trouble {
    /// Waiting may help.
    Passing(ClientError),
    /// It will not.
    Final(Failure),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Passing(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}

fn valid_now(own: &CertificateStatus) -> bool {
    let now = Timestamp::now();
    own.generation.is_some()
        && own.not_before.is_some_and(|at| at.0 <= now)
        && own.not_after.is_some_and(|at| now < at.0)
}

fn lacking(own: &CertificateStatus) -> String {
    let what = match (own.generation, own.not_after) {
        (None, _) => "nothing is published yet".to_owned(),
        (Some(number), Some(at)) if at.0 <= Timestamp::now() => {
            format!("generation {number} has expired at {at}")
        }
        (Some(number), _) => format!("generation {number} is not valid yet"),
    };
    match &own.last_error {
        Some(error) => format!("{what}; {}; {error}", own.state),
        None => format!("{what}; {}", own.state),
    }
}
