//! Asks the daemon over its sockets.
//!
//! Owns: connecting, deadlines, and saying in one error what was wrong. Never prints, never retries:
//! that is the command's business. Neighbour: [`super::service`] is the other end.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt};
use tokio::time::timeout;
use zlink::tokio::unix::{self, Connection};

use super::listen::{CONTROL_SOCKET, STATUS_SOCKET};
use super::report::{
    CertificateDetail, IssuerFindings, IssuersReport, ReloadReport, Revoked, StatusReport, Step,
};
use super::service::{CaRootReply, VersionReply};
use super::wire::{ControlFault, StatusFault};

/// How long the daemon may take for an answer that it has in memory.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a reload of the configuration may take: it resolves names and asks systemd.
const RELOAD_PATIENCE: Duration = Duration::from_secs(90);
/// How long an issuer may take: its own deadlines are shorter.
const ISSUER_PATIENCE: Duration = Duration::from_secs(180);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("renewd does not answer at {path}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket's mode or the daemon refused the caller.
    #[error("you may not use {path}")]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon hung up: it stopped, or has too many callers.
    #[error("renewd closed the connection at {path}")]
    Closed {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon takes too long.
    #[error("renewd did not answer at {path} within {seconds} s")]
    Late {
        /// The socket.
        path: PathBuf,
        /// The patience that ran out.
        seconds: u64,
    },
    /// The answer makes no sense: another version, or no renewd.
    #[error("{path} answered what this renewctl does not understand: {what}")]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// What was wrong with it.
        what: String,
    },
    /// The read-only interface refused.
    #[error("refused: {0:?}")]
    Status(StatusFault),
    /// The operator's interface refused.
    #[error("refused: {0:?}")]
    Control(ControlFault),
}

#[zlink::proxy("io.renewd.Status")]
trait StatusProxy {
    async fn version(&mut self) -> zlink::Result<Result<VersionReply, StatusFault>>;
    async fn status(&mut self) -> zlink::Result<Result<StatusReport, StatusFault>>;
    async fn show(&mut self, name: &str) -> zlink::Result<Result<CertificateDetail, StatusFault>>;
    async fn ca_root(
        &mut self,
        issuer: Option<&str>,
    ) -> zlink::Result<Result<CaRootReply, StatusFault>>;
    async fn issuers(&mut self) -> zlink::Result<Result<IssuersReport, StatusFault>>;
    #[zlink(more)]
    async fn watch(
        &mut self,
    ) -> zlink::Result<impl Stream<Item = zlink::Result<Result<StatusReport, StatusFault>>>>;
}

#[zlink::proxy("io.renewd.Control")]
trait ControlProxy {
    #[zlink(rename = "Renew")]
    async fn begin_renew(&mut self, names: &[String]) -> zlink::Result<Result<Step, ControlFault>>;
    #[zlink(more)]
    async fn renew(
        &mut self,
        names: &[String],
    ) -> zlink::Result<impl Stream<Item = zlink::Result<Result<Step, ControlFault>>>>;
    async fn reload(&mut self) -> zlink::Result<Result<ReloadReport, ControlFault>>;
    async fn forget(&mut self, name: &str) -> zlink::Result<Result<(), ControlFault>>;
    async fn revoke(
        &mut self,
        name: &str,
        generation: Option<u64>,
        reason: &str,
    ) -> zlink::Result<Result<Revoked, ControlFault>>;
    async fn rollover_issuer(&mut self, name: &str) -> zlink::Result<Result<(), ControlFault>>;
    async fn check_issuer(
        &mut self,
        name: &str,
    ) -> zlink::Result<Result<IssuerFindings, ControlFault>>;
}

/// A connection to the read-only socket.
#[derive(Debug)]
pub struct StatusClient(Line);

impl StatusClient {
    /// Connects to the daemon of that runtime directory.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`] or [`ClientError::Denied`].
    pub async fn connect(runtime: &Path) -> Result<Self, ClientError> {
        Line::open(runtime.join(STATUS_SOCKET)).await.map(Self)
    }

