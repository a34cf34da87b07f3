//! Echo servers that compress, side by side: how close does landline come to its compressor?
//!
//! ```text
//! cargo bench --bench deflate
//! cargo bench --bench deflate -- --only json --windows 60
//! ```
//!
//! `--only` picks the workloads whose name contains the word: `8x16 of 2,000 B of json` are eight
//! connections with 16 messages of 2,000 bytes under way on each. The variable `LEVEL` sets another level
//! for all. Without `--bench`, as under `cargo test --benches`, every server only shows in one very short
//! window that it works. Other libraries are compared by the package `benches/deflate_peers`.
//!
//! # What is compared
//!
//! - `limit`: blocking TCP, a thread per connection, frames parsed by hand, and the same compressor as
//!   landline's with the same settings: level 2, window 15, memory level 8, no context takeover in either
//!   direction. One `recv` and one `send` for all the messages that have come. It checks nothing.
//! - `landline`: its defaults. What does not shrink goes plain, as it does there.
//!
//! # How it is measured
//!
//! As in the `echo` bench: servers are processes of their own that take turns in short windows. The load
//! sends frames made beforehand, by one thread, and compares only the first answer. As messages stand
//! alone, each answer is the same.
//!
//! # How to read it
//!
//! As the `echo` bench. With these records an answer of 200 B is 100 B on the wire, one of 2,000 B 439 B,
//! and one of 60,000 B 10,734 B.

#[cfg(target_os = "linux")]
mod by_hand;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod messages;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
#[path = "../shared/mod.rs"]
mod shared;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let servers = [servers::LIMIT, servers::LANDLINE];
    shared::process::serve_if_asked(&servers)?;
    let options = shared::options::Options::from_args(&[])?;
    shared::comparison::compare::<load::Load<true>>(&servers, load::WORKLOADS, &options)
}

/// Does nothing: `/proc` is Linux's.
#[cfg(not(target_os = "linux"))]
fn main() {}
