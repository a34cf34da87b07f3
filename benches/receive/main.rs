//! Clients side by side that receive a feed: what does a message cost?
//!
//! ```text
//! cargo bench --bench receive
//! cargo bench --bench receive -- --only 'text of 32 B' --windows 60
//! cargo bench --bench receive -- --instructions --only 'text of 32 B' --client landline
//! ```
//!
//! How it is measured and how the table is read says the benchmark `echo`; here the clients are the
//! processes that take turns, and the load is the feed: frames made beforehand, written without a
//! pause by 256 KiB, on one connection. A window ends when the client has answered the mark behind the
//! last message, which it does only then. The rows that begin with `wss` run over native-tls.
//!
//! - `limit`: frames parsed by hand in a buffer of 64 KiB. It checks nothing and gives out nothing.
//! - `tungstenite`: `read` in a loop.
//! - `pull`: landline's [`Messages::recv`](landline::Messages::recv) in a loop.
//! - `channel`: landline's [`into_receiver`](landline::Messages::into_receiver), with 1,024 places.
//! - `landline`: its callback `on_message`.
//!
//! # Instructions
//!
//! `--instructions` wants valgrind, and prints how many instructions a client executes for a message
//! outside the kernel: callgrind counts a run of many messages and one of more, and the difference is
//! divided. Unlike time, that is the same whatever else the machine does. TLS is left out: OpenSSL takes
//! as long to begin under callgrind as a handshake may take. `--profile <file>` beside it
//! leaves the longest run's profile there, for `callgrind_annotate`.

#![allow(clippy::print_stdout, reason = "a bench reports there")]

#[cfg(target_os = "linux")]
mod instructions;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
#[path = "../shared/mod.rs"]
mod shared;
#[cfg(target_os = "linux")]
#[path = "../wss/tls.rs"]
mod tls;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    shared::process::serve_if_asked(servers::CLIENTS)?;
    let own = ["--instructions", "--client <name>", "--profile <file>"];
    let options = shared::options::Options::from_args(&own)?;
    if options.has("--instructions") {
        return instructions::print_counts(&options);
    }
    shared::comparison::compare::<load::Load>(servers::CLIENTS, load::WORKLOADS, &options)
}

/// Does nothing: `/proc` is Linux's.
#[cfg(not(target_os = "linux"))]
fn main() {}
