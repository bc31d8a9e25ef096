//! The daemon's parts: adapters, driver and the command line.

pub mod control;
pub mod ctl;
