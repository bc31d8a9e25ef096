//! Chains that this trust has verified before.
//!
//! Owns: how long that may be gone by. Never does: verify, or outlive its trust. Whether the client has the key is asked
//! in every handshake, and not here. Neighbour: [`super::Verifier`]. Why this is safe: `docs/decisions/0020`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::fingerprint::Fingerprint;
use crate::identity::Peer;

/// At most; then it begins anew. About a megabyte.
pub(super) const MOST: usize = 4096;

/// By SHA-256 of the whole chain as it was sent.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<Fingerprint, Verified>>);

#[derive(Debug)]
struct Verified {
    peer: Arc<Peer>,
    anchor: u16,
    /// In seconds since 1970; both belong to it.
    from: u64,
    until: u64,
}

impl Known {
    /// The client and its anchor, if verifying the chain now could not come to anything else.
    pub(super) fn find(&self, chain: &Fingerprint, now: UnixTime) -> Option<(Arc<Peer>, u16)> {
        let known = self.lock();
        let found = known.get(chain)?;
        let lasts = (found.from..=found.until).contains(&now.as_secs());
        lasts.then(|| (found.peer.clone(), found.anchor))
    }

    /// Remembers a chain that was just verified, for as long as every certificate of it is valid and, with revocation
    /// lists, until the first of them ends.
    pub(super) fn remember(
        &self,
        key: Fingerprint,
        chain: &[&CertificateDer<'_>],
        lists_until: Option<SystemTime>,
        (peer, anchor): (&Arc<Peer>, u16),
    ) {
        let Some((from, until)) = validity(chain) else {
            return;
        };
        // A list that ends at a moment is not of use at that moment any more.
        let lists_until = lists_until.map_or(u64::MAX, |end| seconds(end).saturating_sub(1));
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(
            key,
            Verified {
                peer: peer.clone(),
                anchor,
                from,
                until: until.min(lists_until),
            },
        );
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Fingerprint, Verified>> {
        // Nothing that panics is done under it.
        self.0.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

/// When all of them are valid, whether the path goes over them or not: narrower than needed is safe.
fn validity(chain: &[&CertificateDer<'_>]) -> Option<(u64, u64)> {
    let mut whole = (0, u64::MAX);
    for certificate in chain {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        let from = u64::try_from(validity.not_before.timestamp()).unwrap_or(0);
        let until = u64::try_from(validity.not_after.timestamp()).ok()?;
        whole = (whole.0.max(from), whole.1.min(until));
    }
    Some(whole)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn certificate(from: u64, until: u64) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.not_before = at(from).into();
        params.not_after = at(until).into();
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn found(known: &Known, key: Fingerprint, now: u64) -> bool {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        known.find(&key, now).is_some()
    }

    #[test]
    fn a_chain_is_known_only_while_all_of_it_is_valid_and_no_list_has_ended() {
        let (leaf, above) = (certificate(1000, 3000), certificate(1500, 2500));
        let peer = Arc::new(Peer::of(&leaf, false));
        let key = Fingerprint::of(&leaf);
        for (lists_until, last) in [(None, 2500), (Some(at(2000)), 1999), (Some(at(0)), 0)] {
            let known = Known::default();
            known.remember(key, &[&leaf, &above], lists_until, (&peer, 0));
            for now in [0, 1499, 1500, 1999, 2000, 2500, 2501] {
                let expected = (1500..=last).contains(&now);
                assert_eq!(found(&known, key, now), expected, "{lists_until:?} {now}");
            }
        }
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let leaf = certificate(0, 10);
        let peer = Arc::new(Peer::of(&leaf, false));
        let known = Known::default();
        for number in 0..=MOST {
            let key = Fingerprint::of(&number.to_be_bytes());
            known.remember(key, &[&leaf], None, (&peer, 0));
        }
        assert_eq!(known.lock().len(), 1);
    }
}
