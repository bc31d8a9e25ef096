//! The way from a leaf to an anchor: verified with rustls-webpki, as peers will, and put in order.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Answer, EARLY, Refusal};
use crate::leaf::Fingerprint;
use crate::request::Usages;

/// A verified way to an anchor.
pub(super) struct Path {
    /// Intermediates, each issued by the next.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Which anchor.
    pub(super) anchor: Fingerprint,
    /// The first instant at which all of it is valid.
    pub(super) usable_from: Timestamp,
    /// The earliest end among the intermediates and the anchor.
    pub(super) not_after: Timestamp,
}

/// Verifies for every usage asked for. From `from` on the leaf is valid; a certificate above
/// it that begins later, but not more than [`EARLY`] after `now`, is waited for, too.
pub(super) fn verify(
    answer: &Answer,
    usages: Usages,
    anchors: &[CertificateDer<'_>],
    from: Timestamp,
    now: Timestamp,
) -> Result<Path, Refusal> {
    let offered = offered(answer)?;
    let latest = now + EARLY;
    let mut usable_from = from;
    // Each round waits for one more certificate of the chain, so the rounds are as few as they are.
    for _ in 0..=offered.len() {
        match verify_at(answer, &offered, usages, anchors, usable_from) {
            Err(Attempt::Early(not_before)) if usable_from < not_before && not_before <= latest => {
                usable_from = not_before;
            }
            Err(Attempt::Early(not_before)) => {
                return Err(Refusal::NotYetValid {
                    which: "the chain",
                    not_before,
                    now,
                });
            }
            Err(Attempt::Refused(refusal)) => return Err(refusal),
            Ok(path) => return Ok(path),
        }
    }
    Err(Refusal::NotYetValid {
        which: "the chain",
        not_before: usable_from,
        now,
    })
}

enum Attempt {
    Early(Timestamp),
    Refused(Refusal),
}

/// What came with the leaf, without repetitions and without self-signed certificates: a root is
/// either held already, or it must not be believed.
fn offered(answer: &Answer) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let mut seen = BTreeSet::from([answer.leaf.as_ref()]);
    let mut offered = Vec::new();
    for (index, der) in answer.chain.iter().enumerate() {
        let malformed = |why: String| Refusal::Malformed {
            which: format!("certificate {} of the chain", index + 1),
            why,
        };
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow the certificate".into()));
        }
        if seen.insert(der.as_ref()) && !is_self_signed(&certificate) {
            offered.push(der.clone());
        }
    }
    Ok(offered)
}

/// Names alone do not tell: a root's new key may be certified by its old one under the same name
/// (RFC 4210, section 4.4), and such a link is needed.
fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
        && certificate.verify_signature(None).is_ok()
}

