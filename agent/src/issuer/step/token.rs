//! One-time tokens (RFC 7519): those that the operator provides, and those that are signed here.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::super::HeldIdentity;
use super::error::StepError;
use super::jws::Signer;
use super::{Admission, StepIssuer};
use crate::secret::Secret;

/// How long a token of ours may be used, in seconds: longer than any try lasts, and than clocks are apart.
const LIFE: i64 = 300;
/// Who signs renewal tokens, by the CA's own convention.
const CLIENT: &str = "step-ca-client/1.0";

/// What a token says, as far as it matters to who brings it. Nobody verifies it here: that is the CA's part.
#[derive(Deserialize)]
pub(super) struct Claims {
    sub: String,
    #[serde(default)]
    sans: Vec<String>,
    #[serde(default)]
    exp: Option<i64>,
}

impl Claims {
    fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
        let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).ok()?);
        serde_json::from_slice(&json).ok()
    }

    /// The names that it is for (a token without any is for its subject), sorted.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = match self.sans.is_empty() {
            true => vec![&self.sub],
            false => self.sans.iter().map(String::as_str).collect(),
        };
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// A token for what is asked for.
pub(super) fn admission(
    issuer: &StepIssuer,
    request: &Request,
) -> Result<Zeroizing<String>, StepError> {
    match &issuer.settings.admission {
        Admission::Token(place) => provided(issuer, place, request),
        Admission::Provisioner { name, key } => {
            let names: Vec<String> = request.names.iter().map(ToString::to_string).collect();
            let claims = json!({ "iss": name, "sub": names.first(), "sans": names });
            let (signer, kid) = provisioner(issuer, key)?;
            signed(issuer, &signer, json!({ "kid": kid }), claims, "/1.0/sign")
        }
    }
}

/// The provisioner's key, with the name that the CA knows it by.
pub(super) fn provisioner(
    issuer: &StepIssuer,
    key: &Secret,
) -> Result<(Signer, String), StepError> {
    let unusable = |why: &'static str| StepError::Key {
        place: key.to_string(),
        why,
    };
    let text = issuer.secrets.read(key);
    let text = text.map_err(|source| StepError::Secret {
        key: "provisioner_key",
        source,
    })?;
    let (signer, kid) = Signer::read(&text).map_err(unusable)?;
    let kid = kid
        .or_else(|| signer.thumbprint())
        .ok_or_else(|| unusable("an RSA key in PEM has no name; use an ECDSA key, as step does"))?;
    Ok((signer, kid))
}

/// The one for these names, among those that the operator put there, one a line.
fn provided(
    issuer: &StepIssuer,
    place: &Secret,
    request: &Request,
) -> Result<Zeroizing<String>, StepError> {
    let text = issuer.secrets.read(place);
    let text = text.map_err(|source| StepError::Secret {
        key: "token",
        source,
    })?;
    let asked: Vec<String> = request.names.iter().map(ToString::to_string).collect();
    let mut names: Vec<&str> = asked.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let (place, now) = (place.to_string(), issuer.now().as_second());
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (mut refused, mut ended, mut unreadable) = (None, None, None);
    for (index, token) in lines {
        let Some(claims) = Claims::read(token) else {
            unreadable = unreadable.or(Some(index + 1));
            continue;
        };
        if claims.names() != names {
            continue;
        }
        // Why it was refused says more than that it has ended since.
        if let Some(refusal) = issuer.tried.refusal(token, &place) {
            refused = refused.or(Some(refusal));
            continue;
        }
        match claims.exp {
            Some(exp) if exp <= now => ended = ended.max(Some(exp)),
            _ => return Ok(Zeroizing::new(token.to_owned())),
        }
    }
    Err(match (refused, ended, unreadable) {
        (Some(refusal), ..) => refusal,
        (_, Some(exp), _) => StepError::TokenEnded {
            place,
            at: Timestamp::from_second(exp).unwrap_or_default(),
        },
        (_, _, Some(line)) => StepError::TokenUnreadable { place, line },
        _ => StepError::NoToken {
            place,
            names: names.join(", "),
        },
    })
}

/// By which the CA prolongs what has ended, where it allows that: signed by the leaf's own key.
pub(super) fn renewal(
    issuer: &StepIssuer,
    identity: &HeldIdentity,
) -> Result<Zeroizing<String>, StepError> {
    let unusable = |why: String| StepError::protocol("the certificate in use", why);
    let (_, leaf) =
        X509Certificate::from_der(&identity.leaf).map_err(|error| unusable(error.to_string()))?;
    let mut names = leaf.subject().iter_common_name();
    let subject = names.next().and_then(|name| name.as_str().ok());
    let chain: Vec<String> = std::iter::once(&identity.leaf)
        .chain(&identity.chain)
        .map(|certificate| STANDARD.encode(certificate))
        .collect();
    let signer = Signer::from_pem(&identity.key.pem()).map_err(|why| unusable(why.to_owned()))?;
    let claims = json!({ "iss": CLIENT, "sub": subject.unwrap_or("") });
    let header = json!({ "x5cInsecure": chain });
    signed(issuer, &signer, header, claims, "/1.0/renew")
}

/// By which the CA revokes a leaf without seeing it. Only a provisioner's key can sign it.
pub(super) fn revocation(
    issuer: &StepIssuer,
    leaf: &CertificateDer<'_>,
) -> Result<Zeroizing<String>, StepError> {
    let (_, leaf) =
        X509Certificate::from_der(leaf).map_err(|error| StepError::protocol("the leaf", error))?;
    let serial = leaf.tbs_certificate.serial.to_string();
    match &issuer.settings.admission {
        Admission::Provisioner { name, key } => {
            let (signer, kid) = provisioner(issuer, key)?;
            let claims = json!({ "iss": name, "sub": serial, "sans": [] });
            signed(
                issuer,
                &signer,
                json!({ "kid": kid }),
                claims,
                "/1.0/revoke",
            )
        }
        Admission::Token(_) => Err(StepError::NothingToRevokeBy { serial }),
    }
}

fn signed(
    issuer: &StepIssuer,
    signer: &Signer,
    header: Value,
    mut claims: Value,
    path: &str,
) -> Result<Zeroizing<String>, StepError> {
    let failed = |_| StepError::protocol("a token", "it could not be signed");
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(failed)?;
    let now = issuer.now().as_second();
    claims["aud"] = format!("{}{path}", issuer.settings.url).into();
    claims["iat"] = now.into();
    claims["nbf"] = now.into();
    claims["exp"] = (now + LIFE).into();
    claims["jti"] = URL_SAFE_NO_PAD.encode(id).into();
    signer.sign(header, &claims).map_err(failed)
}
