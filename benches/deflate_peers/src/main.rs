//! Echo servers of other libraries that compress, beside landline's.
//!
//! ```text
//! .ci/run deflate-peers                          one very short window each: all work
//! .ci/run deflate-peers --bench                  the comparison
//! .ci/run deflate-peers --bench --only 8x16 --windows 20
//! LEVEL=6 .ci/run deflate-peers --bench
//! ```
//!
//! # What is compared
//!
//! Python's websockets 17.4, npm's ws 8.23.0, yawc 0.5.0 with its feature `zlib`, and the `limit` of the
//! benchmark `deflate`, whose load and workloads these are. All have the same level, window 15, memory
//! level 8, where it can be set, and messages that stand alone. Each compresses every message; the two
//! in Rust send plain what does not shrink.
//!
//! # How to read it
//!
//! As the benchmark `deflate`: each row stands beside the one of landline, best to best and median to
//! median. Levels mean the same to zlib, zlib-ng and zlib-rs only by name: at level 2 zlib works less than
//! zlib-rs, and at level 1 zlib-rs works less than zlib.

#[path = "../../deflate/by_hand.rs"]
mod by_hand;
#[path = "../../deflate/load.rs"]
mod load;
#[path = "../../deflate/messages.rs"]
mod messages;
mod peers;
#[path = "../../deflate/servers.rs"]
mod servers;
#[path = "../../shared/mod.rs"]
mod shared;
mod yawc_server;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    shared::process::serve_if_asked(peers::SERVERS)?;
    let options = shared::options::Options::from_args(&[])?;
    shared::comparison::compare::<load::Load<false>>(peers::SERVERS, load::WORKLOADS, &options)
}
