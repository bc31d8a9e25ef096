//! The embedded CA against `accept()` and against OpenSSL, under a simulated clock.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};

use super::super::Retry;
use super::*;
use crate::keys::PrivateKey;
use rcgen::{CertificateParams, CustomExtension, DnType, IsCa, SubjectPublicKeyInfo};
use renewd_core::accept::{Accepted, accept};
use renewd_core::names::CertificateName;
use renewd_core::request::{KeyType, Request, Usages};
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;

const START: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// A CA in a directory of its own, with a clock that the test sets.
struct World {
    temporary: TempDir,
    now: Arc<AtomicI64>,
    settings: LocalSettings,
    issuer: LocalIssuer,
}

impl World {
    fn new() -> Self {
        Self::with(LocalSettings::default())
    }

    fn with(settings: LocalSettings) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(START));
        let issuer = make(temporary.path(), settings.clone(), &now);
        Self {
            temporary,
            now,
            settings,
            issuer,
        }
    }

    fn directory(&self) -> PathBuf {
        self.temporary.path().join("internal")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// As after a restart of the daemon.
    fn restart(&mut self) {
        self.issuer = make(self.temporary.path(), self.settings.clone(), &self.now);
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_second(self.now.load(Ordering::SeqCst)).unwrap()
    }

    fn set_clock(&self, after_start: i64) {
        self.now.store(START + after_start, Ordering::SeqCst);
    }

    fn anchors(&self) -> Vec<CertificateDer<'static>> {
        let root = |state: &mut State, _| Ok(vec![state.root.clone()]);
        self.issuer.ca.with_state(root).unwrap()
    }

    fn answer(&self, request: &Request, key: &PrivateKey) -> Result<Answer, LocalError> {
        let csr = key.request(request).unwrap();
        self.order(request, &csr)
    }

    fn order(&self, request: &Request, csr: &[u8]) -> Result<Answer, LocalError> {
        let certificate: CertificateName = "api".parse().unwrap();
        self.issuer.ca.issue(&Order {
            certificate: &certificate,
            request,
            csr,
        })
    }

    /// Key → request → issue → accept → OpenSSL.
    fn issue(&self, request: &Request) -> Result<Accepted, LocalError> {
        let key = PrivateKey::generate(request.key_type).unwrap();
        let answer = self.answer(request, &key)?;
        let anchors = self.anchors();
        let now = self.clock();
        let accepted = accept(request, &key.fingerprint(), &answer, &anchors, now).unwrap();
        self.openssl_verifies(&accepted).unwrap();
        Ok(accepted)
    }

    fn openssl_verifies(&self, accepted: &Accepted) -> Result<(), String> {
        let aside = tempfile::tempdir().unwrap();
        let write = |name: &str, ders: &[CertificateDer<'_>]| {
            let text: String = ders.iter().map(|der| pem::certificate(der)).collect();
            let path = aside.path().join(name);
            fs::write(&path, text).unwrap();
            path.into_os_string().into_string().unwrap()
        };
        let root = write("root", &self.anchors());
        let chain = write("chain", &accepted.chain);
        let leaf = write("leaf", std::slice::from_ref(&accepted.leaf));
        let now = self.clock().as_second().to_string();
        for purpose in ["sslserver", "sslclient"] {
            let arguments = [
                "verify",
                "-x509_strict",
                "-purpose",
                purpose,
                "-attime",
                &now,
            ];
            let output = Command::new("openssl")
                .args(arguments)
                .args(["-CAfile", &root, "-untrusted", &chain, &leaf])
                .output()
                .expect("openssl is needed for the tests");
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned());
            }
        }
        Ok(())
    }

    /// The only ways that a directory's content can be told apart from another's.
    fn snapshot(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(self.directory())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap_or_default())
            })
            .collect();
        files.sort();
        files
    }
}

fn make(parent: &Path, settings: LocalSettings, now: &Arc<AtomicI64>) -> LocalIssuer {
    let now = Arc::clone(now);
    let clock = move || Timestamp::from_second(now.load(Ordering::SeqCst)).unwrap();
    LocalIssuer::new(parent.join("internal"), settings, Arc::new(clock))
}

fn request(names: &[&str], life: i64) -> Request {
    Request {
        issuer: "internal".parse().unwrap(),
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        lifetime: Duration::from_secs(u64::try_from(life).unwrap()),
        key_type: KeyType::default(),
        usages: Usages::default(),
    }
}

