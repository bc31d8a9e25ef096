//! What the program is told, and what it answers (docs/issuers/exec.md).

use renewd_core::accept::Answer;
use renewd_core::names::San;
use renewd_core::pem;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::super::Order;
use super::error::ExecError;

/// Changes when a program that follows the contract would have to be changed.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Asked<'a> {
    version: u32,
    certificate: &'a str,
    dns: Vec<String>,
    ip: Vec<String>,
    uri: Vec<String>,
    usages: Vec<&'static str>,
    lifetime: u64,
    csr: String,
}

/// One line of JSON.
pub(super) fn request(order: &Order<'_>) -> Vec<u8> {
    let request = order.request;
    let of = |kind: fn(&San) -> bool| {
        let names = request.names.iter().filter(|name| kind(name));
        names.map(San::to_string).collect()
    };
    let mut csr = String::new();
    pem::encode_into(&mut csr, "CERTIFICATE REQUEST", order.csr);
    let usages = [
        (request.usages.server, "server"),
        (request.usages.client, "client"),
    ];
    let asked = Asked {
        version: VERSION,
        certificate: order.certificate.as_str(),
        dns: of(|name| matches!(name, San::Dns(_))),
        ip: of(|name| matches!(name, San::Ip(_))),
        uri: of(|name| matches!(name, San::Uri(_))),
        usages: usages
            .iter()
            .filter_map(|(wanted, word)| wanted.then_some(*word))
            .collect(),
        lifetime: request.lifetime.as_secs(),
        csr,
    };
    // Texts and numbers alone: there is nothing that JSON could not say.
    let mut line = serde_json::to_vec(&asked).unwrap_or_default();
    line.push(b'\n');
    line
}

/// An answer, as far as it can be read: nothing in it is believed yet.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) anchors: Vec<CertificateDer<'static>>,
}

#[derive(Deserialize)]
struct Json {
    chain: String,
    #[serde(default)]
    anchors: String,
}

/// Says what is wrong with an answer, and repeats none of it: it could be anything, a key too.
pub(super) fn read(output: &[u8]) -> Result<Answered, ExecError> {
    let wrong = |why: String| ExecError::Answer { why };
    let text = std::str::from_utf8(output).map_err(|_| wrong("it is no text".to_owned()))?;
    let json = match text.trim_start().starts_with('{') {
        // Where it is wrong, not what stands there.
        true => serde_json::from_str::<Json>(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            wrong(format!(
                "it is no JSON object with the text \"chain\" (line {line}, column {column})"
            ))
        })?,
        false => Json {
            chain: text.to_owned(),
            anchors: String::new(),
        },
    };
    let parse = |what: &str, text: &str| {
        pem::parse_certificates(text).map_err(|_| wrong(format!("{what} is broken off, or no PEM")))
    };
    let mut chain = parse("the chain", &json.chain)?;
    if chain.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    let leaf = chain.remove(0);
    Ok(Answered {
        answer: Answer { leaf, chain },
        anchors: parse("\"anchors\"", &json.anchors)?,
    })
}
