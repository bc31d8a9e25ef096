//! The two Varlink interfaces, as zlink services. One object for each connection.
//!
//! Owns: the translation between Varlink calls and [`Daemon`]. Decides nothing but whether the caller
//! may. Neighbours: [`super::serve`] runs them, [`super::wire`] has their errors.

// What zlink's macro generates is public and bare; this module is private, so nobody sees it.
#![allow(missing_docs, unreachable_pub)]

use std::collections::BTreeSet;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::stream::{self, Stream, StreamExt};
use renewd_core::names::{CertificateName, IssuerName};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use zlink::Reply;
use zlink::introspect::Type;
use zlink::service;

use super::peer::gone;
use super::report::{
    CertificateDetail, CertificateStatus, ControlError, Daemon, GenerationVerdict, IssuerFinding,
    IssuerFindings, IssuerStatus, IssuersReport, ReloadReport, Revoked, StatusReport, Step,
    UnitDetail, UnitStatus,
};
use super::wire::{ControlFault, StatusFault};

/// The reply of `io.renewd.Status.Version`.
#[derive(Debug, Clone, Serialize, Deserialize, Type)]
pub struct VersionReply {
    /// The daemon's version.
    pub version: String,
}

/// The reply of `io.renewd.Status.CaRoot`.
#[derive(Debug, Clone, Serialize, Deserialize, Type)]
pub struct CaRootReply {
    /// The root certificates as PEM.
    pub pem: String,
}

/// A certificate's name as it came in; one that can be nobody's is unknown, not malformed.
fn certificate(name: String) -> Result<CertificateName, ControlError> {
    name.parse()
        .map_err(|_| ControlError::NoSuchCertificate(name))
}

fn issuer(name: String) -> Result<IssuerName, ControlError> {
    name.parse()
        .map_err(|_| ControlError::NoSuchIssuer(format!("there is no issuer named {name:?}")))
}

fn boxed<T>(replies: impl Stream<Item = T> + 'static) -> Pin<Box<dyn Stream<Item = T>>> {
    Box::pin(replies)
}

/// `io.renewd.Status`: reading, for everybody.
pub(super) struct StatusService {
    pub(super) daemon: Rc<dyn Daemon>,
    pub(super) stream: Arc<UnixStream>,
}

#[service(
    interface = "io.renewd.Status",
    vendor = "The renewd developers",
    product = "renewd",
    version = env!("CARGO_PKG_VERSION"),
    url = "https://renewd.io/",
    types = [CertificateStatus, UnitStatus, GenerationVerdict, UnitDetail, IssuerStatus]
)]
impl StatusService {
    /// The version of the running daemon.
    async fn version(&self) -> VersionReply {
        VersionReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// All certificates in brief.
    async fn status(&self) -> StatusReport {
        self.daemon.status()
    }

    /// One certificate in full.
    async fn show(&self, name: String) -> Result<CertificateDetail, StatusFault> {
        let name = certificate(name)?;
        self.daemon
            .show(&name)
            .ok_or(StatusFault::NoSuchCertificate {
                name: name.to_string(),
            })
    }

    /// The root certificates of a local issuer; without a name those of the only one.
    async fn ca_root(&self, issuer: Option<String>) -> Result<CaRootReply, StatusFault> {
        let issuer: Option<IssuerName> = issuer.map(self::issuer).transpose()?;
        let pem = self.daemon.ca_root(issuer.as_ref())?;
        Ok(CaRootReply { pem })
    }

    /// All issuers in brief.
    async fn issuers(&self) -> IssuersReport {
        self.daemon.issuers()
    }

    /// The status now, and then anew at every change.
    #[zlink(more)]
    async fn watch(&self, more: bool) -> impl Stream<Item = Reply<StatusReport>> + Unpin {
        let daemon = Rc::clone(&self.daemon);
        if !more {
            let now = Reply::new(Some(daemon.status())).set_continues(Some(false));
            return boxed(stream::iter([now]));
        }
        let mut changes = daemon.changes();
        changes.mark_changed();
        let reports = stream::unfold((daemon, changes), |(daemon, mut changes)| async move {
            changes.changed().await.ok()?;
            let report = Reply::new(Some(daemon.status())).set_continues(Some(true));
            Some((report, (daemon, changes)))
        });
        boxed(reports.take_until(Box::pin(gone(Arc::clone(&self.stream)))))
    }
}

/// `io.renewd.Control`: orders, for root, the daemon's own user and the administrators' group.
pub(super) struct ControlService {
    pub(super) daemon: Rc<dyn Daemon>,
    pub(super) stream: Arc<UnixStream>,
    pub(super) permitted: bool,
}

impl ControlService {
    fn permit(&self) -> Result<(), ControlFault> {
        if self.permitted {
            Ok(())
        } else {
            Err(ControlFault::PermissionDenied)
        }
    }

