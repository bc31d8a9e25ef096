//! `doctor`: a healthy host is well, and each planted fault is found by its own check.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use jiff::{SignedDuration, Timestamp};
use nix::unistd::{Uid, User, geteuid};
use renewd_core::names::{CertificateName, IssuerName};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::{Host, mode};
use crate::control::report::{
    CertificateDetail, CertificateStatus, IssuerFindings, IssuersReport, ReloadReport, Revoked,
    StatusReport, Step, UnitStatus,
};
use crate::control::{self, ControlError, Daemon};
use crate::ctl::doctor::{Options, doctor};
use crate::ctl::{Code, Failure, Output, apply};

/// A daemon of which only the status is asked, and what it asks for.
struct Reporting(StatusReport, Vec<String>);

impl Daemon for Reporting {
    fn status(&self) -> StatusReport {
        self.0.clone()
    }
    fn show(&self, name: &CertificateName) -> Option<CertificateDetail> {
        (name.as_str() == "api").then(|| CertificateDetail {
            names: self.1.clone(),
            ..detail()
        })
    }
    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
    fn renew(
        &self,
        _: Vec<CertificateName>,
    ) -> Result<mpsc::UnboundedReceiver<Step>, ControlError> {
        Err(ControlError::Stopping)
    }
    fn reload(&self) -> LocalBoxFuture<'_, Result<ReloadReport, Vec<String>>> {
        unreachable!("doctor changes nothing")
    }
    fn forget(&self, _: CertificateName) -> LocalBoxFuture<'_, Result<(), ControlError>> {
        unreachable!("doctor changes nothing")
    }
    fn revoke(
        &self,
        _: CertificateName,
        _: Option<u64>,
        _: &str,
    ) -> LocalBoxFuture<'_, Result<Revoked, ControlError>> {
        unreachable!("doctor changes nothing")
    }
    fn issuers(&self) -> IssuersReport {
        unreachable!("doctor does not ask")
    }
    fn check_issuer(
        &self,
        _: &IssuerName,
    ) -> LocalBoxFuture<'static, Result<IssuerFindings, ControlError>> {
        unreachable!("doctor does not ask")
    }
    fn rollover_issuer(&self, _: &IssuerName) -> LocalBoxFuture<'static, Result<(), ControlError>> {
        unreachable!("doctor changes nothing")
    }
    fn ca_root(&self, _: Option<&IssuerName>) -> Result<String, ControlError> {
        unreachable!("doctor does not ask")
    }
}

fn detail() -> CertificateDetail {
    CertificateDetail {
        name: "api".to_owned(),
        state: "fresh".to_owned(),
        since: None,
        names: Vec::new(),
        issuer: "internal".to_owned(),
        fallbacks: Vec::new(),
        issued_by: None,
        directory: String::new(),
        owner: "root".to_owned(),
        group: "root".to_owned(),
        generation: Some(7),
        serial: None,
        fingerprint: None,
        not_before: None,
        not_after: None,
        next_renewal: None,
        next_renewal_reason: String::new(),
        explanation: None,
        issuances: 1,
        last_error: None,
        verdicts: Vec::new(),
        units: Vec::new(),
    }
}

fn reported() -> CertificateStatus {
    let now = Timestamp::now();
    CertificateStatus {
        name: "api".to_owned(),
        state: "fresh".to_owned(),
        generation: Some(7),
        serial: None,
        not_before: Some(now.into()),
        not_after: Some((now + SignedDuration::from_hours(1)).into()),
        next_renewal: None,
        last_error: None,
        units: vec![UnitStatus {
            unit: "nginx.service".to_owned(),
            proof: "served".to_owned(),
            reason: None,
            served_serial: None,
            since: None,
        }],
    }
}

impl Host {
    /// A host on which all is well: one certificate, published, its unit probed where somebody listens.
    async fn healthy() -> (Self, TcpListener) {
        let mut host = Self::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        host.certificate(
            "api",
            "nginx.service",
            &format!("probe = [\"tls://{address}\"]"),
        );
        host.unit("nginx.service", |_| ());
        host.write("synchronized", "");
        let certs = host.path("state/certs/api");
        fs::create_dir_all(certs.join(".7")).unwrap();
        symlink(".7", certs.join("current")).unwrap();
        for (name, bits) in [
            ("key.pem", 0o600),
            ("combined.pem", 0o600),
            ("cert.pem", 0o644),
            ("ca.pem", 0o644),
        ] {
            fs::write(certs.join(".7").join(name), "").unwrap();
            mode(&certs.join(".7").join(name), bits);
        }
        mode(&certs, 0o750);
        // The rule is for the user that the store belongs to; root would need none.
        let nobody = User::from_name("nobody").unwrap().unwrap();
        host.give_to(nobody.uid.as_raw());
        let options = apply::Options {
            dry_run: false,
            user: nobody.name,
            rule_file: host.path("rules.d/renewd.rules"),
            digest_file: host.path("digest"),
        };
        let mut ignored = Vec::new();
        apply::apply(
            &host.places,
            &options,
            &host.units,
            &mut Output::to(&mut ignored),
        )
        .await
        .unwrap();
        (host, listener)
    }

