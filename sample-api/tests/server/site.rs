//! A published certificate with its own CA, and a server on top of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType,
};
use renewd_sample_api::app::Server;
use renewd_sample_api::config::Config;
use renewd_sample_api::keys::Keys;
use renewd_sample_api::serve::Drained;
use renewd_sample_api::sockets::Passed;
use renewd_sample_api::tls::Served;
use renewd_sample_api::{MutualTls, Settings, Workers};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine; reaching it is a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

static SERIAL: AtomicU64 = AtomicU64::new(0x1234_5678);

pub(crate) const WEB: &str = "spiffe://example.internal/web";

/// A key with the chain that belongs to it, as PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) chain: String,
    /// Of the leaf.
    pub(crate) serial: u64,
}

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("ca")
    }

    pub(crate) fn named(owner: &str) -> Self {
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(DnType::CommonName, format!("{owner} {name}"));
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params
        };
        let key = || KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params("root"), key()).unwrap();
        let intermediate =
            CertifiedIssuer::signed_by(params("intermediate"), key(), &issuer).unwrap();
        Self {
            issuer,
            intermediate,
        }
    }

    pub(crate) fn bundle(&self) -> String {
        self.issuer.pem()
    }

    /// The CA that signs leaves, with its key.
    pub(crate) fn issuing(&self) -> Pair {
        Pair {
            key: self.intermediate.key().serialize_pem(),
            chain: self.intermediate.pem(),
            serial: 0,
        }
    }

    /// Lists of both CAs, of now until an hour from now, that name these clients.
    pub(crate) fn lists(&self, revoked: &[&Pair]) -> String {
        let now = SystemTime::now();
        self.lists_of(revoked, now, now + Duration::from_secs(3600))
    }

    pub(crate) fn lists_of(
        &self,
        revoked: &[&Pair],
        from: SystemTime,
        until: SystemTime,
    ) -> String {
        // Whole seconds: a fraction is lost in the list, and `from` would come out earlier than it was meant.
        let list = |revoked: &[&Pair]| CertificateRevocationListParams {
            this_update: (from - Duration::from_secs(1)).into(),
            next_update: until.into(),
            crl_number: 1u64.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|pair| RevokedCertParams {
                    serial_number: pair.serial.into(),
                    revocation_time: from.into(),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let leaves = list(revoked).signed_by(&self.intermediate).unwrap();
        let intermediates = list(&[]).signed_by(&self.issuer).unwrap();
        leaves.pem().unwrap() + &intermediates.pem().unwrap()
    }

    /// A client below so many intermediates.
    pub(crate) fn long_chain(&self, names: &[&str], depth: usize) -> Pair {
        let mut chain = String::new();
        let mut above: Option<CertifiedIssuer<'static, KeyPair>> = None;
        for number in 0..depth {
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(DnType::CommonName, format!("link {number}"));
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let issuer = above.as_ref().unwrap_or(&self.issuer);
            let link = CertifiedIssuer::signed_by(params, key, issuer).unwrap();
            chain = link.pem() + &chain;
            above = Some(link);
        }
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = names
            .iter()
            .map(|name| SanType::URI((*name).try_into().unwrap()))
            .collect();
        let leaf = params.signed_by(&key, above.as_ref().unwrap()).unwrap();
        Pair {
            key: key.serialize_pem(),
            chain: leaf.pem() + &chain,
            serial: 0,
        }
    }

    pub(crate) fn client_until(&self, names: &[&str], not_after: SystemTime) -> Pair {
        self.sign(names, ExtendedKeyUsagePurpose::ClientAuth, not_after)
    }

    pub(crate) fn server(&self) -> Pair {
        self.server_until(SystemTime::now() + Duration::from_secs(3600))
    }

    pub(crate) fn server_for(&self, names: &[&str]) -> Pair {
        let not_after = SystemTime::now() + Duration::from_secs(3600);
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, not_after)
    }

    pub(crate) fn server_until(&self, not_after: SystemTime) -> Pair {
        self.sign(
            &["localhost"],
            ExtendedKeyUsagePurpose::ServerAuth,
            not_after,
        )
    }

    pub(crate) fn client(&self, names: &[&str]) -> Pair {
        let not_after = SystemTime::now() + Duration::from_secs(3600);
        self.sign(names, ExtendedKeyUsagePurpose::ClientAuth, not_after)
    }

    pub(crate) fn sign(
        &self,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        not_after: SystemTime,
    ) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let serial = SERIAL.fetch_add(1, Relaxed);
        params.serial_number = Some(serial.into());
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.not_before = (SystemTime::now() - Duration::from_secs(7200)).into();
        params.not_after = not_after.into();
        params.extended_key_usages = vec![usage];
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.contains("://") {
                true => SanType::URI((*name).try_into().unwrap()),
                false => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let leaf = params.signed_by(&key, &self.intermediate).unwrap();
        Pair {
            key: key.serialize_pem(),
            chain: leaf.pem() + &self.intermediate.pem(),
            serial,
        }
    }
}

/// An address that no other test has, with a port.
pub(crate) fn own_address() -> std::net::SocketAddr {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = u8::try_from(NEXT.fetch_add(1, Relaxed)).unwrap();
    // All of 127 is this host.
    let own = std::net::Ipv4Addr::new(127, high, low, last);
    let free = std::net::TcpListener::bind((own, 0)).unwrap();
    free.local_addr().unwrap()
}

