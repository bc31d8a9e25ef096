//! What the lanes know of trust together: what each issuer stands for, as it said last to any of them, and whether
//! what is new of it has come to every dependent of every certificate. And one certificate's bundle, as it is merged.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use renewd_core::leaf::Fingerprint;
use renewd_core::names::{CertificateName, IssuerName};
use renewd_core::trust::{Bundle, Merged, TrustError};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::driver::lane::View;

/// CA certificates that an issuer stands for.
pub(crate) type Anchors = Rc<[CertificateDer<'static>]>;

/// What an issuer said last.
struct Heard {
    anchors: Anchors,
    at: Timestamp,
}

/// A certificate that an issuer is asked for.
struct Asker {
    issuer: IssuerName,
    view: Weak<View>,
}

/// What is heard of issuers, and who hears it.
pub(crate) struct Hearsay {
    heard: RefCell<BTreeMap<IssuerName, Heard>>,
    askers: RefCell<BTreeMap<CertificateName, Asker>>,
    news: watch::Sender<()>,
}

impl Default for Hearsay {
    fn default() -> Self {
        Self {
            heard: RefCell::default(),
            askers: RefCell::default(),
            news: watch::Sender::new(()),
        }
    }
}

impl Hearsay {
    /// A certificate is of this issuer from now on.
    pub(crate) fn asks(&self, certificate: &CertificateName, issuer: &IssuerName, view: &Rc<View>) {
        let asker = Asker {
            issuer: issuer.clone(),
            view: Rc::downgrade(view),
        };
        self.askers.borrow_mut().insert(certificate.clone(), asker);
    }

    /// Another issuer has this name now.
    pub(crate) fn forget(&self, issuer: &IssuerName) {
        self.heard.borrow_mut().remove(issuer);
    }

    /// An issuer said what it stands for. Who waits for [`Hearsay::news`] is told where that is another thing than before.
    pub(crate) fn hear(&self, issuer: &IssuerName, anchors: Anchors, at: Timestamp) {
        let mut heard = self.heard.borrow_mut();
        match heard.get_mut(issuer) {
            Some(known) if *known.anchors == *anchors => known.at = at,
            _ => {
                heard.insert(issuer.clone(), Heard { anchors, at });
                self.news.send_replace(());
            }
        }
    }

    /// What an issuer stands for, as it said last, and when that was.
    pub(crate) fn of(&self, issuer: &IssuerName) -> Option<(Anchors, Timestamp)> {
        let heard = self.heard.borrow();
        let heard = heard.get(issuer)?;
        Some((heard.anchors.clone(), heard.at))
    }

    /// Tells when an issuer stands for something else.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Whether all certificates of an issuer have these roots in their bundles, and all that depend on them those
    /// bundles. One that is held has no lane that could give it any.
    pub(crate) fn is_known(&self, issuer: &IssuerName, roots: &BTreeSet<Fingerprint>) -> bool {
        let mut askers = self.askers.borrow_mut();
        askers.retain(|_, asker| asker.view.strong_count() > 0);
        let of_it = askers.values().filter(|asker| asker.issuer == *issuer);
        of_it.filter_map(|asker| asker.view.upgrade()).all(|view| {
            view.held().is_some()
                || view.with_record(|record| {
                    record.published.is_none()
                        || (record.trust_is_known()
                            && roots.iter().all(|root| record.anchors.contains(root)))
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
    /// How long another stays that the issuer stands for no longer.
    pub(crate) keep: Duration,
}

impl Trust {
    /// What it is by what the issuer says.
    pub(crate) fn merged(
        &self,
        offered: &[CertificateDer<'static>],
        now: Timestamp,
    ) -> Result<Merged, TrustError> {
        self.bundle.merge(offered, &self.needed, self.keep, now)
    }
}
