//! What the lanes know of trust together: what each issuer stands for (its roots, and its revocation lists), as it said
//! last to any of them, and whether what is new of it has come to every dependent of every certificate. And one certificate's
//! bundle, as it is merged.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture, Shared, WeakShared};
use jiff::Timestamp;
use renewd_core::crl::CrlDer;
use renewd_core::leaf::Fingerprint;
use renewd_core::names::{CertificateName, IssuerName};
use renewd_core::supply::{Again, Failure};
use renewd_core::trust::{Bundle, Merged, OfferedCrls, TrustError};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::config::CertificateSettings;
use crate::driver::issue::failure;
use crate::driver::lane::View;
use crate::issuer::{IssueError, Issuer};

/// How long an issuer has for bringing its revocation lists.
const CRLS_WITHIN: Duration = Duration::from_secs(10);

/// What an issuer stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stands {
    /// CA certificates, and at least one that is.
    pub(crate) anchors: Vec<CertificateDer<'static>>,
    /// The revocation lists that belong to them, and why others could not be had; `None` where it is to bring none.
    crls: Option<StandsCrls>,
}

/// An issuer's revocation lists, and what else came of asking for them.
#[derive(Debug, Default, PartialEq, Eq)]
struct StandsCrls {
    lists: Vec<CrlDer>,
    authorities: Vec<CertificateDer<'static>>,
    failed: Vec<String>,
}

/// What an issuer answers when it is asked what it stands for.
pub(crate) type Answered = Result<Rc<Stands>, Failure>;

/// What an issuer said last.
struct Heard {
    stands: Rc<Stands>,
    at: Timestamp,
}

/// What several issuers stand for together.
pub(crate) struct Offered {
    /// CA certificates.
    pub(crate) anchors: Vec<CertificateDer<'static>>,
    /// Whether each has said something.
    pub(crate) complete: bool,
    /// The revocation lists that belong to them.
    pub(crate) crls: OfferedCrls,
    /// Why some lists could not be had.
    pub(crate) failed: Vec<String>,
}

impl Offered {
    fn nothing() -> Self {
        Self {
            anchors: Vec::new(),
            complete: true,
            crls: OfferedCrls {
                complete: true,
                ..OfferedCrls::default()
            },
            failed: Vec::new(),
        }
    }

    /// With what one more stands for.
    pub(crate) fn add(&mut self, stands: &Stands) {
        add(&mut self.anchors, &stands.anchors);
        if let Some(crls) = &stands.crls {
            self.crls.wanted = true;
            self.crls.complete &= crls.failed.is_empty();
            self.crls.lists.extend_from_slice(&crls.lists);
            add(&mut self.crls.authorities, &crls.authorities);
            self.failed.extend_from_slice(&crls.failed);
        }
    }
}

/// A certificate that issuers are asked for.
struct Asker {
    issuers: Vec<IssuerName>,
    view: Weak<View>,
}

/// What is heard of issuers, and who hears it.
pub(crate) struct Hearsay {
    heard: RefCell<BTreeMap<IssuerName, Heard>>,
    askers: RefCell<BTreeMap<CertificateName, Asker>>,
    /// The questions that are under way: however many lanes have one, the issuer hears it once.
    questions: RefCell<BTreeMap<IssuerName, WeakShared<LocalBoxFuture<'static, Answered>>>>,
    news: watch::Sender<()>,
}

impl Default for Hearsay {
    fn default() -> Self {
        Self {
            heard: RefCell::default(),
            askers: RefCell::default(),
            questions: RefCell::default(),
            news: watch::Sender::new(()),
        }
    }
}

impl Hearsay {
    /// A certificate is of these issuers from now on.
    pub(crate) fn asks(&self, settings: &CertificateSettings, view: &Rc<View>) {
        let asker = Asker {
            issuers: settings.issuers().cloned().collect(),
            view: Rc::downgrade(view),
        };
        let mut askers = self.askers.borrow_mut();
        askers.insert(settings.name.clone(), asker);
    }

    /// Another issuer has this name now.
    pub(crate) fn forget(&self, issuer: &IssuerName) {
        self.heard.borrow_mut().remove(issuer);
        self.questions.borrow_mut().remove(issuer);
    }

