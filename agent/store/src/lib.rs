//! What renewd keeps on disk.
//!
//! * [`reader`] is for consumers: the standard library only, one directory handle, one generation;
//! * with the feature `writer`, [`Store`] is the daemon's side: records, identities, bundles
//!   ([`store`]) and what is published ([`publish`]), all through [`disk`], which a test can make fail.

#[cfg(feature = "writer")]
mod bundles;
#[cfg(feature = "writer")]
pub mod disk;
#[cfg(feature = "writer")]
mod error;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(feature = "writer")]
mod kept;
#[cfg(feature = "writer")]
pub mod publish;
pub mod reader;
#[cfg(feature = "writer")]
mod records;
#[cfg(feature = "writer")]
pub mod store;

#[cfg(feature = "writer")]
pub use error::StoreError;
#[cfg(feature = "writer")]
pub use kept::Identity;
#[cfg(feature = "writer")]
pub use store::Store;