fn api() -> Request {
    request(
        &[
            "api.test",
            "*.api.test",
            "127.0.0.1",
            "::1",
            "spiffe://td/api",
        ],
        3600,
    )
}

fn text_of(der: &[u8]) -> String {
    let path = tempfile::NamedTempFile::new().unwrap();
    fs::write(path.path(), pem::certificate(der)).unwrap();
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(path.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn ends(issued: &Accepted) -> i64 {
    issued.facts.not_after.as_second() - START
}

fn issuing_file(world: &World) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(world.file(ISSUING)).unwrap()
}

#[test]
fn with_every_type_of_key_what_is_issued_is_accepted_by_us_and_by_openssl() {
    let world = World::new();
    for key_type in [
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::Ed25519,
        KeyType::Rsa2048,
        KeyType::Rsa3072,
        KeyType::Rsa4096,
    ] {
        let request = Request { key_type, ..api() };
        let accepted = world.issue(&request).unwrap();
        assert_eq!(accepted.warnings, [], "{key_type:?}");
        assert_eq!(ends(&accepted), 3600, "the life counts from now");
        assert_eq!(accepted.facts.not_before, world.clock() - BACKDATE);
    }
}

#[test]
fn a_leaf_says_what_was_asked_for_and_nothing_else() {
    let world = World::new();
    let text = text_of(&world.issue(&api()).unwrap().leaf);
    for expected in [
        "Subject: \n",
        "X509v3 Subject Alternative Name: critical",
        "DNS:*.api.test, DNS:api.test, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, URI:spiffe://td/api",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "ecdsa-with-SHA256",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let rsa = Request {
        key_type: KeyType::Rsa2048,
        ..api()
    };
    let text = text_of(&world.issue(&rsa).unwrap().leaf);
    assert!(
        text.contains("Digital Signature, Key Encipherment\n"),
        "{text}"
    );
}

#[test]
fn the_usages_are_those_asked_for() {
    let world = World::new();
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    for (server, client) in [(true, false), (false, true)] {
        let mut request = api();
        request.usages = Usages { server, client };
        let leaf = world.answer(&request, &key).unwrap().leaf;
        let text = text_of(&leaf);
        assert_eq!(text.contains("TLS Web Server Authentication"), server);
        assert_eq!(text.contains("TLS Web Client Authentication"), client);
    }
}

#[test]
fn root_and_intermediate_are_limited_to_their_tasks() {
    let world = World::new();
    world.issue(&api()).unwrap();
    let root = text_of(&world.anchors()[0]);
    let issuing = text_of(&issuing_file(&world));
    for (text, expected) in [
        (&root, "CN = renewd local root "),
        (&root, "CA:TRUE, pathlen:1"),
        (&root, "Certificate Sign, CRL Sign"),
        (&issuing, "CN = renewd local issuing "),
        (&issuing, "CA:TRUE, pathlen:0"),
        (&issuing, "Certificate Sign, CRL Sign"),
        (
            &issuing,
            "TLS Web Server Authentication, TLS Web Client Authentication",
        ),
        (&issuing, "X509v3 Authority Key Identifier"),
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let facts = LeafFacts::from_der(&world.anchors()[0]).unwrap();
    assert_eq!(facts.not_after.as_second() - START, 20 * YEAR);
    let facts = LeafFacts::from_der(&issuing_file(&world)).unwrap();
    assert_eq!(facts.not_after.as_second() - START, YEAR);
}

#[test]
fn serials_are_sixteen_bytes_positive_and_never_the_same() {
    let world = World::new();
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    let serials: std::collections::BTreeSet<String> = (0..50)
        .map(|_| world.answer(&api(), &key).unwrap().leaf)
        .map(|leaf: CertificateDer<'_>| LeafFacts::from_der(&leaf).unwrap().serial.to_string())
        .collect();
    assert_eq!(serials.len(), 50);
    for serial in &serials {
        assert_eq!(serial.len(), 32);
        assert!(("4".."8").contains(&&serial[..1]), "{serial}");
    }
}

#[test]
fn lives_from_30_seconds_to_5_years_are_given_exactly_as_asked() {
    let world = World::new();
    for life in [30, 45, 90, 3600, DAY, 90 * DAY, YEAR, 2 * YEAR, 5 * YEAR] {
        let accepted = world.issue(&request(&["a.test"], life)).unwrap();
        assert_eq!(ends(&accepted), life);
        assert_eq!(accepted.warnings, []);
    }
    let error = world.issue(&request(&["a.test"], 29)).unwrap_err();
    assert_eq!((error.label(), error.retry()), ("life", Retry::Operator));
}

#[test]
fn a_long_life_does_not_need_a_new_intermediate_each_time() {
    let world = World::new();
    let long = request(&["a.test"], 5 * YEAR);
    let first = world.issue(&long).unwrap();
    world.set_clock(YEAR);
    let second = world.issue(&long).unwrap();
    assert_eq!(first.chain, second.chain);
}

#[test]
fn the_intermediate_is_renewed_in_time_and_what_it_signed_still_verifies() {
    let mut world = World::new();
    let mut issued = Vec::new();
    let mut intermediates = std::collections::BTreeSet::new();
    // Nineteen years, a certificate of 90 days every 45 days, a restart each time.
    for step in 0..(19 * YEAR / (45 * DAY)) {
        world.set_clock(step * 45 * DAY);
        let accepted = world.issue(&request(&["a.test"], 90 * DAY)).unwrap();
        assert_eq!(accepted.warnings, [], "{step}");
        intermediates.insert(accepted.chain[0].to_vec());
        issued.push(accepted);
        if issued.len() > 1 {
            let previous = &issued[issued.len() - 2];
            world.openssl_verifies(previous).unwrap();
        }
        world.restart();
    }
    // Each serves until a third of its year is left: six steps of 45 days.
    assert_eq!(intermediates.len(), 26);
    assert_eq!(world.anchors().len(), 1, "the root stayed");
}

#[test]
fn near_the_roots_end_lives_are_cut_and_then_refused() {
    let settings = LocalSettings {
        root_life: Duration::from_secs(10 * 86_400),
        ..LocalSettings::default()
    };
    let world = World::with(settings);
    world.anchors();
    let day = request(&["a.test"], DAY);
    world.set_clock(10 * DAY - 3600);
    assert_eq!(ends(&world.issue(&day).unwrap()), 10 * DAY);
    let before = issuing_file(&world);
    world.set_clock(10 * DAY - 60);
    assert_eq!(ends(&world.issue(&day).unwrap()), 10 * DAY);
    assert_eq!(
        issuing_file(&world),
        before,
        "a new one could not live longer"
    );
    for late in [-29, 0, YEAR] {
        world.set_clock(10 * DAY + late);
        let error = world.issue(&day).unwrap_err();
        assert_eq!(error.label(), "ca-root-ends");
        assert_eq!(error.retry(), Retry::BackOff, "it may be the clock");
    }
}

#[test]
fn a_clock_before_the_root_is_refused_and_heals() {
    let world = World::new();
    world.issue(&api()).unwrap();
    world.set_clock(-59);
    world.issue(&api()).unwrap();
    for wrong in [-61, -YEAR] {
        world.set_clock(wrong);
        let error = world.issue(&api()).unwrap_err();
        assert_eq!((error.label(), error.retry()), ("clock", Retry::BackOff));
        assert!(error.remedy().contains("set the clock"));
    }
    world.set_clock(10);
    world.issue(&api()).unwrap();
}

#[test]
fn no_root_is_made_by_a_clock_that_is_certainly_wrong() {
    let world = World::new();
    world.now.store(1000, Ordering::SeqCst);
    assert_eq!(world.issue(&api()).unwrap_err().label(), "clock");
    assert!(!world.file(ROOT).exists());
    world.set_clock(0);
    world.issue(&api()).unwrap();
}

#[test]
fn an_intermediate_made_by_a_clock_that_was_ahead_is_replaced_when_the_clock_is_right_again() {
    let world = World::new();
    world.issue(&api()).unwrap();
    world.set_clock(3 * YEAR);
    world.issue(&api()).unwrap();
    world.set_clock(100);
    let accepted = world.issue(&api()).unwrap();
    assert_eq!(ends(&accepted), 3700);
}

#[test]
fn files_are_private_and_one_line_is_logged_per_certificate() {
    let world = World::new();
    let first = world.issue(&api()).unwrap();
    world.issue(&api()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&world.directory()), 0o700);
    let names: Vec<_> = world.snapshot().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [LOG, ISSUING, ROOT]);
    for name in &names {
        assert_eq!(mode(&world.file(name)), 0o600, "{name}");
    }
    let log = fs::read_to_string(world.file(LOG)).unwrap();
    assert_eq!(log.lines().count(), 2);
    let expected = format!(
        "2027-01-15T08:00:00Z {} 2027-01-15T09:00:00Z *.api.test 127.0.0.1 ::1 api.test spiffe://td/api",
        first.facts.serial
    );
    assert_eq!(log.lines().next(), Some(expected.as_str()));
}

#[test]
fn a_log_line_that_a_crash_cut_short_does_not_swallow_the_next() {
    let world = World::new();
    world.issue(&api()).unwrap();
    let log = world.file(LOG);
    let whole = fs::read_to_string(&log).unwrap();
    fs::write(&log, &whole[..30]).unwrap();
    world.issue(&api()).unwrap();
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.lines().nth(1).unwrap().starts_with("2027-"));
}

#[test]
fn a_restart_finds_the_same_root_and_intermediate() {
    let mut world = World::new();
    let before = (world.issue(&api()).unwrap().chain, world.anchors());
    world.restart();
    assert_eq!(
        (world.issue(&api()).unwrap().chain, world.anchors()),
        before
    );
}

#[test]
fn truncated_and_garbled_files_are_refused_and_nothing_is_overwritten() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    for name in [ROOT, ISSUING] {
        let path = world.file(name);
        let whole = fs::read(&path).unwrap();
        let mut damages: Vec<Vec<u8>> = (0..whole.len() - 1)
            .step_by(7)
            .map(|length| whole[..length].to_vec())
            .collect();
        damages.push(whole.iter().map(|byte| !byte).collect());
        damages.push(vec![b'x'; 100 * 1024]);
        damages.push([&whole[..], &whole[..]].concat());
        for damage in damages {
            fs::write(&path, &damage).unwrap();
            world.restart();
            let before = world.snapshot();
            let error = world.issue(&api()).unwrap_err();
            assert_eq!(
                (error.label(), error.retry()),
                ("ca-damaged", Retry::Operator)
            );
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(world.snapshot(), before);
        }
        fs::write(&path, &whole).unwrap();
    }
    world.restart();
    world.issue(&api()).unwrap();
}

