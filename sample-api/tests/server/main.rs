//! The server as its clients, its administrator and systemd meet it: real TLS, real files, real sockets.

mod client;
mod command;
mod drain;
mod identity;
mod reload;
mod site;
