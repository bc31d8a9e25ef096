//! What the issuer says of our own certificate today (OCSP, RFC 6960), sent along in the handshake.
//!
//! Owns: every check that a response must pass before it is sent, and the moment after which it no longer is.
//! Never does: ask an issuer, or refuse a generation: a handshake without a response is one that every client knows, and
//! one with a bad response is not. Neighbour: [`crate::tls`] builds with what passed here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use renewd_store::reader::ReadError;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::X509Certificate;

use crate::events::tell;
use crate::leaf::rfc3339;

mod response;

pub use response::{Certified, Response, Status};

/// Some hundred bytes are usual, with a responder's certificate one or two thousand; TLS 1.3 has no room for more than 64 KiB.
pub const LARGEST: usize = 16 * 1024;

/// Checks a response: it parses, is for this certificate, says that it is good, is of today, and is signed by the issuer or
/// by a responder that the issuer has named. Returns until when it may be sent.
///
/// `chain` has the leaf first; `others` may hold its issuer, too.
///
/// # Errors
///
/// Why it is not sent.
pub fn check(
    der: &[u8],
    chain: &[X509Certificate<'_>],
    others: &[X509Certificate<'_>],
    now: SystemTime,
) -> Result<SystemTime, StapleError> {
    if der.len() > LARGEST {
        return Err(StapleError::TooLarge);
    }
    let response = Response::parse(der)?;
    let (leaf, above) = chain.split_first().ok_or(StapleError::Issuer)?;
    let named = |one: &&X509Certificate<'_>| one.subject().as_raw() == leaf.issuer().as_raw();
    let mut issuers = above.iter().chain(others).filter(named).peekable();
    issuers.peek().ok_or(StapleError::Issuer)?;
    let issuer = issuers
        .find(|issuer| response.is_signed_for(issuer, now))
        .ok_or(StapleError::Forged)?;
    let said = response.of(leaf, issuer).ok_or(StapleError::Foreign)?;
    match said.status {
        Status::Good => {}
        Status::Revoked => return Err(StapleError::Revoked),
        Status::Unknown => return Err(StapleError::Unknown),
    }
    let until = said.until.ok_or(StapleError::Endless)?;
    if said.from > now || now > until {
        return Err(StapleError::NotValid {
            from: rfc3339(said.from),
            until: rfc3339(until),
        });
    }
    Ok(until)
}

/// Our pair with a response, and without one when that has ended.
#[derive(Debug)]
pub struct Stapled {
    with: Arc<CertifiedKey>,
    without: Arc<CertifiedKey>,
    until: SystemTime,
    ended: AtomicBool,
}

impl Stapled {
    /// A pair, with a response that passed [`check`].
    pub fn new(pair: CertifiedKey, response: Vec<u8>, until: SystemTime) -> Self {
        let with = CertifiedKey {
            ocsp: Some(response),
            ..pair.clone()
        };
        Self {
            with: Arc::new(with),
            without: Arc::new(pair),
            until,
            ended: AtomicBool::new(false),
        }
    }

    /// What a handshake at that time is given.
    pub fn at(&self, now: SystemTime) -> &Arc<CertifiedKey> {
        if now <= self.until {
            return &self.with;
        }
        if !self.ended.swap(true, Relaxed) {
            let until = rfc3339(self.until);
            tell!(
                STAPLE_ENDED,
                until,
                "the OCSP response has ended and is no longer sent"
            );
        }
        &self.without
    }
}

impl ResolvesServerCert for Stapled {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(SystemTime::now()).clone())
    }
}

/// Why a response is not sent. What it came with is served all the same.
#[derive(Debug, thiserror::Error)]
pub enum StapleError {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[source] ReadError),
    /// It is larger than [`LARGEST`].
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    /// It cannot be parsed.
    #[error("it is no OCSP response in DER")]
    Malformed,
    /// The responder had nothing to say.
    #[error("it is a responder's error")]
    Failed,
    /// The issuer's certificate is nowhere, so nothing can be checked.
    #[error("the issuer's certificate is neither in fullchain.pem nor in ca.pem")]
    Issuer,
    /// Nobody who may has signed it.
    #[error("it is signed neither by the certificate's issuer nor by a responder of that issuer")]
    Forged,
    /// It is for another certificate.
    #[error("it is for another certificate")]
    Foreign,
    /// It says that our certificate is revoked.
    #[error("it says that the certificate is REVOKED; publish another one")]
    Revoked,
    /// Its issuer does not know the certificate.
    #[error("it says that the issuer does not know the certificate")]
    Unknown,
    /// It does not say when it ends.
    #[error("it has no nextUpdate, so nobody knows when it ends")]
    Endless,
    /// It is not of today.
    #[error("it is valid from {from} until {until}, not now")]
    NotValid {
        /// RFC 3339.
        from: String,
        /// RFC 3339.
        until: String,
    },
}
