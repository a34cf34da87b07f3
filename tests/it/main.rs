//! What landline promises, proven from the outside: over sockets, against raw peers that speak
//! literal bytes, through the public API alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod cost;
mod handshake;
mod sends;
mod smoke;
mod support;
mod tidy;
mod violations;
