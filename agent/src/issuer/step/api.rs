//! What is asked of the CA, and what it answers.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use jiff::Timestamp;
use renewd_core::accept::Answer;
use renewd_core::pem;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use zeroize::Zeroizing;

use super::super::HeldIdentity;
use super::super::crls;
use super::super::https::{ClientIdentity, Https, HttpsError, Peer, Trust, repeats, retry_after};
use super::StepIssuer;
use super::error::{StepError, clipped};
use crate::keys::PrivateKey;

/// In the place of what a server says.
const WITHHELD: &str = "what it says is withheld: it repeats the token";
const REQUEST: &str = "CERTIFICATE REQUEST";

/// A leaf and what stands above it.
pub(super) struct Shown(Vec<CertificateDer<'static>>);

impl From<&HeldIdentity> for Shown {
    fn from(held: &HeldIdentity) -> Self {
        let leaf = std::iter::once(&held.leaf);
        Self(leaf.chain(&held.chain).cloned().collect())
    }
}

impl From<&Answer> for Shown {
    fn from(answer: &Answer) -> Self {
        let leaf = std::iter::once(&answer.leaf);
        Self(leaf.chain(&answer.chain).cloned().collect())
    }
}

/// One CA, and who we are to it.
pub(super) struct Api<'a> {
    url: &'a str,
    https: Https,
}

#[derive(Deserialize)]
struct Signed {
    crt: String,
    #[serde(default)]
    ca: String,
    #[serde(default, rename = "certChain")]
    chain: Vec<String>,
}

#[derive(Deserialize)]
struct Roots {
    #[serde(default)]
    crts: Vec<String>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

#[derive(Deserialize)]
struct Done {}

impl<'a> Api<'a> {
    /// The pinned root alone stands for it.
    pub(super) fn new(
        issuer: &'a StepIssuer,
        pinned: Vec<CertificateDer<'static>>,
        shown: Option<(Shown, &PrivateKey)>,
    ) -> Result<Self, StepError> {
        let identity = match shown {
            Some((Shown(chain), key)) => Some(ClientIdentity::from_pem(
                &pem::certificates(&chain),
                &key.pem(),
            )?),
            None => None,
        };
        let https = Https::of(Peer {
            trust: &Trust::Certificates(pinned),
            also: &[],
            proxy: issuer.settings.proxy.as_deref(),
            identity: identity.as_ref(),
            tls12: false,
        })?;
        let url = &issuer.settings.url;
        Ok(Self { url, https })
    }

    /// What certificates chain to.
    pub(super) async fn roots(&self) -> Result<Vec<CertificateDer<'static>>, StepError> {
        self.certificates("its roots", "/1.0/roots").await
    }

