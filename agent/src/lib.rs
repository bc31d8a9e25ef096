//! The parts of the daemon and of its command line. See each module for what it owns.
//!
//! One certificate's way from due to served is [`driver::lane`]; what it decides is `renewd_core`'s,
//! and what is on disk is `renewd_store`'s. Adapters ([`issuer`], [`units`], [`probe`], [`clock`],
//! [`control`], [`journal`]) never import each other; [`app`] alone names the concrete types, and [`kinds`] the kinds of
//! issuers.

pub mod app;
pub mod clock;
pub mod config;
pub mod control;
pub mod credentials;
pub mod ctl;
pub mod driver;
pub mod inherited;
pub mod issuer;
pub mod journal;
pub mod keys;
pub mod kinds;
pub mod notify;
pub mod polkit;
pub mod probe;
pub mod secret;
pub mod table;
pub mod units;
