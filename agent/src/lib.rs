//! The daemon's parts: adapters, driver and the command line. See each module for what it owns.

pub mod config;
pub mod control;
pub mod ctl;
pub mod journal;
pub mod notify;
pub mod polkit;
pub mod probe;
pub mod units;
