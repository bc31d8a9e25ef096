//! A Workload API of our own, for what go-spiffe's cannot be made to do: hyper's server, and the messages by hand.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use http_body_util::StreamBody;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// What the server does with a call.
#[derive(Clone)]
pub(super) enum Deed {
    /// These bytes, and then whatever is pushed.
    Say(Vec<u8>),
    /// These bytes, and the end, with this status and text in the trailers.
    End(Vec<u8>, &'static str, &'static str),
    /// As [`Deed::End`] without anything said, all in the head.
    Refuse(&'static str, &'static str),
    /// These bytes, and the end, without trailers.
    Stop(Vec<u8>),
    /// An answer of another kind.
    Other(u16, &'static str),
    /// No answer.
    Hang,
    /// The connection ends.
    Drop,
}

/// A Workload API. Ends with this.
pub(super) struct Fake {
    pub(super) socket: PathBuf,
    pub(super) directory: Option<TempDir>,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

#[derive(Default)]
struct State {
    deed: Option<Deed>,
    calls: usize,
    open: Vec<mpsc::UnboundedSender<Frame<Bytes>>>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(super) fn new(deed: Deed) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut fake = Self::at(&directory.path().join("api.sock"), deed);
        fake.directory = Some(directory);
        fake
    }

    /// At a socket that may be there from before.
    pub(super) fn at(socket: &Path, deed: Deed) -> Self {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        let state = Arc::new(Mutex::new(State {
            deed: Some(deed),
            ..State::default()
        }));
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self {
            socket: socket.to_owned(),
            directory: None,
            state,
            task: task.abort_handle(),
        }
    }

    /// How often it was called.
    pub(super) fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    /// What it does with calls from now on.
    pub(super) fn will(&self, deed: Deed) {
        self.state.lock().unwrap().deed = Some(deed);
    }

    /// Sends more to those whose stream is open, and begins with it from now on.
    pub(super) fn push(&self, bytes: Vec<u8>) {
        let mut state = self.state.lock().unwrap();
        let data = Bytes::from(bytes.clone());
        state
            .open
            .retain(|open| open.send(Frame::data(data.clone())).is_ok());
        state.deed = Some(Deed::Say(bytes));
    }

    /// How many streams are open.
    pub(super) fn open(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.open.iter().filter(|open| !open.is_closed()).count()
    }

    /// Ends all streams.
    pub(super) fn cut(&self) {
        self.state.lock().unwrap().open.clear();
    }
}

async fn serve(listener: UnixListener, state: Arc<Mutex<State>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if let Some(Deed::Drop) = state.lock().unwrap().deed {
            continue;
        }
        let state = Arc::clone(&state);
        let service =
            hyper::service::service_fn(move |request| answer(request, Arc::clone(&state)));
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(connection);
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, Infallible> {
    assert_eq!(request.uri().path(), "/SpiffeWorkloadAPI/FetchX509SVID");
    assert_eq!(request.headers()["workload.spiffe.io"], "true");
    assert_eq!(request.headers()["te"], "trailers");
    let (sender, receiver) = mpsc::unbounded_channel();
    let deed = {
        let mut state = state.lock().unwrap();
        state.calls += 1;
        state.deed.clone().unwrap()
    };
    let (mut status, mut kind, mut head) = (200, "application/grpc", HeaderMap::new());
    let say = |bytes: Vec<u8>| drop(sender.send(Frame::data(Bytes::from(bytes))));
    match deed {
        Deed::Say(bytes) => {
            say(bytes);
            state.lock().unwrap().open.push(sender);
        }
        Deed::End(bytes, code, text) => {
            say(bytes);
            let _ = sender.send(Frame::trailers(trailers(code, text)));
        }
        Deed::Refuse(code, text) => head = trailers(code, text),
        Deed::Stop(bytes) => say(bytes),
        Deed::Other(other, of) => (status, kind) = (other, of),
        Deed::Hang => std::future::pending().await,
        Deed::Drop => {}
    }
    let frames = unfold(
        receiver,
        async |mut receiver: mpsc::UnboundedReceiver<_>| {
            let frame = receiver.recv().await?;
            Some((Ok::<_, Infallible>(frame), receiver))
        },
    );
    let mut response = Response::new(StreamBody::new(frames.boxed()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().extend(head);
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn trailers(code: &'static str, text: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailers.insert("grpc-message", HeaderValue::from_static(text));
    trailers
}

/// A message in its frame.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), message].concat()
}

/// A field with a length.
pub(super) fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = value.len();
    while length > 0x7f {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(value);
    bytes
}

/// The CA of a trust domain.
pub(super) struct Domain {
    pub(super) root: CertifiedIssuer<'static, KeyPair>,
}

/// An SVID as it is sent.
pub(super) struct Sent {
    pub(super) id: &'static str,
    pub(super) certificates: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) bundle: Vec<u8>,
}

impl Domain {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        let key = KeyPair::generate().unwrap();
        let name = format!("fake {:02x?}", &key.public_key_raw()[1..5]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = CertifiedIssuer::self_signed(params, key).unwrap();
        Self { root }
    }

    pub(super) fn bundle(&self) -> Vec<u8> {
        self.root.der().to_vec()
    }

    /// A leaf without basicConstraints, as go-spiffe's own tests have them.
    pub(super) fn svid(&self, id: &'static str) -> Sent {
        self.svid_with(id, |_| {})
    }

    pub(super) fn svid_with(
        &self,
        id: &'static str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Sent {
        let now = time();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + now;
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + Duration::from_secs(3600);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.root).unwrap();
        Sent {
            id,
            certificates: leaf.der().to_vec(),
            key: key.serialize_der(),
            bundle: self.bundle(),
        }
    }
}

fn time() -> Duration {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    Duration::from_secs(since.as_secs())
}

impl Sent {
    pub(super) fn message(&self) -> Vec<u8> {
        [
            field(1, self.id.as_bytes()),
            field(2, &self.certificates),
            field(3, &self.key),
            field(4, &self.bundle),
            field(5, b"a hint"),
        ]
        .concat()
    }
}

/// The whole answer in its frame.
pub(super) fn update(svids: &[&Sent], federated: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut message = Vec::new();
    for svid in svids {
        message.extend(field(1, &svid.message()));
    }
    message.extend(field(2, b"a revocation list"));
    for (domain, bundle) in federated {
        let entry = [field(1, domain.as_bytes()), field(2, bundle)].concat();
        message.extend(field(3, &entry));
    }
    framed(&message)
}
