//! What CAs are shown on this host's sockets: texts on port 80, certificates on port 443.
//!
//! A host has each of these ports once, so all issuers share what is up there. Who puts it up, and for how long,
//! is the business of each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::sign::CertifiedKey;
use tokio::sync::Notify;

/// What the responders answer now, whichever issuer put it up.
#[derive(Debug, Default)]
pub struct Challenges {
    /// Whether there is a socket for it.
    pub(in crate::issuer) http: AtomicBool,
    pub(in crate::issuer) tls: AtomicBool,
    up: Mutex<Up>,
    /// Told when a name is free again.
    freed: Notify,
    numbers: AtomicU64,
}

#[derive(Debug, Default)]
struct Up {
    /// The key authorization for each token.
    texts: BTreeMap<String, String>,
    /// The certificate for each server name.
    certificates: BTreeMap<String, Certificate>,
}

#[derive(Debug)]
struct Certificate {
    /// Whose it is; `None` for one from before a restart, which makes way for others.
    holder: Option<u64>,
    key: Arc<CertifiedKey>,
}

impl Challenges {
    fn lock(&self) -> MutexGuard<'_, Up> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(in crate::issuer) fn holds(&self, token: &str) -> bool {
        self.lock().texts.contains_key(token)
    }

    pub(in crate::issuer) fn text(&self, token: &str) -> Option<String> {
        self.lock().texts.get(token).cloned()
    }

    pub(in crate::issuer) fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let server_name = server_name.to_ascii_lowercase();
        let up = self.lock();
        let certificate = up.certificates.get(&server_name)?;
        Some(Arc::clone(&certificate.key))
    }

    /// Puts certificates up for all of these server names at once, as soon as no other order shows one for any of them:
    /// in a handshake there is room for one. They are up until they are [taken down](Self::take_certificates) by the number.
    pub(in crate::issuer) async fn put_certificates(
        &self,
        certificates: Vec<(String, Arc<CertifiedKey>)>,
    ) -> u64 {
        let holder = self.numbers.fetch_add(1, Ordering::Relaxed);
        loop {
            // Listened to before looking, so that none is missed.
            let freed = self.freed.notified();
            if self.try_to_put(&certificates, Some(holder)) {
                return holder;
            }
            freed.await;
        }
    }

    /// Puts certificates up that make way for others, where there is room for all of them.
    pub(in crate::issuer) fn put_back(&self, certificates: &[(String, Arc<CertifiedKey>)]) {
        self.try_to_put(certificates, None);
    }

    /// Takes certificates down.
    pub(in crate::issuer) fn take_certificates(&self, holder: u64) {
        let mut up = self.lock();
        up.certificates
            .retain(|_, certificate| certificate.holder != Some(holder));
        drop(up);
        self.freed.notify_waiters();
    }

    /// Puts a text up for each token.
    pub(in crate::issuer) fn put_texts(&self, texts: impl Iterator<Item = (String, String)>) {
        self.lock().texts.extend(texts);
    }

    /// Takes texts down.
    pub(in crate::issuer) fn take_texts(&self, tokens: &[String]) {
        let mut up = self.lock();
        tokens.iter().for_each(|token| drop(up.texts.remove(token)));
    }

    fn try_to_put(&self, wanted: &[(String, Arc<CertifiedKey>)], holder: Option<u64>) -> bool {
        let mut up = self.lock();
        let is_held = |name: &String| {
            let up = up.certificates.get(name);
            up.is_some_and(|certificate| certificate.holder.is_some())
        };
        if wanted.iter().any(|(name, _)| is_held(name)) {
            return false;
        }
        up.certificates.extend(wanted.iter().map(|(name, key)| {
            let key = Arc::clone(key);
            (name.clone(), Certificate { holder, key })
        }));
        true
    }
}
