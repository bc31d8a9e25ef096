//! What renewd says of itself through `renewctl`, and the sample API through `/healthz`.
//!
//! It must never take an answer for granted: each has a deadline, and each field is checked. Its
//! neighbour is [`super::verdict`], which weighs what is read here against what callers saw.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::DemoError;
use super::place::{Place, io};
use super::process::{Process, Programs, guarded};

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(50);
/// `renewctl status` only reads.
const STATUS_DEADLINE: Duration = Duration::from_secs(5);

/// Runs `renewctl` against the demo's daemon.
pub(super) struct Control {
    renewctl: PathBuf,
    directories: Vec<OsString>,
    no_bus: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Status {
    certificates: Vec<Certificate>,
}

/// A certificate as `renewctl status --json` shows it, as far as the demo looks.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Certificate {
    name: String,
    #[serde(deserialize_with = "or_zero")]
    pub(super) generation: u64,
    #[serde(deserialize_with = "or_empty")]
    pub(super) serial: String,
    last_error: Option<String>,
    units: Vec<Unit>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Unit {
    unit: String,
    proof: String,
    reason: Option<String>,
    served_serial: Option<String>,
}

impl Control {
    pub(super) fn new(programs: &Programs, place: &Place) -> Self {
        Self {
            renewctl: programs.renewctl.clone(),
            directories: place.daemon_arguments(),
            no_bus: place.no_bus(),
        }
    }

    /// Waits until `name` has been published for the first time.
    pub(super) async fn until_published(
        &self,
        name: &str,
        end: Instant,
        daemon: &mut Process,
    ) -> Result<(), DemoError> {
        let begun = Instant::now();
        loop {
            daemon.check()?;
            let left = end.saturating_duration_since(Instant::now());
            let said = match timeout(left, self.run(&["wait", name])).await {
                Ok(output) => output?,
                Err(_) => {
                    let what = format!("the first publication of {name}");
                    let after = Duration::from_secs(begun.elapsed().as_secs());
                    return Err(DemoError::Late { what, after });
                }
            };
            if said.status.success() {
                return Ok(());
            }
            // The daemon's socket may not be there yet.
            tokio::time::sleep(LOOK.min(left)).await;
        }
    }

    /// Waits until every unit of `name` is proven to serve it.
    pub(super) async fn until_served(
        &self,
        name: &str,
        deadline: Duration,
    ) -> Result<Certificate, DemoError> {
        let end = Instant::now() + deadline;
        loop {
            // The files may be there before the daemon's socket is.
            let complaint = match self.status(name).await {
                Ok(now) => match now.complaint(&Certificate::default()) {
                    None => return Ok(now),
                    Some(complaint) => complaint,
                },
                Err(error) => error.to_string(),
            };
            if Instant::now() >= end {
                let what = format!("the proof of {name}'s first certificate: {complaint}");
                return Err(DemoError::Late {
                    what,
                    after: deadline,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Forces a renewal and awaits its proof; the inner error says why there is none.
    pub(super) async fn renew(
        &self,
        name: &str,
        deadline: Duration,
    ) -> Result<Result<(), String>, DemoError> {
        let Ok(output) = timeout(deadline, self.run(&["renew", name, "--wait"])).await else {
            return Ok(Err(format!(
                "`renewctl renew {name} --wait` took over {deadline:?}"
            )));
        };
        let output = output?;
        if output.status.success() {
            return Ok(Ok(()));
        }
        let first = first_line(&output.stderr).or_else(|| first_line(&output.stdout));
        let said = first.unwrap_or_else(|| "it said nothing".to_owned());
        Ok(Err(format!(
            "`renewctl renew {name} --wait` failed ({}): {said}",
            output.status
        )))
    }

    pub(super) async fn status(&self, name: &str) -> Result<Certificate, DemoError> {
        let output = timeout(STATUS_DEADLINE, self.run(&["status", "--json"])).await;
        let Ok(output) = output else {
            let what = "`renewctl status --json`".to_owned();
            return Err(DemoError::Late {
                what,
                after: STATUS_DEADLINE,
            });
        };
        let output = output?;
        let refuse = |why| DemoError::Status { why };
        if !output.status.success() {
            let said = first_line(&output.stderr).unwrap_or_default();
            return Err(refuse(format!("failed ({}): {said}", output.status)));
        }
        let status: Status = serde_json::from_slice(&output.stdout)
            .map_err(|error| refuse(format!("printed what cannot be understood: {error}")))?;
        let mut certificates = status.certificates.into_iter();
        certificates
            .find(|certificate| certificate.name == name)
            .ok_or_else(|| refuse(format!("does not know {name}")))
    }

    async fn run(&self, arguments: &[&str]) -> Result<Output, DemoError> {
        let output = guarded(&self.renewctl, &self.no_bus)?
            .args(&self.directories)
            .args(arguments)
            .output()
            .await;
        output.map_err(|source| io("run", &self.renewctl, source))
    }
}

impl Certificate {
    /// Why this is no proven rotation of `before`; `None` if it is one.
    pub(super) fn complaint(&self, before: &Self) -> Option<String> {
        let because = |what: String| {
            let error = self
                .last_error
                .as_deref()
                .map(|error| format!(" ({error})"));
            Some(what + &error.unwrap_or_default())
        };
        if self.generation <= before.generation {
            return because(format!("generation {} did not rise", self.generation));
        }
        if normal(&self.serial) == normal(&before.serial) {
            // What a revert looks like: a new generation of the previous identity.
            return because(format!("serial {} did not change", self.serial));
        }
        if self.units.is_empty() {
            return because("no unit is shown".to_owned());
        }
        for unit in &self.units {
            if unit.proof != "served" {
                let reason = unit.reason.as_deref().map(|reason| format!(", {reason}"));
                let reason = reason.unwrap_or_default();
                return because(format!("{}: {}{reason}", unit.unit, unit.proof));
            }
            if unit
                .served_serial
                .as_deref()
                .is_some_and(|served| !self.has_serial(served))
            {
                return because(format!("{} serves another serial", unit.unit));
            }
        }
        None
    }

    pub(super) fn has_serial(&self, serial: &str) -> bool {
        normal(&self.serial) == normal(serial)
    }
}

/// Waits until the sample API says that it is healthy.
pub(super) async fn until_healthy(
    address: SocketAddr,
    deadline: Duration,
    api: &mut Process,
) -> Result<(), DemoError> {
    let end = Instant::now() + deadline;
    loop {
        api.check()?;
        if let Ok(Some(StatusCode::OK)) = timeout(deadline, health(address)).await {
            return Ok(());
        }
        if Instant::now() >= end {
            let what = format!("http://{address}/healthz to answer 200");
            return Err(DemoError::Late {
                what,
                after: deadline,
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn health(address: SocketAddr) -> Option<StatusCode> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .ok()?;
    let request = Request::get("/healthz").header("host", address.to_string());
    let request = request.body(Empty::<Bytes>::new()).ok()?;
    tokio::select! {
        _ = connection => None,
        answer = sender.send_request(request) => Some(answer.ok()?.status()),
    }
}

/// Serials are compared as numbers: DER's sign byte is no part of them.
fn normal(serial: &str) -> &str {
    serial.trim_start_matches('0')
}

/// The error itself; what may follow it is advice to an operator.
fn first_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| !line.is_empty()).map(str::to_owned)
}

fn or_zero<'de, D: serde::Deserializer<'de>>(value: D) -> Result<u64, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

fn or_empty<'de, D: serde::Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}
