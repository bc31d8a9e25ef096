//! What carries ACME's requests: our HTTPS client, with the answers made such that the library below cannot stumble
//! over them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode, Uri};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::super::https::{Https, HttpsError, date, retry_after};
use super::AcmeSettings;
use super::error::AcmeError;

/// What a directory has addresses of (RFC 8555, section 9.7.5).
const ADDRESSES: &[&str] = &[
    "newNonce",
    "newAccount",
    "newOrder",
    "newAuthz",
    "revokeCert",
    "keyChange",
    "renewalInfo",
];
/// How much of an answer that nobody understands is shown.
const SHOWN: usize = 120;

/// One conversation with a CA.
#[derive(Clone)]
pub(super) struct Transport {
    https: Https,
    directory: Option<Uri>,
    last: Arc<Mutex<Last>>,
}

/// What of the last answer the library does not tell.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    status: Option<StatusCode>,
    date: Option<Timestamp>,
    retry_after: Option<Duration>,
}

impl Transport {
    /// A conversation with the CA whose directory is there.
    pub(super) fn new(settings: &AcmeSettings) -> Result<Self, AcmeError> {
        Ok(Self {
            https: Https::new(&settings.ca, settings.proxy.as_deref())?,
            directory: settings.directory.parse().ok(),
            last: Arc::default(),
        })
    }

    /// When the last answer asked us to come again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.last().retry_after
    }

    /// What the CA's clock said in the last answer.
    pub(super) fn date(&self) -> Option<Timestamp> {
        self.last().date
    }

    /// Whether the last answer was that there is nothing.
    pub(super) fn found_nothing(&self) -> bool {
        self.last().status == Some(StatusCode::NOT_FOUND)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands at an address that needs no account.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: &'static str,
        address: &str,
    ) -> Result<T, AcmeError> {
        let request = Request::get(address);
        let answer = self.answered(what, request, Bytes::new()).await?;
        let parsed = serde_json::from_slice(answer.body());
        parsed.map_err(|error| AcmeError::protocol(what, error))
    }

    /// The status of the last answer.
    pub(super) fn status(&self) -> Option<u16> {
        self.last().status.map(|status| status.as_u16())
    }

    /// A number that the next request is signed with (RFC 8555, section 7.2).
    pub(super) async fn nonce(&self, address: &str) -> Result<String, AcmeError> {
        let answer = self
            .answered("a nonce", Request::head(address), Bytes::new())
            .await?;
        let nonce = answer.headers().get("replay-nonce");
        let nonce = nonce.and_then(|nonce| nonce.to_str().ok());
        nonce
            .map(str::to_owned)
            .ok_or_else(|| AcmeError::protocol("a nonce", "there is none"))
    }

    /// Sends what is signed already; what is answered is not needed.
    pub(super) async fn post(
        &self,
        what: &'static str,
        address: &str,
        body: &serde_json::Value,
    ) -> Result<(), AcmeError> {
        let request = Request::post(address).header(CONTENT_TYPE, "application/jose+json");
        let body = body.to_string().into();
        self.answered(what, request, body).await.map(drop)
    }

    /// An answer that is no refusal.
    async fn answered(
        &self,
        what: &'static str,
        request: Builder,
        body: Bytes,
    ) -> Result<Response<Bytes>, AcmeError> {
        let protocol = |why: String| AcmeError::protocol(what, why);
        let request = request.body(BodyWrapper::from(body.to_vec()));
        let request = request.map_err(|error| protocol(error.to_string()))?;
        let failed = |error| AcmeError::of(what, error, self);
        let answer = self.clone().send(request).await.map_err(failed)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let problem = serde_json::from_slice::<Problem>(answer.body());
        let problem = problem.map_err(|error| protocol(error.to_string()))?;
        Err(failed(problem.into()))
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, Error> {
        let (mut parts, body) = request.into_parts();
        // Ours is set by the client.
        parts.headers.remove(USER_AGENT);
        let is_directory = self.directory.as_ref() == Some(&parts.uri);
        let host = parts.uri.authority().map_or("", |host| host.as_str());
        let host = host.to_owned();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        *self.last() = Last::default();
        let sent = self.https.send(Request::from_parts(parts, body)).await;
        let mut answer = sent.map_err(|error| Error::Other(error.into()))?;
        let asked = retry_after(answer.headers(), Timestamp::now());
        *self.last() = Last {
            status: Some(answer.status()),
            date: date(answer.headers()),
            retry_after: asked,
        };
        if let Some(error) = unintelligible(&answer, host, asked) {
            return Err(Error::Other(error.into()));
        }
        if is_directory && let Some(field) = wrong_address(answer.body()) {
            return Err(Error::Other(
                format!("its directory's {field} is no address that begins with https://").into(),
            ));
        }
        // The library adds what stands there to the clock, which absurd values would overflow.
        answer.headers_mut().remove(RETRY_AFTER);
        if let Some(asked) = asked {
            let seconds = HeaderValue::from(asked.as_secs());
            answer.headers_mut().insert(RETRY_AFTER, seconds);
        }
        Ok(answer)
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> BoxFuture<'static, Result<BytesResponse, Error>> {
        let send = self.clone().send(request);
        Box::pin(async move { Ok(send.await?.map(http_body_util::Full::new).into()) })
    }
}

/// The field of a directory whose address is none: the library relies on them, and panics.
fn wrong_address(directory: &[u8]) -> Option<&'static str> {
    let directory: serde_json::Value = serde_json::from_slice(directory).ok()?;
    let wrong = |field: &&str| match &directory[*field] {
        serde_json::Value::String(text) => {
            let uri = text.parse::<Uri>().ok();
            let uri = uri.filter(|uri| uri.scheme_str() == Some("https"));
            uri.and_then(|uri| uri.host().map(str::is_empty)) != Some(false)
        }
        // What is missing is told by the library.
        _ => false,
    };
    ADDRESSES.iter().copied().find(wrong)
}

/// What is no answer of an ACME server, but for example of a proxy before it.
fn unintelligible(
    answer: &Response<Bytes>,
    host: String,
    retry_after: Option<Duration>,
) -> Option<HttpsError> {
    let kind = answer.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let status = answer.status();
    let understood = if status.is_client_error() || status.is_server_error() {
        let problem = serde_json::from_slice::<Problem>(answer.body());
        problem.is_ok_and(|problem| problem.r#type.is_some() || problem.detail.is_some())
    } else {
        !kind.starts_with("text/html")
    };
    if understood {
        return None;
    }
    let begins = match kind.starts_with("text/html") {
        true => "a page of HTML".to_owned(),
        false => {
            let text = String::from_utf8_lossy(answer.body());
            text.trim().chars().take(SHOWN).collect()
        }
    };
    Some(HttpsError::Status {
        host,
        status,
        retry_after,
        begins,
    })
}
