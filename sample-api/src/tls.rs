//! From the PEM of one generation to a TLS configuration that can be served.
//!
//! Owns: every check that a new generation must pass, and the TLS settings.
//! Never does: touch files or what is being served. It builds aside; [`crate::keys`] swaps.

use std::sync::Arc;
use std::time::SystemTime;

use renewd_store::reader::Snapshot;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::crl::Found;
use crate::leaf::{Leaf, rfc3339};
use crate::names::Names;
use crate::staple::{self, StapleError, Stapled};
use crate::trust::{Material, Rules, Trust, TrustError, Verifier};

/// HTTP/2 first. What was agreed on decides how [`crate::connection`] reads the connection.
pub const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Of each full handshake. Clients should use a ticket once (RFC 8446, C.4), and some open two connections.
const TICKETS: usize = 2;

/// The TLS settings that an operator chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choices {
    /// TLS 1.2 as well, for clients that know nothing newer. Off: TLS 1.3 only.
    pub tls12: bool,
    /// How clients are verified.
    pub rules: Rules,
}

/// One generation, ready for handshakes.
#[derive(Debug)]
pub struct Served {
    /// Its number.
    pub generation: u64,
    /// Serial and validity of its leaf.
    pub leaf: Leaf,
    /// The DNS names that it is for.
    pub names: Names,
    /// What clients are verified against. The same one as before, unless it changed.
    pub trust: Arc<Trust>,
    /// What the handshakes use: our chain and key, and the trust.
    pub config: Arc<ServerConfig>,
    /// Until when an OCSP response is sent, if the generation has one; or why it is not sent.
    pub staple: Result<Option<SystemTime>, StapleError>,
    fullchain_pem: Vec<u8>,
    ca_pem: Vec<u8>,
    lists: Vec<Found>,
    ocsp_der: Option<Vec<u8>>,
}

impl Served {
    /// Until when an OCSP response is sent, if one is sent at that time.
    pub fn stapled_until(&self, now: SystemTime) -> Option<SystemTime> {
        let until = self.staple.as_ref().ok().copied().flatten();
        until.filter(|until| now <= *until)
    }

    /// Whether a snapshot with these lists is what is served already.
    ///
    /// The number alone would do were it not for a store that was made anew and counts from one again.
    pub fn is(&self, snapshot: &Snapshot, lists: &[Found]) -> bool {
        self.generation == snapshot.generation
            && self.fullchain_pem == snapshot.fullchain_pem
            && self.ca_pem == snapshot.ca_pem
            && self.lists == lists
            && self.ocsp_der.as_ref() == snapshot.ocsp_der.as_ref().ok().and_then(Option::as_ref)
    }
}

