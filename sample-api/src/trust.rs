//! Whom we believe: the CA bundle and its revocation lists, as one thing that changes as one.
//!
//! Owns: the verification of client certificates, in the handshake and again later, and the session tickets
//! that end with it.
//! Never does: ask what a client may do ([`crate::policy`]), or touch files. Neighbours: [`crate::tls`] builds one
//! and keeps it over generations that do not change it; [`crate::registry`] judges open connections by it.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationOptionsBuilder,
    UnknownStatusPolicy, anchor_from_trusted_cert,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::crl::{self, CrlError, Found};
use crate::fingerprint::Fingerprint;
use crate::identity::Peer;
use crate::tickets::{Handshake, Tickets};

mod distrust;
mod known;

pub use distrust::Distrust;

use known::Known;

/// What trust is made of. Two that are equal are the same trust, whatever their files look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    /// The bundle, sorted and each once.
    anchors: Vec<CertificateDer<'static>>,
    /// Certificates that may sign lists besides the anchors: the intermediates of our own chain.
    intermediates: Vec<CertificateDer<'static>>,
    lists: Vec<Found>,
    rules: Rules,
}

/// The settings that trust depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// With lists, a client of a CA that has none is let in. Off: it is refused.
    pub accept_unknown_revocation: bool,
    /// A certificate without a URI and a DNS name is known by its one common name.
    pub common_name: bool,
}

impl Material {
    /// Puts it together; `chain` is the server's own, for the intermediates in it.
    pub fn new(
        mut anchors: Vec<CertificateDer<'static>>,
        chain: &[CertificateDer<'static>],
        lists: Vec<Found>,
        rules: Rules,
    ) -> Self {
        anchors.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
        anchors.dedup();
        // Without lists a new intermediate of ours changes nothing about whom we believe.
        let mut intermediates = match lists.is_empty() {
            true => Vec::new(),
            false => chain.iter().skip(1).cloned().collect(),
        };
        intermediates.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
        Self {
            anchors,
            intermediates,
            lists,
            rules,
        }
    }
}

/// A bundle and its lists, ready to verify clients.
#[derive(Debug)]
pub struct Trust {
    material: Material,
    anchors: Vec<TrustAnchor<'static>>,
    fingerprints: Vec<Fingerprint>,
    hints: Vec<DistinguishedName>,
    lists: Vec<CertRevocationList<'static>>,
    lists_until: Option<SystemTime>,
    algorithms: WebPkiSupportedAlgorithms,
    tickets: Arc<Tickets>,
    known: Known,
}

impl Trust {
    /// Checks everything and makes it ready.
    ///
    /// # Errors
    ///
    /// When a certificate cannot be an anchor or a list cannot be used.
    pub fn new(
        material: Material,
        algorithms: WebPkiSupportedAlgorithms,
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        let mut anchors = Vec::with_capacity(material.anchors.len());
        let mut hints = Vec::with_capacity(material.anchors.len());
        let mut issuers = Vec::new();
        for (index, der) in material.anchors.iter().enumerate() {
            let refuse = |source| TrustError::Anchor {
                fingerprint: Fingerprint::of(der),
                source,
            };
            let anchor = anchor_from_trusted_cert(der).map_err(refuse)?.to_owned();
            // The place of an anchor travels in tickets as 16 bits.
            u16::try_from(index).map_err(|_| TrustError::TooMany)?;
            hints.push(DistinguishedName::in_sequence(anchor.subject.as_ref()));
            anchors.push(anchor);
        }
        for der in material.anchors.iter().chain(&material.intermediates) {
            // Version 1 roots are anchors too; what this parser does not read signs no list.
            issuers.extend(X509Certificate::from_der(der).map(|(_, parsed)| parsed));
        }
        let checked = crl::check(&material.lists, &issuers, now).map_err(TrustError::List)?;
        Ok(Self {
            fingerprints: material
                .anchors
                .iter()
                .map(|der| Fingerprint::of(der))
                .collect(),
            tickets: Arc::new(Tickets::new(checked.until).map_err(TrustError::Tickets)?),
            lists: checked.lists,
            lists_until: checked.until,
            material,
            anchors,
            hints,
            algorithms,
            known: Known::default(),
        })
    }

    /// Whether this is what `material` would make.
    pub fn is(&self, material: &Material) -> bool {
        self.material == *material
    }

    /// Verifies a client's chain, leaf first, at that time.
    ///
    /// # Errors
    ///
    /// Why the client is not, or no longer, believed.
    pub fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<u16, Distrust> {
        let end = EndEntityCert::try_from(leaf)?;
        let lists: Vec<_> = self.lists.iter().collect();
        let unknown = match self.material.rules.accept_unknown_revocation {
            true => UnknownStatusPolicy::Allow,
            false => UnknownStatusPolicy::Deny,
        };
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_status_policy(unknown)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let path = end.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            intermediates,
            now,
            KeyUsage::client_auth(),
            revocation,
            None,
        )?;
        let place = self.anchors.iter().position(|one| one == path.anchor());
        place
            .and_then(|place| u16::try_from(place).ok())
            .ok_or(Distrust::Untrusted)
    }

    /// The SHA-256 of the anchor at that place.
    pub fn fingerprint(&self, anchor: u16) -> Option<Fingerprint> {
        self.fingerprints.get(usize::from(anchor)).copied()
    }

    /// The earliest `nextUpdate` of the lists; after it nobody new is let in.
    pub fn lists_until(&self) -> Option<SystemTime> {
        self.lists_until
    }

    /// How many lists are in use.
    pub fn lists(&self) -> usize {
        self.lists.len()
    }

    /// The tickets that are good under this trust and no other.
    pub fn tickets(&self) -> Arc<Tickets> {
        self.tickets.clone()
    }
}

/// Trust, as the handshake asks it.
#[derive(Debug)]
pub struct Verifier(pub Arc<Trust>);

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.0.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let trust = &self.0;
        let chain: Vec<_> = [end_entity].into_iter().chain(intermediates).collect();
        let key = Fingerprint::of_all(chain.iter().map(|der| der.as_ref()));
        let (peer, anchor) = match trust.known.find(&key, now) {
            Some(known) => known,
            None => {
                let anchor = trust
                    .judge(end_entity, intermediates, now)
                    .map_err(CertificateError::from)?;
                let peer = Arc::new(Peer::of(end_entity, trust.material.rules.common_name));
                let verified = (&peer, anchor);
                trust
                    .known
                    .remember(key, &chain, trust.lists_until, verified);
                (peer, anchor)
            }
        };
        Handshake::verified(peer, anchor);
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}

/// Why trust cannot be made of what was published.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A certificate of the bundle cannot be an anchor.
    #[error("the certificate of ca.pem with SHA-256 {fingerprint} cannot be a trust anchor")]
    Anchor {
        /// Its SHA-256.
        fingerprint: Fingerprint,
        /// What is wrong with it.
        #[source]
        source: webpki::Error,
    },
    /// More anchors than anybody has.
    #[error("ca.pem holds more than 65,536 certificates")]
    TooMany,
    /// A revocation list cannot be used.
    #[error(transparent)]
    List(CrlError),
    /// There is no randomness for the ticket keys.
    #[error("no session ticket keys can be made")]
    Tickets(#[source] rustls::Error),
}
