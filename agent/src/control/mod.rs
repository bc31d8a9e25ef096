//! The daemon's two Varlink sockets and their client.
//!
//! `status.sock` (`io.renewd.Status`) is for everybody and only reads; `control.sock`
//! (`io.renewd.Control`) takes orders from root, the daemon's own user and the members of
//! `renewd-admin`. This module owns the sockets and the protocol; what is answered comes from the
//! driver through [`Daemon`]. It must never wait on a client, nor let one client be felt by another.
//! Neighbours: the driver implements [`Daemon`], `renewctl` (module `ctl`) uses [`client`].
//!
//! ```no_run
//! # use std::{path::Path, rc::Rc};
//! # use renewd::control::{self, Daemon};
//! # async fn example(driver: Rc<dyn Daemon>) -> Result<(), control::BindError> {
//! let listeners = control::bind(Path::new("/run/renewd"))?; // before anything slow
//! listeners.serve(driver).await; // a future without Send: select!, join! or a LocalSet
//! # Ok(())
//! # }
//! ```

pub mod client;
mod listen;
mod peer;
pub mod report;
mod serve;
mod service;
pub mod wire;

pub use listen::{
    ADMIN_GROUP, BindError, CONTROL_SOCKET, Listeners, STATUS_SOCKET, bind, bind_for,
};
pub use peer::Limits;
pub use report::{ControlError, Daemon};
pub use serve::{MAX_CONNECTIONS, MAX_CONNECTIONS_PER_USER, RESERVED_CONNECTIONS};
