//! Keys for units as systemd credentials: a unit with
//! `LoadCredential=tls.pem:/run/renewd-credentials.sock` is given its certificate by the daemon, and no file
//! needs to be readable by it.
//!
//! systemd connects to the socket when the unit starts, from an abstract address that tells the unit and the
//! credential (`@RANDOM/unit/UNIT/CREDENTIAL`, systemd.exec(5)), and reads to the end. [`Vault`] holds what may
//! be given to whom: the published generation's key, leaf and chain, in memory that is wiped. [`serve`] answers
//! from it, on a thread of its own: a disk that hangs holds up the driver, and must not hold up the start of a
//! unit. It never asks anybody for anything, and it believes nothing of an address that does not come from root.
//! Neighbours: the driver fills the vault, the composition root takes the socket from systemd.

mod asked;
mod serve;
#[cfg(test)]
mod tests;
mod vault;

pub use asked::{Asked, Refusal};
pub use serve::{MAX_CONNECTIONS, Outcome, serve};
pub use vault::{Given, Vault};

/// Where systemd listens for us.
pub const SOCKET: &str = "/run/renewd-credentials.sock";
/// The unit that makes the socket.
pub const SOCKET_UNIT: &str = "renewd-credentials.socket";
/// What that unit calls the socket (`FileDescriptorName=`).
pub const SOCKET_NAME: &str = "credentials";
/// The longest name of a unit and of its credential together, in bytes. What stands around them in the address
/// leaves no more (unix(7): 108 bytes); systemd then fails before it connects (tried with 252 and 257).
pub const LONGEST_NAMES: usize = 83;
