//! The configuration file.
//!
//! Owns: its keys, their defaults, and the refusal of what cannot work, by file and line.
//! Never does: touch the network or the certificate. Neighbour: [`crate::app`], which binds what stands here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// Where the configuration is looked for unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/renewd-sample-api/config.toml";

/// The settings, checked. Only `certificate` has no default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where clients connect by mutual TLS. Default `0.0.0.0:8443`.
    pub listen: SocketAddr,
    /// The certificate's directory, in which `current` is swapped: `/var/lib/renewd/certs/NAME`.
    pub certificate: PathBuf,
    /// Plain HTTP for health checks; a loopback address. Default `127.0.0.1:8081`.
    pub health: SocketAddr,
    /// The administrator's unix socket. Default `/run/renewd-sample-api/admin.sock`.
    pub admin: PathBuf,
    /// How long open connections may take to finish when the server is told to stop. Default `10s`.
    pub drain: Duration,
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
        for (key, value) in [("certificate", &raw.certificate), ("admin", &raw.admin)] {
            if !value.get_ref().is_absolute() {
                let reason = format!("`{key}` must be an absolute path, as in \"/var/lib/…\"");
                return Err(refuse(value.span().start, reason));
            }
        }
        if !raw.health.get_ref().ip().is_loopback() {
            let reason =
                "`health` is plain HTTP and must be a loopback address, as in \"127.0.0.1:8081\"";
            return Err(refuse(raw.health.span().start, reason.to_owned()));
        }
        Ok(Self {
            listen: raw.listen,
            certificate: raw.certificate.into_inner(),
            health: raw.health.into_inner(),
            admin: raw.admin.into_inner(),
            drain: raw.drain,
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
    #[serde(default = "default_drain", deserialize_with = "duration")]
    drain: Duration,
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

fn default_drain() -> Duration {
    Duration::from_secs(10)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| serde::de::Error::custom(format!("{error}; write it as in \"10s\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "# a comment
listen = \"127.0.0.1:9443\"
certificate = \"/var/lib/renewd/certs/api\"
health = \"[::1]:9081\"
admin = \"/run/x/admin.sock\"
drain = \"1m 30s\"
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
        assert_eq!(config.drain, Duration::from_secs(10));
        assert!(refusal("").contains("missing field `certificate`"));
    }

    #[test]
    fn every_key_is_read() {
        let config = Config::parse(Path::new("c.toml"), FULL).unwrap();
        assert_eq!(config.listen.port(), 9443);
        assert_eq!(config.health.port(), 9081);
        assert_eq!(config.admin, Path::new("/run/x/admin.sock"));
        assert_eq!(config.drain, Duration::from_secs(90));
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
}