    /// The daemon's version.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`].
    pub async fn version(&mut self) -> Result<String, ClientError> {
        let answer = timeout(PATIENCE, self.0.connection.version()).await;
        let reply = within(&self.0.path, PATIENCE, answer)?;
        Ok(reply.map_err(ClientError::Status)?.version)
    }

    /// All certificates in brief.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`].
    pub async fn status(&mut self) -> Result<StatusReport, ClientError> {
        let answer = timeout(PATIENCE, self.0.connection.status()).await;
        within(&self.0.path, PATIENCE, answer)?.map_err(ClientError::Status)
    }

    /// One certificate in full.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`]; [`StatusFault::NoSuchCertificate`] in it.
    pub async fn show(&mut self, name: &str) -> Result<CertificateDetail, ClientError> {
        let answer = timeout(PATIENCE, self.0.connection.show(name)).await;
        within(&self.0.path, PATIENCE, answer)?.map_err(ClientError::Status)
    }

    /// The roots of a local issuer as PEM.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`]; [`StatusFault::NoSuchIssuer`] in it.
    pub async fn ca_root(&mut self, issuer: Option<&str>) -> Result<String, ClientError> {
        let answer = timeout(PATIENCE, self.0.connection.ca_root(issuer)).await;
        let reply = within(&self.0.path, PATIENCE, answer)?;
        Ok(reply.map_err(ClientError::Status)?.pem)
    }

    /// All issuers in brief.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`].
    pub async fn issuers(&mut self) -> Result<IssuersReport, ClientError> {
        let answer = timeout(PATIENCE, self.0.connection.issuers()).await;
        within(&self.0.path, PATIENCE, answer)?.map_err(ClientError::Status)
    }

    /// The status now, and then anew at every change. Without a deadline: the caller has one.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`], at once or from the stream; a stream that ends says [`ClientError::Closed`].
    pub async fn watch(
        &mut self,
    ) -> Result<impl Stream<Item = Result<StatusReport, ClientError>> + use<'_>, ClientError> {
        let path = self.0.path.clone();
        let reports = self.0.connection.watch().await;
        let reports = reports.map_err(|error| wrong(&path, error))?;
        Ok(reports.map(move |report| {
            report
                .map_err(|error| wrong(&path, error))?
                .map_err(ClientError::Status)
        }))
    }
}

/// A connection to the operator's socket.
#[derive(Debug)]
pub struct ControlClient(Line);

impl ControlClient {
    /// Connects to the daemon of that runtime directory.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`] or [`ClientError::Denied`].
    pub async fn connect(runtime: &Path) -> Result<Self, ClientError> {
        Line::open(runtime.join(CONTROL_SOCKET)).await.map(Self)
    }

    /// Begins to renew and returns the first step; the rest happens unwatched.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`].
    pub async fn begin_renew(&mut self, names: &[String]) -> Result<Step, ClientError> {
        let answer = timeout(PATIENCE, self.0.connection.begin_renew(names)).await;
        let reply = within(&self.0.path, PATIENCE, answer)?;
        reply.map_err(|fault| self.0.refusal(fault))
    }

    /// Renews and hands every step to `tell` as it happens, until each certificate has finished or
    /// `tell` fails. Without a deadline: a rotation takes what it takes.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`], or what `tell` returned.
    pub async fn renew<E: From<ClientError>>(
        &mut self,
        names: &[String],
        mut tell: impl FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.0.path.clone();
        let steps = self.0.connection.renew(names).await;
        let mut steps = Box::pin(steps.map_err(|error| wrong(&path, error))?);
        while let Some(step) = steps.next().await {
            let step = step
                .map_err(|error| wrong(&path, error))?
                .map_err(|fault| refusal(&path, fault))?;
            tell(step)?;
        }
        Ok(())
    }

    /// Has the daemon read its configuration again.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`]; [`ControlFault::ReloadRefused`] in it, with every fault found.
    pub async fn reload(&mut self) -> Result<ReloadReport, ClientError> {
        let answer = timeout(RELOAD_PATIENCE, self.0.connection.reload()).await;
        let reply = within(&self.0.path, RELOAD_PATIENCE, answer)?;
        reply.map_err(|fault| self.0.refusal(fault))
    }