    fn begin(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<mpsc::UnboundedReceiver<Step>, ControlFault> {
        self.permit()?;
        let names = names
            .iter()
            .map(|name| certificate(name.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() {
            let message = "name at least one certificate".to_owned();
            return Err(ControlFault::Failed { message });
        }
        Ok(self.daemon.renew(names)?)
    }
}

#[service(
    interface = "io.renewd.Control",
    vendor = "The renewd developers",
    product = "renewd",
    version = env!("CARGO_PKG_VERSION"),
    url = "https://renewd.io/",
    types = [IssuerFinding]
)]
impl ControlService {
    /// Issues the named certificates anew, now. With `more`, every step as it happens; else the first.
    #[zlink(more)]
    async fn renew(
        &self,
        more: bool,
        names: Vec<String>,
    ) -> impl Stream<Item = Result<Reply<Step>, ControlFault>> + Unpin {
        let unfinished: BTreeSet<String> = names.into_iter().collect();
        let mut steps = match self.begin(&unfinished) {
            Ok(steps) => steps,
            Err(fault) => return boxed(stream::iter([Err(fault)])),
        };
        if !more {
            let first = steps
                .recv()
                .await
                .map(|step| Ok(Reply::new(Some(step)).set_continues(Some(false))))
                .unwrap_or(Err(ControlFault::Stopping));
            return boxed(stream::iter([first]));
        }
        let replies = stream::unfold(Some((steps, unfinished)), |watching| async move {
            let (mut steps, mut unfinished) = watching?;
            let Some(step) = steps.recv().await else {
                // The steps ended before the certificates did.
                return Some((Err(ControlFault::Stopping), None));
            };
            if step.finished.is_some() {
                unfinished.remove(&step.certificate);
            }
            let last = unfinished.is_empty();
            let reply = Reply::new(Some(step)).set_continues(Some(!last));
            Some((Ok(reply), (!last).then_some((steps, unfinished))))
        });
        let gone = Box::pin(gone(Arc::clone(&self.stream)));
        boxed(replies.take_until(gone))
    }

    /// Reads the configuration again: all of it comes into force, or none.
    async fn reload(&self) -> Result<ReloadReport, ControlFault> {
        self.permit()?;
        self.daemon
            .reload()
            .await
            .map_err(|errors| ControlFault::ReloadRefused { errors })
    }

    /// Has the leaf of a generation revoked by its issuer; without a number that of the published one.
    async fn revoke(
        &self,
        name: String,
        generation: Option<u64>,
        reason: String,
    ) -> Result<Revoked, ControlFault> {
        self.permit()?;
        let name = certificate(name)?;
        Ok(self.daemon.revoke(name, generation, &reason).await?)
    }

    /// Looks at an issuer, without asking it for a certificate.
    async fn check_issuer(&self, name: String) -> Result<IssuerFindings, ControlFault> {
        self.permit()?;
        let name = issuer(name)?;
        Ok(self.daemon.check_issuer(&name).await?)
    }

    /// Gives an issuer's account another key.
    async fn rollover_issuer(&self, name: String) -> Result<(), ControlFault> {
        self.permit()?;
        let name = issuer(name)?;
        Ok(self.daemon.rollover_issuer(&name).await?)
    }

    /// Removes what is published and recorded of a certificate that has left the configuration.
    async fn forget(&self, name: String) -> Result<(), ControlFault> {
        self.permit()?;
        Ok(self.daemon.forget(certificate(name)?).await?)
    }
}
