//! Clients that push binary messages, side by side: what does a message cost that is sent?
//!
//! ```text
//! cargo bench --bench push
//! cargo bench --bench push -- --only send --size 32 --windows 60
//! ```
//!
//! `--only` picks the clients whose name contains the word, `--size` one size of payload. A client
//! sends on one thread of this process; a peer in a process of its own takes everything and throws it
//! away. How windows take turns and how the table is read says the benchmark `echo`; here *us CPU* is
//! the client's.
//!
//! - `raw`: a frame made beforehand, one `send` a message: what the system call alone costs.
//! - `tungstenite-send`: a blocking `WebSocket`, `send` for each message.
//! - `tungstenite-write`: `write` for each message, `flush` after a hundred.
//! - `landline-send`: `send` for each message.
//! - `landline-all`: `send_all` with a hundred messages.
//!
//! # Instructions
//!
//! With `--messages` one client sends so many messages and that is all. The instructions of a message
//! are the difference of two such runs, which the system and the load do not disturb:
//!
//! ```text
//! for n in 1000 11000; do
//!     valgrind --tool=callgrind --callgrind-out-file=push.$n target/release/deps/push-* \
//!         --bench --only landline-send --size 32 --messages $n
//! done
//! ```

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
    shared::process::serve_if_asked(&[servers::DRAIN])?;
    let own = ["--size <bytes>", "--messages <count>"];
    comparison::compare(&shared::options::Options::from_args(&own)?)
}

/// Does nothing: `/proc` is Linux's.
#[cfg(not(target_os = "linux"))]
fn main() {}
