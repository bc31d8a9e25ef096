//! What may be given to whom. Shared by the driver's thread, which fills it, and the one that answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use renewd_core::names::{CertificateName, CredentialName, UnitName};
use renewd_core::record::GenerationNumber;
use zeroize::Zeroizing;

use super::asked::{Asked, Refusal};

/// The published generation of each certificate that some unit loads as a credential. Its locks are held for
/// a look into a map, never longer.
#[derive(Default)]
pub struct Vault {
    entries: Mutex<BTreeMap<CertificateName, Entry>>,
    served: AtomicBool,
}

#[derive(Default)]
struct Entry {
    readers: Vec<(UnitName, CredentialName)>,
    held: Option<(GenerationNumber, Arc<Zeroizing<String>>)>,
}

/// What a unit is given.
pub struct Given {
    /// Of which certificate.
    pub certificate: CertificateName,
    /// Which generation.
    pub generation: GenerationNumber,
    pem: Arc<Zeroizing<String>>,
}

impl Given {
    /// Key, leaf and chain, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given")
            .field("certificate", &self.certificate)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// These units, and no others, may load the certificate, each under the name of its credential. Without
    /// any, what was held is wiped.
    pub fn entrust(&self, certificate: &CertificateName, readers: Vec<(UnitName, CredentialName)>) {
        let mut entries = self.entries();
        if readers.is_empty() {
            entries.remove(certificate);
        } else {
            entries.entry(certificate.clone()).or_default().readers = readers;
        }
    }

    /// Whether any unit may load the certificate.
    pub fn is_entrusted(&self, certificate: &CertificateName) -> bool {
        self.entries().contains_key(certificate)
    }

    /// The generation that is given from now on: key, leaf and chain, PEM. Nothing is kept that no unit may load.
    pub fn hold(
        &self,
        certificate: &CertificateName,
        generation: GenerationNumber,
        pem: Zeroizing<String>,
    ) {
        if let Some(entry) = self.entries().get_mut(certificate) {
            entry.held = Some((generation, Arc::new(pem)));
        }
    }

    /// The generation that is held.
    pub fn held(&self, certificate: &CertificateName) -> Option<GenerationNumber> {
        let entries = self.entries();
        let (generation, _) = entries.get(certificate)?.held.as_ref()?;
        Some(*generation)
    }

    /// What a unit is given.
    ///
    /// # Errors
    /// Why it is given nothing.
    pub fn answer(&self, asked: Asked) -> Result<Given, Refusal> {
        let entries = self.entries();
        let found = entries.iter().find(|(_, entry)| {
            let mut readers = entry.readers.iter();
            readers.any(|(unit, credential)| *unit == asked.unit && *credential == asked.credential)
        });
        let Some((certificate, entry)) = found else {
            return Err(Refusal::NotConfigured(asked));
        };
        let certificate = certificate.clone();
        match &entry.held {
            Some((generation, pem)) => Ok(Given {
                certificate,
                generation: *generation,
                pem: Arc::clone(pem),
            }),
            None => Err(Refusal::Unpublished { asked, certificate }),
        }
    }

    /// Whether there is a socket on which somebody answers from it.
    pub fn set_served(&self, served: bool) {
        self.served.store(served, Ordering::Relaxed);
    }

    /// Whether units are configured that nobody answers: systemd handed us no socket.
    pub fn is_unserved(&self) -> bool {
        !self.served.load(Ordering::Relaxed) && !self.entries().is_empty()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<CertificateName, Entry>> {
        // Each change is one assignment: a panic leaves nothing half done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