    fn give_to(&self, uid: u32) {
        assert!(
            geteuid().is_root(),
            "this test gives files away: run it as root"
        );
        for name in ["state/store", "state/certs", "state/certs/api"] {
            chown(self.path(name), Some(uid), None).unwrap();
        }
    }

    /// The findings as JSON, and how it ended.
    async fn doctor(&self, status: CertificateStatus) -> (Result<(), Failure>, Vec<Value>) {
        self.doctor_of(status, "api.example.org").await
    }

    /// The same with a daemon that asks for this name.
    async fn doctor_of(
        &self,
        status: CertificateStatus,
        asked_for: &str,
    ) -> (Result<(), Failure>, Vec<Value>) {
        let certificates = vec![status];
        let names = vec![asked_for.to_owned()];
        let daemon = Rc::new(Reporting(StatusReport { certificates }, names));
        let listeners = control::bind(&self.places.runtime).unwrap();
        tokio::select! {
            () = listeners.serve(daemon) => unreachable!("it serves for ever"),
            seen = self.doctor_alone() => seen,
        }
    }

    async fn doctor_alone(&self) -> (Result<(), Failure>, Vec<Value>) {
        let options = Options {
            json: true,
            rule_file: self.path("rules.d/renewd.rules"),
            digest_file: self.path("digest"),
            synchronized_file: self.path("synchronized"),
        };
        let mut text = Vec::new();
        let mut out = Output::to(&mut text);
        let result = doctor(&self.places, &options, &self.units, &mut out).await;
        drop(out);
        let report: Value = serde_json::from_slice(&text).unwrap();
        (result, report["findings"].as_array().unwrap().clone())
    }

    /// Asserts that there is exactly this fault, by its check, and that it has a remedy.
    async fn has(&self, check: &str, part: &str) {
        let (result, findings) = self.doctor(reported()).await;
        assert_eq!(result.unwrap_err().code, Code::Negative);
        let errors: Vec<&Value> = findings
            .iter()
            .filter(|one| one["severity"] == "error")
            .collect();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        assert_eq!(errors[0]["check"], check, "{errors:#?}");
        let text = format!("{} {}", errors[0]["subject"], errors[0]["what"]);
        assert!(text.contains(part), "{part} in {text}");
        assert_ne!(errors[0]["remedy"], "", "{errors:#?}");
    }
}

#[tokio::test]
async fn a_healthy_host_is_well() {
    let (host, _listener) = Host::healthy().await;
    let (result, findings) = host.doctor(reported()).await;
    let faults: Vec<&Value> = findings
        .iter()
        .filter(|one| one["severity"] != "note")
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    result.unwrap();
}

#[tokio::test]
async fn wrong_owners_and_modes_are_found() {
    type Plant = fn(&Host);
    let cases: [(&str, Plant, &str); 6] = [
        (
            "store",
            |host| mode(&host.path("state/store"), 0o755),
            "can be entered by others",
        ),
        (
            "certs",
            |host| mode(&host.path("state/certs"), 0o777),
            "can be written by others",
        ),
        (
            "key",
            |host| mode(&host.path("state/certs/api/.7/key.pem"), 0o640),
            "0600 is configured",
        ),
        (
            "key's owner",
            |host| chown(host.path("state/certs/api/.7/combined.pem"), Some(1), None).unwrap(),
            "root:root 0600 is configured",
        ),
        (
            "directory's group",
            |host| chown(host.path("state/certs/api"), None, Some(1)).unwrap(),
            "is to read it",
        ),
        (
            "current",
            |host| {
                fs::rename(
                    host.path("state/certs/api/.7"),
                    host.path("state/certs/api/.8"),
                )
                .unwrap()
            },
            "points nowhere",
        ),
    ];
    for (name, plant, part) in cases {
        let (host, _listener) = Host::healthy().await;
        plant(&host);
        eprintln!("{name}");
        host.has("permissions", part).await;
    }
}

