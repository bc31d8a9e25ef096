//! The parts of the daemon and of the command line. See each module for what it owns.

pub mod journal;
pub mod notify;
pub mod polkit;
pub mod units;
