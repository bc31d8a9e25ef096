//! What one handshake proves. Owns the order of judgement; must never report the failure that came first
//! when a truer one was seen: a wrong leaf is a wrong leaf, however the handshake ended.

use std::io;

use renewd_core::leaf::LeafFacts;
use renewd_core::proof::{Reason, SeenLeaf};
use rustls::AlertDescription;
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor};

use super::connect::{FirstBytes, printable};
use super::witness::{Offer, Seen, Signature, verify_chain};
use super::{Expected, Limits};

/// What is the same in all handshakes of one probe.
pub(super) struct Prepared<'a> {
    pub(super) expected: &'a Expected,
    anchors: Vec<TrustAnchor<'static>>,
    pub(super) offer: Offer,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(expected: &'a Expected) -> Self {
        Self {
            expected,
            // An anchor that cannot be read anchors nothing.
            anchors: expected
                .anchors
                .iter()
                .filter_map(|der| webpki::anchor_from_trusted_cert(der).ok())
                .map(|anchor| anchor.to_owned())
                .collect(),
            offer: Offer::for_leaf(&expected.leaf_der),
        }
    }
}

/// Why one handshake proves nothing.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    /// In words, without the address.
    pub(super) what: String,
    pub(super) seen: Option<SeenLeaf>,
    /// The server ended the handshake with an alert before it showed any leaf.
    pub(super) nothing_to_show: bool,
    /// A timeout that the deadline brought about, not the server.
    pub(super) cut_short: bool,
}

impl Failure {
    pub(super) fn new(reason: Reason, what: impl Into<String>) -> Self {
        Self {
            reason,
            what: what.into(),
            seen: None,
            nothing_to_show: false,
            cut_short: false,
        }
    }
}

/// How a handshake ended.
pub(super) enum Ended {
    /// Complete; with what the server said against our client certificate, if it did.
    Complete(Option<String>),
    Broken(io::Error),
    Silent,
}

pub(super) fn judge(
    seen: &Seen,
    ended: Ended,
    prepared: &Prepared<'_>,
    limits: &Limits,
    stream: &FirstBytes,
    name: &ServerName<'_>,
) -> Result<(), Failure> {
    let expected = prepared.expected;
    let Some(leaf) = &seen.leaf else {
        return Err(no_leaf(&ended, stream));
    };
    if leaf.as_ref() != expected.leaf_der {
        return Err(wrong_leaf(leaf, expected, name));
    }
    let failure = |reason, what: String| Failure {
        seen: Some(SeenLeaf {
            fingerprint: expected.leaf.fingerprint,
            serial: expected.leaf.serial.clone(),
        }),
        ..Failure::new(reason, what)
    };
    if seen.signature == Signature::Wrong {
        let what = format!(
            "showed the published leaf, serial {}, but signed with a key that is not the leaf's: \
             the server's key and certificate do not belong together",
            expected.leaf.serial
        );
        return Err(failure(Reason::WrongKey, what));
    }
    let refusal = match ended {
        Ended::Complete(refusal) => refusal,
        Ended::Silent => {
            let what = "showed the published leaf, then fell silent in the handshake";
            return Err(failure(Reason::Timeout, what.into()));
        }
        // In TLS 1.2 a server judges our (missing) certificate before the handshake ends (RFC 5246, section
        // 7.4.6). Its own proof, the signature over both randoms, has then long been given.
        Ended::Broken(error)
            if seen.signature == Signature::Verified && seen.asked && ends_connection(&error) =>
        {
            Some(in_words(&error)).filter(|_| limits.client.is_some())
        }
        Ended::Broken(error) => return Err(failure(Reason::Handshake, in_words(&error))),
    };
    verify_chain(leaf, &seen.intermediates, &prepared.anchors, expected.now)
        .map_err(|error| failure(Reason::Chain, chain_in_words(&error, seen, prepared)))?;
    match refusal {
        Some(what) => Err(failure(
            Reason::ClientRefused,
            format!("serves the published leaf, but refused our client certificate: {what}"),
        )),
        None => Ok(()),
    }
}

fn no_leaf(ended: &Ended, stream: &FirstBytes) -> Failure {
    if let Some(what) = stream.not_tls() {
        return Failure::new(Reason::Handshake, what);
    }
    match ended {
        Ended::Silent => Failure::new(
            Reason::Timeout,
            "connected, but no answer to the handshake in time",
        ),
        Ended::Broken(error) if !stream.answered() => Failure::new(
            Reason::Handshake,
            format!("no answer to the handshake: {}", in_words(error)),
        ),
        Ended::Broken(error) => {
            let nothing_to_show = alert(error).is_some();
            let before = if nothing_to_show {
                ", before it showed a certificate"
            } else {
                ""
            };
            Failure {
                nothing_to_show,
                ..Failure::new(Reason::Handshake, format!("{}{before}", in_words(error)))
            }
        }
        Ended::Complete(_) => Failure::new(Reason::Handshake, "completed without a certificate"),
    }
}

fn wrong_leaf(leaf: &CertificateDer<'_>, expected: &Expected, name: &ServerName<'_>) -> Failure {
    let Ok(facts) = LeafFacts::from_der(leaf) else {
        return Failure::new(Reason::WrongLeaf, "showed a leaf that cannot be read");
    };
    let wanted = &expected.leaf;
    let what = if facts.names == wanted.names {
        format!(
            "showed serial {}, expected {} (renewed on disk, stale in memory?)",
            facts.serial, wanted.serial
        )
    } else {
        format!(
            "showed serial {} of {}, expected {} of {} (asked for {:?}; another server, or ?name= is needed?)",
            facts.serial,
            printable(facts.names.join(", ").as_bytes()),
            wanted.serial,
            printable(wanted.names.join(", ").as_bytes()),
            name.to_str()
        )
    };
    Failure {
        seen: Some(SeenLeaf {
            fingerprint: facts.fingerprint,
            serial: facts.serial,
        }),
        ..Failure::new(Reason::WrongLeaf, what)
    }
}

fn chain_in_words(error: &webpki::Error, seen: &Seen, prepared: &Prepared<'_>) -> String {
    use webpki::Error;
    let sent = seen.intermediates.len();
    let what = match error {
        Error::UnknownIssuer if prepared.anchors.is_empty() => {
            return "there is no trusted root to verify the chain with".into();
        }
        Error::UnknownIssuer if sent == 0 => {
            return "sent the leaf without an intermediate, which leads to no trusted root: \
                    the server needs fullchain.pem, not cert.pem"
                .into();
        }
        Error::UnknownIssuer => "leads to no trusted root".into(),
        Error::InvalidSignatureForPublicKey => {
            "is signed with another key than the trusted one of that name (was the CA made anew?)"
                .into()
        }
        Error::CertExpired { .. } => "has expired".into(),
        Error::CertNotValidYet { .. } => "is not valid yet (is the clock right?)".into(),
        other => format!("does not verify: {other}"),
    };
    format!("the chain as sent (intermediates: {sent}) {what}")
}

fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// Whether the server ended the connection, as opposed to breaking the protocol.
fn ends_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    alert(error).is_some() || matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

pub(super) fn in_words(error: &io::Error) -> String {
    match alert(error) {
        Some(alert) => format!("the server ended the handshake with the alert {alert:?}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection".into()
        }
        None => error.to_string(),
    }
}