#[tokio::test]
async fn a_secret_that_others_could_read_is_found_whatever_issuer_it_is_for() {
    let vault =
        "type = \"vault\"\naddress = \"https://ca.test\"\nrole = \"host\"\nca = \"/ca.pem\"\n";
    let step = "type = \"step\"\nurl = \"https://ca.test\"\nca = \"/ca.pem\"\n";
    let est = "type = \"est\"\nserver = \"https://ca.test\"\nca = \"/ca.pem\"\n";
    let acme = "type = \"acme\"\ndirectory = \"https://ca.test\"\ntrust = \"system\"\nterms_of_service = \"agreed\"\n";
    for (table, keys) in [
        ("type = \"local\"\n", "issuing_ca = \"SECRET\""),
        (vault, "token = \"SECRET\""),
        (vault, "role_id = \"web\"\nsecret_id = \"SECRET\""),
        (vault, "jwt = \"SECRET\""),
        (
            vault,
            "client_certificate = \"/cert.pem\"\nclient_key = \"SECRET\"",
        ),
        (step, "token = \"SECRET\""),
        (
            step,
            "provisioner = \"hosts\"\nprovisioner_key = \"SECRET\"",
        ),
        (est, "username = \"renewd\"\npassword = \"SECRET\""),
        (
            est,
            "bootstrap_certificate = \"/boot.pem\"\nbootstrap_key = \"SECRET\"",
        ),
        (
            acme,
            "challenge = \"http-01\"\neab_key_id = \"kid-1\"\neab_key = \"SECRET\"",
        ),
        (
            acme,
            "challenge = \"dns-01\"\ndns_server = \"127.0.0.1\"\ntsig_key_name = \"renewd\"\ntsig_key = \"SECRET\"",
        ),
    ] {
        let (host, _listener) = Host::healthy().await;
        let path = host.path("secret");
        let keys = keys.replace("SECRET", &format!("file:{}", path.display()));
        let text = format!(
            "[defaults]\nissuer = \"internal\"\n[issuer.internal]\ntype = \"local\"\n[issuer.other]\n{table}{keys}\n"
        );
        host.write("etc/renewd.toml", &text);
        let faults = async || {
            let (_, findings) = host.doctor(reported()).await;
            let own = |one: &Value| {
                let (check, severity) = (&one["check"], &one["severity"]);
                check == "secrets" && severity != "note"
                    || check == "configuration" && severity == "error"
            };
            findings.into_iter().filter(own).collect::<Vec<_>>()
        };
        let nobody = User::from_name("nobody").unwrap().unwrap();
        assert_eq!(faults().await, Vec::<Value>::new(), "not there yet: {keys}");
        fs::write(&path, "canary").unwrap();
        chown(&path, Some(0), Some(nobody.gid.as_raw())).unwrap();
        for (bits, open) in [(0o640, false), (0o644, true), (0o660, true), (0o600, false)] {
            mode(&path, bits);
            let found = faults().await;
            assert_eq!(!found.is_empty(), open, "{keys} {bits:o}: {found:#?}");
            for fault in found {
                assert_eq!(
                    (&fault["check"], &fault["severity"]),
                    (&"secrets".into(), &"error".into())
                );
                let (what, remedy) = (fault["what"].to_string(), fault["remedy"].to_string());
                let place = path.display().to_string();
                assert!(what.contains(&format!("mode {bits:04o}")), "{what}");
                assert!(
                    fault["subject"].to_string().contains(&place) && remedy.contains(&place),
                    "{fault:#?}"
                );
                assert!(
                    !what.contains("canary") && remedy.contains("chmod 0640"),
                    "{fault:#?}"
                );
            }
        }
        chown(&path, Some(1), None).unwrap();
        assert_eq!(faults().await.len(), 1, "somebody else's: {keys}");
    }
}

#[tokio::test]
async fn a_rule_that_is_stale_missing_or_open_to_others_is_found() {
    let (mut host, _listener) = Host::healthy().await;
    host.unit("postfix.service", |_| ());
    host.certificate("mail", "postfix.service", "");
    host.has("polkit rule", "is stale").await;
    fs::remove_file(host.path("digest")).unwrap();
    host.has("polkit rule", "nobody knows").await;
    fs::remove_file(host.path("rules.d/renewd.rules")).unwrap();
    host.has("polkit rule", "is missing").await;
    fs::remove_dir(host.path("rules.d")).unwrap();
    host.has("polkit rule", "polkit is not installed").await;

    let (host, _listener) = Host::healthy().await;
    mode(&host.path("rules.d/renewd.rules"), 0o666);
    host.has("polkit rule", "can be written").await;
}

#[tokio::test]
async fn a_dead_address_is_found_unless_the_unit_does_not_run() {
    let (mut host, listener) = Host::healthy().await;
    drop(listener);
    host.has("probe addresses", "does not answer there").await;
    host.unit("nginx.service", |facts| {
        facts.activity = renewd_core::unit::Activity::NotRunning;
    });
    let (result, findings) = host.doctor(reported()).await;
    result.unwrap();
    assert!(
        findings
            .iter()
            .any(|one| one["check"] == "probe addresses" && one["severity"] == "note")
    );
}

