//! Which names the embedded CA may issue at all: its settings, and what of them stands in its certificate.
//!
//! When anything is permitted, only what is permitted is issued: a form (DNS, IP, URI) with no entry is
//! refused whole. DNS and IP constraints also stand in the issuing certificate (RFC 5280, section
//! 4.2.1.10), so that peers enforce them, too. URI constraints are enforced by the issuer alone: a
//! verifier built on rustls-webpki refuses every URI name below a CA that carries one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use renewd_core::names::San;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;

/// Which names may be issued. Empty: all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Constraints {
    dns: Vec<String>,
    ip: Vec<(IpAddr, u8)>,
    uri: Vec<String>,
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

    fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.ip.is_empty() && self.uri.is_empty()
    }

    /// Whether a certificate may carry this name.
    pub fn permits(&self, name: &San) -> bool {
        let below = |name: &str, base: &str, separator: &str| {
            name.strip_suffix(base)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with(separator))
        };
        self.is_empty()
            || match name {
                San::Dns(name) => self.dns.iter().any(|base| below(name, base, ".")),
                San::Ip(address) => self
                    .ip
                    .iter()
                    .any(|(network, prefix)| masked(*address, *prefix) == Some(*network)),
                San::Uri(id) => self.uri.iter().any(|base| {
                    id.strip_prefix(base.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                }),
            }
    }

    /// All that is permitted, for a person.
    pub(super) fn describe(&self) -> String {
        let mut words: Vec<String> = self.dns.clone();
        words.extend(
            self.ip
                .iter()
                .map(|(network, prefix)| format!("{network}/{prefix}")),
        );
        words.extend(self.uri.iter().cloned());
        format!("permitted are {}", words.join(", "))
    }

    /// What stands in the issuing certificate.
    pub(super) fn extension(&self) -> Option<NameConstraints> {
        if self.is_empty() {
            return None;
        }
        let mut permitted = Vec::new();
        let mut excluded = Vec::new();
        if self.dns.is_empty() {
            // The empty name is every name.
            excluded.push(GeneralSubtree::DnsName(String::new()));
        }
        let domains = self.dns.iter().cloned();
        permitted.extend(domains.map(GeneralSubtree::DnsName));
        let subnet = |(network, prefix): &(IpAddr, u8)| {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*network, *prefix))
        };
        if self.ip.is_empty() {
            let everything = [([0; 4].into(), 0), ([0; 16].into(), 0)];
            excluded.extend(everything.iter().map(subnet));
        }
        permitted.extend(self.ip.iter().map(subnet));
        Some(NameConstraints {
            permitted_subtrees: permitted,
            excluded_subtrees: excluded,
        })
    }

    /// Whether a CA certificate carries exactly these constraints; if not, the settings have changed.
    pub(super) fn are_in(&self, certificate: &X509Certificate<'_>) -> bool {
        let mut expected = BTreeSet::new();
        if let Some(constraints) = self.extension() {
            let word = |word: &'static str, subtree: GeneralSubtree| match subtree {
                GeneralSubtree::DnsName(name) => format!("{word} dns {name}"),
                GeneralSubtree::IpAddress(CidrSubnet::V4(network, mask)) => {
                    format!("{word} ip {:?}", [network, mask].concat())
                }
                GeneralSubtree::IpAddress(CidrSubnet::V6(network, mask)) => {
                    format!("{word} ip {:?}", [network, mask].concat())
                }
                other => format!("{word} {other:?}"),
            };
            let permitted = constraints.permitted_subtrees.into_iter();
            expected.extend(permitted.map(|subtree| word("permitted", subtree)));
            let excluded = constraints.excluded_subtrees.into_iter();
            expected.extend(excluded.map(|subtree| word("excluded", subtree)));
        }
        expected == found(certificate)
    }
}

fn found(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let word = |word: &'static str, base: &GeneralName<'_>| match base {
        GeneralName::DNSName(name) => format!("{word} dns {name}"),
        GeneralName::IPAddress(bytes) => format!("{word} ip {bytes:?}"),
        other => format!("{word} {other:?}"),
    };
    let mut found = BTreeSet::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::NameConstraints(constraints) = extension.parsed_extension() {
            let permitted = constraints.permitted_subtrees.iter().flatten();
            found.extend(permitted.map(|subtree| word("permitted", &subtree.base)));
            let excluded = constraints.excluded_subtrees.iter().flatten();
            found.extend(excluded.map(|subtree| word("excluded", &subtree.base)));
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

    fn constraints(
        dns: &[&str],
        ip: &[&str],
        uri: &[&str],
    ) -> Result<Constraints, ConstraintError> {
        let texts = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        };
        Constraints::parse(&texts(dns), &texts(ip), &texts(uri))
    }

    #[test]
    fn a_name_is_permitted_by_its_own_form_only() {
        let some = constraints(
            &["example.org", "host"],
            &["10.0.0.0/8", "192.0.2.7", "fd00::/8"],
            &["spiffe://td", "spiffe://other/a"],
        )
        .unwrap();
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
            assert_eq!(some.permits(&name.parse().unwrap()), permitted, "{name}");
        }
        let dns_only = constraints(&["example.org"], &[], &[]).unwrap();
        for name in ["10.0.0.1", "::1", "spiffe://example.org/x"] {
            assert!(!dns_only.permits(&name.parse().unwrap()), "{name}");
            assert!(Constraints::default().permits(&name.parse().unwrap()));
        }
    }

    #[test]
    fn what_is_no_constraint_is_refused_with_the_settings_name() {
        for bad in ["*.a.test", ".a.test", "10.0.0.1", "spiffe://td", "", "a b"] {
            let error = constraints(&[bad], &[], &[]).unwrap_err();
            assert!(error.to_string().starts_with("permitted_dns: "), "{error}");
        }
        for bad in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "a.test",
            "/8",
            "10.0.0.0/",
        ] {
            let error = constraints(&[], &[bad], &[]).unwrap_err();
            assert!(error.to_string().starts_with("permitted_ip: "), "{error}");
        }
        for bad in ["https://a.test", "td", "spiffe://td/", "10.0.0.1"] {
            let error = constraints(&[], &[], &[bad]).unwrap_err();
            assert!(error.to_string().starts_with("permitted_uri: "), "{error}");
        }
        constraints(&[], &["0.0.0.0/0", "::/0", "::1"], &[]).unwrap();
    }
}