#[test]
fn pairs_that_do_not_belong_together_are_refused() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    let stranger = World::new();
    stranger.issue(&api()).unwrap();
    let read = |world: &World, name| fs::read_to_string(world.file(name)).unwrap();
    let (key, certificate) = ("-----BEGIN PRIVATE KEY", "-----BEGIN CERTIFICATE");
    let part = |text: &str, from: &str| text[text.find(from).unwrap()..].to_owned();
    let own = read(&world, ISSUING);
    let foreign = read(&stranger, ISSUING);
    let own_key = own[..own.find(certificate).unwrap()].to_owned();
    let cases = [
        (ISSUING, foreign.clone(), "not signed by the root"),
        (
            ISSUING,
            own_key.clone() + &part(&foreign, certificate),
            "its key",
        ),
        (ISSUING, own_key.clone(), "found 0"),
        (ISSUING, part(&own, certificate), "private key"),
        (ROOT, part(&own, key), "not signed by the root"),
        (ROOT, read(&stranger, ROOT), "not signed by the root"),
    ];
    for (name, text, why) in cases {
        let path = world.file(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        world.restart();
        let error = world.issue(&api()).unwrap_err();
        assert_eq!(error.label(), "ca-damaged", "{why}");
        assert!(error.to_string().contains(why), "{error}");
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_missing_root_is_never_replaced_silently() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    let root = fs::read(world.file(ROOT)).unwrap();
    fs::remove_file(world.file(ROOT)).unwrap();
    for evidence in [ISSUING, LOG] {
        world.restart();
        let error = world.issue(&api()).unwrap_err();
        assert_eq!(
            (error.label(), error.retry()),
            ("ca-root-missing", Retry::Operator)
        );
        assert!(error.to_string().contains(evidence), "{error}");
        assert!(!world.file(ROOT).exists());
        let _ = fs::remove_file(world.file(ISSUING));
    }
    // A missing intermediate is no harm: the root makes another.
    fs::write(world.file(ROOT), root).unwrap();
    fs::set_permissions(world.file(ROOT), Permissions::from_mode(0o600)).unwrap();
    world.restart();
    world.issue(&api()).unwrap();
}

#[test]
fn a_root_replaced_under_a_running_daemon_signs_nothing() {
    let world = World::new();
    world.issue(&api()).unwrap();
    let stranger = World::new();
    stranger.issue(&api()).unwrap();
    fs::copy(stranger.file(ROOT), world.file(ROOT)).unwrap();
    world.set_clock(350 * DAY);
    let error = world.issue(&api()).unwrap_err();
    assert!(
        error.to_string().contains("replaced while in use"),
        "{error}"
    );
}

#[test]
fn files_that_others_own_or_could_read_are_refused() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    for (path, good) in [
        (world.directory(), 0o700),
        (world.file(ROOT), 0o600),
        (world.file(ISSUING), 0o600),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(good | 0o040)).unwrap();
        world.restart();
        let error = world.issue(&api()).unwrap_err();
        assert_eq!((error.label(), error.retry()), ("ca-mode", Retry::Operator));
        fs::set_permissions(&path, Permissions::from_mode(good)).unwrap();
    }
    // As seen by a daemon of another user.
    let ca = Arc::into_inner(std::mem::replace(
        &mut world.issuer.ca,
        Arc::clone(&World::new().issuer.ca),
    ))
    .unwrap();
    let owner = ca.owner + 1;
    let state = Mutex::new(None);
    world.issuer.ca = Arc::new(Ca { owner, state, ..ca });
    let error = world.issue(&api()).unwrap_err();
    assert_eq!(
        (error.label(), error.retry()),
        ("ca-owner", Retry::Operator)
    );
    assert!(error.remedy().contains("chown"));
}