#[tokio::test]
async fn a_unit_that_cannot_reload_and_an_umbrella_are_found() {
    let (mut host, _listener) = Host::healthy().await;
    host.unit("nginx.service", |facts| facts.can_reload = false);
    host.has("units", "cannot reload").await;
    host.unit("nginx.service", |facts| facts.is_umbrella = true);
    let (result, findings) = host.doctor(reported()).await;
    result.unwrap();
    assert!(
        findings
            .iter()
            .any(|one| one["check"] == "units" && one["severity"] == "warning"),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn a_unit_that_reads_by_itself_is_recommended_the_combined_file() {
    let (mut host, _listener) = Host::healthy().await;
    let note = |findings: &[Value]| {
        let combined = |one: &&Value| one["remedy"].as_str().unwrap().contains("combined.pem");
        findings.iter().find(combined).cloned()
    };
    let (_, findings) = host.doctor(reported()).await;
    assert!(note(&findings).is_none(), "{findings:#?}");

    host.unit("watcher.service", |_| ());
    host.certificate("self", "watcher.service", "on_change = \"none\"");
    let (result, findings) = host.doctor(reported()).await;
    result.unwrap();
    let note = note(&findings).unwrap();
    assert_eq!(note["check"], "units");
    assert_eq!(note["severity"], "note");
    let subject = note["subject"].as_str().unwrap();
    assert!(subject.contains("self.toml"), "{note:#?}");
    let remedy = note["remedy"].as_str().unwrap();
    assert!(
        remedy.contains("state/certs/self/combined.pem"),
        "{note:#?}"
    );
}

#[tokio::test]
async fn what_the_daemon_reports_is_found() {
    let (host, _listener) = Host::healthy().await;
    let mut expired = reported();
    expired.not_after = expired.not_before;
    expired.units[0].proof = "failed".to_owned();
    expired.units[0].reason = Some("wrong leaf".to_owned());
    let (result, findings) = host.doctor(expired).await;
    assert_eq!(result.unwrap_err().code, Code::Negative);
    for part in ["has expired", "nginx.service is not proven: wrong leaf"] {
        assert!(
            findings
                .iter()
                .any(|one| one["what"].as_str().unwrap().contains(part)),
            "{findings:#?}"
        );
    }
    let (_, findings) = host.doctor_alone().await;
    assert!(
        findings.iter().any(|one| one["check"] == "daemon"),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn a_daemon_that_goes_by_another_configuration_or_host_name_is_found() {
    let (host, listener) = Host::healthy().await;
    let (_, findings) = host.doctor_of(reported(), "old.test").await;
    let found = |findings: &[Value], subject: &str, part: &str| {
        let is_it = |one: &&Value| {
            one["check"] == "configuration in force"
                && one["subject"] == subject
                && one["what"].as_str().unwrap().contains(part)
        };
        assert!(findings.iter().any(|one| is_it(&one)), "{findings:#?}");
    };
    found(&findings, "api", "asks for old.test");
    let address = listener.local_addr().unwrap();
    let probe = format!("probe = [\"tls://{address}\"]");
    host.certificate("new", "nginx.service", &probe);
    let (_, findings) = host.doctor(reported()).await;
    found(&findings, "new", "does not know it");
}

#[tokio::test]
async fn a_control_socket_that_others_may_open_is_found_and_its_users_are_named() {
    let (host, _listener) = Host::healthy().await;
    let certificates = vec![reported()];
    let names = vec!["api.example.org".to_owned()];
    let daemon = Rc::new(Reporting(StatusReport { certificates }, names));
    let listeners = control::bind(&host.places.runtime).unwrap();
    mode(&host.path("run/control.sock"), 0o666);
    let (_, findings) = tokio::select! {
        () = listeners.serve(daemon) => unreachable!("it serves for ever"),
        seen = host.doctor_alone() => seen,
    };
    let own: Vec<&Value> = findings
        .iter()
        .filter(|one| one["check"] == "control socket")
        .collect();
    assert!(own.iter().any(|one| one["severity"] == "error"), "{own:#?}");
    let owner = Uid::from_raw(fs::metadata(host.path("state/store")).unwrap().uid());
    let owner = User::from_uid(owner).unwrap().unwrap().name;
    let who = own.iter().find(|one| one["severity"] == "note").unwrap()["what"]
        .as_str()
        .unwrap();
    assert!(who.contains("root") && who.contains(&owner), "{who}");
}

#[tokio::test]
async fn a_bad_file_is_told_with_its_place() {
    let (host, _listener) = Host::healthy().await;
    host.write("etc/certs.d/bad.toml", "names = []\nnonsense = 1\n");
    let (_, findings) = host.doctor(reported()).await;
    let place = |one: &&Value| one["subject"].as_str().unwrap().ends_with("bad.toml:2");
    assert!(findings.iter().any(|one| place(&one)), "{findings:#?}");
}
