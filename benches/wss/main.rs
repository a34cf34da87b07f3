//! Echo servers over TLS side by side, and what an idle connection costs.
//!
//! ```text
//! cargo bench --bench wss
//! cargo bench --bench wss -- --only 'of 32 B' --windows 60
//! cargo bench --bench wss -- --idle
//! ```
//!
//! How it is measured and how the table is read says the benchmark `echo`. Here the load encrypts and
//! decrypts too, on the same thread, which is why it keeps its CPU busier. All speak TLS 1.2, the
//! highest that native-tls offers on servers.
//!
//! - `limit`: a blocking native-tls stream, a thread per connection, frames parsed by hand. It is the
//!   limit of that stream, which reads a record by two system calls, its header first. Who reads all
//!   there is at once can be faster.
//! - `tungstenite`: `accept` over such a stream, then `read` and `send` in a loop.
//!
//! # Idle connections
//!
//! `--idle` prints by how many KiB a server's resident memory grows for each of 500 connections that
//! have echoed once. `streams` holds bare native-tls streams in a list, without threads: what OpenSSL
//! itself keeps; `threads` has each on a thread of its own, which read it from its handshake on and
//! waits for more. `landline ws` is landline without TLS.

#![allow(clippy::print_stdout, reason = "a bench reports there")]

#[cfg(target_os = "linux")]
mod idle;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
#[path = "../shared/mod.rs"]
mod shared;
#[cfg(target_os = "linux")]
mod tls;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    shared::process::serve_if_asked(servers::SERVERS.iter().chain(servers::OTHERS))?;
    let options = shared::options::Options::from_args(&["--idle"])?;
    if options.has("--idle") {
        return idle::print_costs();
    }
    shared::comparison::compare::<load::Load>(servers::SERVERS, load::WORKLOADS, &options)
}

/// Does nothing: `/proc` is Linux's.
#[cfg(not(target_os = "linux"))]
fn main() {}