#[test]
fn links_and_other_things_in_a_files_place_are_refused() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    for name in [ROOT, ISSUING] {
        let path = world.file(name);
        let elsewhere = world.temporary.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        world.restart();
        assert_eq!(world.issue(&api()).unwrap_err().label(), "ca-damaged");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        world.restart();
        assert_eq!(world.issue(&api()).unwrap_err().label(), "ca-damaged");
        fs::remove_dir(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        world.restart();
        assert_eq!(world.issue(&api()).unwrap_err().label(), "ca-damaged");
        fs::remove_file(&path).unwrap();
        fs::rename(&elsewhere, &path).unwrap();
    }
}

#[test]
fn what_a_crash_left_aside_is_replaced() {
    let world = World::new();
    fs::create_dir(world.directory()).unwrap();
    fs::set_permissions(world.directory(), Permissions::from_mode(0o700)).unwrap();
    fs::write(world.file(".root.pem.aside"), "half a k").unwrap();
    world.issue(&api()).unwrap();
    assert!(!world.file(".root.pem.aside").exists());
}

#[test]
fn a_request_that_asks_for_more_gets_only_what_the_order_names() {
    let world = World::new();
    let request = api();
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "the moon");
    let san = |name| crate::keys::san_type(name).unwrap();
    params.subject_alt_names = request.names.iter().map(san).collect();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    let csr = params.serialize_request(key.pair()).unwrap();
    let answer = world.order(&request, csr.der()).unwrap();
    let accepted = accept(
        &request,
        &key.fingerprint(),
        &answer,
        &world.anchors(),
        world.clock(),
    );
    let text = text_of(&accepted.unwrap().leaf);
    for foreign in [
        "the moon",
        "CA:TRUE",
        "Certificate Sign",
        "Code Signing",
        "1.2.3.4",
    ] {
        assert!(!text.contains(foreign), "{foreign}: {text}");
    }
}

