//! What landline promises, proven from the outside: over sockets, against raw peers that speak
//! literal bytes, through the public API alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is worth knowing")]

mod client;
mod cost;
mod ending;
mod errors;
mod examples;
mod forks;
mod groups;
mod handshake;
mod keepalive;
mod logging;
mod peers;
mod receiving;
mod scale;
mod sending;
mod server;
mod settings;
mod smoke;
mod support;
mod tidy;
#[cfg(feature = "tls")]
mod tls;
