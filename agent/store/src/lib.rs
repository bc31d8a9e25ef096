//! What renewd keeps on disk.
//!
//! [`reader`] is for consumers: it needs the standard library only. Everything else belongs to the
//! daemon's writer and is behind the feature `writer`.

pub mod reader;