#[test]
fn a_request_with_other_names_is_refused() {
    let world = World::new();
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    let asked = request(&["a.test", "10.0.0.1"], 3600);
    for names in [
        &["a.test"][..],
        &["a.test", "10.0.0.1", "b.test"],
        &["a.test", "10.0.0.2"],
        &["b.test", "10.0.0.1"],
        &[],
    ] {
        let csr = key.request(&request(names, 3600)).unwrap();
        let error = world.order(&asked, &csr).unwrap_err();
        assert_eq!(
            (error.label(), error.retry()),
            ("csr", Retry::Operator),
            "{names:?}"
        );
    }
    // Order and repetition are no difference.
    let csr = key
        .request(&request(&["10.0.0.1", "a.test", "a.test"], 3600))
        .unwrap();
    world.order(&asked, &csr).unwrap();
    let nothing = request(&[], 3600);
    let csr = key.request(&nothing).unwrap();
    assert_eq!(world.order(&nothing, &csr).unwrap_err().label(), "csr");
}

#[test]
fn a_request_without_proof_of_possession_or_of_another_type_is_refused() {
    let world = World::new();
    let key = PrivateKey::generate(KeyType::default()).unwrap();
    let csr = key.request(&api()).unwrap();
    let mut forged = csr.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut trailing = csr.clone();
    trailing.push(0);
    for bad in [
        &forged[..],
        &trailing[..],
        &csr[..csr.len() - 1],
        b"garbage",
        &[0; 100_000],
    ] {
        assert_eq!(world.order(&api(), bad).unwrap_err().label(), "csr");
    }
    for key_type in [KeyType::EcdsaP384, KeyType::Ed25519, KeyType::Rsa2048] {
        let request = Request { key_type, ..api() };
        let error = world.order(&request, &csr).unwrap_err();
        assert!(error.to_string().contains("type asked for"), "{error}");
    }
    assert!(!world.directory().exists(), "nothing was made for nothing");
}

