//! What the cryptography of one full mutual handshake costs by itself: the floor that no server can go below.
//!
//! Its neighbour is [`super::work`], which measures it beside the servers.

use std::time::Duration;

use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use nix::time::{ClockId, clock_gettime};

/// What is signed: as long as what TLS 1.3 signs with SHA-256.
const MESSAGE: [u8; 130] = [0x20; 130];

/// CPU time of one handshake's worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bare {
    /// One P-256 signature.
    pub(super) sign: Duration,
    /// Two verifications: the client's certificate, and its proof that it has the key.
    pub(super) verify: Duration,
    /// X25519: one key, one agreement.
    pub(super) agree: Duration,
}

impl Bare {
    /// The mean of so many.
    pub(super) fn measure(times: u32) -> Result<Self, Unspecified> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let signed = pair.sign(&random, &MESSAGE)?;
        let public = pair.public_key().as_ref();
        let public = signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public);
        let peer = EphemeralPrivateKey::generate(&X25519, &random)?.compute_public_key()?;
        Ok(Self {
            sign: mean(times, || pair.sign(&random, &MESSAGE).map(drop))?,
            verify: mean(times, || {
                public.verify(&MESSAGE, signed.as_ref())?;
                public.verify(&MESSAGE, signed.as_ref())
            })?,
            agree: mean(times, || {
                let own = EphemeralPrivateKey::generate(&X25519, &random)?;
                own.compute_public_key()?;
                let peer = UnparsedPublicKey::new(&X25519, peer.as_ref());
                agreement::agree_ephemeral(own, peer, Unspecified, |_| Ok(()))
            })?,
        })
    }
}

fn mean(
    times: u32,
    mut work: impl FnMut() -> Result<(), Unspecified>,
) -> Result<Duration, Unspecified> {
    let clock =
        || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
    let begun = clock();
    for _ in 0..times {
        work()?;
    }
    Ok((clock() - begun) / times)
}
