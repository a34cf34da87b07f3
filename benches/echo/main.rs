//! Echo servers side by side: how close does landline come to what the socket allows?
//!
//! ```text
//! cargo bench --bench echo
//! cargo bench --bench echo -- --only 8x32 --windows 60
//! ```
//!
//! `--only` picks the workloads whose name contains the word. The whole run takes about a minute and a half.
//!
//! # What is compared
//!
//! - `limit`: blocking TCP, a thread per connection, frames parsed by hand: one `recv` and one `send` for all
//!   the messages that have come. It checks nothing, so it shows what the socket calls alone cost. Like the
//!   others it echoes messages: it sends none before it has come in whole.
//! - `tungstenite`: `accept`, then `read` and `send` in a loop, as its users write it.
//!
//! # How it is measured
//!
//! Every server is a process of its own, so that its processor time and context switches can be read from
//! `/proc`. This process makes the load on one thread: it sends masked frames made beforehand and counts the
//! bytes that come back, which it leaves in the kernel (`MSG_TRUNC`). What comes back is compared once per
//! connection, at the start. The servers take turns in short windows, so that a busy neighbour or a slow
//! minute of the machine meets all of them; each window ends when the last message sent has been answered.
//!
//! # How to read it
//!
//! - *best* and *median* are over the windows. On a machine with other work the best window tells more about
//!   the code, the median more about the machine. The ratios are best to best and median to median.
//! - *CPU* is the server's processor time, user and system, its kernel's share of the loopback included.
//! - *switches* are the server's context switches, voluntary or not.
//! - *load* is the share of the window for which the load's thread ran. Near 100 % the load is the bottleneck,
//!   and the rates tell less about the servers than *CPU* does.
//!
//! Without `--bench`, as under `cargo test --benches`, every server only shows in one very short window that it
//! still works.

#![allow(clippy::print_stdout, reason = "a benchmark reports there")]

#[cfg(target_os = "linux")]
mod compare;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod servers;

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    compare::main()
}

/// Does nothing: `epoll` and `/proc` are Linux's.
#[cfg(not(target_os = "linux"))]
fn main() {}
