//! The server as its clients, its administrator and systemd meet it: real TLS, real files, real sockets.

mod bytes;
mod client;
mod command;
mod drain;
mod faces;
mod identity;
mod limits;
mod lists;
mod live;
mod policy;
mod refused;
mod reload;
mod rest;
mod shown;
mod sidecar;
mod site;
mod sni;
mod stall;
mod staple;
mod tickets;
mod upgrade;
