//! `[issuer.NAME]` with `type = "local"`.

use renewd_core::names::San;

use crate::issuer::local::Constraints;

use super::super::common::{parse, twice};
use super::super::error::{ErrorKind, Mismatch, Report};
use super::super::places;
use super::super::raw::RawList;
use super::super::schema::{Schema, key};
use super::super::settings::{IssuerKind, IssuerSettings, LocalIssuerSettings};
use super::super::values::{self, YEAR};
use super::super::walk::Section;
use super::{Kind, Wanted};

pub(super) const KIND: Kind = Kind {
    name: "local",
    schema: &SCHEMA,
    told_by: "issuing_ca",
    for_clients: true,
    read,
    judge,
};

const SCHEMA: Schema = Schema {
    title: "[issuer.NAME]",
    in_main_file: true,
    placing: "write it below an [issuer.NAME] with type = \"local\" in renewd.toml",
    keys: &[
        key("type", "an issuer's type in quotes", "\"local\""),
        key(
            "issuing_ca",
            "the place of a CA's key and certificates in quotes",
            "\"credential:issuing-ca.pem\"",
        ),
        key("root_lifetime", "a duration in quotes", "\"20y\""),
        key("intermediate_lifetime", "a duration in quotes", "\"1y\""),
        key(
            "permitted_dns",
            "a list of domains",
            "[\"example.internal\"]",
        ),
        key("permitted_ip", "a list of networks", "[\"10.0.0.0/8\"]"),
        key(
            "permitted_uri",
            "a list of SPIFFE IDs",
            "[\"spiffe://example.internal\"]",
        ),
    ],
    aliases: &[("ca", "issuing_ca"), ("intermediate", "issuing_ca")],
};

fn read(section: &Section<'_>, report: &mut Report) -> Option<IssuerKind> {
    let ca_lifetime = |text: &String| values::duration(text, &values::CA_LIFETIME);
    let written_root = section.text("root_lifetime", report);
    let written_intermediate = section.text("intermediate_lifetime", report);
    let root = parse(&written_root, report, ca_lifetime);
    let intermediate = parse(&written_intermediate, report, ca_lifetime);
    let root_lifetime = root.as_ref().map_or(20 * YEAR, |at| at.value);
    if let Some(intermediate) = &intermediate
        && intermediate.value > root_lifetime
    {
        intermediate.refuse(
            report,
            Mismatch::new(
                "is longer than the root's life",
                format!("at most {}", humantime::format_duration(root_lifetime)),
                "shorten it, or lengthen root_lifetime",
            ),
        );
    }
    let issuing_ca = parse(&section.text("issuing_ca", report), report, |text| {
        places::secret(text, "issuing_ca", "credential:issuing-ca.pem")
    });
    if issuing_ca.is_some() {
        for at in [&written_root, &written_intermediate].into_iter().flatten() {
            at.refuse(
                report,
                Mismatch::of(
                    ErrorKind::Conflict,
                    "stands beside issuing_ca",
                    "one or the other: what is provided has a life of its own",
                    "remove it",
                ),
            );
        }
    }
    let dns = list(&section.texts("permitted_dns", report), report, |text| {
        values::domain(text)
    });
    let ip = list(&section.texts("permitted_ip", report), report, |text| {
        values::network(text)
    });
    let uri = list(&section.texts("permitted_uri", report), report, |text| {
        values::spiffe_id(text)
    });
    let constraints = Constraints::parse(&dns, &ip, &uri).unwrap_or_else(|error| {
        let mismatch = Mismatch::new(error.to_string(), "", "correct the entry");
        report.error(section.location(), section.path(), mismatch);
        Constraints::default()
    });
    Some(IssuerKind::Local(LocalIssuerSettings {
        issuing_ca: issuing_ca.map(|at| at.value),
        root_lifetime,
        intermediate_lifetime: intermediate.map_or(YEAR, |at| at.value).min(root_lifetime),
        constraints,
    }))
}

fn list<T: PartialEq>(
    raw: &Option<RawList>,
    report: &mut Report,
    parse: impl Fn(&String) -> Result<T, Mismatch>,
) -> Vec<T> {
    let mut list = Vec::new();
    let Some(raw) = raw else { return list };
    if raw.value.is_empty() {
        // An empty constraint would permit everything, which is the opposite of what it looks like.
        raw.refuse(
            report,
            Mismatch::new(
                "is empty",
                "at least one entry",
                "remove the key to permit every name of this kind",
            ),
        );
    }
    if let Some(at) = raw.value.get(values::MOST_ENTRIES) {
        at.refuse(report, values::too_many());
        return list;
    }
    for at in &raw.value {
        let Some(value) = at.parse(report, &parse) else {
            continue;
        };
        if list.contains(&value.value) {
            at.refuse(report, twice(&at.value));
        } else {
            list.push(value.value);
        }
    }
    list
}

/// What its constraints forbid, and what its intermediate will cut.
fn judge(issuer: &IssuerSettings, wanted: &Wanted<'_>, report: &mut Report) {
    let IssuerKind::Local(local) = &issuer.kind else {
        return;
    };
    for name in wanted
        .names
        .iter()
        .filter(|name| !local.constraints.permits(&name.value))
    {
        let (kind, key) = match name.value {
            San::Dns(_) => ("domain", "permitted_dns"),
            San::Ip(_) => ("network", "permitted_ip"),
            San::Uri(_) => ("SPIFFE ID", "permitted_uri"),
        };
        let table = issuer.table();
        name.refuse(
            report,
            Mismatch::of(
                ErrorKind::Conflict,
                format!("\"{}\" is not permitted to the issuer", name.value),
                format!(
                    "a name below a {kind} in {key} of {table} ({})",
                    issuer.location
                ),
                format!("use another name, or add to {key}"),
            ),
        );
    }
    if local.issuing_ca.is_none() && wanted.lifetime > local.intermediate_lifetime {
        report.warning(
            wanted.lifetime_at,
            "lifetime",
            format!(
                "is longer than the issuer's intermediate lives ({}), and will be cut to it",
                humantime::format_duration(local.intermediate_lifetime)
            ),
            format!(
                "shorten it, or lengthen intermediate_lifetime of {}",
                issuer.table()
            ),
        );
    }
}
