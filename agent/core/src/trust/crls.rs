//! The revocation lists of a bundle: how they change, and what of it services read.

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::crl::{Crl, CrlDer, CrlError, MAX_CRLS, MAX_CRLS_BYTES};
use crate::pem;
use crate::trust::Bundle;

/// The most CA certificates that are looked at for those that may have signed a list.
const MAX_AUTHORITIES: usize = 64;

/// What the issuers say of revocation lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferedCrls {
    /// Those that they brought.
    pub lists: Vec<CrlDer>,
    /// CA certificates that may have signed them. One counts that stands below an anchor.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Whether any issuer is to bring lists.
    pub wanted: bool,
    /// Whether each that is to has brought them.
    pub complete: bool,
}

impl Bundle {
    /// The lists.
    pub fn crls(&self) -> &[Crl] {
        &self.crls
    }

    /// With the lists in what was kept, which were judged before. One that can no longer be read is left out: it is offered anew.
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

    /// Takes in what the issuers offer; `chain` are certificates between own leaves and their anchors. What is refused is told,
    /// and what was held stays: a verifier that has no list lets in whoever is on it, or nobody at all. A list goes when nobody
    /// wants any more, and when it has ended and another took its place, or its CA is none that is trusted or in the chain.
    pub fn take_crls(
        &mut self,
        offered: &OfferedCrls,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Vec<CrlError> {
        if self.has_just_these(offered, now) {
            return Vec::new();
        }
        let authorities = self.authorities(&offered.authorities, chain);
        let (mut brought, mut refused) = (Vec::new(), Vec::new());
        let mut complete = offered.complete;
        for der in &offered.lists {
            let held = self.crls.iter().find(|held| held.der() == &**der);
            let list = held.map_or_else(|| Crl::read(der.clone()), |held| Ok(held.clone()));
            match list.and_then(|list| list.judge(&authorities, now).map(|()| list)) {
                Ok(list) => brought.push(list),
                Err(error) => {
                    complete = false;
                    if held.is_none() && !error.is_skew(now) {
                        refused.push(error);
                    }
                }
            }
        }
        let own = self.anchors.iter().map(|anchor| &anchor.der).chain(chain);
        let own: Vec<_> = own
            .filter_map(|der| Some(parsed(der)?.subject().as_raw().to_vec()))
            .collect();
        self.crls.retain(|held| {
            let issuer = held.issuer_der();
            let again = || {
                let mut same = brought.iter();
                same.any(|list| list.is_about_the_same(held, &authorities))
            };
            // Where only a part of a file is there, what is missing may be the list of a CA that is needed.
            let replaced = || {
                let others = brought.iter().any(|list| list.issuer_der() == issuer);
                others || !own.iter().any(|subject| subject == issuer)
            };
            let over = !offered.wanted || (held.has_ended(now) && !again() && replaced());
            !(complete && over)
        });
        for list in brought {
            let mut held = self.crls.iter();
            let place = held.position(|held| list.is_about_the_same(held, &authorities));
            if place.is_some_and(|place| !list.takes_the_place_of(&self.crls[place], now)) {
                continue;
            }
            let others = self.crls.iter().enumerate();
            let others = others.filter(|(number, _)| Some(*number) != place);
            let sizes: Vec<_> = others.map(|(_, other)| other.der().len()).collect();
            let size = sizes.iter().sum::<usize>() + list.der().len();
            if sizes.len() == MAX_CRLS || size > MAX_CRLS_BYTES {
                refused.push(CrlError::TooMany);
                continue;
            }
            match place {
                Some(place) => self.crls[place] = list,
                None => self.crls.push(list),
            }
        }
        self.sort_crls();
        refused
    }

    /// Whether nothing can come of the offer: most looks end here.
    fn has_just_these(&self, offered: &OfferedCrls, now: Timestamp) -> bool {
        let held = |der: &CrlDer| self.crls.iter().any(|held| held.der() == &**der);
        let lasts = |list: &Crl| !list.has_ended(now);
        offered.complete
            && offered.wanted
            && self.crls.len() == offered.lists.len()
            && offered.lists.iter().all(held)
            && self.crls.iter().all(lasts)
    }

    /// Whose lists count: the anchors', those of the own chain, and of those that are offered, what stands below them.
    fn authorities(
        &self,
        offered: &[CertificateDer<'_>],
        chain: &[CertificateDer<'_>],
    ) -> Vec<CertificateDer<'static>> {
        let anchors = self.anchors.iter().map(|anchor| &anchor.der);
        let own: Vec<_> = anchors.chain(chain).collect();
        let mut known: Vec<_> = own.iter().filter_map(|der| parsed(der)).collect();
        let mut open: Vec<_> = offered
            .iter()
            .take(MAX_AUTHORITIES)
            .filter_map(|der| Some((der, parsed(der)?)))
            .collect();
        let mut authorities: Vec<_> = own.iter().map(|der| (*der).clone().into_owned()).collect();
        // As many rounds as there are steps: each finds what stands one step lower.
        loop {
            let (below, others): (Vec<_>, Vec<_>) = open
                .into_iter()
                .partition(|(_, parsed)| known.iter().any(|above| is_signed_by(parsed, above)));
            if below.is_empty() {
                return authorities;
            }
            for (der, parsed) in below {
                authorities.push(der.clone().into_owned());
                known.push(parsed);
            }
            open = others;
        }
    }

    fn sort_crls(&mut self) {
        self.crls.sort_by(|one, other| one.der().cmp(other.der()));
        self.crls.dedup();
    }
}

fn parsed<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate)
}

/// Whether one CA certificate is of the other CA.
fn is_signed_by(below: &X509Certificate<'_>, above: &X509Certificate<'_>) -> bool {
    below.is_ca()
        && below.issuer().as_raw() == above.subject().as_raw()
        && below.verify_signature(Some(above.public_key())).is_ok()
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
    /// Of a bundle's text.
    pub fn of(bundle: &str) -> Self {
        let begin = format!("-----BEGIN {}-----", pem::CRL);
        let (ca, crl) = bundle.split_at(bundle.find(&begin).unwrap_or(bundle.len()));
        Self {
            ca_pem: ca.to_owned(),
            crl_pem: (!crl.is_empty()).then(|| crl.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
