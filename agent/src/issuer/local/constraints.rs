//! Which names the embedded CA may issue at all: its settings, and what of them stands in its certificate.
//!
//! A constraint limits names of its own kind only (RFC 5280, section 4.2.1.10); a kind without any is free.
//! DNS and IP constraints also stand in the issuing certificate, so that peers enforce them, too. URI
//! constraints are enforced by the issuer alone: a verifier built on rustls-webpki refuses every URI name
//! below a CA that carries one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use renewd_core::names::San;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;

/// Which names may be issued. Whoever makes it has checked the entries; a wrong one permits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Constraints {
    /// Domains in lower case: each permits itself and all below it.
    pub dns: Vec<String>,
    /// Networks, as their first address and their prefix's length.
    pub ip: Vec<(IpAddr, u8)>,
    /// SPIFFE IDs: each permits itself and all below it.
    pub uri: Vec<String>,
}

/// Why a setting is no constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// Not a domain.
    #[error(
        "permitted_dns: {0:?} is no domain; expected one such as \"example.internal\", which permits itself and all below it"
    )]
    Dns(String),
    /// Not a network.
    #[error(
        "permitted_ip: {0:?} is no network; expected one such as \"10.0.0.0/8\" or \"::1\", with no bits set beyond the prefix"
    )]
    Ip(String),
    /// Not a SPIFFE trust domain or path.
    #[error(
        "permitted_uri: {0:?} is no SPIFFE ID; expected one such as \"spiffe://example.internal\", which permits all below it"
    )]
    Uri(String),
}