    /// What those of the CAs that it is federated with chain to.
    pub(super) async fn federation(&self) -> Result<Vec<CertificateDer<'static>>, StepError> {
        self.certificates("its federation", "/1.0/federation").await
    }

    /// The CAs below its roots that sign.
    pub(super) async fn intermediates(&self) -> Result<Vec<CertificateDer<'static>>, StepError> {
        self.certificates("its intermediates", "/1.0/intermediates")
            .await
    }

    /// Its revocation list. It has one where its configuration says so.
    pub(super) async fn crl(
        &self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, StepError> {
        let what = "its revocation list";
        let request = self.get(what, "/1.0/crl")?;
        let host = host(&request);
        let answer = self.https.send_for(request, crls::MOST_BYTES).await?;
        let answer = judged(what, host, answer, None)?;
        let lists = crls::parsed(answer.body());
        match lists.is_empty() {
            true => Err(StepError::protocol(what, "it is none")),
            false => Ok(lists),
        }
    }

    async fn certificates(
        &self,
        what: &'static str,
        path: &str,
    ) -> Result<Vec<CertificateDer<'static>>, StepError> {
        let roots: Roots = ask(&self.https, what, self.get(what, path)?, None).await?;
        parsed(what, &roots.crts.join("\n"))
    }

    /// For a one-time token. The life is counted by the CA's own clock.
    pub(super) async fn sign(
        &self,
        csr: &[u8],
        token: &str,
        life: Duration,
    ) -> Result<Answer, StepError> {
        let life = format!("{}s", life.as_secs());
        let body = json!({ "csr": in_pem(csr), "ott": token, "notAfter": life });
        self.signed("a certificate", "/1.0/sign", &body, None).await
    }

    /// For the certificate that is shown, with another key.
    pub(super) async fn rekey(&self, csr: &[u8]) -> Result<Answer, StepError> {
        let body = json!({ "csr": in_pem(csr) });
        self.signed("a renewal", "/1.0/rekey", &body, None).await
    }

    /// For the certificate that signed the token, and its key.
    pub(super) async fn renew(&self, token: &str) -> Result<Answer, StepError> {
        let what = "the renewal of what has ended";
        self.signed(what, "/1.0/renew", &json!({}), Some(token))
            .await
    }

    async fn signed(
        &self,
        what: &'static str,
        path: &str,
        body: &serde_json::Value,
        bearer: Option<&str>,
    ) -> Result<Answer, StepError> {
        let mut request = self.post(what, path, body)?;
        if let Some(token) = bearer {
            let value = Zeroizing::new(format!("Bearer {token}"));
            let mut value =
                HeaderValue::from_str(&value).map_err(|error| StepError::protocol(what, error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let secret = bearer.or(body["ott"].as_str());
        let signed: Signed = ask(&self.https, what, request, secret)
            .await
            .map_err(StepError::of_a_signature)?;
        let text = match signed.chain.is_empty() {
            true => [signed.crt, signed.ca].join("\n"),
            false => signed.chain.join("\n"),
        };
        let unusable = StepError::of_a_signature;
        let mut chain = parsed(what, &text).map_err(unusable)?.into_iter();
        let leaf = chain
            .next()
            .ok_or_else(|| unusable(StepError::protocol(what, "there is none in the answer")))?;
        Ok(Answer {
            leaf,
            chain: chain.collect(),
        })
    }

    /// Revokes what is shown, or what the token is for. The CA knows no other way than the passive one: it renews it no
    /// more, and names it in its CRL if it has one.
    pub(super) async fn revoke(
        &self,
        serial: &str,
        reason: u8,
        token: Option<&str>,
    ) -> Result<(), StepError> {
        let what = "the revocation";
        let body = json!({
            "serial": serial, "ott": token.unwrap_or(""), "reasonCode": reason, "reason": "", "passive": true,
        });
        let request = self.post(what, "/1.0/revoke", &body)?;
        match ask(&self.https, what, request, token).await {
            Ok(Done {}) => Ok(()),
            Err(StepError::Refused { message, .. }) if message.contains("already revoked") => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether it is well; with what its clock says.
    pub(super) async fn health(&self) -> Result<Response<Bytes>, StepError> {
        let what = "whether it is well";
        answered(&self.https, what, self.get(what, "/health")?, None).await
    }

    /// The provisioners that it names: what is public of them.
    pub(super) async fn provisioners(&self) -> Result<serde_json::Value, StepError> {
        let what = "its provisioners";
        ask(
            &self.https,
            what,
            self.get(what, "/1.0/provisioners?limit=100")?,
            None,
        )
        .await
    }

    fn get(&self, what: &'static str, path: &str) -> Result<Request<Bytes>, StepError> {
        let request = Request::get(format!("{}{path}", self.url)).body(Bytes::new());
        request.map_err(|error| StepError::protocol(what, error))
    }

    fn post(
        &self,
        what: &'static str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<Request<Bytes>, StepError> {
        Request::post(format!("{}{path}", self.url))
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string().into())
            .map_err(|error| StepError::protocol(what, error))
    }
}

/// Sends a request with that secret in it, and reads the answer's JSON.
pub(super) async fn ask<T: DeserializeOwned>(
    https: &Https,
    what: &'static str,
    request: Request<Bytes>,
    secret: Option<&str>,
) -> Result<T, StepError> {
    let answer = answered(https, what, request, secret).await?;
    // The parser's error may quote what it stumbled over.
    serde_json::from_slice(answer.body()).map_err(|error| match is_told(&answer, secret) {
        true => StepError::protocol(what, WITHHELD),
        false => StepError::protocol(what, error),
    })
}

/// Whether the answer repeats a token. It is of no use without its signature.
fn is_told(answer: &Response<Bytes>, secret: Option<&str>) -> bool {
    let signature = secret.and_then(|secret| secret.rsplit('.').next());
    signature.is_some_and(|part| repeats(&String::from_utf8_lossy(answer.body()), part))
}

async fn answered(
    https: &Https,
    what: &'static str,
    request: Request<Bytes>,
    secret: Option<&str>,
) -> Result<Response<Bytes>, StepError> {
    let host = host(&request);
    judged(what, host, https.send(request).await?, secret)
}

fn host(request: &Request<Bytes>) -> String {
    let host = request.uri().authority().map(ToString::to_string);
    host.unwrap_or_default()
}

fn judged(
    what: &'static str,
    host: String,
    answer: Response<Bytes>,
    secret: Option<&str>,
) -> Result<Response<Bytes>, StepError> {
    let withheld = is_told(&answer, secret).then(|| WITHHELD.to_owned());
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let retry_after = retry_after(answer.headers(), Timestamp::now());
    match serde_json::from_slice::<Refusal>(answer.body()) {
        Ok(Refusal { message }) => Err(StepError::Refused {
            what,
            host,
            status,
            message: withheld.unwrap_or_else(|| clipped(&message)),
            retry_after,
        }),
        // Something before the CA.
        Err(_) => Err(HttpsError::Status {
            host,
            status,
            retry_after,
            begins: withheld.unwrap_or_else(|| begins(&answer, status)),
        }
        .into()),
    }
}

fn begins(answer: &Response<Bytes>, status: StatusCode) -> String {
    let kind = answer.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    if kind.starts_with("text/html") {
        return "a page of HTML".to_owned();
    }
    let text = String::from_utf8_lossy(answer.body());
    let text = clipped(text.trim());
    match status.canonical_reason() {
        Some(reason) if reason == text => String::new(),
        _ => text,
    }
}

fn parsed(what: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, StepError> {
    // The parser's error quotes the line that it stumbled over.
    let certificates = pem::parse_certificates(text);
    certificates.map_err(|_| StepError::protocol(what, "they are no certificates in PEM"))
}

fn in_pem(csr: &[u8]) -> String {
    let mut text = String::with_capacity(pem::encoded_len(REQUEST, csr.len()));
    pem::encode_into(&mut text, REQUEST, csr);
    text
}
