//! A CA in memory, for tests of the driver: it signs what it is asked to, or does as it was told, and
//! counts. For what no real CA can be made to do.

mod crls;
mod told;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    IsCa, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use renewd_core::accept::Answer;
use renewd_core::leaf::Fingerprint;
use renewd_core::supply::Advice;
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, CertificateSigningRequestDer,
};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{Crls, IssueError, Issuer, Order, Retry, Revocation, Sent, Supplied, Supplier, Wanted};
use crate::keys::PrivateKey;

/// What the CA does with one order.
pub(crate) enum Deed {
    /// Signs, as it does when it was told nothing.
    Sign,
    /// Fails, and may be asked again so.
    Fail(Retry),
    /// Fails, and this has become of the certificate request.
    Leave(Sent),
    /// Never answers.
    Silence,
    /// Panics.
    Panic,
    /// Signs for another certificate's name.
    Misname,
}

/// A CA in memory.
pub(crate) struct FakeIssuer {
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    root: Arc<CertifiedIssuer<'static, KeyPair>>,
    /// What signs, where it is not the root itself.
    issuing: Option<Arc<CertifiedIssuer<'static, KeyPair>>>,
    /// A root that it stands for, and does not sign with.
    announced: Option<CertificateDer<'static>>,
    deeds: VecDeque<Deed>,
    asked: usize,
    requests: Vec<Vec<u8>>,
    signed: u64,
    silenced: usize,
    /// Nobody answers.
    away: bool,
    /// Whoever asks what it stands for waits until this is false.
    silent: watch::Sender<bool>,
    asked_for_anchors: usize,
    stands_for_nothing: bool,
    /// The revocation list that it has, if it is to bring any.
    crls: Option<Result<CertificateRevocationListDer<'static>, ()>>,
    crls_made: u64,
    signs_later: bool,
    /// What it says when it is asked for advice; `None`: it is not one to be asked.
    advice: Option<Result<Advice, Retry>>,
    /// How long before now its certificates begin.
    back_dating: SignedDuration,
    /// Whether the life asked for begins there, too.
    counts_back_dating: bool,
    /// The leaves that it was asked for advice about.
    asked_for_advice: Vec<Vec<u8>>,
    revoked: Vec<Vec<u8>>,
    refuses_to_revoke: bool,
    shown: Vec<Option<Vec<u8>>>,
    replaced: Vec<Option<Vec<u8>>>,
    /// What it has, as one that makes the keys.
    offer: Option<(Zeroizing<String>, Answer)>,
    makes_keys: bool,
    news: watch::Sender<u64>,
}

impl FakeIssuer {
    /// A CA that tells the time so.
    pub(crate) fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let state = State {
            root: Arc::new(root(None)),
            issuing: None,
            announced: None,
            deeds: VecDeque::new(),
            asked: 0,
            requests: Vec::new(),
            signed: 0,
            silenced: 0,
            away: false,
            silent: watch::Sender::new(false),
            asked_for_anchors: 0,
            stands_for_nothing: false,
            crls: None,
            crls_made: 0,
            signs_later: false,
            advice: None,
            back_dating: SignedDuration::from_secs(30),
            counts_back_dating: false,
            asked_for_advice: Vec::new(),
            revoked: Vec::new(),
            refuses_to_revoke: false,
            shown: Vec::new(),
            replaced: Vec::new(),
            offer: None,
            makes_keys: false,
            news: watch::Sender::default(),
        };
        Self {
            now: Box::new(now),
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn sign(&self, order: Order<'_>) -> Answer {
        let mut state = self.lock();
        state.signed += 1;
        let csr = CertificateSigningRequestDer::from(order.csr);
        let mut csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
        let now = (self.now)();
        let epoch = date_time_ymd(1970, 1, 1);
        let begin = now - state.back_dating;
        let counted = if state.counts_back_dating { begin } else { now };
        csr.params.not_before = epoch + seconds(begin);
        csr.params.not_after = epoch + seconds(counted + order.request.lifetime);
        csr.params.serial_number = Some(SerialNumber::from(1_000_000 + state.signed));
        let issuing = state.issuing.as_ref();
        let leaf = csr.signed_by(issuing.unwrap_or(&state.root)).unwrap();
        Answer {
            leaf: leaf.der().clone(),
            chain: issuing
                .map(|issuing| issuing.der().clone())
                .into_iter()
                .collect(),
        }
    }
}

/// An order that is not answered, for as long as somebody waits.
struct Silenced<'a>(&'a FakeIssuer);

impl<'a> Silenced<'a> {
    fn of(issuer: &'a FakeIssuer) -> Self {
        issuer.lock().silenced += 1;
        Self(issuer)
    }
}

impl Drop for Silenced<'_> {
    fn drop(&mut self) {
        self.0.lock().silenced -= 1;
    }
}

fn seconds(at: Timestamp) -> Duration {
    Duration::from_secs(at.as_second().unsigned_abs())
}

fn root(end: Option<Timestamp>) -> CertifiedIssuer<'static, KeyPair> {
    let (params, key) = authority(end);
    CertifiedIssuer::self_signed(params, key).unwrap()
}

fn authority(end: Option<Timestamp>) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::default();
    let key = KeyPair::generate().unwrap();
    let name = format!("fake {:02x?}", &key.public_key_raw()[1..5]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Longer than any clock in a test goes astray.
    params.not_before = date_time_ymd(1990, 1, 1);
    params.not_after = match end {
        Some(end) => date_time_ymd(1970, 1, 1) + seconds(end),
        None => date_time_ymd(2090, 1, 1),
    };
    (params, key)
}

