//! Connections opened and closed one after the other, side by side: what does one cost from its
//! beginning to its end?
//!
//! ```text
//! cargo bench --bench connects
//! cargo bench --bench connects -- --only server --windows 60
//! cargo bench --bench connects -- --only "client landline-open" --connections 1000
//! ```
//!
//! A connection is opened, upgraded and closed in the ordinary way, and has ended when its client has
//! read to the server's end; then comes the next. `--only` picks the lines whose name contains the
//! words. Servers have a process of their own. How windows take turns and how the table is read says
//! the benchmark `echo`; here *us CPU* is what a connection costs the side that is compared, all its
//! threads included.
//!
//! The first table compares servers, for a client that does nothing but what it must:
//!
//! - `server tungstenite`: a blocking `WebSocket` on a thread for each connection.
//! - `server landline`: a server with callbacks.
//!
//! The second one compares clients of tungstenite's server:
//!
//! - `client tungstenite`: a blocking `WebSocket`, read to its end.
//! - `client landline`: `connect`, which starts a thread for each connection.
//! - `client landline-open`: `open`, which does not.
//!
//! # System calls
//!
//! With `--connections` each chosen line makes so many connections and that is all, to be looked at
//! with `strace -f`: those of one connection are the difference of two such runs.

#[cfg(target_os = "linux")]
mod clients;
#[cfg(target_os = "linux")]
mod comparison;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
#[path = "../shared/mod.rs"]
mod shared;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    shared::process::serve_if_asked(&[servers::TUNGSTENITE, servers::LANDLINE])?;
    let own = ["--connections <count>"];
    comparison::compare(&shared::options::Options::from_args(&own)?)
}

/// Does nothing: `/proc` is Linux's.
#[cfg(not(target_os = "linux"))]
fn main() {}
