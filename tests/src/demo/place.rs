//! The demo's directory: configuration, state, sockets and logs of everything in it.
//!
//! It owns the paths and the configuration's text. It must never write outside its directory.
//! Its neighbour is [`super::process`], which starts programs with these paths.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use hyper::Uri;
use nix::unistd::{getgid, getuid};
use tempfile::TempDir;

use super::error::DemoError;

/// Room for the longest socket's name below the directory: `sun_path` holds 108 bytes.
const LONGEST_DIRECTORY: usize = 70;

/// A directory of mode 0700, removed when left.
pub(super) struct Place {
    directory: TempDir,
    keep: bool,
    api: u16,
    health: u16,
}

impl Place {
    /// Makes the directory and the daemon's configuration in it.
    pub(super) fn make(keep: bool) -> Result<Self, DemoError> {
        let temporary = std::env::temp_dir();
        let base = if temporary.as_os_str().as_bytes().len() > LONGEST_DIRECTORY {
            Path::new("/tmp")
        } else {
            &temporary
        };
        // Its mode is 0700 from the start, whatever the umask.
        let directory = tempfile::Builder::new()
            .prefix("renewd-demo.")
            .tempdir_in(base)
            .map_err(|source| io("make a directory in", base, source))?;
        let (api, health) = free_ports()?;
        let place = Self {
            directory,
            keep,
            api,
            health,
        };
        for name in ["etc/certs.d", "state", "runtime", "log"] {
            let path = place.path(name);
            std::fs::create_dir_all(&path).map_err(|source| io("make", &path, source))?;
        }
        let (owner, group) = (getuid(), getgid());
        place.write("etc/renewd.toml", "[issuer.internal]\ntype = \"local\"\n")?;
        place.write(
            "etc/certs.d/api.toml",
            &format!(
                "names = [\"localhost\", \"127.0.0.1\"]\n\
                 owner = \"{owner}\"\n\
                 group = \"{group}\"\n\n\
                 [unit.\"renewd-sample-api.service\"]\n\
                 on_change = \"none\"    # the server watches the directory itself\n\
                 probe = [\"tls://127.0.0.1:{api}\"]\n"
            ),
        )?;
        place.write(
            "etc/certs.d/client.toml",
            &format!(
                "names = [\"spiffe://demo.internal/client\"]\n\
                 owner = \"{owner}\"\n\
                 group = \"{group}\"\n"
            ),
        )?;
        Ok(place)
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// What services read of a certificate.
    pub(super) fn published(&self, name: &str) -> PathBuf {
        self.path("state/certs").join(name)
    }

    /// Where no bus listens: the demo must not depend on the host's, nor speak to it.
    pub(super) fn no_bus(&self) -> PathBuf {
        self.path("runtime/no-bus")
    }

    pub(super) fn url(&self) -> Uri {
        let address = format!("https://127.0.0.1:{}/", self.api);
        address.parse().expect("an address and a port make a URL")
    }

    pub(super) fn health(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.health))
    }

    /// The three directories, as `renewd` and `renewctl` both take them.
    pub(super) fn daemon_arguments(&self) -> Vec<OsString> {
        [
            ("--config", "etc"),
            ("--state", "state"),
            ("--runtime", "runtime"),
        ]
        .into_iter()
        .flat_map(|(option, below)| [option.into(), self.path(below).into_os_string()])
        .collect()
    }

    /// The sample API's configuration, reading its certificate from the directory `certificate`.
    pub(super) fn write_api_config(&self, certificate: &Path) -> Result<PathBuf, DemoError> {
        let text = format!(
            "listen = \"127.0.0.1:{}\"\n\
             certificate = \"{}\"\n\
             health = \"{}\"\n\
             admin = \"{}\"\n",
            self.api,
            certificate.display(),
            self.health(),
            self.path("runtime/api.sock").display(),
        );
        self.write("etc/sample-api.toml", &text)
    }

    /// Removes the directory, or says where it stays.
    pub(super) fn leave(self) -> Option<PathBuf> {
        if self.keep {
            return Some(self.directory.keep());
        }
        let path = self.directory.path().to_owned();
        if let Err(error) = self.directory.close() {
            eprintln!("cannot remove {}: {error}", path.display());
        }
        None
    }

    fn write(&self, below: &str, text: &str) -> Result<PathBuf, DemoError> {
        let path = self.path(below);
        std::fs::write(&path, text).map_err(|source| io("write", &path, source))?;
        Ok(path)
    }
}

/// Two ports that the kernel says are free, both held until both are known.
fn free_ports() -> Result<(u16, u16), DemoError> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let ports = || {
        let (one, other) = (listen()?, listen()?);
        Ok((one.local_addr()?.port(), other.local_addr()?.port()))
    };
    ports().map_err(|source| io("get a free port on", Path::new("127.0.0.1"), source))
}

pub(super) fn io(what: &'static str, path: &Path, source: std::io::Error) -> DemoError {
    DemoError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}
