//! `[issuer.NAME]` with `type = "spiffe"`.

use std::path::PathBuf;

use renewd_core::names::San;

use crate::issuer::spiffe::SpiffeSettings;

use super::super::common::{parse, twice};
use super::super::document::{At, clipped};
use super::super::error::{ErrorKind, Mismatch, Report};
use super::super::places;
use super::super::schema::{Schema, key};
use super::super::settings::{IssuerKind, IssuerSettings};
use super::super::values;
use super::super::walk::Section;
use super::{Kind, Wanted};

/// Where agents usually listen for the services of a host.
const DEFAULT_SOCKET: &str = "/run/spire/agent/public/api.sock";
const SOCKET: &str = "socket = \"unix:/run/spire/agent/public/api.sock\"";
const DOMAIN: &str = "trust_domain = \"example.internal\"";

pub(super) const KIND: Kind = Kind {
    name: "spiffe",
    schema: &SCHEMA,
    told_by: "trust_domain",
    for_clients: true,
    read,
    judge,
};

const SCHEMA: Schema = Schema {
    title: "[issuer.NAME] with type = \"spiffe\"",
    in_main_file: true,
    placing: "write it below an [issuer.NAME] with type = \"spiffe\" in renewd.toml",
    keys: &[
        key("type", "an issuer's type in quotes", "\"spiffe\""),
        key(
            "trust_domain",
            "a trust domain in quotes",
            "\"example.internal\"",
        ),
        key(
            "socket",
            "the address of a socket in quotes",
            "\"unix:/run/spire/agent/public/api.sock\"",
        ),
        key(
            "federated",
            "a list of trust domains",
            "[\"partner.example\"]",
        ),
    ],
    aliases: &[
        ("td", "trust_domain"),
        ("agent_address", "socket"),
        ("endpoint", "socket"),
        ("workload_api", "socket"),
        ("federates_with", "federated"),
        ("bundles", "federated"),
    ],
};

fn read(section: &Section<'_>, report: &mut Report) -> Option<IssuerKind> {
    section.need(
        "trust_domain",
        "the trust domain of this host",
        DOMAIN,
        report,
    );
    let domain = parse(&section.text("trust_domain", report), report, |text| {
        trust_domain(text, DOMAIN)
    });
    let path = parse(&section.text("socket", report), report, |text| socket(text));
    let federated = federated(section, domain.as_ref(), report);
    Some(IssuerKind::Spiffe(SpiffeSettings {
        socket: path.map_or(DEFAULT_SOCKET.into(), |at| at.value),
        trust_domain: domain?.value,
        federated,
    }))
}

/// Local sockets only: over the network everybody who reaches the address would be handed the keys.
fn socket(text: &str) -> Result<PathBuf, Mismatch> {
    let path = text.strip_prefix("unix:").unwrap_or_default();
    let path = path.strip_prefix("//").unwrap_or(path);
    places::path(path, SOCKET).map_err(|_| {
        Mismatch::new(
            format!("{:?} is no address of a local socket", clipped(text)),
            "\"unix:\" and an absolute path",
            format!("write for example {SOCKET}"),
        )
    })
}

/// Its bare name, whichever way it is written.
fn trust_domain(text: &str, example: &str) -> Result<String, Mismatch> {
    let name = text.strip_prefix("spiffe://").unwrap_or(text);
    match format!("spiffe://{name}").parse() {
        Ok(San::Uri(_)) if !name.contains('/') => Ok(name.to_owned()),
        _ => Err(Mismatch::new(
            format!("{:?} is no trust domain", clipped(text)),
            "small letters, digits, dots, hyphens and underscores",
            format!("write for example {example}"),
        )),
    }
}

fn federated(section: &Section<'_>, own: Option<&At<String>>, report: &mut Report) -> Vec<String> {
    let mut domains = Vec::new();
    let Some(raw) = section.texts("federated", report) else {
        return domains;
    };
    if let Some(at) = raw.value.get(values::MOST_ENTRIES) {
        at.refuse(report, values::too_many());
        return domains;
    }
    for at in &raw.value {
        let example = "federated = [\"partner.example\"]";
        let Some(domain) = at.parse(report, |text| trust_domain(text, example)) else {
            continue;
        };
        if own.is_some_and(|own| own.value == domain.value) {
            let mismatch = Mismatch::of(
                ErrorKind::Conflict,
                "is the own trust domain, whose anchors are published anyway",
                "other trust domains",
                "remove it",
            );
            at.refuse(report, mismatch);
        } else if domains.contains(&domain.value) {
            at.refuse(report, twice(&at.value));
        } else {
            domains.push(domain.value);
        }
    }
    domains
}

/// An SVID has one SPIFFE ID (X.509-SVID, section 2), and it is of the trust domain whose anchors are taken.
fn judge(issuer: &IssuerSettings, wanted: &Wanted<'_>, report: &mut Report) {
    let IssuerKind::Spiffe(spiffe) = &issuer.kind else {
        return;
    };
    let place = format!("{}, {}", issuer.table(), issuer.location);
    let example = format!("names = [\"spiffe://{}/web\"]", spiffe.trust_domain);
    let mut ids = wanted
        .names
        .iter()
        .filter(|name| matches!(name.value, San::Uri(_)));
    let Some(id) = ids.next() else {
        // Names that are wrong, or not there, are an error already.
        if let Some(name) = wanted.names.first() {
            let mismatch = Mismatch::of(
                ErrorKind::Conflict,
                format!("names no SPIFFE ID, by which an SVID is chosen ({place})"),
                "the ID of the registration entry, beside its DNS names",
                format!("write for example {example}"),
            );
            name.refuse(report, mismatch);
        }
        return;
    };
    if let Some(second) = ids.next() {
        let mismatch = Mismatch::of(
            ErrorKind::Conflict,
            format!(
                "\"{}\" is a second SPIFFE ID, and an SVID has one ({place})",
                second.value
            ),
            "one SPIFFE ID",
            "write a certificate's file for each",
        );
        second.refuse(report, mismatch);
    }
    let text = id.value.to_string();
    let path = text
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_prefix(spiffe.trust_domain.as_str()));
    if !path.is_some_and(|path| path.starts_with('/')) {
        let mismatch = Mismatch::of(
            ErrorKind::Conflict,
            format!("\"{text}\" is no workload of the issuer's trust domain ({place})"),
            format!("spiffe://{}/ and a path", spiffe.trust_domain),
            "correct it, or trust_domain",
        );
        id.refuse(report, mismatch);
    }
}
