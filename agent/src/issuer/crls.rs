//! Revocation lists as they come: of the CA, from another place at its server, or from a file. What they say is judged by
//! [`renewd_core::crl`].

pub(super) mod keys;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, Shared};
use renewd_core::crl::MAX_CRL_BYTES;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use tokio::sync::oneshot;

use super::{IssueError, Retry};

/// The most bytes of an answer or a file: a list as PEM is a third longer.
pub(super) const MOST_BYTES: usize = MAX_CRL_BYTES / 2 * 3;

/// Where lists are had from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CrlSources {
    /// Of the CA that issues.
    pub issuer: bool,
    /// Of other CAs at the same server, by their paths there.
    pub others: Vec<String>,
    /// From files, PEM or DER: the list of a root that is offline.
    pub files: Vec<PathBuf>,
}

impl CrlSources {
    /// Brings what is in the files; `None` where there is no source at all.
    pub(super) async fn begin(&self) -> Option<Crls> {
        if *self == Self::default() {
            return None;
        }
        let mut crls = Crls::default();
        for file in &self.files {
            crls.add(read_aside(file).await);
        }
        Some(crls)
    }
}

/// What was brought of all sources.
#[derive(Debug, Default)]
pub struct Crls {
    /// The lists.
    pub lists: Vec<CertificateRevocationListDer<'static>>,
    /// CA certificates that may have signed them: between the roots and those of other hosts there may be others than
    /// between the roots and ours.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Why others could not be had.
    pub failed: Vec<IssueError>,
}

/// What one source brought.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
}

impl Crls {
    /// With what one source brought.
    pub(super) fn add(&mut self, brought: Result<Found, IssueError>) {
        match brought {
            Ok(found) => {
                self.lists.extend(found.lists);
                self.authorities.extend(found.authorities);
            }
            Err(error) => self.failed.push(error),
        }
    }
}

/// The lists in a text of PEM, or the one that is DER; none where there is none.
pub(super) fn parsed(bytes: &[u8]) -> Vec<CertificateRevocationListDer<'static>> {
    // A SEQUENCE, which no PEM begins with.
    if bytes.first() == Some(&0x30) {
        return vec![bytes.to_vec().into()];
    }
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
    lists.unwrap_or_default()
}

/// How long is waited for a file.
const WITHIN: Duration = Duration::from_secs(2);

/// A file that is being read, for all who want it.
type Reading = Shared<BoxFuture<'static, Result<Found, String>>>;

/// The files that are being read.
static UNDER_WAY: Mutex<BTreeMap<PathBuf, Reading>> = Mutex::new(BTreeMap::new());

fn under_way() -> MutexGuard<'static, BTreeMap<PathBuf, Reading>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`read`], on a thread of its own: the file may lie on a disk of another host, which hangs. However many want it meanwhile, and
/// however often, there is one.
async fn read_aside(path: &Path) -> Result<Found, IssueError> {
    let reading = reading(path).map_err(|error| unread(path, &error.to_string()))?;
    let found = tokio::time::timeout(WITHIN, reading).await;
    found
        .unwrap_or_else(|_| Err("it is being read for long: does its disk hang?".into()))
        .map_err(|why| unread(path, &why))
}

fn reading(path: &Path) -> io::Result<Reading> {
    let mut under_way_now = under_way();
    if let Some(reading) = under_way_now.get(path) {
        return Ok(reading.clone());
    }
    let (tell, told) = oneshot::channel();
    let file = path.to_owned();
    thread::Builder::new().name("crl".into()).spawn(move || {
        let found = read(&file);
        under_way().remove(&file);
        // Who asked may have waited long enough.
        let _ = tell.send(found);
    })?;
    let reading = async {
        told.await
            .unwrap_or_else(|_| Err("the reader ended".into()))
    };
    let reading = reading.boxed().shared();
    under_way_now.insert(path.to_owned(), reading.clone());
    Ok(reading)
}

fn unread(path: &Path, why: &str) -> IssueError {
    IssueError::new(
        "crl-file",
        Retry::BackOff,
        format!("there are no revocation lists in {}: {why}", path.display()),
        "put the list there that the CA published last (PEM or DER), or take the file out of `crl`",
    )
}

/// The lists in a file, and the certificates of CAs beside them.
///
/// # Errors
/// When it cannot be read, or holds no list.
fn read(path: &Path) -> Result<Found, String> {
    let bytes = content(path).map_err(|error| error.to_string())?;
    let authorities: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = Found {
        lists: parsed(&bytes),
        authorities: authorities.unwrap_or_default(),
    };
    match found.lists.is_empty() {
        true => Err("it holds none that can be read".into()),
        false => Ok(found),
    }
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for a writer.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    let most = MOST_BYTES as u64;
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() > MOST_BYTES {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_lists_or_says_why_not() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let pem = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
        assert_eq!(
            read(&put("two", pem.repeat(2).as_bytes()))
                .unwrap()
                .lists
                .len(),
            2
        );
        assert_eq!(&*read(&put("der", b"\x30\0")).unwrap().lists[0], b"\x30\0");
        let cases = [
            (put("empty", b""), "holds none"),
            (put("text", b"hello \xff"), "holds none"),
            (put("cut", &pem.as_bytes()[..40]), "holds none"),
            (put("huge", &vec![0x30; MOST_BYTES + 1]), "too large"),
            (directory.path().join("absent"), "No such file"),
            (directory.path().to_owned(), "it is no file"),
        ];
        for (path, why) in cases {
            let error = read(&path).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_is_read_once_for_all_who_want_it_and_one_that_hangs_holds_up_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("slow"), b"\x30\0").unwrap();
        std::fs::write(path("quick"), b"\x30\0").unwrap();
        let sources = CrlSources {
            files: vec![path("slow"), path("quick")],
            ..CrlSources::default()
        };
        // Several certificates of several issuers at a first start.
        let all = (0..50).map(|_| sources.begin());
        for crls in futures_util::future::join_all(all).await {
            let crls = crls.unwrap();
            assert_eq!((crls.lists.len(), crls.failed.len()), (2, 0), "{crls:?}");
        }
        let hangs = std::future::pending().boxed().shared();
        under_way().insert(path("slow"), hangs);
        let all = (0..50).map(|_| sources.begin());
        for crls in futures_util::future::join_all(all).await {
            let crls = crls.unwrap();
            assert_eq!((crls.lists.len(), crls.failed.len()), (1, 1));
            let told = crls.failed[0].operator_text();
            assert!(
                told.contains("slow") && told.contains("does its disk hang?"),
                "{told}"
            );
        }
        under_way().remove(&path("slow"));
        assert_eq!(sources.begin().await.unwrap().lists.len(), 2);
    }
}