    /// Has the issuer revoke the leaf of a generation; without a number that of the published one.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`]; [`ControlFault::Failed`] in it, with what the issuer said.
    pub async fn revoke(
        &mut self,
        name: &str,
        generation: Option<u64>,
        reason: &str,
    ) -> Result<Revoked, ClientError> {
        let asked = self.0.connection.revoke(name, generation, reason);
        let answer = timeout(ISSUER_PATIENCE, asked).await;
        let reply = within(&self.0.path, ISSUER_PATIENCE, answer)?;
        reply.map_err(|fault| self.0.refusal(fault))
    }

    /// Has the daemon give an issuer's account another key.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`]; [`ControlFault::NoSuchIssuer`] in it, or [`ControlFault::Failed`] with what the issuer said.
    pub async fn rollover_issuer(&mut self, name: &str) -> Result<(), ClientError> {
        let asked = self.0.connection.rollover_issuer(name);
        let answer = timeout(ISSUER_PATIENCE, asked).await;
        let reply = within(&self.0.path, ISSUER_PATIENCE, answer)?;
        reply.map_err(|fault| self.0.refusal(fault))
    }

    /// Has the daemon look at an issuer.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`]; [`ControlFault::NoSuchIssuer`] in it.
    pub async fn check_issuer(&mut self, name: &str) -> Result<IssuerFindings, ClientError> {
        let asked = self.0.connection.check_issuer(name);
        let answer = timeout(ISSUER_PATIENCE, asked).await;
        let reply = within(&self.0.path, ISSUER_PATIENCE, answer)?;
        reply.map_err(|fault| self.0.refusal(fault))
    }

    /// Has the daemon remove what is left of a certificate that is no longer configured.
    ///
    /// # Errors
    ///
    /// Any [`ClientError`]; [`ControlFault::StillConfigured`] in it.
    pub async fn forget(&mut self, name: &str) -> Result<(), ClientError> {
        let answer = timeout(PATIENCE, self.0.connection.forget(name)).await;
        let reply = within(&self.0.path, PATIENCE, answer)?;
        reply.map_err(|fault| self.0.refusal(fault))
    }
}

#[derive(Debug)]
struct Line {
    connection: Connection,
    path: PathBuf,
}

impl Line {
    async fn open(path: PathBuf) -> Result<Self, ClientError> {
        match timeout(PATIENCE, unix::connect(&path)).await {
            Ok(Ok(connection)) => Ok(Self { connection, path }),
            Ok(Err(zlink::Error::Io(source)))
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Err(ClientError::Denied { path })
            }
            Ok(Err(zlink::Error::Io(source))) => Err(ClientError::Unreachable { path, source }),
            Ok(Err(error)) => Err(wrong(&path, error)),
            Err(_) => Err(ClientError::Late {
                path,
                seconds: PATIENCE.as_secs(),
            }),
        }
    }

    fn refusal(&self, fault: ControlFault) -> ClientError {
        refusal(&self.path, fault)
    }
}

fn refusal(path: &Path, fault: ControlFault) -> ClientError {
    match fault {
        ControlFault::PermissionDenied => ClientError::Denied {
            path: path.to_owned(),
        },
        fault => ClientError::Control(fault),
    }
}

fn within<T>(
    path: &Path,
    patience: Duration,
    answer: Result<zlink::Result<T>, tokio::time::error::Elapsed>,
) -> Result<T, ClientError> {
    match answer {
        Ok(answer) => answer.map_err(|error| wrong(path, error)),
        Err(_) => Err(ClientError::Late {
            path: path.to_owned(),
            seconds: patience.as_secs(),
        }),
    }
}

fn wrong(path: &Path, error: zlink::Error) -> ClientError {
    let path = path.to_owned();
    match error {
        // A daemon that is gone or full shows as an end, a reset or a broken pipe, depending on timing.
        zlink::Error::UnexpectedEof | zlink::Error::Io(_) => ClientError::Closed { path },
        other => ClientError::Garbled {
            path,
            what: other.to_string(),
        },
    }
}
