//! `[issuer.NAME]` with `type = "spiffe"`.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use renewd_core::names::San;

use crate::table::values::{self, parse};
use crate::table::{At, ErrorKind, Mismatch, Report, Schema, Section, clipped, key, twice};

use super::super::kind::{Configured, Demand, Home, Kind};
use super::super::{Issuer, places};
use super::{SpiffeIssuer, SpiffeSettings};

/// Where agents usually listen for the services of a host.
const DEFAULT_SOCKET: &str = "/run/spire/agent/public/api.sock";
const SOCKET: &str = "socket = \"unix:/run/spire/agent/public/api.sock\"";
const DOMAIN: &str = "trust_domain = \"example.internal\"";

/// SPIFFE Workload APIs.
pub const KIND: Kind = Kind {
    name: "spiffe",
    schema: &SCHEMA,
    told_by: "trust_domain",
    for_clients: true,
    sockets: &[],
    read,
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

impl Configured for SpiffeSettings {
    fn make(&self, _home: Home) -> Rc<dyn Issuer> {
        Rc::new(SpiffeIssuer::new(self.clone()))
    }

    /// Agents tell all hosts at once, and their server signs with a new root only after that.
    fn needs_no_settling(&self) -> bool {
        true
    }

    /// An SVID has one SPIFFE ID (X.509-SVID, section 2), and it is of the trust domain whose anchors are taken.
    fn judge(&self, demand: &Demand<'_>, report: &mut Report) {
        let place = format!("{}, {}", demand.table, demand.table_at);
        let example = format!("names = [\"spiffe://{}/web\"]", self.trust_domain);
        let mut ids = demand
            .names
            .iter()
            .filter(|name| matches!(name.value, San::Uri(_)));
        let Some(id) = ids.next() else {
            // Names that are wrong, or not there, are an error already.
            if let Some(name) = demand.names.first() {
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
            .and_then(|rest| rest.strip_prefix(self.trust_domain.as_str()));
        if !path.is_some_and(|path| path.starts_with('/')) {
            let mismatch = Mismatch::of(
                ErrorKind::Conflict,
                format!("\"{text}\" is no workload of the issuer's trust domain ({place})"),
                format!("spiffe://{}/ and a path", self.trust_domain),
                "correct it, or trust_domain",
            );
            id.refuse(report, mismatch);
        }
    }
}

fn read(section: &Section<'_>, report: &mut Report) -> Option<Arc<dyn Configured>> {
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
    Some(Arc::new(SpiffeSettings {
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
