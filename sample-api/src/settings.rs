//! What a server with mutual TLS can be told.
//!
//! Owns: the settings and their defaults. Never does: read files; [`crate::config`] does for our own server.
//! Neighbour: [`crate::mtls`].

use std::path::PathBuf;
use std::time::Duration;

use crate::tls::Choices;

/// The settings of [`crate::MutualTls`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The certificate's directory, in which `current` is swapped: `/var/lib/renewd/certs/NAME`.
    pub certificate: PathBuf,
    /// Revocation lists besides `crl.pem` of the generation: a file, or a directory with `*.crl`, `*.pem`, `*.der`.
    pub crl: Option<PathBuf>,
    /// Who may do what. None: whoever has an identity may do everything, which is warned of.
    pub policy: Option<PathBuf>,
    /// TLS versions and how clients are verified.
    pub choices: Choices,
    /// A line in the log for each request. Default on.
    pub audit: bool,
    /// How long connections may take to finish, when they or the server must end. Default 10 s.
    pub drain: Duration,
    /// How old a connection may get. Default: any age.
    pub max_age: Option<Duration>,
    /// For a handshake. Default 10 s.
    pub handshake: Duration,
    /// How long an HTTP/1.1 connection may take to send the head of its next request, idle time included. Default 75 s.
    pub next_request: Duration,
    /// How long a client may send nothing of a request's body, or take nothing of a response. Default 60 s.
    pub stall: Duration,
    /// Connections at once; those beyond wait in the kernel's queue. Default 20,000.
    pub max_connections: usize,
    /// Connections of one identity at once. Default: any number.
    pub max_per_identity: Option<usize>,
    /// Streams of one HTTP/2 connection at once. Default 200.
    pub max_streams: u32,
    /// Bytes of a request's head. Default 16 KiB; HTTP/1.1 takes at least 8 KiB.
    pub max_head: usize,
    /// Bytes of a request's body. Default 2 MiB.
    pub max_body: u64,
}

impl Settings {
    /// The defaults, for a certificate's directory.
    pub fn new(certificate: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            crl: None,
            policy: None,
            choices: Choices::default(),
            audit: true,
            drain: Duration::from_secs(10),
            max_age: None,
            handshake: Duration::from_secs(10),
            next_request: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            max_connections: 20_000,
            max_per_identity: None,
            max_streams: 200,
            max_head: 16 * 1024,
            max_body: 2 * 1024 * 1024,
        }
    }
}
