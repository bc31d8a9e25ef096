//! Where a dependent answers, as the configuration writes it. Owns the text form; connects to nothing.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use renewd_core::names::San;

/// The longest path of a unix socket: `sun_path` without its closing NUL (`unix(7)`).
const LONGEST_SOCKET_PATH: usize = 107;

/// One address of a dependent, and how to come to its TLS handshake.
///
/// * `tls://HOST:PORT`, `unix:/PATH` or `tls+unix:/PATH`: TLS from the first byte;
/// * `postgres://HOST[:PORT]`, likewise `mysql`, `smtp`, `imap` and `ldap`: the protocol's own way
///   into TLS, on its default port unless told;
/// * `postgres+unix:/PATH` and so on: the same on a unix socket.
///
/// `?name=NAME` behind it asks for another server name than the certificate's first DNS name.
/// ```
/// use renewd::probe::ProbeTarget;
/// let target: ProbeTarget = "postgres://db.internal?name=db".parse()?;
/// assert_eq!(target.to_string(), "postgres://db.internal:5432?name=db");
/// # Ok::<(), renewd::probe::TargetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeTarget {
    protocol: Protocol,
    address: Address,
    name: Option<San>,
}

/// What is spoken before TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Nothing: TLS from the first byte.
    Tls,
    /// `SSLRequest` (PostgreSQL, "Message Flow", SSL session encryption).
    Postgres,
    /// The SSL connection request packet (MySQL client/server protocol, connection phase).
    Mysql,
    /// `STARTTLS` (RFC 3207).
    Smtp,
    /// `STARTTLS` (RFC 9051, section 6.2.1).
    Imap,
    /// The StartTLS extended operation (RFC 4511, section 4.14).
    Ldap,
}

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A TCP port; the first address of the host that accepts is taken.
    Tcp {
        /// A DNS name in lower case, or an IP address without brackets.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// A unix stream socket, by its absolute path.
    Unix(PathBuf),
}

/// Why a text is no probe target; says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No known scheme.
    #[error(
        "{0:?} is no probe target: expected tls://HOST:PORT, unix:/PATH, or one of postgres, mysql, \
         smtp, imap, ldap as in postgres://HOST[:PORT] or postgres+unix:/PATH"
    )]
    Scheme(String),
    /// The host is no name and no address.
    #[error(
        "{text:?}: {host:?} is no host: expected a DNS name, an IPv4 address or [an IPv6 address]"
    )]
    Host {
        /// The whole text.
        text: String,
        /// Its host.
        host: String,
    },
    /// The port is missing or no port.
    #[error("{0:?}: expected a port from 1 to 65535 behind the host, as in tls://127.0.0.1:443")]
    Port(String),
    /// The path is no absolute path that fits into a socket's address.
    #[error(
        "{0:?}: expected an absolute path of at most {LONGEST_SOCKET_PATH} bytes, as in unix:/run/x.sock"
    )]
    Path(String),
    /// What stands behind the question mark.
    #[error("{0:?}: behind '?' only name=NAME is known, with a DNS name or an IP address")]
    Query(String),
}

impl Protocol {
    const ALL: [Self; 6] = [
        Self::Tls,
        Self::Postgres,
        Self::Mysql,
        Self::Smtp,
        Self::Imap,
        Self::Ldap,
    ];

    /// The scheme's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Ldap => "ldap",
        }
    }

    fn default_port(self) -> Option<u16> {
        match self {
            Self::Tls => None,
            Self::Postgres => Some(5432),
            Self::Mysql => Some(3306),
            Self::Smtp => Some(25),
            Self::Imap => Some(143),
            Self::Ldap => Some(389),
        }
    }
}

impl ProbeTarget {
    /// What is spoken before TLS.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Where to connect to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The server name to ask for instead of the certificate's own.
    pub fn name(&self) -> Option<&San> {
        self.name.as_ref()
    }

