//! What every kind of issuer is tried with: answers of a CA that is wrong, or odd. Each comes the way it does from a CA of
//! that kind, and what the issuer makes of it is judged by [`renewd_core::accept`], against the anchors that the issuer told.
//!
//! Owns the answers and what is to come of them. The way there is the kind's, in a test of its own.

use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use renewd_core::accept::{MAX_BYTES, MAX_CHAIN, accept};
use renewd_core::request::{KeyType, Request, Usages};
use rustls_pki_types::CertificateDer;

use super::{Issuer, Order};
use crate::keys::{PrivateKey, extended_key_usages};

type Ca = CertifiedIssuer<'static, KeyPair>;
type Certificates = Vec<CertificateDer<'static>>;

/// The name that is asked for.
const NAME: &str = "a.test";

/// A request, and a CA with an intermediate that is asked.
pub(crate) struct Gate {
    now: Timestamp,
    request: Request,
    key: PrivateKey,
    root: Ca,
    issuing: Ca,
}

/// One answer.
pub(crate) struct Given {
    pub(crate) what: &'static str,
    /// The leaf, and what comes with it.
    pub(crate) certificates: Certificates,
    pub(crate) comes: Comes,
}

/// What comes of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Comes {
    /// It may be published, with these above the leaf.
    Accepted(Certificates),
    /// The gate refuses it, by this label.
    Refused(&'static str),
    /// The issuer does not bring it so far, and says this.
    NotBrought(&'static str),
}

impl Gate {
    /// It is now so late.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self::of(now, "gate root")
    }

    fn of(now: Timestamp, root: &str) -> Self {
        let root = Ca::self_signed(authority(root, now), key()).unwrap();
        let issuing = Ca::signed_by(authority("gate issuing", now), key(), &root).unwrap();
        Self {
            now,
            request: Request {
                issuer: "gate".parse().unwrap(),
                directory: None,
                names: vec![NAME.parse().unwrap()],
                lifetime: Duration::from_secs(3600),
                key_type: KeyType::default(),
                usages: Usages::default(),
            },
            key: PrivateKey::generate(KeyType::default()).unwrap(),
            root,
            issuing,
        }
    }

    /// What the CA stands for.
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.root.der().clone()
    }

    /// A right one, and all the others.
    pub(crate) fn answers(&self) -> Vec<Given> {
        let above = vec![self.issuing.der().clone()];
        let right = self.leaf(|_| ());
        let (namesake, stranger) = (Self::new(self.now), Self::of(self.now, "stranger"));
        let theirs = stranger.issuing.der().clone();
        let (cross, below) = self.crossed();
        let twice = Ca::signed_by(authority("gate below", self.now), key(), &self.issuing).unwrap();
        let deep = leaf(&self.key, &twice, self.now, |_| ());
        let many = vec![theirs.clone(); MAX_CHAIN + 1];
        let big = self.leaf(extend);
        let (twice, issuing) = (twice.der().clone(), self.issuing.der().clone());

        let refused = |what, leaf, label| Given {
            what,
            certificates: [vec![leaf], above.clone()].concat(),
            comes: Comes::Refused(label),
        };
        let accepted = |what, certificates, chain: &Certificates| Given {
            what,
            certificates,
            comes: Comes::Accepted(chain.clone()),
        };
        vec![
            accepted(
                "right",
                [vec![right.clone()], above.clone()].concat(),
                &above,
            ),
            refused(
                "for another key",
                leaf(&stranger.key, &self.issuing, self.now, |_| ()),
                "wrong-key",
            ),
            refused(
                "for another name",
                self.leaf(|params| name(params, "b.test")),
                "names",
            ),
            refused(
                "for a name more",
                self.leaf(|params| more(params, "b.test")),
                "names",
            ),
            refused(
                "expired",
                self.leaf(|params| life(params, self.now, -7200, -60)),
                "expired",
            ),
            refused(
                "of tomorrow",
                self.leaf(|params| life(params, self.now, 86_400, 90_000)),
                "not-yet-valid",
            ),
            refused(
                "for servers alone",
                self.leaf(|params| {
                    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                }),
                "usage",
            ),
            refused(
                "a CA certificate",
                self.leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
                "ca-leaf",
            ),
            refused(
                "of a namesake of the CA",
                leaf(&self.key, &namesake.issuing, self.now, |_| ()),
                "chain",
            ),
            Given {
                what: "of a stranger with its root",
                certificates: vec![
                    leaf(&self.key, &stranger.issuing, self.now, |_| ()),
                    theirs.clone(),
                    stranger.root(),
                ],
                comes: Comes::Refused("unknown-ca"),
            },
            Given {
                what: "without what is between it and the root",
                certificates: vec![right.clone()],
                comes: Comes::Refused("unknown-ca"),
            },
            accepted(
                "in the wrong order, with the root, twice",
                vec![
                    deep,
                    self.root(),
                    issuing.clone(),
                    twice.clone(),
                    issuing.clone(),
                ],
                &vec![twice, issuing.clone()],
            ),
            accepted(
                "cross-signed, the cross certificate first",
                vec![right.clone(), cross.clone(), issuing.clone()],
                &vec![issuing.clone(), cross],
            ),
            accepted(
                "by a CA that a stranger has signed, too",
                vec![right.clone(), below, issuing.clone()],
                &vec![issuing],
            ),
            Given {
                what: "with too many others",
                certificates: [vec![right.clone()], above.clone(), many].concat(),
                comes: Comes::Refused("long-chain"),
            },
            refused("larger than a peer takes", big.clone(), "too-large"),
            Given {
                what: "larger than a mebibyte",
                certificates: [vec![right], vec![big; 1 + 1024 * 1024 / MAX_BYTES]].concat(),
                comes: Comes::NotBrought("1048576 bytes"),
            },
        ]
    }

    /// The root below an older one, and what signs below another CA.
    fn crossed(&self) -> (CertificateDer<'static>, CertificateDer<'static>) {
        let older = Ca::self_signed(authority("gate older", self.now), key()).unwrap();
        let below = |name, key: &KeyPair| {
            let params = authority(name, self.now);
            params.signed_by(key, &older).unwrap().der().clone()
        };
        (
            below("gate root", self.root.key()),
            below("gate issuing", self.issuing.key()),
        )
    }

    fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        leaf(&self.key, &self.issuing, self.now, change)
    }

    /// Asks that issuer, as the driver does: for its anchors first.
    ///
    /// # Panics
    /// When something else comes of it.
    pub(crate) async fn tries(&self, given: &Given, issuer: &dyn Issuer, comes: &Comes) {
        let what = given.what;
        let anchors = issuer.anchors().await.unwrap();
        assert!(anchors.contains(&self.root()), "{what}: {anchors:?}");
        let order = Order {
            certificate: &"a".parse().unwrap(),
            request: &self.request,
            csr: &self.key.request(&self.request).unwrap(),
            replaces: None,
            identity: None,
        };
        let answer = match (issuer.issue(order).await, comes) {
            (Ok(answer), _) => answer,
            (Err(error), Comes::NotBrought(why)) => {
                let text = error.operator_text();
                assert!(text.contains(why) && text.len() < 1000, "{what}: {text}");
                return;
            }
            (Err(error), _) => panic!("{what}: {}", error.operator_text()),
        };
        let fingerprint = self.key.fingerprint();
        let judged = accept(&self.request, &fingerprint, &answer, &anchors, self.now);
        let found = match judged {
            Ok(accepted) => Comes::Accepted(accepted.chain),
            Err(refusal) => Comes::Refused(refusal.label()),
        };
        assert_eq!(found, *comes, "{what}");
    }
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn authority(name: &str, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    life(&mut params, now, -86_400, 86_400 * 365);
    params
}

fn leaf(
    key: &PrivateKey,
    ca: &Ca,
    now: Timestamp,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateDer<'static> {
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.extended_key_usages = extended_key_usages(Usages::default());
    life(&mut params, now, -30, 3600);
    change(&mut params);
    params.signed_by(key.pair(), ca).unwrap().der().clone()
}

fn life(params: &mut CertificateParams, now: Timestamp, from: i64, until: i64) {
    let at = |seconds: i64| {
        let seconds = u64::try_from(now.as_second() + seconds).unwrap();
        (UNIX_EPOCH + Duration::from_secs(seconds)).into()
    };
    (params.not_before, params.not_after) = (at(from), at(until));
}

fn more(params: &mut CertificateParams, name: &str) {
    let name = rcgen::SanType::DnsName(name.try_into().unwrap());
    params.subject_alt_names.push(name);
}

fn name(params: &mut CertificateParams, name: &str) {
    params.subject_alt_names.clear();
    more(params, name);
}

/// By more than a peer takes.
fn extend(params: &mut CertificateParams) {
    let big = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; MAX_BYTES]);
    params.custom_extensions.push(big);
}
