//! The stand-in for the driver, and a server that runs it in a thread.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::{SignedDuration, Timestamp};
use renewd::control::report::{
    CertificateDetail, CertificateStatus, GenerationVerdict, IssuerFinding, IssuerFindings,
    IssuerStatus, IssuersReport, ReloadReport, Revoked, StatusReport, Step, UnitDetail, UnitStatus,
};
use renewd::control::{self, ControlError, Daemon, Limits};
use renewd_core::names::{CertificateName, IssuerName};
use tokio::sync::{mpsc, oneshot, watch};

/// What a test scripts, and what was asked of the daemon.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) status: Arc<Mutex<StatusReport>>,
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) steps: Arc<Mutex<Option<mpsc::UnboundedReceiver<Step>>>>,
    pub(crate) reload: Arc<Mutex<Result<ReloadReport, Vec<String>>>>,
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let certificates = vec![served("api"), unpublished("web")];
        Self {
            status: Arc::new(Mutex::new(StatusReport { certificates })),
            changes: watch::Sender::new(0),
            steps: Arc::default(),
            reload: Arc::new(Mutex::new(Ok(ReloadReport::default()))),
            asked: Arc::default(),
        }
    }

    /// Puts another status in force.
    pub(crate) fn becomes(&self, certificates: Vec<CertificateStatus>) {
        *self.status.lock().unwrap() = StatusReport { certificates };
        self.changes.send_modify(|count| *count += 1);
    }

    /// Where the steps of the next renewal come from.
    pub(crate) fn script(&self) -> mpsc::UnboundedSender<Step> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.steps.lock().unwrap() = Some(receiver);
        sender
    }

    fn asked(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

impl Daemon for Fake {
    fn status(&self) -> StatusReport {
        self.status.lock().unwrap().clone()
    }

    fn show(&self, name: &CertificateName) -> Option<CertificateDetail> {
        assert_ne!(name.as_str(), "panic", "as the test wants it");
        let report = self.status();
        let own = report
            .certificates
            .into_iter()
            .find(|own| own.name == name.as_str())?;
        Some(detail(own))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn renew(
        &self,
        names: Vec<CertificateName>,
    ) -> Result<mpsc::UnboundedReceiver<Step>, ControlError> {
        for name in &names {
            if !self
                .status()
                .certificates
                .iter()
                .any(|own| own.name == name.as_str())
            {
                return Err(ControlError::NoSuchCertificate(name.to_string()));
            }
            self.asked(format!("renew {name}"));
        }
        self.steps
            .lock()
            .unwrap()
            .take()
            .ok_or(ControlError::Stopping)
    }

    fn reload(&self) -> LocalBoxFuture<'_, Result<ReloadReport, Vec<String>>> {
        self.asked("reload".to_owned());
        let result = self.reload.lock().unwrap().clone();
        async move { result }.boxed_local()
    }

    fn forget(&self, name: CertificateName) -> LocalBoxFuture<'_, Result<(), ControlError>> {
        self.asked(format!("forget {name}"));
        async move {
            match name.as_str() {
                "old" => Ok(()),
                "api" => Err(ControlError::StillConfigured(name.to_string())),
                _ => Err(ControlError::NoSuchCertificate(name.to_string())),
            }
        }
        .boxed_local()
    }

    fn revoke(
        &self,
        name: CertificateName,
        generation: Option<u64>,
        reason: &str,
    ) -> LocalBoxFuture<'_, Result<Revoked, ControlError>> {
        self.asked(format!("revoke {name} {generation:?} {reason}"));
        let revoked = Revoked {
            generation: generation.unwrap_or(7),
            serial: "0a1b".to_owned(),
            in_use: generation.is_none(),
        };
        let refused = "the CA refused: it was not issued here; ask its operator".to_owned();
        async move {
            match name.as_str() {
                "api" => Ok(revoked),
                _ => Err(ControlError::Failed(refused)),
            }
        }
        .boxed_local()
    }

    fn issuers(&self) -> IssuersReport {
        let issuer = |name: &str, certificates: &[&str], last_error: Option<&str>| IssuerStatus {
            name: name.to_owned(),
            kind: "local".to_owned(),
            address: None,
            certificates: certificates.iter().map(ToString::to_string).collect(),
            last_issued: None,
            last_error: last_error.map(str::to_owned),
        };
        IssuersReport {
            issuers: vec![
                issuer(
                    "internal",
                    &["api", "web"],
                    Some("web: the CA said \x1b[2J"),
                ),
                issuer("spare", &[], None),
            ],
        }
    }

    fn check_issuer(
        &self,
        name: &IssuerName,
    ) -> LocalBoxFuture<'static, Result<IssuerFindings, ControlError>> {
        let finding = |question: &str, is: &str| IssuerFinding {
            question: question.to_owned(),
            is: is.to_owned(),
            text: format!("{question} is {is}"),
        };
        let findings = match name.as_str() {
            "internal" => Ok(vec![
                finding("reachable", "yes"),
                finding("may-issue", "unknown"),
            ]),
            "spare" => Ok(vec![
                finding("reachable", "yes"),
                finding("authenticated", "no"),
            ]),
            other => Err(ControlError::NoSuchIssuer(format!(
                "there is no issuer named {other:?}"
            ))),
        };
        async move { findings.map(|findings| IssuerFindings { findings }) }.boxed_local()
    }

    fn rollover_issuer(
        &self,
        name: &IssuerName,
    ) -> LocalBoxFuture<'static, Result<(), ControlError>> {
        self.asked(format!("rollover {name}"));
        let refused = "this kind of issuer has no account".to_owned();
        let given = match name.as_str() {
            "internal" => Ok(()),
            _ => Err(ControlError::Failed(refused)),
        };
        async move { given }.boxed_local()
    }

    fn ca_root(&self, issuer: Option<&IssuerName>) -> Result<String, ControlError> {
        match issuer.map(IssuerName::as_str) {
            None | Some("internal") => Ok("-----BEGIN CERTIFICATE-----\n".to_owned()),
            Some(other) => Err(ControlError::NoSuchIssuer(format!(
                "there is no issuer named {other:?}"
            ))),
        }
    }
}

