//! A mutual-TLS API server that changes keys and trust without dropping a connection.
//!
//! A real server in the small, whose code is meant to be copied. The way of one new generation:
//!
//! ```text
//! rename of `current` ──▶ watch ─┐
//!                                ├─▶ keys::Keys::reload ─▶ tls::build ─▶ swap ─▶ next handshake
//! `reload` command ────▶ admin ──┘        (aside: what is refused changes nothing)
//! ```
//!
//! and of one request: [`serve`] accepts, shakes hands under the generation that is current at that
//! moment, reads the client's [`identity`] once, and hands each request to [`routes`]. A connection
//! keeps the configuration that it began with, so a swap touches nobody.
//!
//! [`app`] is the one place that puts the parts together.

pub mod admin;
pub mod app;
pub mod command;
pub mod config;
pub mod identity;
pub mod keys;
pub mod leaf;
pub mod log;
pub mod problem;
pub mod routes;
pub mod serve;
pub mod tls;
pub mod watch;

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