    /// Asks an issuer what it stands for.
    pub(crate) fn ask(
        &self,
        name: &IssuerName,
        issuer: Rc<dyn Issuer>,
    ) -> Shared<LocalBoxFuture<'static, Answered>> {
        let mut questions = self.questions.borrow_mut();
        let under_way = questions.get(name).and_then(WeakShared::upgrade);
        // One that has its answer was asked before.
        if let Some(question) = under_way.filter(|question| question.peek().is_none()) {
            return question;
        }
        let question = async move { answered(issuer.as_ref()).await };
        let question = question.boxed_local().shared();
        questions.extend(question.downgrade().map(|weak| (name.clone(), weak)));
        question
    }

    /// An issuer said what it stands for. Who waits for [`Hearsay::news`] is told where that is another thing than before.
    pub(crate) fn hear(&self, issuer: &IssuerName, stands: Rc<Stands>, at: Timestamp) {
        let mut heard = self.heard.borrow_mut();
        match heard.get_mut(issuer) {
            Some(known) if known.stands == stands => known.at = at,
            _ => {
                heard.insert(issuer.clone(), Heard { stands, at });
                self.news.send_replace(());
            }
        }
    }

    /// When an issuer said last what it stands for.
    pub(crate) fn heard_at(&self, issuer: &IssuerName) -> Option<Timestamp> {
        self.heard.borrow().get(issuer).map(|heard| heard.at)
    }

    /// Tells when an issuer stands for something else.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// What all of these issuers stand for, as they said last.
    pub(crate) fn of_all<'a>(&self, issuers: impl Iterator<Item = &'a IssuerName>) -> Offered {
        let heard = self.heard.borrow();
        let mut all = Offered::nothing();
        for issuer in issuers {
            match heard.get(issuer) {
                Some(heard) => all.add(&heard.stands),
                None => {
                    all.complete = false;
                    all.crls.complete = false;
                }
            }
        }
        all
    }

    /// Whether all certificates of these issuers have those of these roots in their bundles that their issuers stand for,
    /// and all that depend on them those bundles. One that is held has no lane that could give it any.
    pub(crate) fn is_known<'a>(
        &self,
        issuers: impl Iterator<Item = &'a IssuerName>,
        roots: &BTreeSet<Fingerprint>,
    ) -> bool {
        let issuers: BTreeSet<_> = issuers.collect();
        let mut askers = self.askers.borrow_mut();
        askers.retain(|_, asker| asker.view.strong_count() > 0);
        let share = |asker: &&Asker| asker.issuers.iter().any(|issuer| issuers.contains(issuer));
        askers.values().filter(share).all(|asker| {
            let Some(view) = asker.view.upgrade() else {
                return true;
            };
            let Offered {
                anchors, complete, ..
            } = self.of_all(asker.issuers.iter());
            let offered: BTreeSet<_> = anchors.iter().map(|der| Fingerprint::of(der)).collect();
            // Of issuers that have said nothing yet, such as after a start, any root may be.
            let mut theirs = roots
                .iter()
                .filter(|root| !complete || offered.contains(*root));
            view.held().is_some()
                || view.with_record(|record| {
                    record.published.is_none()
                        || (record.trust_is_known()
                            && theirs.all(|root| record.anchors.contains(root)))
                })
        })
    }
}

/// One certificate's bundle, and what may go from it.
pub(crate) struct Trust {
    /// What it was until now.
    pub(crate) bundle: Bundle,
    /// What own leaves chain to.
    pub(crate) needed: BTreeSet<Fingerprint>,
    /// What stands between the leaves that are published, or shall be, and their anchors.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// How long another stays that the issuer stands for no longer.
    pub(crate) keep: Duration,
}

impl Trust {
    /// What it is by what the issuers say. Where not all of them have said something, nothing is dropped: it may be
    /// another one's.
    pub(crate) fn merged(
        &self,
        mut offered: Vec<CertificateDer<'static>>,
        complete: bool,
        now: Timestamp,
    ) -> Result<Merged, TrustError> {
        if !complete {
            let held = self.bundle.anchors().iter();
            let held = held.filter(|anchor| anchor.dropped_at.is_none());
            let held: Vec<_> = held.map(|anchor| anchor.der.clone()).collect();
            add(&mut offered, &held);
        }
        self.bundle.merge(&offered, &self.needed, self.keep, now)
    }
}

/// Asks an issuer what it stands for. What cannot be a bundle is no answer: a CA without a certificate is not one that wants
/// to be distrusted. One whose lists cannot be had still stands for its certificates.
pub(crate) async fn answered(issuer: &dyn Issuer) -> Answered {
    let (anchors, crls) = tokio::join!(issuer.anchors(), brought(issuer));
    let anchors = anchors.map_err(|error| failure(&error))?;
    let usable =
        Bundle::default().merge(&anchors, &BTreeSet::new(), Duration::ZERO, Timestamp::MIN);
    usable.map_err(|error| Failure {
        text: format!("{error}; the trust bundle stays as it is"),
        again: Again::BackOff,
        answered: false,
    })?;
    Ok(Rc::new(Stands { anchors, crls }))
}

/// Asks an issuer for its lists. They hold nothing up for long: a certificate may be due.
async fn brought(issuer: &dyn Issuer) -> Option<StandsCrls> {
    match tokio::time::timeout(CRLS_WITHIN, issuer.crls()).await {
        Ok(crls) => crls.map(|crls| StandsCrls {
            lists: crls.lists.into_iter().map(Rc::new).collect(),
            authorities: crls.authorities,
            failed: crls.failed.iter().map(IssueError::operator_text).collect(),
        }),
        Err(_) => Some(StandsCrls {
            failed: vec![format!(
                "the issuer did not bring its lists within {} s",
                CRLS_WITHIN.as_secs()
            )],
            ..StandsCrls::default()
        }),
    }
}

/// Those that are not there yet.
pub(crate) fn add(all: &mut Vec<CertificateDer<'static>>, more: &[CertificateDer<'static>]) {
    for one in more {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
}
