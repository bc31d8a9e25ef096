//! The configuration file.
//!
//! Owns: its keys, their defaults, and the refusal of what cannot work, by file and line.
//! Never does: touch the network or the certificate. Neighbour: [`crate::app`], which binds what stands here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::file::{self, FileError, Source};
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
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Self::parse(path, &file::read(path)?)
    }

    /// Checks a text; `path` is for messages only.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let source = Source::new(path, text);
        let raw: Raw = source.parse()?;
        raw.checked()
            .map_err(|(at, reason)| source.refuse(at, reason))
    }
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
    stall: Option<Period>,
    max_connections: Option<Spanned<usize>>,
    max_connections_per_identity: Option<Spanned<usize>>,
    max_streams: Option<u32>,
    max_head: Option<usize>,
    max_body: Option<u64>,
    #[serde(default)]
    face: Vec<RawFace>,
}

/// Where in the text something is wrong, and what.
type Wrong = (usize, String);

impl Raw {
    fn checked(self) -> Result<Config, Wrong> {
        self.places()?;
        let upstream = self.upstream.as_ref().map(|text| {
            let parsed = text.get_ref().parse();
            parsed.map_err(|error: NotAnUpstream| (text.span().start, error.to_string()))
        });
        let mtls = self.settings();
        Ok(Config {
            upstream: upstream.transpose()?,
            faces: faces(self.face, &mtls)?,
            listen: self.listen,
            health: self.health.into_inner(),
            admin: self.admin.into_inner(),
            redirect: self.redirect,
            mtls,
        })
    }

    /// What has the right form, and cannot work.
    fn places(&self) -> Result<(), Wrong> {
        let paths = [
            ("certificate", Some(&self.certificate)),
            ("admin", Some(&self.admin)),
            ("crl", self.crl.as_ref()),
            ("policy", self.policy.as_ref()),
        ];
        let of_faces = self.face.iter().flat_map(|face| {
            [
                ("certificate", Some(&face.certificate)),
                ("crl", face.crl.as_ref()),
                ("policy", face.policy.as_ref()),
            ]
        });
        for (key, value) in paths.into_iter().chain(of_faces) {
            if let Some(value) = value.filter(|value| !value.get_ref().is_absolute()) {
                let reason = format!("`{key}` must be an absolute path, as in \"/var/lib/…\"");
                return Err((value.span().start, reason));
            }
        }
        if !self.health.get_ref().ip().is_loopback() {
            let reason =
                "`health` is plain HTTP and must be a loopback address, as in \"127.0.0.1:8081\"";
            return Err((self.health.span().start, reason.to_owned()));
        }
        if let Some(zero) = [&self.max_connections, &self.max_connections_per_identity]
            .into_iter()
            .flatten()
            .find(|number| *number.get_ref() == 0)
        {
            let reason =
                "a server that takes no connection serves nobody; leave the key out".to_owned();
            return Err((zero.span().start, reason));
        }
        Ok(())
    }

    fn settings(&self) -> Settings {
        let mut mtls = Settings::new(self.certificate.get_ref().clone());
        mtls.crl = self.crl.as_ref().map(|path| path.get_ref().clone());
        mtls.policy = self.policy.as_ref().map(|path| path.get_ref().clone());
        mtls.choices.tls12 = self.tls12;
        mtls.choices.rules.common_name = self.common_name;
        mtls.choices.rules.accept_unknown_revocation = self.unknown_revocation == Unknown::Accept;
        mtls.audit = self.audit.unwrap_or(mtls.audit);
        mtls.drain = self.drain.map_or(mtls.drain, |Period(period)| period);
        mtls.max_age = self.max_age.map(|Period(period)| period);
        mtls.handshake = self
            .handshake
            .map_or(mtls.handshake, |Period(period)| period);
        mtls.next_request = self
            .next_request
            .map_or(mtls.next_request, |Period(period)| period);
        mtls.stall = self.stall.map_or(mtls.stall, |Period(period)| period);
        mtls.max_connections = self
            .max_connections
            .as_ref()
            .map_or(mtls.max_connections, |number| *number.get_ref());
        mtls.max_per_identity = self
            .max_connections_per_identity
            .as_ref()
            .map(|number| *number.get_ref());
        mtls.max_streams = self.max_streams.unwrap_or(mtls.max_streams);
        mtls.max_head = self.max_head.unwrap_or(mtls.max_head);
        mtls.max_body = self.max_body.unwrap_or(mtls.max_body);
        mtls
    }
}

/// Each with what it has of its own, and the rest of the main one.
fn faces(raw: Vec<RawFace>, main: &Settings) -> Result<Vec<FaceConfig>, Wrong> {
    let mut faces: Vec<FaceConfig> = Vec::with_capacity(raw.len());
    for face in raw {
        let at = face.name.span().start;
        let name = face.name.into_inner();
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(word) {
            let remedy = "a face's name is 1 to 32 of a–z, 0–9 and `-`";
            return Err((at, remedy.to_owned()));
        }
        if name == MAIN || faces.iter().any(|other| other.name == name) {
            return Err((at, format!("there are two faces `{name}`")));
        }
        let mut mtls = main.clone();
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
    Ok(faces)
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
#[derive(Clone, Copy)]
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
