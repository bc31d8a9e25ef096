//! Challenges: by what a CA sees that a name is ours (RFC 8555, section 8).
//!
//! Owns what is put up and when it is taken down; what is up at the sockets is in [`Challenges`]. How each kind is shown
//! is in [`super::http01`], [`super::tls_alpn01`] and [`super::dns01`].

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use instant_acme::{ChallengeType, Identifier};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::super::challenges::Challenges;
use super::dns01::{By, Dns01};
use super::error::AcmeError;
use super::{http01, tls_alpn01};
use crate::secret::Secret;

/// How a CA is shown that names are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A text at an address on port 80 (RFC 8555, section 8.3).
    Http01 {
        /// Where files are put; without, the socket's responder answers.
        webroot: Option<PathBuf>,
    },
    /// A certificate in a handshake on port 443 (RFC 8737).
    TlsAlpn01,
    /// A TXT record (RFC 8555, section 8.4).
    Dns01(Dns01),
}

impl Challenge {
    /// As the CA calls it.
    pub(super) fn kind(&self) -> ChallengeType {
        match self {
            Self::Http01 { .. } => ChallengeType::Http01,
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Self::Dns01(_) => ChallengeType::Dns01,
        }
    }

    /// Where the key is that it takes, if any.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Dns01(Dns01 {
                by: By::Update(update),
                ..
            }) => Some(&update.key),
            _ => None,
        }
    }

    /// Fails where nobody would answer the CA.
    pub(super) fn can_be_answered(&self, challenges: &Challenges) -> Result<(), AcmeError> {
        let (served, unit) = match self {
            Self::Http01 { webroot: None } => (&challenges.http, http01::SOCKET_UNIT),
            Self::TlsAlpn01 => (&challenges.tls, tls_alpn01::SOCKET_UNIT),
            Self::Http01 { webroot: Some(_) } | Self::Dns01(_) => return Ok(()),
        };
        match served.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(AcmeError::NoResponder {
                challenge: self.to_string(),
                unit,
            }),
        }
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 { .. } => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01(_) => "dns-01",
        })
    }
}

/// What has to be shown for one name. Says nothing that is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    /// The name, without the star of a wildcard.
    pub(super) name: Identifier,
    pub(super) token: String,
    /// The key authorization (RFC 8555, section 8.1).
    pub(super) answer: String,
}

impl Proof {
    /// # Errors
    /// When the token could lead elsewhere: it becomes part of an address or a file's name.
    pub(super) fn new(name: &Identifier, token: &str, answer: &str) -> Result<Self, AcmeError> {
        // RFC 8555, section 8.3: the base64url alphabet.
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if token.is_empty() || token.len() > 128 || !token.bytes().all(sound) {
            let why = "its token is none (RFC 8555, section 8.3)";
            return Err(AcmeError::protocol("a challenge", why));
        }
        Ok(Self {
            name: name.clone(),
            token: token.to_owned(),
            answer: answer.to_owned(),
        })
    }
}

/// What is up until this is dropped.
#[derive(Debug)]
pub(super) enum Placed {
    Texts(Arc<Challenges>, Vec<String>),
    File(PathBuf),
    Certificates(Arc<Challenges>, u64),
}

impl Placed {
    /// Puts up what a responder or a web server shows. Records of names are [`Dns01`]'s.
    pub(super) async fn put(
        challenges: &Arc<Challenges>,
        challenge: &Challenge,
        proofs: &[Proof],
    ) -> Result<Vec<Self>, AcmeError> {
        match challenge {
            Challenge::Http01 { webroot: None } => Ok(vec![Self::texts(challenges, proofs)]),
            Challenge::Http01 {
                webroot: Some(webroot),
            } => {
                let files = proofs.iter().map(|proof| {
                    let written = http01::write(webroot, &proof.token, &proof.answer);
                    written.map(Self::File)
                });
                files.collect()
            }
            Challenge::TlsAlpn01 => {
                let certificates = proofs.iter().map(certificate);
                let certificates = certificates.collect::<Result<_, _>>()?;
                let holder = challenges.put_certificates(certificates).await;
                Ok(vec![Self::Certificates(Arc::clone(challenges), holder)])
            }
            Challenge::Dns01(_) => Ok(Vec::new()),
        }
    }

    /// Puts up again what a CA may ask a responder for since before a restart; it makes way for what is put up for an
    /// order.
    pub(super) fn again(
        challenges: &Arc<Challenges>,
        challenge: &Challenge,
        proofs: &[Proof],
    ) -> Option<Self> {
        match challenge {
            Challenge::Http01 { webroot: None } => Some(Self::texts(challenges, proofs)),
            Challenge::TlsAlpn01 => {
                let certificates: Vec<_> = proofs.iter().flat_map(certificate).collect();
                challenges.put_back(&certificates);
                None
            }
            Challenge::Http01 { .. } | Challenge::Dns01(_) => None,
        }
    }

    fn texts(challenges: &Arc<Challenges>, proofs: &[Proof]) -> Self {
        let texts = |proof: &Proof| (proof.token.clone(), proof.answer.clone());
        challenges.put_texts(proofs.iter().map(texts));
        let tokens = proofs.iter().map(|proof| proof.token.clone());
        Self::Texts(Arc::clone(challenges), tokens.collect())
    }
}

fn certificate(proof: &Proof) -> Result<(String, Arc<CertifiedKey>), AcmeError> {
    let server_name = tls_alpn01::server_name(&proof.name)?;
    let key = tls_alpn01::certificate(&proof.name, &proof.answer)?;
    Ok((server_name, Arc::new(key)))
}

impl Drop for Placed {
    fn drop(&mut self) {
        match self {
            Self::Texts(challenges, tokens) => challenges.take_texts(tokens),
            // One that stays says nothing that was not public.
            Self::File(path) => drop(std::fs::remove_file(path)),
            Self::Certificates(challenges, holder) => challenges.take_certificates(*holder),
        }
    }
}
