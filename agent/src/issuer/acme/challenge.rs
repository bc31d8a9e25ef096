//! Proofs for http-01 (RFC 8555, section 8.3): put up while a CA looks, by the responder on the socket that
//! systemd opened, or as files below the root of a web server.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::error::AcmeError;

/// The unit that makes the responder's socket.
pub const SOCKET_UNIT: &str = "renewd-http01.socket";
/// What that unit calls the socket (`FileDescriptorName=`).
pub const SOCKET_NAME: &str = "http01";

const PLACE: &str = ".well-known/acme-challenge";
/// Anybody may connect; a CA asks from a handful of places.
const MOST_CONNECTIONS: usize = 64;
const MOST_BYTES: usize = 8 * 1024;
/// How long a connection may take in all.
const WHOLE: Duration = Duration::from_secs(5);

/// What the responder answers now: the key authorization for each token.
#[derive(Debug, Default)]
pub struct Challenges {
    served: AtomicBool,
    answers: Mutex<BTreeMap<String, String>>,
}

impl Challenges {
    /// Whether there is a socket on which they are answered.
    pub(super) fn is_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn holds(&self, token: &str) -> bool {
        self.lock().contains_key(token)
    }

    fn answer(&self, request: &Request<Incoming>) -> Option<String> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let path = request.uri().path().strip_prefix('/')?;
        let token = path.strip_prefix(PLACE)?.strip_prefix('/')?;
        self.lock().get(token).cloned()
    }
}

/// A proof that is up until this is dropped.
#[derive(Debug)]
pub(super) enum Placed {
    Answer(Arc<Challenges>, String),
    File(PathBuf),
}

impl Placed {
    /// Puts up a proof: as a file below `webroot`, or else for the responder.
    pub(super) fn put(
        challenges: &Arc<Challenges>,
        webroot: Option<&PathBuf>,
        token: &str,
        answer: &str,
    ) -> Result<Self, AcmeError> {
        // RFC 8555, section 8.3: the base64url alphabet, and nothing that leads elsewhere.
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if token.is_empty() || token.len() > 128 || !token.bytes().all(sound) {
            let why = "its token is none (RFC 8555, section 8.3)";
            return Err(AcmeError::protocol("a challenge", why));
        }
        let Some(webroot) = webroot else {
            challenges
                .lock()
                .insert(token.to_owned(), answer.to_owned());
            return Ok(Self::Answer(Arc::clone(challenges), token.to_owned()));
        };
        let path = webroot.join(PLACE).join(token);
        write(webroot, &path, answer).map_err(|source| AcmeError::Webroot {
            path: path.clone(),
            source,
        })?;
        Ok(Self::File(path))
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        match self {
            Self::Answer(challenges, token) => drop(challenges.lock().remove(token)),
            // One that stays says nothing that was not public.
            Self::File(path) => drop(std::fs::remove_file(path)),
        }
    }
}

/// Writes a file that the web server can read whatever our umask says; the root itself is not made: one that is not
/// there is a mistake.
fn write(webroot: &Path, path: &Path, answer: &str) -> io::Result<()> {
    let mut directory = webroot.to_owned();
    for part in PLACE.split('/') {
        directory.push(part);
        match DirBuilder::new().mode(0o755).create(&directory) {
            Ok(()) => std::fs::set_permissions(&directory, Permissions::from_mode(0o755))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    // What a crash left there, or a link that somebody put there.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(answer.as_bytes())
}

/// Answers on a socket until the runtime ends. To be called within a runtime.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(socket: TcpListener, challenges: Arc<Challenges>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::TcpListener::from_std(socket)?;
    challenges.served.store(true, Ordering::Relaxed);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    tokio::spawn(async move {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = socket.accept().await else {
                // Out of descriptors: waiting frees some.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let challenges = Arc::clone(&challenges);
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let answer = challenges.answer(&request);
                    async move { Ok::<_, Infallible>(response(answer)) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .keep_alive(false)
                    .max_buf_size(MOST_BYTES)
                    .serve_connection(TokioIo::new(stream), answer);
                let _ = tokio::time::timeout(WHOLE, connection).await;
                drop(place);
            });
        }
    });
    Ok(())
}

fn response(answer: Option<String>) -> Response<Full<Bytes>> {
    let found = answer.is_some();
    let body = answer
        .unwrap_or_else(|| "renewd answers challenges of certificate authorities here\n".into());
    let mut response = Response::new(Full::new(Bytes::from(body)));
    if !found {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
