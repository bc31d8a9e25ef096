//! The configuration file.
//!
//! Owns: its keys, their defaults, and the refusal of what cannot work, by file and line.
//! Never does: touch the network or the certificate. Neighbour: [`crate::app`], which binds what stands here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::proxy::{NotAnUpstream, Upstream};
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
    /// Plain HTTP that only says where HTTPS is. Default: none.
    pub redirect: Option<SocketAddr>,
    /// The application that requests are passed on to. Default: our own routes.
    pub upstream: Option<Upstream>,
    /// The administrator's unix socket. Default `/run/renewd-sample-api/admin.sock`.
    pub admin: PathBuf,
    /// Everything that the library part is told.
    pub mtls: Settings,
    /// Further listeners.
    pub faces: Vec<FaceConfig>,
}

/// The name of the listener that is always there.
pub const MAIN: &str = "main";

/// A listener with a certificate, trust and policy of its own. Everything else is as for the main one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaceConfig {
    /// Its name: in the status line, and of its metrics and sockets.
    pub name: String,
    /// Where its clients connect.
    pub listen: SocketAddr,
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
        let of_faces = raw.face.iter().flat_map(|face| {
            [
                ("certificate", Some(&face.certificate)),
                ("crl", face.crl.as_ref()),
                ("policy", face.policy.as_ref()),
            ]
        });
        for (key, value) in paths.into_iter().chain(of_faces) {
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
        let upstream =
            match &raw.upstream {
                Some(text) => {
                    let parsed = text.get_ref().parse();
                    Some(parsed.map_err(|error: NotAnUpstream| {
                        refuse(text.span().start, error.to_string())
                    })?)
                }
                None => None,
            };
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
        let mut faces: Vec<FaceConfig> = Vec::with_capacity(raw.face.len());
        for face in raw.face {
            let at = face.name.span().start;
            let name = face.name.into_inner();
            let word =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || name.len() > 32 || !name.bytes().all(word) {
                let remedy = "a face's name is 1 to 32 of a–z, 0–9 and `-`";
                return Err(refuse(at, remedy.to_owned()));
            }
            if name == MAIN || faces.iter().any(|other| other.name == name) {
                return Err(refuse(at, format!("there are two faces `{name}`")));
            }
            let mut mtls = mtls.clone();
            mtls.certificate = face.certificate.into_inner();
            // Not those of the main one: trust and rights are never inherited by mistake.
            mtls.crl = face.crl.map(Spanned::into_inner);
            mtls.policy = face.policy.map(Spanned::into_inner);
            faces.push(FaceConfig {
                name,
                listen: face.listen,
                mtls,
            });
        }
        Ok(Self {
            listen: raw.listen,
            health: raw.health.into_inner(),
            admin: raw.admin.into_inner(),
            redirect: raw.redirect,
            upstream,
            faces,
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
    redirect: Option<SocketAddr>,
    upstream: Option<Spanned<String>>,
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
    #[serde(default)]
    face: Vec<RawFace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFace {
    name: Spanned<String>,
    listen: SocketAddr,
    certificate: Spanned<PathBuf>,
    crl: Option<Spanned<PathBuf>>,
    policy: Option<Spanned<PathBuf>>,
}

/// What becomes of a client of whose revocation no list says anything, where there are lists.
#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    #[default]
    Refuse,
    Accept,
}

/// Longer is a slip of the pen, and some clocks end.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A duration as people write it. Nothing here may take no time at all.
struct Period(Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match humantime::parse_duration(&text) {
            Ok(Duration::ZERO) => Err(serde::de::Error::custom("a duration of nothing")),
            Ok(period) if period > LONGEST => Err(serde::de::Error::custom("more than a year")),
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
mod tests;
