//! Skeleton.

pub mod probe;