fn verify_at(
    answer: &Answer,
    offered: &[CertificateDer<'static>],
    usages: Usages,
    held: &[CertificateDer<'_>],
    at: Timestamp,
) -> Result<Path, Attempt> {
    let refused = |refusal| Err(Attempt::Refused(refusal));
    let (anchors, expired) = valid_anchors(held, at);
    if anchors.is_empty() {
        return refused(Refusal::NoAnchors { expired });
    }
    let trusted: Vec<TrustAnchor<'_>> = anchors.iter().map(|(anchor, ..)| anchor.clone()).collect();
    let leaf = match EndEntityCert::try_from(&answer.leaf) {
        Ok(leaf) => leaf,
        Err(error) => {
            return refused(Refusal::Malformed {
                which: "the leaf".into(),
                why: error.to_string(),
            });
        }
    };
    let wanted = [
        (usages.server, "serverAuth", KeyUsage::server_auth()),
        (usages.client, "clientAuth", KeyUsage::client_auth()),
    ];
    let mut first = None;
    for (_, usage, validator) in wanted.into_iter().filter(|(asked, ..)| *asked) {
        let verified = leaf
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &trusted,
                offered,
                unix(at),
                validator,
                None,
                None,
            )
            .map_err(|error| explain(error, usage, answer, at, held.len()))?;
        let index = trusted
            .iter()
            .position(|anchor| std::ptr::eq(anchor, verified.anchor()))
            .unwrap_or_default();
        let used: Vec<CertificateDer<'static>> = verified
            .intermediate_certificates()
            .map(|certificate| certificate.der().into_owned())
            .collect();
        first.get_or_insert((used, index));
    }
    let Some((used, index)) = first else {
        return refused(Refusal::Usage {
            missing: vec!["serverAuth or clientAuth (neither was asked for)"],
        });
    };
    let (_, anchor, anchor_ends) = &anchors[index];
    let not_after = used
        .iter()
        .filter_map(|der| validity(der))
        .map(|(_, not_after)| not_after)
        .fold(*anchor_ends, Timestamp::min);
    Ok(Path {
        chain: with_links_above(used, offered),
        anchor: *anchor,
        usable_from: at,
        not_after,
    })
}

/// The path, and above it what else links upward: a cross-certificate of the anchor is not needed
/// here, but by peers that hold only the older root.
fn with_links_above(
    mut chain: Vec<CertificateDer<'static>>,
    offered: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    while let Some((_, last)) = chain
        .last()
        .and_then(|der| X509Certificate::from_der(der).ok())
    {
        let issues_last = |der: &&CertificateDer<'static>| {
            X509Certificate::from_der(der).is_ok_and(|(_, candidate)| {
                candidate.subject().as_raw() == last.issuer().as_raw()
                    && last.verify_signature(Some(candidate.public_key())).is_ok()
            })
        };
        let next = offered
            .iter()
            .filter(|der| !chain.contains(der))
            .find(issues_last)
            .cloned();
        match next {
            Some(next) => chain.push(next),
            None => break,
        }
    }
    chain
}

/// Anchors with their fingerprint and end. An expired one is left out: webpki would take it, other
/// peers would not.
fn valid_anchors<'a>(
    held: &'a [CertificateDer<'_>],
    at: Timestamp,
) -> (Vec<(TrustAnchor<'a>, Fingerprint, Timestamp)>, usize) {
    let mut expired = 0;
    let mut anchors = Vec::with_capacity(held.len());
    for der in held {
        let (Ok(anchor), Some((_, not_after))) = (anchor_from_trusted_cert(der), validity(der))
        else {
            continue;
        };
        if not_after < at {
            expired += 1;
        } else {
            anchors.push((anchor, Fingerprint::of(der), not_after));
        }
    }
    (anchors, expired)
}

fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some((
        Timestamp::from_second(validity.not_before.timestamp()).ok()?,
        Timestamp::from_second(validity.not_after.timestamp()).ok()?,
    ))
}

fn unix(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(
        u64::try_from(at.as_second()).unwrap_or(0),
    ))
}

fn instant(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}

fn explain(
    error: webpki::Error,
    usage: &'static str,
    answer: &Answer,
    at: Timestamp,
    held: usize,
) -> Attempt {
    let why = match error {
        webpki::Error::CertNotValidYet { not_before, .. } => {
            return Attempt::Early(instant(not_before));
        }
        webpki::Error::CertExpired { not_after, .. } => {
            return Attempt::Refused(Refusal::Expired {
                which: "a certificate of the chain",
                not_after: instant(not_after),
                now: at,
            });
        }
        webpki::Error::UnknownIssuer => {
            let issuer = X509Certificate::from_der(&answer.leaf)
                .map(|(_, leaf)| super::shown(leaf.issuer()))
                .unwrap_or_default();
            return Attempt::Refused(Refusal::UnknownCa { issuer, held });
        }
        webpki::Error::CaUsedAsEndEntity => return Attempt::Refused(Refusal::CaLeaf),
        webpki::Error::NameConstraintViolation => {
            "a name lies outside the name constraints of a CA above it".to_owned()
        }
        webpki::Error::PathLenConstraintViolated => {
            "more intermediates than a CA above them allows".to_owned()
        }
        webpki::Error::InvalidSignatureForPublicKey => {
            "a signature was not made by the CA that is named as issuer".to_owned()
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => {
            "a certificate of the chain is not meant for this usage".to_owned()
        }
        other => other.to_string(),
    };
    Attempt::Refused(Refusal::Chain { usage, why })
}
