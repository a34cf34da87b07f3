//! Many threads that send into one connection: do they help each other, or stand in line?
//!
//! ```text
//! cargo bench --bench senders
//! cargo bench --bench senders -- --only '16 ' --windows 60
//! ```
//!
//! For each message that the load sends, one thread of the server sends it back a thousand times; as
//! many messages are under way as threads are to send at a time. What is counted is what comes back.
//! How it is measured and how the table is read says the benchmark `echo`; here too, what comes is
//! only counted, but for the first answer, which is compared.
//!
//! - `limit`: a blocking TCP stream, and a thread makes all its thousand frames before it writes them
//!   at once. So fast can no thread be that sends a message when it has it.
//! - `mutex`: a mutex around the stream, and a write for each message: what a program does by hand.
//! - `landline`: `send`, by as many clones of the handle.

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

/// Does nothing: `/proc` is Linux's.
#[cfg(not(target_os = "linux"))]
fn main() {}
