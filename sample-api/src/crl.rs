//! Certificate revocation lists: from files to what the verifier uses.
//!
//! Owns: where lists are looked for, and every check that one must pass before it counts.
//! Never does: decide about a client. Neighbour: [`crate::trust`], which builds with what passed here.
//!
//! A list that cannot be used refuses the whole reload. Leaving it out would let in whom it names. One that has ended is
//! used: it lets nobody in, and a new key must not wait for a CA's next list.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use renewd_store::reader::MAX_LISTS;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::{self, PemObject};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::leaf::{rfc3339, time};

/// The file of a published generation that holds its lists, if it has any.
pub const PUBLISHED: &str = "crl.pem";

/// One list as it was read: where from, and its DER.
#[derive(Debug, Clone)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// One list of it.
    pub der: Vec<u8>,
    /// Whether it came with a published generation: renewd has looked at its signature, and may know of CAs between the roots
    /// and other hosts that nobody knows here. When a client's chain brings such a CA, the verifier compares the two.
    pub published: bool,
}

/// The same list in another file, such as that of the next generation, is the same list.
impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Found {}

/// The lists of a published generation, with their file's name for messages, and those of the setting `crl`, a file or a directory.
///
/// # Errors
///
/// When something is there that cannot be read or holds no list. A generation without a list is no error.
pub fn find(
    published: Option<(&Path, &[u8])>,
    setting: Option<&Path>,
) -> Result<Vec<Found>, CrlError> {
    let mut all = Vec::new();
    if let Some((path, bytes)) = published {
        lists(path, bytes, true, &mut all)?;
    }
    let Some(setting) = setting else {
        return Ok(all);
    };
    if fs::metadata(setting).map_err(unreadable(setting))?.is_dir() {
        for path in files(setting)? {
            let bytes = read(&path).map_err(unreadable(&path))?;
            lists(&path, &bytes, false, &mut all)?;
        }
    } else {
        let bytes = read(setting).map_err(unreadable(setting))?;
        lists(setting, &bytes, false, &mut all)?;
    }
    Ok(all)
}

/// `*.crl`, `*.pem` and `*.der`, in the order of their names; what a tool is still writing is called otherwise.
fn files(directory: &Path) -> Result<Vec<PathBuf>, CrlError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let path = entry.map_err(unreadable(directory))?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let list = path
            .extension()
            .is_some_and(|end| end == "crl" || end == "pem" || end == "der");
        if list && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_LISTS + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_LISTS {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// PEM with any number of lists, or the DER of one.
fn lists(path: &Path, bytes: &[u8], published: bool, all: &mut Vec<Found>) -> Result<(), CrlError> {
    let before = all.len();
    let found = |der: &[u8]| Found {
        path: path.to_owned(),
        der: der.to_vec(),
        published,
    };
    // A SEQUENCE, which no PEM begins with.
    if bytes.first() == Some(&0x30) {
        all.push(found(bytes));
    }
    for list in CertificateRevocationListDer::pem_slice_iter(bytes) {
        let list = list.map_err(|source| CrlError::Pem {
            path: path.to_owned(),
            source,
        })?;
        all.push(found(&list));
    }
    if all.len() == before {
        return Err(CrlError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Lists that passed, and until when all of them may be relied on.
#[derive(Debug, Default)]
pub struct Checked {
    /// Those first that are of a CA that is known here, and the newest of an issuer: the verifier takes the first that fits.
    pub lists: Vec<CertRevocationList<'static>>,
    /// The earliest `nextUpdate`.
    pub until: Option<SystemTime>,
}

/// Checks each list: it parses, has begun, and is signed by one of `issuers`, or came with a generation.
///
/// # Errors
///
/// For the first list that fails, with its file.
pub fn check(
    found: &[Found],
    issuers: &[X509Certificate<'_>],
    now: SystemTime,
) -> Result<Checked, CrlError> {
    let mut checked = Vec::with_capacity(found.len());
    for Found {
        path,
        der,
        published,
    } in found
    {
        let malformed = || CrlError::Malformed { path: path.clone() };
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| malformed())?;
        if !rest.is_empty() {
            return Err(malformed());
        }
        let named =
            |issuer: &&X509Certificate<'_>| issuer.subject().as_raw() == list.issuer().as_raw();
        let signed =
            |issuer: &X509Certificate<'_>| list.verify_signature(issuer.public_key()).is_ok();
        let known = issuers.iter().filter(named).any(signed);
        if !known && !published {
            return Err(match issuers.iter().any(|issuer| named(&issuer)) {
                true => CrlError::Forged { path: path.clone() },
                false => CrlError::Foreign { path: path.clone() },
            });
        }
        let until = list.next_update().map(time);
        let from = time(list.last_update());
        if from > now {
            return Err(CrlError::NotValid {
                path: path.clone(),
                from: rfc3339(from),
                until: until.map_or_else(|| "no stated end".to_owned(), rfc3339),
            });
        }
        let usable =
            OwnedCertRevocationList::from_der(der).map_err(|source| CrlError::Unsupported {
                path: path.clone(),
                source,
            })?;
        checked.push((known, from, until, usable));
    }
    checked.sort_by_key(|(known, from, ..)| std::cmp::Reverse((*known, *from)));
    Ok(Checked {
        until: checked.iter().filter_map(|(.., until, _)| *until).min(),
        lists: checked
            .into_iter()
            .map(|(.., usable)| usable.into())
            .collect(),
    })
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> CrlError {
    let path = path.to_owned();
    move |source| CrlError::Unreadable { path, source }
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// It cannot be read.
    #[error("cannot read the revocation list {}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Its PEM is broken.
    #[error("{} is not PEM that can be read", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// There is no list in it.
    #[error("{} holds no revocation list (PEM or DER)", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be parsed.
    #[error("the revocation list {} cannot be parsed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// It is of a kind that the verifier does not know, such as a delta list.
    #[error(
        "the revocation list {} is of a kind that is not supported; it must be of version 2, with a number, and neither \
         a delta nor indirect",
        path.display()
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What the verifier said.
        #[source]
        source: webpki::Error,
    },
    /// Its issuer is nobody that we trust.
    #[error(
        "the revocation list {} is of a CA that is neither in ca.pem nor in the chain of fullchain.pem",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It bears the name of a CA that did not sign it.
    #[error("the revocation list {} is not signed by the CA that it names", path.display())]
    Forged {
        /// The file.
        path: PathBuf,
    },
    /// It is of tomorrow.
    #[error("the revocation list {} is valid from {from} until {until}, not now", path.display())]
    NotValid {
        /// The file.
        path: PathBuf,
        /// RFC 3339.
        from: String,
        /// RFC 3339, or that it states none.
        until: String,
    },
}
