//! Creates the two sockets with their final mode and group, before anything slow happens.
//!
//! Owns: the files `status.sock` and `control.sock` in the runtime directory. Never removes anything
//! that is not a socket, nor a socket at which somebody answers. Neighbour: [`super::serve`], which
//! accepts on what was bound here.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_socket, listen, socket,
};
use nix::unistd::{Gid, Group, Uid, chown, geteuid};
use tokio::net::UnixListener;

use crate::journal::{self, Event};

/// The name of the socket that everybody may read status from.
pub const STATUS_SOCKET: &str = "status.sock";
/// The name of the socket that takes orders.
pub const CONTROL_SOCKET: &str = "control.sock";
/// The group whose members may use the control socket, where it exists.
pub const ADMIN_GROUP: &str = "renewd-admin";

/// Connections that the kernel keeps waiting while the daemon is busy.
const BACKLOG: i32 = 64;

/// Why a socket could not be created. Each names the path.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The runtime directory cannot be made.
    #[error("cannot create the runtime directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another daemon answers there.
    #[error("another renewd answers at {path}: stop it first, or give this one another --runtime")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket is in the way.
    #[error("{path} is in the way and is no socket: look at it, and remove it")]
    InTheWay {
        /// What is in the way.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot {what} the socket {path}")]
    Socket {
        /// The step that failed.
        what: &'static str,
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Both sockets, listening, not yet served.
#[derive(Debug)]
pub struct Listeners {
    pub(super) status: UnixListener,
    pub(super) control: UnixListener,
    pub(super) admins: Admins,
}

/// Who may use the control socket besides root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admins {
    /// The daemon's own user.
    pub(super) user: Uid,
    /// The administrators' group, where it exists.
    pub(super) group: Option<Gid>,
}

/// Binds both sockets in `runtime_dir`, which is made if it is missing.
///
/// Must be called within a tokio runtime. Nobody can connect before mode and group are final: the
/// socket listens only after they were set.
///
/// # Errors
///
/// One of [`BindError`]'s variants.
pub fn bind(runtime_dir: &Path) -> Result<Listeners, BindError> {
    bind_for(runtime_dir, ADMIN_GROUP)
}

/// As [`bind`], with another group than [`ADMIN_GROUP`].
///
/// # Errors
///
/// As [`bind`].
pub fn bind_for(runtime_dir: &Path, admin_group: &str) -> Result<Listeners, BindError> {
    fs::create_dir_all(runtime_dir).map_err(|source| BindError::Directory {
        path: runtime_dir.to_owned(),
        source,
    })?;
    let mut group = Group::from_name(admin_group)
        .ok()
        .flatten()
        .map(|group| group.gid);

    let status = create(&runtime_dir.join(STATUS_SOCKET), |path| {
        fs::set_permissions(path, Permissions::from_mode(0o666))
    })?;
    let control = create(&runtime_dir.join(CONTROL_SOCKET), |path| {
        // First nobody's but ours: between a chmod and a chown the wrong group would have it.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        if let Some(gid) = group {
            match chown(path, None, Some(gid)) {
                Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o660))?,
                Err(error) => {
                    let detail = format!(
                        "{}: cannot be given to group {admin_group} ({error}); only root and the \
                         daemon's user can use it",
                        path.display()
                    );
                    journal::emit(&Event::ControlNotShared { detail });
                    group = None;
                }
            }
        }
        Ok(())
    })?;
    Ok(Listeners {
        status,
        control,
        admins: Admins {
            user: geteuid(),
            group,
        },
    })
}

fn create(
    path: &Path,
    permit: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<UnixListener, BindError> {
    let failed = |what| {
        move |source: io::Error| BindError::Socket {
            what,
            path: path.to_owned(),
            source,
        }
    };
    remove_stale(path)?;
    let socket: OwnedFd = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )
    .map_err(io::Error::from)
    .map_err(failed("create"))?;
    let address = UnixAddr::new(path)
        .map_err(io::Error::from)
        .map_err(failed("name"))?;
    bind_socket(socket.as_raw_fd(), &address)
        .map_err(io::Error::from)
        .map_err(failed("bind"))?;
    permit(path).map_err(failed("set the mode of"))?;
    Backlog::new(BACKLOG)
        .and_then(|backlog| listen(&socket, backlog))
        .map_err(io::Error::from)
        .map_err(failed("listen on"))?;
    UnixListener::from_std(net::UnixListener::from(socket)).map_err(failed("watch"))
}

/// Removes the socket that a dead daemon left behind, and nothing else.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Socket {
        what: "replace",
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::InTheWay {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    match net::UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
