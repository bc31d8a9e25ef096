//! `[issuer.NAME]` with `type = "local"`.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use renewd_core::names::San;

use crate::secret::Secret;
use crate::table::values::{self, YEAR, parse};
use crate::table::{At, ErrorKind, Mismatch, Report, Schema, Section, clipped, key, twice};

use super::super::kind::{Configured, Demand, Home, Kind};
use super::super::{IssueError, Issuer, places};
use super::{Constraints, LocalIssuer, LocalSettings};

/// The life of a CA's own certificates.
const CA_LIFETIME: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(100 * YEAR.as_secs());

/// The embedded CA.
pub const KIND: Kind = Kind {
    name: "local",
    schema: &SCHEMA,
    told_by: "issuing_ca",
    for_clients: true,
    sockets: &[],
    read,
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

/// What is written of it.
#[derive(Debug, PartialEq)]
struct Keys {
    /// The issuing CA that the operator provides, instead of one that is made.
    issuing_ca: Option<Secret>,
    root_lifetime: Duration,
    /// Not longer than the root's.
    intermediate_lifetime: Duration,
    constraints: Constraints,
}

impl Keys {
    fn settings(&self, home: &Home) -> LocalSettings {
        LocalSettings {
            common_name: format!("renewd {}", home.name),
            root_life: self.root_lifetime,
            issuing_life: self.intermediate_lifetime,
            constraints: self.constraints.clone(),
            issuing_ca: self.issuing_ca.clone(),
            secrets: home.secrets.clone(),
        }
    }
}

impl Configured for Keys {
    fn make(&self, home: Home) -> Rc<dyn Issuer> {
        let settings = self.settings(&home);
        Rc::new(LocalIssuer::new(home.directory, settings, home.clock))
    }

    fn secrets(&self) -> Vec<&Secret> {
        self.issuing_ca.iter().collect()
    }

    /// It is this host's alone.
    fn needs_no_settling(&self) -> bool {
        true
    }

    fn root_pem(&self, home: &Home) -> Result<String, IssueError> {
        Ok(LocalIssuer::root_pem(
            &home.directory,
            &self.settings(home),
        )?)
    }

    /// What its constraints forbid, and what its intermediate will cut.
    fn judge(&self, demand: &Demand<'_>, report: &mut Report) {
        for name in demand
            .names
            .iter()
            .filter(|name| !self.constraints.permits(&name.value))
        {
            let (kind, key) = match name.value {
                San::Dns(_) => ("domain", "permitted_dns"),
                San::Ip(_) => ("network", "permitted_ip"),
                San::Uri(_) => ("SPIFFE ID", "permitted_uri"),
            };
            let table = demand.table;
            name.refuse(
                report,
                Mismatch::of(
                    ErrorKind::Conflict,
                    format!("\"{}\" is not permitted to the issuer", name.value),
                    format!(
                        "a name below a {kind} in {key} of {table} ({})",
                        demand.table_at
                    ),
                    format!("use another name, or add to {key}"),
                ),
            );
        }
        if self.issuing_ca.is_none() && demand.lifetime > self.intermediate_lifetime {
            report.warning(
                demand.lifetime_at,
                "lifetime",
                format!(
                    "is longer than the issuer's intermediate lives ({}), and will be cut to it",
                    humantime::format_duration(self.intermediate_lifetime)
                ),
                format!(
                    "shorten it, or lengthen intermediate_lifetime of {}",
                    demand.table
                ),
            );
        }
    }
}

fn read(section: &Section<'_>, report: &mut Report) -> Option<Arc<dyn Configured>> {
    let ca_lifetime = |text: &String| values::duration(text, &CA_LIFETIME);
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
        places::domain(text)
    });
    let ip = list(&section.texts("permitted_ip", report), report, |text| {
        network(text)
    });
    let uri = list(&section.texts("permitted_uri", report), report, |text| {
        spiffe_id(text)
    });
    let constraints = Constraints::parse(&dns, &ip, &uri).unwrap_or_else(|error| {
        let mismatch = Mismatch::new(error.to_string(), "", "correct the entry");
        report.error(section.location(), section.path(), mismatch);
        Constraints::default()
    });
    Some(Arc::new(Keys {
        issuing_ca: issuing_ca.map(|at| at.value),
        root_lifetime,
        intermediate_lifetime: intermediate.map_or(YEAR, |at| at.value).min(root_lifetime),
        constraints,
    }))
}

fn list<T: PartialEq>(
    raw: &Option<At<Vec<At<String>>>>,
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

/// A network for a name constraint, as text.
fn network(text: &str) -> Result<String, Mismatch> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let parts = address.parse().ok().and_then(|address: IpAddr| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = prefix.map_or(Some(bits), |prefix| prefix.parse().ok())?;
        (prefix <= bits).then(|| (address, prefix, first(address, prefix)))
    });
    let expected = "a network such as \"10.0.0.0/8\" or \"fd00::/8\", or one address";
    match parts {
        Some((address, prefix, first)) if address == first => Ok(format!("{address}/{prefix}")),
        Some((_, prefix, first)) => Err(Mismatch::new(
            format!("{text:?} is an address within a network"),
            expected,
            format!("write \"{first}/{prefix}\""),
        )),
        None => Err(Mismatch::new(
            format!("{:?} is no network", clipped(text)),
            expected,
            "write the address and its prefix length",
        )),
    }
}

/// The first address of the network of that prefix, which is not longer than the address.
fn first(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// A SPIFFE ID for a name constraint, as text.
fn spiffe_id(text: &str) -> Result<String, Mismatch> {
    match text.parse() {
        Ok(San::Uri(id)) => Ok(id),
        _ => Err(Mismatch::new(
            format!("{:?} is no SPIFFE ID", clipped(text)),
            "one such as \"spiffe://example.internal\", which stands for itself and all below it",
            values::name_remedy(text),
        )),
    }
}
