//! The configuration file.
//!
//! Owns: its keys, their defaults, and the refusal of what cannot work, by file and line.
//! Never does: touch the network or the certificate. Neighbour: [`crate::app`], which binds what stands here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::settings::Settings;

/// Where the configuration is looked for unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/renewd-sample-api/config.toml";

/// The settings, checked. Only `certificate` has no default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect by mutual TLS. Default `0.0.0.0:8443`.
    pub listen: SocketAddr,
    /// Plain HTTP for health checks and metrics; a loopback address. Default `127.0.0.1:8081`.
    pub health: SocketAddr,
    /// The administrator's unix socket. Default `/run/renewd-sample-api/admin.sock`.
    pub admin: PathBuf,
    /// Everything that the library part is told.
    pub mtls: Settings,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no TOML, has an unknown key, lacks `certificate`, or has a
    /// value that cannot work. The text names file and line.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Checks a text; `path` is for messages only.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let refuse = |at: usize, reason: String| ConfigError::Refused {
            path: path.to_owned(),
            line: text[..at.min(text.len())].matches('\n').count() + 1,
            reason,
        };
        let raw: Raw = toml::from_str(text).map_err(|error| {
            refuse(
                error.span().map_or(0, |span| span.start),
                error.message().to_owned(),
            )
        })?;
        let paths = [
            ("certificate", Some(&raw.certificate)),
            ("admin", Some(&raw.admin)),
            ("crl", raw.crl.as_ref()),
            ("policy", raw.policy.as_ref()),
        ];
        for (key, value) in paths {
            if let Some(value) = value.filter(|value| !value.get_ref().is_absolute()) {
                let reason = format!("`{key}` must be an absolute path, as in \"/var/lib/…\"");
                return Err(refuse(value.span().start, reason));
            }
        }
        if !raw.health.get_ref().ip().is_loopback() {
            let reason =
                "`health` is plain HTTP and must be a loopback address, as in \"127.0.0.1:8081\"";
            return Err(refuse(raw.health.span().start, reason.to_owned()));
        }
        if let Some(zero) = [&raw.max_connections, &raw.max_connections_per_identity]
            .into_iter()
            .flatten()
            .find(|number| *number.get_ref() == 0)
        {
            let reason =
                "a server that takes no connection serves nobody; leave the key out".to_owned();
            return Err(refuse(zero.span().start, reason));
        }
        let mut mtls = Settings::new(raw.certificate.into_inner());
        mtls.crl = raw.crl.map(Spanned::into_inner);
        mtls.policy = raw.policy.map(Spanned::into_inner);
        mtls.choices.tls12 = raw.tls12;
        mtls.choices.rules.common_name = raw.common_name;
        mtls.choices.rules.accept_unknown_revocation = raw.unknown_revocation == Unknown::Accept;
        mtls.audit = raw.audit.unwrap_or(mtls.audit);
        mtls.drain = raw.drain.map_or(mtls.drain, |Period(period)| period);
        mtls.max_age = raw.max_age.map(|Period(period)| period);
        mtls.handshake = raw
            .handshake
            .map_or(mtls.handshake, |Period(period)| period);
        mtls.next_request = raw
            .next_request
            .map_or(mtls.next_request, |Period(period)| period);
        mtls.max_connections = raw
            .max_connections
            .map_or(mtls.max_connections, Spanned::into_inner);
        mtls.max_per_identity = raw.max_connections_per_identity.map(Spanned::into_inner);
        mtls.max_streams = raw.max_streams.unwrap_or(mtls.max_streams);
        mtls.max_head = raw.max_head.unwrap_or(mtls.max_head);
        mtls.max_body = raw.max_body.unwrap_or(mtls.max_body);
        Ok(Self {
            listen: raw.listen,
            health: raw.health.into_inner(),
            admin: raw.admin.into_inner(),
            mtls,
        })
    }
}

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The file says something that cannot be.
    #[error("{}:{line}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong, with the key's name.
        reason: String,
    },
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default = "default_listen")]
    listen: SocketAddr,
    certificate: Spanned<PathBuf>,
    #[serde(default = "default_health")]
    health: Spanned<SocketAddr>,
    #[serde(default = "default_admin")]
    admin: Spanned<PathBuf>,
    crl: Option<Spanned<PathBuf>>,
    #[serde(default)]
    unknown_revocation: Unknown,
    policy: Option<Spanned<PathBuf>>,
    #[serde(default)]
    common_name: bool,
    #[serde(default)]
    tls12: bool,
    audit: Option<bool>,
    drain: Option<Period>,
    max_age: Option<Period>,
    handshake: Option<Period>,
    next_request: Option<Period>,
    max_connections: Option<Spanned<usize>>,
    max_connections_per_identity: Option<Spanned<usize>>,
    max_streams: Option<u32>,
    max_head: Option<usize>,
    max_body: Option<u64>,
}

