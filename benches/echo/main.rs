//! Echo servers side by side: how close does landline come to what the socket allows?
//!
//! ```text
//! cargo bench --bench echo
//! cargo bench --bench echo -- --only 8x32 --windows 60
//! ```
//!
//! `--only` picks the workloads whose name contains the word: `8x32 of 32 B` are eight connections
//! with 32 messages of 32 bytes under way on each. The whole run takes about 20 seconds a server.
//! Without `--bench`, as under `cargo test --benches`, every server only shows in one very short
//! window that it works.
//!
//! # What is compared
//!
//! - `limit`: blocking TCP, a thread per connection, frames parsed by hand: one `recv` and one
//!   `send` for all the messages that have come. It checks nothing, so it shows what the socket
//!   calls alone cost. Like the others it echoes messages: it sends none before it has it whole.
//! - `tungstenite`: `accept`, then `read` and `send` in a loop, as its users write it.
//!
//! # How it is measured
//!
//! Every server is a process of its own, so that its processor time and context switches can be
//! read from `/proc`. This process makes the load on one thread: it sends masked frames made
//! beforehand and counts the bytes that come back, which it leaves in the kernel (`MSG_TRUNC`).
//! What comes back is compared once per connection, at the start.
//!
//! The servers take turns in short windows, so that a busy neighbour or a slow minute of the
//! machine meets all of them. A window ends when the last message sent has been answered.
//!
//! Ping-pong on one connection, of 4 MiB excepted, keeps load and server on one CPU. On two it
//! would measure how long a sleeping CPU takes to wake up, which in a virtual machine is more than
//! all the rest, and changes with whatever else keeps the CPUs awake. All the other workloads run
//! wherever the scheduler puts them.
//!
//! # How to read it
//!
//! - *best* and *median* are over the windows. On a machine with other work the best window tells
//!   more about the code, the median more about the machine. The ratios are best to best, then
//!   median to median.
//! - *us CPU* is the server's processor time for a message, in microseconds, what the kernel does
//!   for it included. It is the steadiest of the numbers.
//! - *switches* are the server's context switches for a message, voluntary or not.
//! - *load* is the share of the window for which the load's thread ran. Near 100 % (50 % where it
//!   shares its CPU) the load is as much the bottleneck as the server is.

#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
#[path = "../shared/mod.rs"]
mod shared;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    shared::process::serve_if_asked(servers::SERVERS)?;
    let options = shared::options::Options::from_args(&[])?;
    shared::comparison::compare::<load::Load>(servers::SERVERS, load::WORKLOADS, &options)
}

/// Does nothing: `epoll` and `/proc` are Linux's.
#[cfg(not(target_os = "linux"))]
fn main() {}