impl Issuer for FakeIssuer {
    fn signs_later(&self) -> bool {
        self.lock().signs_later
    }

    fn issue<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Answer, IssueError>> {
        let deed = {
            let mut state = self.lock();
            state.asked += 1;
            state.requests.push(order.csr.to_vec());
            let shown = order.identity.map(|held| held.leaf.to_vec());
            state.shown.push(shown);
            let replaced = order.replaces.map(|leaf| leaf.to_vec());
            state.replaced.push(replaced);
            match state.away {
                true => Some(Deed::Fail(Retry::BackOff)),
                false => state.deeds.pop_front(),
            }
        };
        Box::pin(async move {
            match deed {
                None | Some(Deed::Sign) => Ok(self.sign(order)),
                Some(Deed::Fail(retry)) => {
                    Err(IssueError::new("fake", retry, "the CA failed", "wait"))
                }
                Some(Deed::Leave(sent)) => {
                    let error = IssueError::new("fake", Retry::BackOff, "the CA failed", "wait");
                    Err(error.with_the_request(sent))
                }
                Some(Deed::Silence) => {
                    let _silenced = Silenced::of(self);
                    std::future::pending().await
                }
                Some(Deed::Panic) => panic!("planted: the issuer panics"),
                Some(Deed::Misname) => {
                    let mut request = order.request.clone();
                    request.names = vec!["other.example.internal".parse().unwrap()];
                    let key = crate::keys::PrivateKey::generate(request.key_type).unwrap();
                    let csr = key.request(&request).unwrap();
                    Ok(self.sign(Order { csr: &csr, ..order }))
                }
            }
        })
    }

    fn supplier(&self) -> Option<&dyn Supplier> {
        self.lock().makes_keys.then_some(self)
    }

    fn anchors<'a>(&'a self) -> BoxFuture<'a, Result<Vec<CertificateDer<'static>>, IssueError>> {
        let mut state = self.lock();
        state.asked_for_anchors += 1;
        let mut roots = vec![state.root.der().clone()];
        roots.extend(state.announced.clone());
        let away = state.away;
        let nothing = state.stands_for_nothing;
        let mut silent = state.silent.subscribe();
        Box::pin(async move {
            // The sender lasts as long as this.
            let _ = silent.wait_for(|silent| !silent).await;
            if away {
                let error = IssueError::new("fake", Retry::BackOff, "the CA is away", "wait");
                return Err(error);
            }
            Ok(match nothing {
                true => Vec::new(),
                false => roots,
            })
        })
    }

    fn crls<'a>(&'a self) -> BoxFuture<'a, Option<Crls>> {
        let brought = self.lock().crls.clone();
        Box::pin(async move {
            let mut crls = Crls::default();
            match brought? {
                Ok(list) => crls.lists.push(list),
                Err(()) => crls.failed.push(IssueError::new(
                    "fake",
                    Retry::BackOff,
                    "the list is lost",
                    "wait",
                )),
            }
            Some(crls)
        })
    }

    fn shows_identity(&self) -> bool {
        true
    }

    fn revoke<'a>(&'a self, revocation: Revocation<'a>) -> BoxFuture<'a, Result<(), IssueError>> {
        Box::pin(async move {
            let mut state = self.lock();
            if state.refuses_to_revoke {
                let error = IssueError::new("fake", Retry::Operator, "the CA refused", "ask it");
                return Err(error);
            }
            state.revoked.push(revocation.leaf.to_vec());
            Ok(())
        })
    }

    fn advises(&self) -> bool {
        self.lock().advice.is_some()
    }

    fn advice<'a>(
        &'a self,
        leaf: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<Option<Advice>, IssueError>> {
        let mut state = self.lock();
        state.asked_for_advice.push(leaf.to_vec());
        let advice = state.advice.clone().unwrap_or(Err(Retry::BackOff));
        Box::pin(async move {
            advice
                .map(Some)
                .map_err(|retry| IssueError::new("fake", retry, "the CA failed", "wait"))
        })
    }
}

impl Supplier for FakeIssuer {
    fn supply<'a>(&'a self, wanted: Wanted<'a>) -> BoxFuture<'a, Result<Supplied, IssueError>> {
        let mut state = self.lock();
        state.asked += 1;
        let new = |answer: &Answer| !wanted.known.contains(&Fingerprint::of(&answer.leaf));
        let offer = state.offer.as_ref().filter(|(_, answer)| new(answer));
        let anchors = vec![state.root.der().clone()];
        let supplied = offer.map(|(key, answer)| Supplied {
            key: PrivateKey::from_pem(key).unwrap(),
            answer: answer.clone(),
            bundle: anchors.clone(),
            anchors,
        });
        Box::pin(async move {
            supplied.ok_or_else(|| {
                IssueError::new("fake", Retry::BackOff, "there is nothing newer", "wait")
            })
        })
    }

    fn has_another(&self, wanted: Wanted<'_>) -> bool {
        let state = self.lock();
        let offer = state.offer.as_ref();
        offer.is_some_and(|(_, answer)| !wanted.known.contains(&Fingerprint::of(&answer.leaf)))
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.lock().news.subscribe()
    }
}