/// What becomes of a client of whose revocation no list says anything, where there are lists.
#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    #[default]
    Refuse,
    Accept,
}

/// A duration as people write it. Nothing here may take no time at all.
struct Period(Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match humantime::parse_duration(&text) {
            Ok(Duration::ZERO) => Err(serde::de::Error::custom("a duration of nothing")),
            Ok(period) => Ok(Self(period)),
            Err(error) => Err(serde::de::Error::custom(format!(
                "{error}; write it as in \"10s\""
            ))),
        }
    }
}

fn default_listen() -> SocketAddr {
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8443).into()
}

fn default_health() -> Spanned<SocketAddr> {
    Spanned::new(0..0, (IpAddr::V4(Ipv4Addr::LOCALHOST), 8081).into())
}

fn default_admin() -> Spanned<PathBuf> {
    Spanned::new(0..0, PathBuf::from("/run/renewd-sample-api/admin.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Choices;
    use crate::trust::Rules;
    use proptest::prelude::*;

    const FULL: &str = "# a comment
listen = \"127.0.0.1:9443\"
certificate = \"/var/lib/renewd/certs/api\"
health = \"[::1]:9081\"
admin = \"/run/x/admin.sock\"
drain = \"1m 30s\"
crl = \"/etc/x/crl\"
unknown_revocation = \"accept\"
policy = \"/etc/x/policy.toml\"
common_name = true
tls12 = true
audit = false
max_age = \"1h\"
handshake = \"3s\"
next_request = \"20s\"
max_connections = 100
max_connections_per_identity = 10
max_streams = 50
max_head = 8192
max_body = 1024
";

    fn refusal(text: &str) -> String {
        Config::parse(Path::new("c.toml"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn only_the_certificate_is_required() {
        let config = Config::parse(Path::new("c.toml"), "certificate = \"/c\"").unwrap();
        assert_eq!(config.listen, "0.0.0.0:8443".parse().unwrap());
        assert_eq!(config.mtls, Settings::new("/c"));
        assert_eq!(config.mtls.drain, Duration::from_secs(10));
        assert!(refusal("").contains("missing field `certificate`"));
    }

    #[test]
    fn every_key_is_read() {
        let config = Config::parse(Path::new("c.toml"), FULL).unwrap();
        assert_eq!(config.listen.port(), 9443);
        assert_eq!(config.health.port(), 9081);
        assert_eq!(config.admin, Path::new("/run/x/admin.sock"));
        let expected = Settings {
            certificate: "/var/lib/renewd/certs/api".into(),
            crl: Some("/etc/x/crl".into()),
            policy: Some("/etc/x/policy.toml".into()),
            choices: Choices {
                tls12: true,
                rules: Rules {
                    accept_unknown_revocation: true,
                    common_name: true,
                },
            },
            audit: false,
            drain: Duration::from_secs(90),
            max_age: Some(Duration::from_secs(3600)),
            handshake: Duration::from_secs(3),
            next_request: Duration::from_secs(20),
            max_connections: 100,
            max_per_identity: Some(10),
            max_streams: 50,
            max_head: 8192,
            max_body: 1024,
        };
        assert_eq!(config.mtls, expected);
    }

    #[test]
    fn every_misspelt_key_is_refused_with_its_own_line() {
        for (index, line) in FULL.lines().enumerate().skip(1) {
            let text = FULL.replace(line, &format!("x{line}"));
            let refusal = refusal(&text);
            // A missing key has no line; that it is unknown is found first.
            assert!(
                refusal.starts_with(&format!("c.toml:{}: unknown field `x", index + 1)),
                "{refusal}"
            );
        }
    }

    #[test]
    fn values_that_cannot_work_are_refused_with_line_and_remedy() {
        for (from, to, line, part) in [
            ("127.0.0.1:9443", "localhost", 2, "socket address"),
            ("/var/lib", "var/lib", 3, "absolute path"),
            ("[::1]:9081", "0.0.0.0:9081", 4, "loopback"),
            ("\"/run/x/admin.sock\"", "7", 5, "expected"),
            ("1m 30s", "soon", 6, "\"10s\""),
            ("1m 30s", "0s", 6, "duration of nothing"),
            ("/etc/x/crl", "x/crl", 7, "absolute path"),
            ("\"accept\"", "\"maybe\"", 8, "`refuse` or `accept`"),
            ("/etc/x/policy.toml", "policy.toml", 9, "absolute path"),
            ("audit = false", "audit = 7", 12, "boolean"),
            (
                "max_connections = 100",
                "max_connections = 0",
                16,
                "leave the key out",
            ),
            ("identity = 10", "identity = 0", 17, "leave the key out"),
            ("max_body = 1024", "max_body = -1", 20, "invalid value"),
        ] {
            let refusal = refusal(&FULL.replace(from, to));
            assert!(
                refusal.starts_with(&format!("c.toml:{line}: ")),
                "{refusal}"
            );
            assert!(refusal.contains(part), "{refusal}");
        }
    }

    /// The keys of the document's table, each with its default.
    fn documented() -> Vec<(String, String)> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/renewd-sample-api.md");
        let text = std::fs::read_to_string(path).unwrap();
        let table = text.split("\n| key |").nth(1).unwrap();
        let table = table.split("\n\n").next().unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| {
            let (key, rest) = row.split_once("` | ").unwrap();
            (key.to_owned(), rest.split(" | ").next().unwrap().to_owned())
        })
        .collect()
    }

    #[test]
    fn every_key_is_documented_with_its_default_and_no_other() {
        let required = "certificate = \"/c\"\n";
        let defaults = Config::parse(Path::new("c.toml"), required).unwrap();
        let documented = documented();
        for (key, default) in &documented {
            if default == "none: required" {
                assert!(refusal("").contains(&format!("missing field `{key}`")));
                continue;
            }
            let text = format!("{required}{key} = {}", default.trim_matches('`'));
            let config = Config::parse(Path::new("c.toml"), &text).unwrap();
            assert_eq!(config, defaults, "{key}");
        }
        // The parser tells all that it knows.
        let refusal = refusal("x = 1");
        let known = refusal.split("expected one of ").nth(1).unwrap();
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let documented: Vec<&str> = documented.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Path::new("/nonexistent.toml")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nonexistent.toml");
    }

    proptest! {
        #[test]
        fn any_text_is_a_configuration_or_refused(text in ".{0,200}") {
            let _ = Config::parse(Path::new("c.toml"), &text);
        }

        #[test]
        fn a_damaged_configuration_is_accepted_or_refused_with_a_line(at in 0..FULL.len(), byte in 32u8..127) {
            let mut text = FULL.as_bytes().to_vec();
            text[at] = byte;
            let text = String::from_utf8(text).unwrap();
            if let Err(refused) = Config::parse(Path::new("c.toml"), &text) {
                prop_assert!(refused.to_string().starts_with("c.toml:"));
            }
        }
    }
}
