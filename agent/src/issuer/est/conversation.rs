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

use super::super::https::{ClientIdentity, Https, HttpsError, Peer, repeats, retry_after};
use super::error::{EstError, Shown, is_too_much};
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
    /// What must not be told of again, whoever says it.
    secrets: Vec<Zeroizing<String>>,
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
            secrets: Vec::new(),
        })
    }

    /// With HTTP basic (RFC 7617), which is not waited for to be asked for: the server has been verified.
    pub(super) fn log_in(&mut self, username: &str, password: &str) {
        let pair = Zeroizing::new(format!("{username}:{password}"));
        let pair = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
        let text = Zeroizing::new(format!("Basic {}", *pair));
        self.secrets = vec![Zeroizing::new(password.to_owned()), pair];
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
            why: self.described(why, &answer),
        };
        let read = certificates::read(answer.body()).map_err(why)?;
        Ok((read, answer.headers().clone()))
    }

    /// What the CA wants of requests, in DER (section 4.5); nothing, where it does not say.
    pub(super) async fn csrattrs(&self) -> Result<Vec<u8>, EstError> {
        let (at, answer) = self.send("csrattrs", None).await?;
        match answer.status() {
            StatusCode::OK => {}
            status if is_too_much(status) => return Err(self.refused(at, &answer)),
            // An operation that it need not have, and that some give to nobody whom they do not know.
            StatusCode::NO_CONTENT | StatusCode::NOT_IMPLEMENTED => return Ok(Vec::new()),
            status if status.is_client_error() => return Ok(Vec::new()),
            _ => return Err(self.refused(at, &answer)),
        }
        let decoded = body::decode(answer.body());
        let decoded = decoded.map_err(|error| EstError::Answer {
            at,
            why: self.described(format!("it is no base64: {error}"), &answer),
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
                why: self.described(why, &answer),
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
                HttpsError::Redirected { host, to } => {
                    let to = self.shown_of(&to);
                    HttpsError::Redirected { host, to }.into()
                }
                error => error.into(),
            })?;
        Ok((at, answer))
    }

    /// What a status that is not wanted means.
    fn refused(&self, at: String, answer: &Response<Bytes>) -> EstError {
        let (status, said, shown) = (answer.status(), self.said(answer), self.shown);
        match status {
            StatusCode::UNAUTHORIZED => EstError::Unauthorized {
                at,
                shown,
                challenge: scheme(answer.headers()).map(|scheme| self.shown_of(scheme)),
            },
            StatusCode::FORBIDDEN => EstError::Forbidden { at, shown, said },
            StatusCode::NOT_FOUND => EstError::NotThere { at, said },
            status if is_too_much(status) => self.not_now(answer, said),
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

    /// What a server says about a failure: a text, as RFC 7030, section 4.2.3, has it. It is quoted where it is shown.
    fn said(&self, answer: &Response<Bytes>) -> String {
        if kind(answer).starts_with("text/html") {
            return "a page of HTML".to_owned();
        }
        let text = String::from_utf8_lossy(answer.body());
        self.shown_of(text.trim())
    }

    fn described(&self, why: String, answer: &Response<Bytes>) -> String {
        match self.shown_of(kind(answer)).as_str() {
            "" => why,
            kind => format!("{why} (it is told to be {kind:?})"),
        }
    }

    /// How it begins; nothing of it where a secret of ours is in the whole.
    fn shown_of(&self, text: &str) -> String {
        match self.secrets.iter().any(|secret| repeats(text, secret)) {
            true => "what it says is withheld: it repeats the password".to_owned(),
            false => text.chars().take(MOST_SHOWN).collect(),
        }
    }
}

/// The way in which it wants to be told who we are.
fn scheme(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    text.split_ascii_whitespace().next()
}

fn kind(answer: &Response<Bytes>) -> &str {
    let kind = answer.headers().get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok()).unwrap_or("")
}