    /// The socket's path, when it is a unix socket: a permission for `doctor` to look at.
    pub fn socket_path(&self) -> Option<&Path> {
        match &self.address {
            Address::Unix(path) => Some(path),
            Address::Tcp { .. } => None,
        }
    }
}

impl FromStr for ProbeTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (place, query) = match text.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (text, None),
        };
        let unknown = || TargetError::Scheme(text.to_owned());
        let (scheme, rest) = place.split_once(':').ok_or_else(unknown)?;
        let (word, on_unix) = match scheme.strip_suffix("+unix") {
            Some(word) => (word, true),
            None if scheme == "unix" => ("tls", true),
            None => (scheme, false),
        };
        let protocol = Protocol::ALL
            .into_iter()
            .find(|protocol| protocol.as_str() == word)
            .ok_or_else(unknown)?;
        let address = if on_unix {
            unix_address(text, rest)?
        } else {
            let authority = rest.strip_prefix("//").ok_or_else(unknown)?;
            tcp_address(text, authority, protocol)?
        };
        let name = query
            .map(|query| {
                query
                    .strip_prefix("name=")
                    .and_then(askable)
                    .ok_or_else(|| TargetError::Query(text.to_owned()))
            })
            .transpose()?;
        Ok(Self {
            protocol,
            address,
            name,
        })
    }
}

fn unix_address(text: &str, rest: &str) -> Result<Address, TargetError> {
    // unix:///run/x.sock says the same: an empty authority (RFC 3986, section 3.2).
    let path = if rest.starts_with("///") {
        &rest[2..]
    } else {
        rest
    };
    let fits = path.len() <= LONGEST_SOCKET_PATH && !path.contains('\0');
    if fits && path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/') {
        Ok(Address::Unix(PathBuf::from(path)))
    } else {
        Err(TargetError::Path(text.to_owned()))
    }
}

fn tcp_address(text: &str, authority: &str, protocol: Protocol) -> Result<Address, TargetError> {
    let wrong_host = |host: &str| TargetError::Host {
        text: text.to_owned(),
        host: host.to_owned(),
    };
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, behind) = rest.split_once(']').ok_or_else(|| wrong_host(authority))?;
            inside.parse::<Ipv6Addr>().map_err(|_| wrong_host(inside))?;
            let port = match behind {
                "" => None,
                _ => Some(
                    behind
                        .strip_prefix(':')
                        .ok_or_else(|| TargetError::Port(text.to_owned()))?,
                ),
            };
            (inside, port)
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let host = match askable(host) {
        // Without brackets nobody can tell the port from the address.
        Some(San::Ip(IpAddr::V6(_))) if !authority.starts_with('[') => {
            return Err(wrong_host(host));
        }
        Some(name) => name.to_string(),
        None => return Err(wrong_host(host)),
    };
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok(),
        Some(_) => None,
        None => protocol.default_port(),
    };
    match port {
        Some(port) if port > 0 => Ok(Address::Tcp { host, port }),
        _ => Err(TargetError::Port(text.to_owned())),
    }
}

/// A name that one server can be asked for: no wildcard, no URI.
fn askable(text: &str) -> Option<San> {
    match text.parse() {
        Ok(San::Dns(name)) if name.starts_with('*') => None,
        Ok(San::Uri(_)) | Err(_) => None,
        Ok(name) => Some(name),
    }
}

impl fmt::Display for ProbeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.protocol.as_str();
        match &self.address {
            Address::Tcp { host, port } if host.contains(':') => {
                write!(f, "{scheme}://[{host}]:{port}")?;
            }
            Address::Tcp { host, port } => write!(f, "{scheme}://{host}:{port}")?,
            Address::Unix(path) if self.protocol == Protocol::Tls => {
                write!(f, "unix:{}", path.display())?;
            }
            Address::Unix(path) => write!(f, "{scheme}+unix:{}", path.display())?,
        }
        match &self.name {
            Some(name) => write!(f, "?name={name}"),
            None => Ok(()),
        }
    }
}
