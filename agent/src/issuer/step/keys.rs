//! `[issuer.NAME]` with `type = "step"`.

use std::rc::Rc;
use std::sync::Arc;

use renewd_core::leaf::Fingerprint;

use crate::secret::Secret;
use crate::table::values::parse;
use crate::table::{At, ErrorKind, Mismatch, Report, Schema, Section, clipped, key};

use super::super::crls::keys as crls;
use super::super::kind::{Configured, Home, Kind};
use super::super::places::{self, LONGEST};
use super::super::{IssueError, Issuer};
use super::{Admission, Root, StepIssuer, StepSettings};

/// CAs of the kind step-ca.
pub const KIND: Kind = Kind {
    name: "step",
    schema: &SCHEMA,
    told_by: "fingerprint",
    for_clients: true,
    sockets: &[],
    read,
};

const SCHEMA: Schema = Schema {
    title: "[issuer.NAME] with type = \"step\"",
    in_main_file: true,
    placing: "write it below an [issuer.NAME] with type = \"step\" in renewd.toml",
    keys: &[
        key("type", "an issuer's type in quotes", "\"step\""),
        key(
            "url",
            "an address in quotes",
            "\"https://ca.example.internal:9000\"",
        ),
        key("fingerprint", "a SHA-256 digest in quotes", FINGERPRINT),
        key("ca", "a path in quotes", "\"/etc/renewd/ca.pem\""),
        key(
            "proxy",
            "an address in quotes",
            "\"http://proxy.example.internal:3128\"",
        ),
        key("federation", "true or false", "true"),
        key(crls::KEY, "a list of places in quotes", "[\"issuer\"]"),
        key(
            "token",
            "the place of a token in quotes",
            "\"credential:step-token\"",
        ),
        key("provisioner", "a provisioner's name in quotes", "\"hosts\""),
        key(
            "provisioner_key",
            "the place of a key in quotes",
            "\"credential:step-key\"",
        ),
    ],
    aliases: &[
        ("ca_url", "url"),
        ("ca_fingerprint", "fingerprint"),
        ("root_fingerprint", "fingerprint"),
        ("ca_file", "ca"),
        ("root", "ca"),
        ("ott", "token"),
        ("key", "provisioner_key"),
        ("provisioner_password", "provisioner_key"),
    ],
};

const FINGERPRINT: &str = "\"d9d0978692f1c7cc791f5c343ce98771900721405e834cd27b9502cc719f5097\"";

impl Configured for StepSettings {
    fn make(&self, home: Home) -> Rc<dyn Issuer> {
        Rc::new(StepIssuer::new(
            home.directory,
            self.clone(),
            home.secrets,
            home.clock,
        ))
    }

    fn address(&self) -> Option<&str> {
        Some(&self.url)
    }

    fn secrets(&self) -> Vec<&Secret> {
        let (Admission::Token(secret) | Admission::Provisioner { key: secret, .. }) =
            &self.admission;
        vec![secret]
    }

    fn root_pem(&self, home: &Home) -> Result<String, IssueError> {
        StepIssuer::root_pem(&home.directory, self)
    }
}

fn read(section: &Section<'_>, report: &mut Report) -> Option<Arc<dyn Configured>> {
    const URL: &str = "url = \"https://ca.example.internal:9000\"";
    section.need("url", "the address of the step-ca", URL, report);
    let url = parse(&section.text("url", report), report, |text| url(text, URL));
    let root = root(section, report);
    let proxy = parse(&section.text("proxy", report), report, |text| {
        places::proxy(text)
    });
    let federation = section.flag("federation", report);
    let admission = admission(section, report);
    Some(Arc::new(StepSettings {
        url: url?.value,
        root: root?,
        proxy: proxy.map(|at| at.value),
        federation: federation.is_some_and(|at| at.value),
        crl: crls::read(section, report, None),
        admission: admission?,
    }))
}

/// Without a path: those of its protocol are appended to it.
fn url(text: &str, example: &str) -> Result<String, Mismatch> {
    let text = places::https(text, "a step-ca", example)?;
    let (_, rest) = text.split_once("://").unwrap_or_default();
    match rest.trim_end_matches('/') {
        host if host.contains(['/', '?', '#']) => Err(Mismatch::new(
            format!("{:?} has more than a host and a port", clipped(&text)),
            "https://, a host and a port",
            format!("write for example {example}"),
        )),
        host => Ok(format!("https://{host}")),
    }
}