fn constrained(dns: &[&str], ip: &[&str], uri: &[&str]) -> LocalSettings {
    let texts =
        |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
    LocalSettings {
        constraints: Constraints::parse(&texts(dns), &texts(ip), &texts(uri)).unwrap(),
        ..LocalSettings::default()
    }
}

#[test]
fn names_outside_the_constraints_are_refused_before_anything_is_signed() {
    let world = World::with(constrained(
        &["api.test"],
        &["127.0.0.0/8"],
        &["spiffe://td"],
    ));
    let inside = request(
        &["api.test", "x.api.test", "127.1.2.3", "spiffe://td/api"],
        3600,
    );
    world.issue(&inside).unwrap();
    for outside in [
        "test",
        "xapi.test",
        "128.0.0.1",
        "::1",
        "spiffe://other/api",
    ] {
        let error = world
            .issue(&request(&["api.test", outside], 3600))
            .unwrap_err();
        assert_eq!(
            (error.label(), error.retry()),
            ("name-constraints", Retry::Operator)
        );
        assert!(error.to_string().contains(outside), "{error}");
        assert!(error.to_string().contains("127.0.0.0/8"), "{error}");
    }
    let log = fs::read_to_string(world.file(LOG)).unwrap();
    assert_eq!(log.lines().count(), 1);
}

#[test]
fn peers_enforce_the_constraints_that_stand_in_the_intermediate() {
    for (settings, outside) in [
        (
            constrained(&["api.test"], &["127.0.0.0/8"], &[]),
            "evil.test",
        ),
        (
            constrained(&["api.test"], &["127.0.0.0/8"], &[]),
            "128.0.0.1",
        ),
        (constrained(&["api.test"], &["127.0.0.0/8"], &[]), "::1"),
        (constrained(&["api.test"], &[], &[]), "127.0.0.1"),
        (constrained(&["api.test"], &[], &[]), "::1"),
        (constrained(&[], &["127.0.0.0/8"], &[]), "api.test"),
    ] {
        let world = World::with(settings);
        let inside = match outside {
            "api.test" => "127.0.0.1",
            _ => "api.test",
        };
        world.issue(&request(&[inside], 3600)).unwrap();
        // As if the issuer's own check had failed.
        let request = request(&[outside], 3600);
        let key = PrivateKey::generate(KeyType::default()).unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(key.pair());
        let spki = SubjectPublicKeyInfo::from_der(&spki).unwrap();
        let path = world.file(ISSUING);
        let text = fs::read_to_string(&path).unwrap();
        let issuing = Authority::from_pem(&path, &text).unwrap();
        let span = Span {
            from: world.clock(),
            until: later(world.clock(), request.lifetime),
        };
        let answer = Answer {
            leaf: issuing.leaf(&request, &spki, span).unwrap(),
            chain: vec![issuing.certificate().clone()],
        };
        let now = world.clock();
        let refusal = accept(&request, &key.fingerprint(), &answer, &world.anchors(), now);
        assert_eq!(refusal.unwrap_err().label(), "chain", "{outside}");
        let forged = Accepted {
            leaf: answer.leaf.clone(),
            chain: answer.chain,
            facts: LeafFacts::from_der(&answer.leaf).unwrap(),
            anchor: key.fingerprint(),
            usable_from: now,
            usable_until: now,
            warnings: vec![],
        };
        let error = world.openssl_verifies(&forged).unwrap_err();
        assert!(error.contains("subtree violation"), "{outside}: {error}");
    }
}

