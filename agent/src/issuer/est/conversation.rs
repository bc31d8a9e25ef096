//! One conversation with an EST server: operations below its well-known path, and what their answers mean.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::body::Bytes;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::{Request, Response, StatusCode};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::super::https::{ClientIdentity, Https, HttpsError, Peer, retry_after};
use super::error::{EstError, Shown};
use super::{EstSettings, body, certificates};

const CONTENT_TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");
/// How much of an answer is shown.
const MOST_SHOWN: usize = 200;

/// A conversation under one identity, or under none.
pub(super) struct Conversation {
    https: Https,
    base: String,
    shown: Shown,
    authorization: Option<HeaderValue>,
}

impl Conversation {
    /// With nothing shown. `anchors` are verified against beside `ca`.
    pub(super) fn new(
        settings: &EstSettings,
        anchors: &[CertificateDer<'static>],
        identity: Option<&ClientIdentity>,
        shown: Shown,
    ) -> Result<Self, EstError> {
        let https = Https::of(Peer {
            trust: &settings.ca,
            also: anchors,
            proxy: settings.proxy.as_deref(),
            identity,
            tls12: true,
        })?;
        Ok(Self {
            https,
            base: settings.base.clone(),
            shown,
            authorization: None,
        })
    }

    /// With HTTP basic (RFC 7617), which is not waited for to be asked for: the server has been verified.
    pub(super) fn log_in(&mut self, username: &str, password: &str) {
        let pair = Zeroizing::new(format!("{username}:{password}"));
        let text = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
        self.authorization = HeaderValue::from_str(&text).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        });
    }

    pub(super) fn at(&self, operation: &str) -> String {
        format!("{}/{operation}", self.base)
    }

    /// The CA's certificates (section 4.1), and when its clock says that it is.
    pub(super) async fn cacerts(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, HeaderMap), EstError> {
        let (at, answer) = self.send("cacerts", None).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(at, &answer));
        }
        let why = |why| EstError::Answer {
            at,
            why: described(why, &answer),
        };
        let read = certificates::read(answer.body()).map_err(why)?;
        Ok((read, answer.headers().clone()))
    }

    /// What the CA wants of requests, in DER (section 4.5); nothing, where it does not say.
    pub(super) async fn csrattrs(&self) -> Result<Vec<u8>, EstError> {
        let (at, answer) = self.send("csrattrs", None).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                return Err(self.refused(at, &answer));
            }
            // An operation that it need not have, and that some give to nobody whom they do not know.
            StatusCode::NO_CONTENT | StatusCode::NOT_IMPLEMENTED => return Ok(Vec::new()),
            status if status.is_client_error() => return Ok(Vec::new()),
            _ => return Err(self.refused(at, &answer)),
        }
        let decoded = body::decode(answer.body());
        let decoded = decoded.map_err(|error| EstError::Answer {
            at,
            why: described(format!("it is no base64: {error}"), &answer),
        })?;
        Ok(decoded.into_owned())
    }

    /// Brings a certificate request to `simpleenroll` or `simplereenroll` (section 4.2).
    pub(super) async fn enroll(
        &self,
        operation: &'static str,
        csr: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, EstError> {
        let (at, answer) = self.send(operation, Some(csr)).await?;
        match answer.status() {
            StatusCode::OK => certificates::read(answer.body()).map_err(|why| EstError::Spent {
                at,
                why: described(why, &answer),
            }),
            StatusCode::ACCEPTED => Err(EstError::Pending {
                at,
                after: retry_after(answer.headers(), Timestamp::now()),
            }),
            _ => Err(self.refused(at, &answer)),
        }
    }

    async fn send(
        &self,
        operation: &str,
        csr: Option<&[u8]>,
    ) -> Result<(String, Response<Bytes>), EstError> {
        let at = self.at(operation);
        let request = match csr {
            None => Request::get(&at).body(Bytes::new()),
            Some(csr) => {
                let request = Request::post(&at)
                    .header(CONTENT_TYPE, "application/pkcs10")
                    // It says nothing any more (RFC 8951, section 3.1), and is waited for by servers from before.
                    .header(CONTENT_TRANSFER_ENCODING, "base64");
                request.body(Bytes::from(body::encode(csr)))
            }
        };
        let mut request = request.map_err(|error| EstError::Answer {
            at: at.clone(),
            why: error.to_string(),
        })?;
        if let Some(authorization) = self.authorization.as_ref().filter(|_| csr.is_some()) {
            let headers = request.headers_mut();
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let answer = self
            .https
            .send(request)
            .await
            .map_err(|error| match error {
                HttpsError::Alert { alert, .. } if error.is_of_our_certificate() => {
                    EstError::Certificate {
                        at: at.clone(),
                        shown: self.shown,
                        alert,
                    }
                }
                error => error.into(),
            })?;
        Ok((at, answer))
    }

    /// What a status that is not wanted means.
    fn refused(&self, at: String, answer: &Response<Bytes>) -> EstError {
        let (status, said, shown) = (answer.status(), said(answer), self.shown);
        match status {
            StatusCode::UNAUTHORIZED => EstError::Unauthorized {
                at,
                shown,
                challenge: scheme(answer.headers()),
            },
            StatusCode::FORBIDDEN => EstError::Forbidden { at, shown, said },
            StatusCode::NOT_FOUND => EstError::NotThere { at, said },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                self.not_now(answer, said)
            }
            status if status.is_client_error() => EstError::Refused { at, status, said },
            status if status.is_success() => EstError::Answer {
                at,
                why: format!("{status} is no answer to that"),
            },
            _ => self.not_now(answer, said),
        }
    }

    fn not_now(&self, answer: &Response<Bytes>, begins: String) -> EstError {
        let host = self.base.trim_start_matches("https://");
        HttpsError::Status {
            host: host.split('/').next().unwrap_or(host).to_owned(),
            status: answer.status(),
            retry_after: retry_after(answer.headers(), Timestamp::now()),
            begins,
        }
        .into()
    }
}

/// The way in which it wants to be told who we are.
fn scheme(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let scheme = text.split_ascii_whitespace().next()?;
    Some(scheme.chars().take(MOST_SHOWN).collect())
}

fn kind(answer: &Response<Bytes>) -> &str {
    let kind = answer.headers().get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok()).unwrap_or("")
}

/// What a server says about a failure: a text, as RFC 7030, section 4.2.3, has it. It is quoted where it is shown.
fn said(answer: &Response<Bytes>) -> String {
    if kind(answer).starts_with("text/html") {
        return "a page of HTML".to_owned();
    }
    let text = String::from_utf8_lossy(answer.body());
    text.trim().chars().take(MOST_SHOWN).collect()
}

fn described(why: String, answer: &Response<Bytes>) -> String {
    let kind: String = kind(answer).chars().take(MOST_SHOWN).collect();
    match kind.as_str() {
        "" => why,
        kind => format!("{why} (it is told to be {kind:?})"),
    }
}