fn root(section: &Section<'_>, report: &mut Report) -> Option<Root> {
    let (print, file) = (
        section.text("fingerprint", report),
        section.text("ca", report),
    );
    let fingerprint = parse(&print, report, |text| fingerprint(text));
    let ca = parse(&file, report, |text| {
        places::path(text, "ca = \"/etc/renewd/ca.pem\"")
    });
    match (&print, &file) {
        (Some(_), Some(at)) => both(at, "fingerprint", report),
        (None, None) if !section.has("fingerprint") && !section.has("ca") => section.need(
            "fingerprint",
            "the SHA-256 of the CA's root",
            &format!("fingerprint = {FINGERPRINT}, or ca = \"/etc/renewd/ca.pem\""),
            report,
        ),
        _ => {}
    }
    let fingerprint = fingerprint.map(|at| Root::Fingerprint(at.value));
    fingerprint.or_else(|| ca.map(|at| Root::File(at.value)))
}

/// As step prints it, or as OpenSSL does.
fn fingerprint(text: &str) -> Result<Fingerprint, Mismatch> {
    let digits: String = text.chars().filter(|digit| *digit != ':').collect();
    digits.parse().map_err(|_| {
        Mismatch::new(
            format!("{:?} is no SHA-256 digest", clipped(text)),
            "64 hex digits",
            "write what \"step certificate fingerprint root_ca.crt\" prints on the CA",
        )
    })
}

fn admission(section: &Section<'_>, report: &mut Report) -> Option<Admission> {
    let token_at = section.text("token", report);
    let name_at = section.text("provisioner", report);
    let key_at = section.text("provisioner_key", report);
    let token = parse(&token_at, report, |text| {
        places::secret(text, "token", "credential:step-token")
    });
    let name = parse(&name_at, report, |text| provisioner(text));
    let key = parse(&key_at, report, |text| {
        places::secret(text, "provisioner_key", "credential:step-key")
    });
    let alone = |at: &At<String>, other: &str, report: &mut Report| {
        let mismatch = Mismatch::of(
            ErrorKind::MissingKey,
            format!("stands without {other}"),
            "both, or neither",
            format!("write {other}, too"),
        );
        at.refuse(report, mismatch);
    };
    match (&token_at, &name_at, &key_at) {
        (Some(_), Some(at), _) | (Some(_), None, Some(at)) => both(at, "token", report),
        (None, Some(at), None) => alone(at, "provisioner_key", report),
        (None, None, Some(at)) => alone(at, "provisioner", report),
        (None, None, None)
            if !["token", "provisioner", "provisioner_key"]
                .iter()
                .any(|key| section.has(key)) =>
        {
            section.need(
                "token",
                "what a first certificate is had by",
                "token = \"credential:step-token\"",
                report,
            );
        }
        _ => {}
    }
    if let Some(at) = &key_at {
        at.warn(
            report,
            "is a key by which whoever reads it can have certificates for any name that the provisioner may give",
            "let the CA give out one-time tokens, and write token = \"credential:step-token\" instead",
        );
    }
    match token {
        Some(token) => Some(Admission::Token(token.value)),
        None => Some(Admission::Provisioner {
            name: name?.value,
            key: key?.value,
        }),
    }
}

fn both(at: &At<String>, other: &str, report: &mut Report) {
    let mismatch = Mismatch::of(
        ErrorKind::Conflict,
        format!("stands beside {other}"),
        "one or the other",
        "remove one of them",
    );
    at.refuse(report, mismatch);
}

/// It may be an address, or several words.
fn provisioner(text: &str) -> Result<String, Mismatch> {
    let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if !text.is_empty() && text.len() <= LONGEST && text.bytes().all(visible) {
        return Ok(text.to_owned());
    }
    Err(Mismatch::new(
        format!("{:?} is no name of a provisioner", clipped(text)),
        "its name, as the CA's ca.json has it: visible ASCII characters and blanks",
        "write for example provisioner = \"hosts\"",
    ))
}
