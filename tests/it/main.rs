//! What landline promises, proven from the outside: over sockets, against raw peers that speak
//! literal bytes, through the public API alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is worth knowing")]

mod accepting;
mod admission;
mod api;
mod asking;
mod backpressure;
mod closing;
mod cost;
mod counting;
mod deliveries;
mod echoes;
mod errors;
mod examples;
mod forks;
mod full;
mod groups;
mod handles;
mod handshake;
mod handshakes;
mod keepalive;
mod last_words;
mod life;
mod listening;
mod logging;
mod memory;
mod overflow;
mod panics;
mod peers;
mod proxies;
mod reading;
mod requests;
mod routing;
mod sends;
mod settings;
mod smoke;
mod splitting;
mod stop;
mod support;
mod tidy;
#[cfg(feature = "tls")]
mod tls;
mod turns;
mod upgrades;
mod violations;
mod waits;
mod writing;
