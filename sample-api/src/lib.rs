//! A mutual-TLS API server that changes keys and trust without dropping a connection.
//!
//! A real server in the small, and the library that it is made of. To add mutual TLS to an axum server of your own:
//!
//! ```no_run
#![doc = include_str!("../examples/axum.rs")]
//! ```
//!
//! The way of one new generation, list or policy:
//!
//! ```text
//! rename of `current` ──▶ watch ─┐
//!                                ├─▶ mtls ─▶ keys ─▶ tls::build ─▶ swap ─┬─▶ next handshake
//! `reload` command ────▶ admin ──┘      └──▶ rules ─▶ policy ───▶ swap ─┴─▶ registry: judge open connections
//! ```
//!
//! (built aside: what is refused changes nothing), and the way of one request: [`serve`] accepts, [`connection`]
//! shakes hands under the generation that is current at that moment and takes a seat in the [`registry`], [`access`]
//! decides about each request by the [`policy`] in force, and your router answers.
//!
//! | part | modules |
//! |---|---|
//! | reload | [`keys`], [`rules`], [`tls`], [`crl`], [`staple`], [`watch`] |
//! | trust | [`trust`], [`tickets`], [`identity`], [`policy`], [`access`], [`caller`], [`trace`] |
//! | connections | [`serve`], [`workers`], [`shared`], [`names`], [`connection`], [`stall`], [`registry`], [`metrics`] |
//! | what is said | [`events`], [`log`] |
//! | our own server | [`app`], [`config`], [`faces`], [`admin`], [`sockets`], [`routes`], [`proxy`] |

pub mod access;
pub mod admin;
mod answer;
pub mod app;
pub mod caller;
pub mod command;
pub mod config;
mod connection;
mod counted;
pub mod crl;
mod events;
pub mod faces;
pub mod file;
pub mod fingerprint;
pub mod identity;
pub mod keys;
pub mod leaf;
pub mod log;
pub mod metrics;
pub mod mtls;
pub mod names;
pub mod policy;
pub mod problem;
pub mod proxy;
pub mod registry;
pub mod routes;
pub mod rules;
pub mod serve;
pub mod settings;
mod shared;
pub mod sockets;
mod stall;
pub mod staple;
pub mod tickets;
pub mod tls;
pub mod trace;
pub mod trust;
pub mod watch;
pub mod workers;

pub use caller::Caller;
pub use identity::{Identity, Peer};
pub use mtls::MutualTls;
pub use settings::Settings;
pub use workers::Workers;

/// An error and its causes in one line, for a log or a terminal.
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
