//! As much of gRPC as one call needs that has no parameters, and answers with a stream.
//!
//! Spoken over HTTP/2 itself: before each message stand a byte that says whether it is compressed, and four bytes of
//! length; how a call ended stands in the trailers (gRPC over HTTP/2).

use std::path::Path;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request, Uri};
use zeroize::Zeroizing;

use super::error::SpiffeError;

const METHOD: &str = "http://localhost/SpiffeWorkloadAPI/FetchX509SVID";
/// Without it no Workload API answers: a browser or a proxy that is led astray sends none (SPIFFE Workload Endpoint).
const SECURITY_HEADER: &str = "workload.spiffe.io";
/// The most bytes of one message: what gRPC takes, unless told otherwise.
const MOST_BYTES: usize = 4 * 1024 * 1024;
const PERMISSION_DENIED: u32 = 7;
/// The most characters of what a server says that go into an error.
const MOST_TEXT: usize = 300;
/// Before each message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// A call whose message is empty.
pub(super) fn request() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from_static(&[0; HEAD])));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(METHOD);
    let headers = request.headers_mut();
    let mut header = |name, value| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    header(CONTENT_TYPE, "application/grpc");
    header(TE, "trailers");
    header(USER_AGENT, concat!("renewd/", env!("CARGO_PKG_VERSION")));
    header(HeaderName::from_static(SECURITY_HEADER), "true");
    request
}

/// A message on its way.
#[derive(Default)]
pub(super) struct Message {
    head: Vec<u8>,
    /// Of the right size from the start, for a buffer that grows leaves copies behind.
    body: Option<(usize, Zeroizing<Vec<u8>>)>,
}

impl Message {
    /// Takes what belongs to this message.
    pub(super) fn take(&mut self, data: &mut Bytes, socket: &Path) -> Result<(), SpiffeError> {
        if self.body.is_none() {
            let part = data.split_to(data.len().min(HEAD - self.head.len()));
            self.head.extend_from_slice(&part);
            let [compressed, a, b, c, d] = self.head[..] else {
                return Ok(());
            };
            if compressed != 0 {
                return Err(SpiffeError::Broken {
                    socket: socket.to_owned(),
                    why: "it compresses, which was not offered".to_owned(),
                });
            }
            let bytes = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            if bytes > MOST_BYTES {
                return Err(SpiffeError::TooLong {
                    socket: socket.to_owned(),
                    bytes,
                    most: MOST_BYTES,
                });
            }
            self.body = Some((bytes, Zeroizing::new(Vec::with_capacity(bytes))));
        }
        if let Some((length, body)) = &mut self.body {
            let part = data.split_to(data.len().min(*length - body.len()));
            body.extend_from_slice(&part);
        }
        Ok(())
    }

    /// The message, if it is there to its last byte; the next one begins then.
    pub(super) fn whole(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        self.body
            .take_if(|(length, body)| body.len() == *length)
            .map(|(_, body)| {
                self.head.clear();
                body
            })
    }
}

/// How a call ended, by its trailers.
pub(super) fn ended(socket: &Path, trailers: &HeaderMap) -> SpiffeError {
    let value = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let socket = socket.to_owned();
    let Some(code) = value("grpc-status").and_then(|code| code.parse().ok()) else {
        let why = "it ended without a status".to_owned();
        return SpiffeError::Broken { socket, why };
    };
    let text = value("grpc-message").unwrap_or_default();
    let text: String = text.chars().take(MOST_TEXT).collect();
    match code {
        0 => SpiffeError::Broken {
            socket,
            why: "it ended the stream".to_owned(),
        },
        PERMISSION_DENIED => SpiffeError::NoIdentity { socket, text },
        code => SpiffeError::Refused { socket, code, text },
    }
}