#[test]
fn changed_constraints_make_a_new_intermediate_under_the_same_root() {
    let mut world = World::new();
    let first = world.issue(&request(&["api.test"], 3600)).unwrap();
    world.settings = constrained(&["api.test"], &[], &[]);
    world.restart();
    let second = world.issue(&request(&["api.test"], 3600)).unwrap();
    assert_ne!(first.chain, second.chain);
    assert_eq!(first.anchor, second.anchor);
    assert!(text_of(&second.chain[0]).contains("X509v3 Name Constraints: critical"));
    world.restart();
    let third = world.issue(&request(&["api.test"], 3600)).unwrap();
    assert_eq!(
        second.chain, third.chain,
        "unchanged settings change nothing"
    );
}

#[test]
fn the_root_can_be_shown_without_its_key() {
    let world = World::new();
    let error = LocalIssuer::root_pem(&world.directory()).unwrap_err();
    assert_eq!(error.label(), "ca-no-root");
    world.issue(&api()).unwrap();
    let text = LocalIssuer::root_pem(&world.directory()).unwrap();
    assert!(!text.contains("PRIVATE"));
    let root = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
    assert_eq!([root], world.anchors()[..]);
}

#[test]
fn errors_never_quote_a_key() {
    let mut world = World::new();
    world.issue(&api()).unwrap();
    let text = fs::read_to_string(world.file(ROOT)).unwrap();
    let secret = text.lines().nth(1).unwrap().to_owned();
    for damaged in [
        text.replacen(&secret, &format!("!{secret}"), 1),
        text.replacen(&secret, &format!("-----BEGIN {secret}"), 1),
        text.replace("-----END PRIVATE KEY-----", ""),
    ] {
        fs::write(world.file(ROOT), damaged).unwrap();
        world.restart();
        let error = world.issue(&api()).unwrap_err();
        let shown = format!("{error} {error:?}");
        let shown = shown + &IssueError::from(error).operator_text();
        assert!(!shown.contains(&secret[10..30]), "{shown}");
    }
}

#[test]
fn an_unwritable_directory_is_an_error_to_be_tried_again() {
    let temporary = tempfile::tempdir().unwrap();
    fs::write(temporary.path().join("file"), "").unwrap();
    let now = Arc::new(AtomicI64::new(START));
    let issuer = make(
        &temporary.path().join("file"),
        LocalSettings::default(),
        &now,
    );
    let error = issuer.ca.with_state(|_, _| Ok(())).unwrap_err();
    assert_eq!((error.label(), error.retry()), ("ca-io", Retry::BackOff));
    let operator = IssueError::from(error).operator_text();
    assert!(operator.contains("Not a directory"), "{operator}");
}

#[tokio::test]
async fn many_certificates_asked_for_at_once_are_all_issued() {
    let world = World::new();
    let certificate: CertificateName = "api".parse().unwrap();
    let anchors = world.issuer.anchors().await.unwrap();
    let keys: Vec<_> = (0..16)
        .map(|_| PrivateKey::generate(KeyType::default()).unwrap())
        .collect();
    let request = api();
    let requests: Vec<_> = keys
        .iter()
        .map(|key| key.request(&request).unwrap())
        .collect();
    let orders = requests.iter().map(|csr| {
        world.issuer.issue(Order {
            certificate: &certificate,
            request: &request,
            csr,
        })
    });
    for (answer, key) in futures_util::future::join_all(orders)
        .await
        .into_iter()
        .zip(&keys)
    {
        let answer = answer.unwrap();
        accept(
            &request,
            &key.fingerprint(),
            &answer,
            &anchors,
            world.clock(),
        )
        .unwrap();
    }
    let log = fs::read_to_string(world.file(LOG)).unwrap();
    assert_eq!(log.lines().count(), 16);
}