/// Checks a snapshot and makes it ready to be served. `before` is what is served until then: where trust did not
/// change, its trust is kept, and with it the tickets.
///
/// The chain need not lead to `ca.pem`, which is for verifying *clients*: servers with a public
/// certificate have private clients. It must be in order, each certificate signed by the next.
///
/// # Errors
///
/// One of [`BuildError`]'s variants. Nothing has changed then.
pub fn build(
    snapshot: Snapshot,
    lists: Vec<Found>,
    choices: Choices,
    before: Option<&Served>,
    now: SystemTime,
) -> Result<Served, BuildError> {
    let chain = certificates("fullchain.pem", &snapshot.fullchain_pem)?;
    let (leaf, names) = check_chain(&chain)?;
    if !leaf.is_valid_at(now) {
        return Err(BuildError::NotValid {
            from: rfc3339(leaf.not_before),
            until: rfc3339(leaf.not_after),
        });
    }
    let provider = Arc::new(provider());
    let anchors = certificates("ca.pem", &snapshot.ca_pem)?;
    let (staple, ocsp_der) = match snapshot.ocsp_der {
        Ok(Some(der)) => (staple(&der, &chain, &anchors, now).map(Some), Some(der)),
        Ok(None) => (Ok(None), None),
        Err(error) => (Err(StapleError::Unreadable(error)), None),
    };
    let material = Material::new(anchors, &chain, lists.clone(), choices.rules);
    let trust = match before.filter(|before| before.trust.is(&material)) {
        Some(before) => before.trust.clone(),
        None => Arc::new(Trust::new(
            material,
            provider.signature_verification_algorithms,
            now,
        )?),
    };
    let key = PrivateKeyDer::from_pem_slice(snapshot.key_pem.bytes()).map_err(BuildError::Key)?;
    let pair = CertifiedKey::from_der(chain, key, &provider).map_err(BuildError::Pair)?;
    let pair: Arc<dyn ResolvesServerCert> = match (&staple, &ocsp_der) {
        (Ok(Some(until)), Some(der)) => Arc::new(Stapled::new(pair, der.clone(), *until)),
        _ => Arc::new(SingleCertAndKey::from(pair)),
    };
    let versions: &[_] = match choices.tls12 {
        true => &[&rustls::version::TLS13, &rustls::version::TLS12],
        false => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(BuildError::Tls)?
        .with_client_cert_verifier(Arc::new(Verifier(trust.clone())))
        .with_cert_resolver(pair);
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    config.send_tls13_tickets = TICKETS;
    config.ticketer = trust.tickets();
    // Only tickets: what is kept in memory would know nothing of trust.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A request that can be replayed is none that an API should act on (RFC 8446, section 8).
    config.max_early_data_size = 0;
    // Of TLS 1.2 only what cannot be spliced (RFC 7627).
    config.require_ems = true;
    Ok(Served {
        generation: snapshot.generation,
        leaf,
        names,
        trust,
        config: Arc::new(config),
        staple,
        fullchain_pem: snapshot.fullchain_pem,
        ca_pem: snapshot.ca_pem,
        lists,
        ocsp_der,
    })
}

/// Why a generation was refused.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file holds PEM that cannot be read.
    #[error("{file} is not PEM that can be read")]
    Pem {
        /// The file's name.
        file: &'static str,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error("{file} holds no certificate")]
    Empty {
        /// The file's name.
        file: &'static str,
    },
    /// A certificate cannot be parsed.
    #[error("certificate {number} of {file} cannot be parsed")]
    Malformed {
        /// The file's name.
        file: &'static str,
        /// Counted from one.
        number: usize,
    },
    /// A certificate of the chain was not issued by the one that follows it.
    #[error("certificate {number} of fullchain.pem was not issued by the one after it")]
    Chain {
        /// Counted from one.
        number: usize,
    },
    /// The leaf has expired, or is not valid yet.
    #[error("the certificate is valid from {from} until {until}, not now")]
    NotValid {
        /// RFC 3339.
        from: String,
        /// RFC 3339.
        until: String,
    },
    /// The private key cannot be read.
    #[error("key.pem holds no private key that can be read")]
    Key(#[source] pem::Error),
    /// The private key cannot be used, or is another certificate's.
    #[error("key.pem and fullchain.pem do not make a pair")]
    Pair(#[source] rustls::Error),
    /// Clients cannot be verified with what was published.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The TLS settings do not fit the provider.
    #[error("the TLS settings cannot be used")]
    Tls(#[source] rustls::Error),
}

/// aws-lc-rs, with the hybrid post-quantum group first: recorded traffic stays closed to tomorrow's machines.
///
/// Its suites are those of TLS 1.3, and of TLS 1.2 those with ECDHE and an AEAD; a weak one cannot be chosen.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
            kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    }
}

fn certificates(
    file: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| BuildError::Pem { file, source })?;
    if all.is_empty() {
        return Err(BuildError::Empty { file });
    }
    Ok(all)
}

fn staple(
    der: &[u8],
    chain: &[CertificateDer<'_>],
    anchors: &[CertificateDer<'_>],
    now: SystemTime,
) -> Result<SystemTime, StapleError> {
    staple::check(der, &parsed(chain), &parsed(anchors), now)
}

/// What this parser does not read issued nothing that it reads.
fn parsed<'a>(all: &'a [CertificateDer<'_>]) -> Vec<X509Certificate<'a>> {
    let parsed = all
        .iter()
        .filter_map(|der| X509Certificate::from_der(der).ok());
    parsed.map(|(_, certificate)| certificate).collect()
}

fn check_chain(chain: &[CertificateDer<'_>]) -> Result<(Leaf, Names), BuildError> {
    let mut parsed = Vec::with_capacity(chain.len());
    for (index, der) in chain.iter().enumerate() {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| BuildError::Malformed {
                file: "fullchain.pem",
                number: index + 1,
            })?;
        parsed.push(certificate);
    }
    for (index, pair) in parsed.windows(2).enumerate() {
        let named = pair[0].issuer().as_raw() == pair[1].subject().as_raw();
        if !named
            || pair[0]
                .verify_signature(Some(pair[1].public_key()))
                .is_err()
        {
            return Err(BuildError::Chain { number: index + 1 });
        }
    }
    Ok((Leaf::of(&parsed[0]), Names::of(&parsed[0])))
}