impl Constraints {
    /// From the settings `permitted_dns`, `permitted_ip` and `permitted_uri`.
    ///
    /// # Errors
    /// The first entry that is none.
    pub fn parse(dns: &[String], ip: &[String], uri: &[String]) -> Result<Self, ConstraintError> {
        let domain = |text: &String| match text.parse() {
            Ok(San::Dns(name)) if !name.starts_with('*') => Ok(name),
            _ => Err(ConstraintError::Dns(text.clone())),
        };
        let network =
            |text: &String| parse_network(text).ok_or_else(|| ConstraintError::Ip(text.clone()));
        let id = |text: &String| match text.parse() {
            Ok(San::Uri(id)) => Ok(id),
            _ => Err(ConstraintError::Uri(text.clone())),
        };
        Ok(Self {
            dns: dns.iter().map(domain).collect::<Result<_, _>>()?,
            ip: ip.iter().map(network).collect::<Result<_, _>>()?,
            uri: uri.iter().map(id).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a certificate may carry this name.
    pub fn permits(&self, name: &San) -> bool {
        let below = |name: &str, base: &str| {
            name.strip_suffix(base)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        match name {
            San::Dns(name) => {
                let name = name.strip_prefix("*.").unwrap_or(name);
                self.dns.is_empty() || self.dns.iter().any(|base| below(name, base))
            }
            San::Ip(address) => {
                let within =
                    |(network, prefix): &(IpAddr, u8)| masked(*address, *prefix) == Some(*network);
                self.ip.is_empty() || self.ip.iter().any(within)
            }
            San::Uri(id) => {
                let within = |base: &String| {
                    id.strip_prefix(base.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                self.uri.is_empty() || self.uri.iter().any(within)
            }
        }
    }

    /// What is permitted of a name's kind, for a person.
    pub(super) fn permitted_beside(&self, name: &San) -> String {
        match name {
            San::Dns(_) => self.dns.join(", "),
            San::Uri(_) => self.uri.join(", "),
            San::Ip(_) => {
                let text = |(network, prefix): &(IpAddr, u8)| format!("{network}/{prefix}");
                self.ip.iter().map(text).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// What stands in the issuing certificate.
    pub(super) fn extension(&self) -> Option<NameConstraints> {
        let domains = self.dns.iter().cloned().map(GeneralSubtree::DnsName);
        let networks = self.ip.iter().map(|(network, prefix)| {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*network, *prefix))
        });
        let permitted_subtrees: Vec<_> = domains.chain(networks).collect();
        (!permitted_subtrees.is_empty()).then_some(NameConstraints {
            permitted_subtrees,
            excluded_subtrees: Vec::new(),
        })
    }

    /// Whether a CA certificate carries exactly these constraints; if not, the settings have changed.
    pub(super) fn are_in(&self, certificate: &X509Certificate<'_>) -> bool {
        let word = |subtree: &GeneralSubtree| match subtree {
            GeneralSubtree::DnsName(name) => format!("dns {name}"),
            GeneralSubtree::IpAddress(CidrSubnet::V4(network, mask)) => {
                format!("ip {:?}", [*network, *mask].concat())
            }
            GeneralSubtree::IpAddress(CidrSubnet::V6(network, mask)) => {
                format!("ip {:?}", [*network, *mask].concat())
            }
            other => format!("{other:?}"),
        };
        let subtrees = self.extension().map(|found| found.permitted_subtrees);
        let expected: BTreeSet<String> = subtrees.iter().flatten().map(word).collect();
        expected == found(certificate)
    }
}

fn found(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let word = |base: &GeneralName<'_>| match base {
        GeneralName::DNSName(name) => format!("dns {name}"),
        GeneralName::IPAddress(bytes) => format!("ip {bytes:?}"),
        other => format!("{other:?}"),
    };
    let mut found = BTreeSet::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::NameConstraints(constraints) = extension.parsed_extension() {
            let permitted = constraints.permitted_subtrees.iter().flatten();
            found.extend(permitted.map(|subtree| word(&subtree.base)));
            let excluded = constraints.excluded_subtrees.iter().flatten();
            found.extend(excluded.map(|subtree| format!("not {}", word(&subtree.base))));
        }
    }
    found
}

fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => {
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            (address.parse().ok()?, digits.then(|| prefix.parse().ok())??)
        }
        None => {
            let address: IpAddr = text.parse().ok()?;
            (address, if address.is_ipv4() { 32 } else { 128 })
        }
    };
    (masked(address, prefix) == Some(address)).then_some((address, prefix))
}

/// The address's first bits; none if the prefix is longer than the address.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let prefix = u32::from(prefix);
    Some(match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX
                .checked_shl(32u32.checked_sub(prefix)?)
                .unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX
                .checked_shl(128u32.checked_sub(prefix)?)
                .unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_limits_names_of_its_own_kind_only() {
        let network = |address: &str, prefix| (address.parse().unwrap(), prefix);
        let some = Constraints {
            dns: vec!["example.org".into(), "host".into()],
            ip: vec![
                network("10.0.0.0", 8),
                network("192.0.2.7", 32),
                network("fd00::", 8),
            ],
            uri: vec!["spiffe://td".into(), "spiffe://other/a".into()],
        };
        for (name, permitted) in [
            ("example.org", true),
            ("a.b.Example.org", true),
            ("*.example.org", true),
            ("badexample.org", false),
            ("*.org", false),
            ("host", true),
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("fd12::1", true),
            ("::1", false),
            ("::ffff:10.0.0.1", false),
            ("spiffe://td", true),
            ("spiffe://td/any", true),
            ("spiffe://td2/any", false),
            ("spiffe://other/a/b", true),
            ("spiffe://other/ab", false),
        ] {
            let name: San = name.parse().unwrap();
            assert_eq!(some.permits(&name), permitted, "{name}");
            assert!(Constraints::default().permits(&name), "{name}");
        }
        let dns_only = Constraints {
            dns: vec!["example.org".into()],
            ..Constraints::default()
        };
        assert!(dns_only.permits(&"10.0.0.1".parse().unwrap()));
        assert!(dns_only.permits(&"spiffe://td/x".parse().unwrap()));
        assert!(!dns_only.permits(&"example.net".parse().unwrap()));
    }

    #[test]
    fn the_widest_and_the_narrowest_network_are_understood() {
        let permits = |address: &str, prefix, name: &str| {
            let constraints = Constraints {
                ip: vec![(address.parse().unwrap(), prefix)],
                ..Constraints::default()
            };
            constraints.permits(&name.parse().unwrap())
        };
        assert!(permits("0.0.0.0", 0, "203.0.113.9"));
        assert!(!permits("0.0.0.0", 0, "::1"));
        assert!(permits("::", 0, "fe80::1"));
        assert!(permits("::1", 128, "::1"));
        assert!(!permits("::1", 129, "::1"), "no such network");
        assert!(!permits("10.0.0.1", 33, "10.0.0.1"), "no such network");
    }
}
