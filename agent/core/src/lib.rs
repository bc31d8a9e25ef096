//! The pure core of renewd: what is decided, never how it is carried out.
//!
//! Nothing here reads a clock, draws a random number, touches a file or a socket: time and
//! randomness are arguments (the crate's `clippy.toml` bans the rest). The daemon's driver and any
//! simulator call the same functions.
//!
//! * [`names`], [`request`], [`leaf`]: what is asked for and what a certificate says;
//! * [`revocation`]: why a leaf is no longer believed;
//! * [`accept`]: whether an issuer's answer may be published;
//! * [`trust`]: the bundle that peers are verified against; [`crl`]: the revocation lists in it; [`pem`]: how it is written;
//! * [`unit`], [`proof`]: the words for dependents and for what is known of them;
//! * [`record`], with [`supply`] and [`activation`]: the two machines over one durable record;
//! * [`schedule`]: when a certificate is due, and how long to back off.

pub mod accept;
pub mod activation;
pub mod crl;
pub mod leaf;
pub mod names;
pub mod pem;
pub mod proof;
pub mod record;
pub mod request;
pub mod revocation;
pub mod schedule;
pub mod supply;
pub mod trust;
pub mod unit;