/// A certificate that is published, valid and served.
pub(crate) fn served(name: &str) -> CertificateStatus {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let at = |hours: i64| Some((now + SignedDuration::from_hours(hours)).into());
    CertificateStatus {
        name: name.to_owned(),
        state: "fresh".to_owned(),
        generation: Some(7),
        serial: Some("0a1b".to_owned()),
        not_before: at(-1),
        not_after: at(23),
        next_renewal: at(15),
        last_error: None,
        units: vec![UnitStatus {
            unit: "nginx.service".to_owned(),
            proof: "failed".to_owned(),
            reason: Some("wrong leaf".to_owned()),
            served_serial: Some("09".to_owned()),
            since: at(0),
        }],
    }
}

/// A certificate before its first generation.
pub(crate) fn unpublished(name: &str) -> CertificateStatus {
    CertificateStatus {
        name: name.to_owned(),
        state: "issuing".to_owned(),
        generation: None,
        serial: None,
        not_before: None,
        not_after: None,
        next_renewal: None,
        last_error: None,
        units: Vec::new(),
    }
}

fn detail(own: CertificateStatus) -> CertificateDetail {
    CertificateDetail {
        directory: format!("/var/lib/renewd/certs/{}", own.name),
        name: own.name,
        state: own.state,
        since: own.not_before,
        names: vec!["api.example.org".to_owned()],
        issuer: "internal".to_owned(),
        fallbacks: vec!["spare".to_owned()],
        issued_by: Some("spare".to_owned()),
        owner: "root".to_owned(),
        group: "www-data".to_owned(),
        generation: own.generation,
        serial: own.serial,
        fingerprint: None,
        not_before: own.not_before,
        not_after: own.not_after,
        next_renewal: own.next_renewal,
        next_renewal_reason: "two thirds of its life".to_owned(),
        explanation: Some("https://ca.example.org/why".to_owned()),
        issuances: 8,
        last_error: own.last_error,
        verdicts: vec![GenerationVerdict {
            generation: 6,
            verdict: "blamed".to_owned(),
            at: own.not_before,
            cause: "handshake".to_owned(),
        }],
        units: own
            .units
            .into_iter()
            .map(|unit| UnitDetail {
                unit: unit.unit,
                on_change: "reload".to_owned(),
                wave: 0,
                probe: vec!["tls://127.0.0.1:443".to_owned()],
                debt: true,
                proof: unit.proof,
                reason: unit.reason,
                detail: "127.0.0.1:443 still shows 09".to_owned(),
                served_serial: unit.served_serial,
                since: unit.since,
            })
            .collect(),
    }
}

/// A step of a renewal.
pub(crate) fn step(certificate: &str, word: &str, finished: Option<bool>) -> Step {
    Step {
        at: Timestamp::now().into(),
        certificate: certificate.to_owned(),
        step: word.to_owned(),
        unit: (word == "probe").then(|| "nginx.service".to_owned()),
        detail: String::new(),
        elapsed_ms: 1234,
        finished,
    }
}

/// A server that runs until dropped.
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(dir: &Path, fake: &Fake) -> Self {
        Self::start_with(dir, fake, control::ADMIN_GROUP, Limits::default())
    }

    /// Returns when the sockets listen.
    pub(crate) fn start_with(dir: &Path, fake: &Fake, group: &'static str, limits: Limits) -> Self {
        let runtime_dir: PathBuf = dir.join("run");
        let fake = fake.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, is_bound) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listeners = control::bind_for(&runtime_dir, group).unwrap();
                bound.send(()).unwrap();
                tokio::select! {
                    () = listeners.serve_with(Rc::new(fake), limits) => {}
                    _ = stopped => {}
                }
            });
        });
        is_bound.recv().unwrap();
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
