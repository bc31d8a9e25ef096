//! One conversation with a Vault: its requests, and the sorting of its answers.
//!
//! What it is told is secret in part: a token goes as a header that nobody may print, a login is wiped once it was sent,
//! and a server's own words are shown only without what it was told.

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use jiff::Timestamp;
use rustls_pki_types::CertificateRevocationListDer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::crls;
use super::super::https::{Https, HttpsError, retry_after};
use super::VaultSettings;
use super::error::{Absent, VaultError};
use super::words::{Told, clipped, without};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const HEALTH: &str = "sys/health";
/// Of a standby that will not answer for the active server: for disaster recovery, or one that only reads.
const STANDBY: [u16; 2] = [472, 473];
/// The node has not yet heard of what another one did.
const BEHIND: u16 = 412;
/// How much of an answer that nobody understands is shown.
const SHOWN: usize = 120;

/// A token. It has no `Debug`, and none to come.
pub(super) struct Token(pub(super) Zeroizing<String>);

impl Token {
    /// As it is sent.
    pub(super) fn header(&self) -> Result<HeaderValue, VaultError> {
        let value = HeaderValue::from_str(&self.0);
        let mut value = value.map_err(|_| VaultError::Unusable("the token"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// What a login, or the renewal of its token, is answered.
#[derive(Deserialize)]
pub(super) struct Granted {
    pub(super) client_token: String,
    /// How long it lasts, in seconds; zero is for ever.
    pub(super) lease_duration: u64,
}

#[derive(Deserialize)]
struct Answered<T> {
    data: Option<T>,
    auth: Option<Granted>,
    /// What the server undoes once the token ends that it was asked with.
    lease_id: Option<String>,
}

/// What every refusal looks like.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

/// A server that is talked to.
pub(super) struct Server {
    https: Https,
    base: String,
    host: String,
    namespace: Option<HeaderValue>,
}

impl Server {
    pub(super) fn new(settings: &VaultSettings) -> Result<Self, VaultError> {
        Self::by(
            settings,
            Https::new(&settings.ca, settings.proxy.as_deref())?,
        )
    }

    /// The same server, over another client.
    pub(super) fn by(settings: &VaultSettings, https: Https) -> Result<Self, VaultError> {
        let namespace = settings.namespace.as_deref().map(HeaderValue::from_str);
        let base = settings.address.trim_end_matches('/');
        Ok(Self {
            https,
            base: format!("{base}/v1"),
            host: base.rsplit_once("://").map_or(base, |at| at.1).to_owned(),
            namespace: namespace
                .transpose()
                .map_err(|_| VaultError::Unusable("`namespace`"))?,
        })
    }

    /// Who is talked to, for sentences.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Reads what is at a path.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&Token>,
    ) -> Result<T, VaultError> {
        let answer = self.send(Method::GET, path, token, None, Bytes::new());
        let answered = parsed::<Answered<T>>(path, &answer.await?)?;
        answered.data.ok_or_else(|| missing(path, "data"))
    }

    /// Reads the revocation list of the CA at a path. It is shown to anybody.
    pub(super) async fn crl(
        &self,
        path: &str,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, VaultError> {
        let path = format!("{path}/crl/der");
        let request = self.request(Method::GET, &path, None, Bytes::new())?;
        let answer = self.https.send_for(request, crls::MOST_BYTES).await;
        let answer = self.answered(&path, answer, &[None; 2])?;
        let lists = crls::parsed(answer.body());
        match lists.is_empty() {
            true => Err(VaultError::Protocol {
                path,
                why: "it is no revocation list".to_owned(),
            }),
            false => Ok(lists),
        }
    }

    /// Asks for something to be done, and reads what came of it, if there is something to be read.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&Token>,
        body: &impl Serialize,
    ) -> Result<Option<T>, VaultError> {
        let answer = self.write(path, token, None, body).await?;
        let answered = parsed::<Answered<T>>(path, &answer)?;
        if answered.lease_id.is_some_and(|lease| !lease.is_empty()) {
            let path = path.to_owned();
            return Err(VaultError::Leased { path });
        }
        Ok(answered.data)
    }

    /// Asks for a token, or for more of its life; `secret` is what of `body` nobody else should read.
    pub(super) async fn grant(
        &self,
        path: &str,
        token: Option<&Token>,
        secret: Option<&str>,
        body: &impl Serialize,
    ) -> Result<Granted, VaultError> {
        let answer = self.write(path, token, secret, body).await?;
        let answered = parsed::<Answered<serde::de::IgnoredAny>>(path, &answer)?;
        answered.auth.ok_or_else(|| missing(path, "auth"))
    }

    /// What is told of the server's state to anybody, whatever state it is in.
    pub(super) async fn health<T: DeserializeOwned>(&self) -> Result<T, VaultError> {
        let path = HEALTH;
        let request = self.request(Method::GET, path, None, Bytes::new())?;
        let answer = self.https.send(request).await.map_err(unanswered)?;
        parsed(path, &answer).map_err(|_| self.refusal(path, &answer, &[None; 2]))
    }

    async fn write(
        &self,
        path: &str,
        token: Option<&Token>,
        secret: Option<&str>,
        body: &impl Serialize,
    ) -> Result<Response<Bytes>, VaultError> {
        let body = serde_json::to_vec(body).map_err(|error| VaultError::Protocol {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        let body = Bytes::from_owner(Zeroizing::new(body));
        self.send(Method::POST, path, token, secret, body).await
    }

    /// The answer where it is one that was asked for.
    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        secret: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Bytes>, VaultError> {
        let request = self.request(method, path, token, body)?;
        let answer = self.https.send(request).await;
        let told = [token.map(|token| token.0.as_str()), secret];
        self.answered(path, answer, &told)
    }

    fn answered(
        &self,
        path: &str,
        answer: Result<Response<Bytes>, HttpsError>,
        told: &Told<'_>,
    ) -> Result<Response<Bytes>, VaultError> {
        let answer = answer.map_err(unanswered)?;
        match answer.status().is_success() {
            true => Ok(answer),
            false => Err(self.refusal(path, &answer, told)),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Bytes,
    ) -> Result<Request<Bytes>, VaultError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        let uri = format!("{}/{path}", self.base).parse();
        *request.uri_mut() = uri.map_err(|_| VaultError::Unusable("`address`"))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Of the state of the whole server only its root namespace tells.
        if let Some(namespace) = self.namespace.as_ref().filter(|_| path != HEALTH) {
            headers.insert(NAMESPACE, namespace.clone());
        }
        if let Some(token) = token {
            headers.insert(TOKEN, token.header()?);
        }
        Ok(request)
    }

    /// What an answer means that is not what was asked for.
    fn refusal(&self, path: &str, answer: &Response<Bytes>, told: &Told<'_>) -> VaultError {
        let (host, path, status) = (self.host.clone(), path.to_owned(), answer.status());
        let retry_after = retry_after(answer.headers(), Timestamp::now());
        let said = serde_json::from_slice::<Errors>(answer.body());
        let said = said.map(|said| without(&said.errors.join("; "), told));
        let absent = |why| VaultError::NotNow {
            host: host.clone(),
            why,
            retry_after,
        };
        match (status.as_u16(), said) {
            (code, _) if STANDBY.contains(&code) => absent(Absent::Standby),
            (BEHIND, Ok(_)) => absent(Absent::Behind),
            (503, Ok(said)) if said.contains("sealed") => absent(Absent::Sealed),
            (503, Ok(said)) if said.contains("standby") => absent(Absent::Standby),
            (429, Ok(_)) => absent(Absent::Limited),
            (403, Ok(said)) => VaultError::Denied { host, path, said },
            (400..500, Ok(said)) => VaultError::Refused {
                host,
                path,
                status,
                said,
            },
            (500, Ok(said)) => VaultError::Failed { host, path, said },
            _ => VaultError::Https(HttpsError::Status {
                host,
                status,
                retry_after,
                begins: begins(answer, told),
            }),
        }
    }
}

fn unanswered(error: HttpsError) -> VaultError {
    match error {
        HttpsError::Redirected { host, to } => VaultError::Redirected { host, to },
        error => error.into(),
    }
}

fn begins(answer: &Response<Bytes>, told: &Told<'_>) -> String {
    let kind = answer.headers().get(CONTENT_TYPE);
    let text = String::from_utf8_lossy(answer.body());
    match kind.and_then(|kind| kind.to_str().ok()) {
        Some(kind) if kind.starts_with("text/html") => "a page of HTML".to_owned(),
        _ => clipped(&without(text.trim(), told), SHOWN),
    }
}

fn parsed<T: DeserializeOwned>(path: &str, answer: &Response<Bytes>) -> Result<T, VaultError> {
    serde_json::from_slice(answer.body()).map_err(|error| VaultError::Protocol {
        path: path.to_owned(),
        // Of what kind and where, not the text: it may hold a token.
        why: format!("{:?} at column {}", error.classify(), error.column()),
    })
}

fn missing(path: &str, field: &str) -> VaultError {
    VaultError::Protocol {
        path: path.to_owned(),
        why: format!("it has no {field:?}"),
    }
}
