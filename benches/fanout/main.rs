//! One message to many connections: how close does a group come to a loop of writes?
//!
//! ```text
//! cargo bench --bench fanout
//! cargo bench --bench fanout -- --only '500 x16' --windows 60
//! ```
//!
//! One of the connections publishes, and each of its messages goes to all of them, itself included.
//! It has 1, 4 or 16 messages under way: it sends them in one write, and the next ones when all have
//! come everywhere. What is counted are deliveries. How it is measured and how the table is read says
//! the benchmark `echo`; here too, what comes is only counted, but for a first message that is
//! compared on every connection.
//!
//! - `limit`: a vector of blocking TCP streams, and a loop that writes the frames of what came with one
//!   read, made and gathered once, to one after the other. It is what a program does by hand, and it is at the mercy of each peer: one
//!   that does not read stops it for all. A mutex around a vector of blocking WebSockets is no
//!   alternative, since who waits for input holds the lock.
//! - `landline`: a [`Group`](landline::Group), which waits for nobody, keeps each member's limits and
//!   counters, and the order of its messages among those to one member alone.

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
