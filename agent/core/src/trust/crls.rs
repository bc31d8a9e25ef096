//! The revocation lists of a bundle: how they change, and which of them are published with an identity.

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::crl::{Crl, CrlError, MAX_CRLS};
use crate::pem;
use crate::trust::Bundle;

/// What the issuers say of revocation lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferedCrls {
    /// Those that they brought.
    pub lists: Vec<CertificateRevocationListDer<'static>>,
    /// Whether any of them is to bring some.
    pub wanted: bool,
    /// Whether each that is to has brought them.
    pub complete: bool,
}

impl Bundle {
    /// The lists.
    pub fn crls(&self) -> &[Crl] {
        &self.crls
    }

    /// With the lists in what was kept. One that can no longer be read is left out: it is offered anew.
    #[must_use]
    pub fn with_kept_crls(
        mut self,
        kept: impl IntoIterator<Item = CertificateRevocationListDer<'static>>,
    ) -> Self {
        let read = |der| Crl::read(der).ok();
        self.crls = kept.into_iter().filter_map(read).collect();
        self.sort_crls();
        self
    }

    /// Takes in what the issuers offer; `chain` are the certificates between own leaves and their anchors. What is refused
    /// is told, and what was held stays: a verifier that has no list lets in whoever is on it. A list goes when nobody wants any
    /// more, when it has ended and its CA has brought others instead, and when no certificate of its CA is left.
    pub fn take_crls(
        &mut self,
        offered: &OfferedCrls,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Vec<CrlError> {
        let anchors = self.anchors.iter().map(|anchor| &anchor.der);
        let authorities: Vec<_> = anchors.chain(chain).cloned().collect();
        let (mut brought, mut refused) = (Vec::new(), Vec::new());
        let mut complete = offered.complete;
        for der in &offered.lists {
            match Crl::read(der.clone()).and_then(|list| list.judged(&authorities, now)) {
                Ok(judged) => brought.push(judged),
                Err(error) => {
                    complete = false;
                    let held = self.crls.iter().any(|held| held.der() == der);
                    if !held && !error.is_skew(now) {
                        refused.push(error);
                    }
                }
            }
        }
        let each = self.crls.iter().cloned();
        let mut held: Vec<_> = each
            .filter_map(|list| list.signed_by(&authorities))
            .collect();
        let before: Vec<_> = held.iter().map(|(_, list)| list.clone()).collect();
        held.retain(|(of, list)| {
            let offered_again = || brought.iter().any(|(again, _)| again == of);
            let over = !offered.wanted || (list.has_ended(now) && !offered_again());
            !(complete && over)
        });
        for (of, list) in brought {
            match held.iter().position(|(known, _)| *known == of) {
                Some(place) if list.takes_the_place_of(&held[place].1, now) => {
                    held[place].1 = list;
                }
                Some(_) => {}
                None if held.len() < MAX_CRLS => held.push((of, list)),
                None => refused.push(CrlError::TooMany),
            }
        }
        let held: Vec<_> = held.into_iter().map(|(_, list)| list).collect();
        // One whose CA is no longer there is published nowhere, and worth no publication of its own: it goes with the
        // next change.
        if held != before {
            self.crls = held;
            self.sort_crls();
        }
        refused
    }

    fn sort_crls(&mut self) {
        self.crls.sort_by(|one, other| one.der().cmp(other.der()));
        self.crls.dedup();
    }
}

/// What services read of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTrust {
    /// `ca.pem`: the CA certificates.
    pub ca_pem: String,
    /// `crl.pem`: the lists, where there is any.
    pub crl_pem: Option<String>,
}

impl PublishedTrust {
    /// Of a bundle's text, beside an identity with this chain: of the lists, those of a CA that is in the bundle or in the
    /// chain. Whoever reads another one could not tell who signed it, and may refuse all.
    pub fn of(bundle: &str, chain: &[CertificateDer<'_>]) -> Self {
        let anchors = pem::parse_certificates(bundle).unwrap_or_default();
        let authorities: Vec<_> = anchors.iter().chain(chain).cloned().collect();
        let mut lists = String::new();
        for der in pem::parse_crls(bundle).unwrap_or_default() {
            if Crl::read(der.clone()).is_ok_and(|list| list.is_of(&authorities)) {
                pem::encode_into(&mut lists, pem::CRL, &der);
            }
        }
        Self {
            ca_pem: pem::certificates(&anchors),
            crl_pem: (!lists.is_empty()).then_some(lists),
        }
    }
}

#[cfg(test)]
mod tests;