/// A certificate's directory as the daemon lays it out.
pub(crate) struct Site {
    root: tempfile::TempDir,
    pub(crate) authority: Arc<Authority>,
}

impl Site {
    /// With generation 1 published.
    pub(crate) fn new() -> Self {
        let site = Self::empty();
        site.publish(1, &site.authority.server());
        site
    }

    pub(crate) fn empty() -> Self {
        Self::of(Arc::new(Authority::new()))
    }

    /// Another certificate of the same CA, with nothing published yet.
    pub(crate) fn of(authority: Arc<Authority>) -> Self {
        let site = Self {
            root: tempfile::tempdir().unwrap(),
            authority,
        };
        fs::create_dir(site.directory()).unwrap();
        site
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.path().join("api")
    }

    pub(crate) fn publish(&self, generation: u64, pair: &Pair) {
        self.publish_with(generation, pair, &self.authority.bundle());
    }

    /// A generation with revocation lists.
    pub(crate) fn publish_lists(&self, generation: u64, pair: &Pair, lists: &str) {
        self.publish_all(generation, pair, &self.authority.bundle(), lists);
    }

    pub(crate) fn publish_all(&self, generation: u64, pair: &Pair, bundle: &str, lists: &str) {
        self.write(generation, pair, bundle);
        let directory = self.directory().join(format!(".{generation}"));
        fs::write(directory.join("crl.pem"), lists).unwrap();
        self.point(generation);
    }

    /// A generation with an OCSP response.
    pub(crate) fn publish_stapled(&self, generation: u64, pair: &Pair, response: &[u8]) {
        self.write(generation, pair, &self.authority.bundle());
        let directory = self.directory().join(format!(".{generation}"));
        fs::write(directory.join("ocsp.der"), response).unwrap();
        self.point(generation);
    }

    pub(crate) fn publish_with(&self, generation: u64, pair: &Pair, bundle: &str) {
        self.write(generation, pair, bundle);
        self.point(generation);
    }

    fn write(&self, generation: u64, pair: &Pair, bundle: &str) {
        let directory = self.directory().join(format!(".{generation}"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("key.pem"), &pair.key).unwrap();
        fs::write(directory.join("fullchain.pem"), &pair.chain).unwrap();
        fs::write(directory.join("ca.pem"), bundle).unwrap();
    }

    pub(crate) fn point(&self, generation: u64) {
        let aside = self.directory().join("current.new");
        symlink(format!(".{generation}"), &aside).unwrap();
        fs::rename(aside, self.directory().join("current")).unwrap();
    }

    pub(crate) fn config(&self, drain: Duration) -> Config {
        let mut mtls = Settings::new(self.directory());
        mtls.drain = drain;
        Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            health: "127.0.0.1:0".parse().unwrap(),
            admin: self.path().join("admin.sock"),
            redirect: None,
            upstream: None,
            faces: Vec::new(),
            mtls,
        }
    }
}

/// A server in this process.
pub(crate) struct Running {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) health: std::net::SocketAddr,
    pub(crate) redirect: Option<std::net::SocketAddr>,
    pub(crate) second: Option<std::net::SocketAddr>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) mtls: Arc<MutualTls>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
}

impl Running {
    pub(crate) async fn start(site: &Site) -> Self {
        Self::start_with(site, DEADLINE).await
    }

    pub(crate) async fn start_with(site: &Site, drain: Duration) -> Self {
        Self::start_as(site, |settings| settings.drain = drain).await
    }

    /// With settings of the test's own.
    pub(crate) async fn start_as(site: &Site, set: impl FnOnce(&mut Settings)) -> Self {
        Self::start_from(site, |config| set(&mut config.mtls)).await
    }

    /// With a configuration of the test's own.
    pub(crate) async fn start_from(site: &Site, set: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(site, Workers::here(), set).await
    }

    /// With connections on these workers.
    pub(crate) async fn start_on(
        site: &Site,
        workers: Workers,
        set: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = site.config(DEADLINE);
        set(&mut config);
        Self::start_all(config, Passed::default(), workers).await
    }

    /// With sockets that somebody else has bound.
    pub(crate) async fn start_passed(config: Config, passed: Passed) -> Self {
        Self::start_all(config, passed, Workers::here()).await
    }

    async fn start_all(config: Config, passed: Passed, workers: Workers) -> Self {
        let server = Server::bind_with(config, passed).await.unwrap().on(workers);
        let (stop, stopped) = oneshot::channel();
        Self {
            address: server.listen_address().unwrap(),
            health: server.health_address().unwrap(),
            redirect: server.redirect_address().ok(),
            second: server.face_address(1).ok(),
            keys: server.mtls().keys().clone(),
            mtls: server.mtls(),
            stop,
            ended: tokio::spawn(server.run(async {
                let _ = stopped.await;
            })),
        }
    }

    pub(crate) async fn serves(&self, generation: u64) -> Arc<Served> {
        let mut served = self.keys.subscribe();
        let wanted = served.wait_for(|served| served.generation == generation);
        timeout(DEADLINE, wanted)
            .await
            .expect("swapped in time")
            .unwrap()
            .clone()
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&MutualTls) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !is_so(&self.mtls) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "not in time: {what}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn stop(self) -> JoinHandle<Drained> {
        self.stop.send(()).unwrap();
        self.ended
    }
}
