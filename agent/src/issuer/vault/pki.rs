//! What the PKI secrets engine is asked, and how its answers are read.

use renewd_core::accept::Answer;
use renewd_core::names::San;
use renewd_core::pem;
use renewd_core::request::Request;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::Order;

/// The longest common name that a certificate can have (RFC 5280, appendix A.1: `ub-common-name`).
const LONGEST_COMMON_NAME: usize = 64;

/// What `sign/ROLE` is asked. The names are told beside the request too, for roles that do not take them from it.
#[derive(Serialize)]
pub(super) struct Sign {
    csr: String,
    format: &'static str,
    ttl: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    common_name: Option<String>,
    /// A common name that is no DNS name would become one.
    exclude_cn_from_sans: bool,
    alt_names: String,
    ip_sans: String,
    uri_sans: String,
}

#[derive(Deserialize)]
pub(super) struct Signed {
    certificate: String,
    issuing_ca: Option<String>,
    #[serde(default)]
    ca_chain: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    pub(super) ca_chain: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Revoke {
    pub(super) certificate: String,
}

/// What is asked for, as the engine wants to hear it.
pub(super) fn sign(order: Order<'_>) -> Sign {
    let Request {
        names, lifetime, ..
    } = order.request;
    let mut alt_names = Vec::new();
    let (mut ip_sans, mut uri_sans) = (Vec::new(), Vec::new());
    for name in names {
        match name {
            San::Dns(name) => alt_names.push(name.clone()),
            San::Ip(address) => ip_sans.push(address.to_string()),
            San::Uri(uri) => uri_sans.push(uri.clone()),
        }
    }
    let common_name = alt_names
        .iter()
        .find(|name| name.len() <= LONGEST_COMMON_NAME);
    let mut csr = String::new();
    pem::encode_into(&mut csr, "CERTIFICATE REQUEST", order.csr);
    Sign {
        csr,
        format: "pem",
        ttl: format!("{}s", lifetime.as_secs()),
        common_name: common_name.cloned(),
        exclude_cn_from_sans: true,
        alt_names: alt_names.join(","),
        ip_sans: ip_sans.join(","),
        uri_sans: uri_sans.join(","),
    }
}

/// What was signed; its chain is where no root of the mount is needed to verify it.
pub(super) fn answer(signed: &Signed) -> Result<Answer, String> {
    let mut leaf = parsed([&signed.certificate])?;
    if leaf.len() != 1 {
        return Err(format!(
            "{} certificates where one was expected",
            leaf.len()
        ));
    }
    let chain = match &signed.issuing_ca {
        Some(issuing) if signed.ca_chain.is_empty() => parsed([issuing])?,
        _ => parsed(signed.ca_chain.iter())?,
    };
    Ok(Answer {
        leaf: leaf.remove(0),
        chain,
    })
}

pub(super) fn parsed<'a>(
    texts: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut all = Vec::new();
    for text in texts {
        all.extend(pem::parse_certificates(text).map_err(|error| error.to_string())?);
    }
    Ok(all)
}

pub(super) fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| {
        certificate.subject() == certificate.issuer() && certificate.verify_signature(None).is_ok()
    })
}
