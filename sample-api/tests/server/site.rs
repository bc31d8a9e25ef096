//! A published certificate with its own CA, and a server on top of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use renewd_sample_api::app::Server;
use renewd_sample_api::config::Config;
use renewd_sample_api::keys::Keys;
use renewd_sample_api::serve::Drained;
use renewd_sample_api::tls::Served;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine; reaching it is a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const WEB: &str = "spiffe://example.internal/web";

/// A key with the chain that belongs to it, as PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) chain: String,
}

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
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

    pub(crate) fn server(&self) -> Pair {
        self.server_until(SystemTime::now() + Duration::from_secs(3600))
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
        }
    }
}

/// A certificate's directory as the daemon lays it out.
pub(crate) struct Site {
    root: tempfile::TempDir,
    pub(crate) authority: Authority,
}

impl Site {
    /// With generation 1 published.
    pub(crate) fn new() -> Self {
        let site = Self::empty();
        site.publish(1, &site.authority.server());
        site
    }

    pub(crate) fn empty() -> Self {
        let site = Self {
            root: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
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

    pub(crate) fn publish_with(&self, generation: u64, pair: &Pair, bundle: &str) {
        let directory = self.directory().join(format!(".{generation}"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("key.pem"), &pair.key).unwrap();
        fs::write(directory.join("fullchain.pem"), &pair.chain).unwrap();
        fs::write(directory.join("ca.pem"), bundle).unwrap();
        self.point(generation);
    }

    pub(crate) fn point(&self, generation: u64) {
        let aside = self.directory().join("current.new");
        symlink(format!(".{generation}"), &aside).unwrap();
        fs::rename(aside, self.directory().join("current")).unwrap();
    }

    pub(crate) fn config(&self, drain: Duration) -> Config {
        Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            certificate: self.directory(),
            health: "127.0.0.1:0".parse().unwrap(),
            admin: self.path().join("admin.sock"),
            drain,
        }
    }
}

/// A server in this process.
pub(crate) struct Running {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) health: std::net::SocketAddr,
    pub(crate) keys: Arc<Keys>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Drained>,
}

impl Running {
    pub(crate) async fn start(site: &Site) -> Self {
        Self::start_with(site, DEADLINE).await
    }

    pub(crate) async fn start_with(site: &Site, drain: Duration) -> Self {
        let server = Server::bind(site.config(drain)).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        Self {
            address: server.listen_address().unwrap(),
            health: server.health_address().unwrap(),
            keys: server.keys(),
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

    pub(crate) fn stop(self) -> JoinHandle<Drained> {
        self.stop.send(()).unwrap();
        self.ended
    }
}
