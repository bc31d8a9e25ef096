//! http-01 (RFC 8555, section 8.3): a text at an address on port 80, by the responder on the socket that systemd opened,
//! or as a file below the root of a web server.

use std::convert::Infallible;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::super::challenges::Challenges;
use super::error::AcmeError;
use super::responder;

/// The unit that makes the responder's socket.
pub(super) const SOCKET_UNIT: &str = "renewd-http01.socket";
/// What that unit calls the socket (`FileDescriptorName=`).
pub(super) const SOCKET_NAME: &str = "http01";

const PLACE: &str = ".well-known/acme-challenge";
const MOST_BYTES: usize = 8 * 1024;

/// Writes the file of a token, which was looked at; returns its path.
pub(super) fn write(webroot: &Path, token: &str, answer: &str) -> Result<PathBuf, AcmeError> {
    let path = webroot.join(PLACE).join(token);
    match create(webroot, &path, answer) {
        Ok(()) => Ok(path),
        Err(source) => Err(AcmeError::Webroot { path, source }),
    }
}

/// Writes a file that the web server can read whatever our umask says; the root itself is not made: one that is not
/// there is a mistake.
fn create(webroot: &Path, path: &Path, answer: &str) -> io::Result<()> {
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
pub(super) fn serve(socket: TcpListener, challenges: Arc<Challenges>) -> io::Result<()> {
    challenges.http.store(true, Ordering::Relaxed);
    responder::serve(socket, move |stream| {
        let challenges = Arc::clone(&challenges);
        let answer = service_fn(move |request| {
            let answer = answer(&challenges, &request);
            async move { Ok::<_, Infallible>(response(answer)) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            .max_buf_size(MOST_BYTES)
            .serve_connection(TokioIo::new(stream), answer);
        async move { drop(connection.await) }
    })
}

fn answer(challenges: &Challenges, request: &Request<Incoming>) -> Option<String> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let path = request.uri().path().strip_prefix('/')?;
    let token = path.strip_prefix(PLACE)?.strip_prefix('/')?;
    challenges.text(token)
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
