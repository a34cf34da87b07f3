//! What landline promises, proven from the outside: over sockets, against raw peers that speak
//! literal bytes, through the public API alone.
//!
//! Where a test goes: bytes of requests and answers to `handshake`; what the API of one side does to
//! `client` or `server`; messages to `sending` or `receiving`; dead and slow peers to `keepalive`;
//! permessage-deflate to `compression`; every end to `ending`. A file is one feature; the doc of a test begins with the rule it proves.
//!
//! What it takes: `Meeting`, landline and a raw peer in either role (`ROLES`); `AnyMeeting`, the same
//! over TLS too (`WAYS`); `Pulled`, which reads by `recv`; `Recorder` for what callbacks hear. Events
//! are waited for by `next`, `settled`, `in_time`; `pause` says why; `alone` is for what counts
//! threads, memory, descriptors or CPU time.
//!
//! What runs elsewhere: costs of optimized code (`.ci/run cost`), models of threads (`loom`), default
//! settings for minutes (`soak`), many connections (`scale`), and what is `#[ignore]`d (`long`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is worth knowing")]

mod client;
#[cfg(feature = "deflate")]
mod compression;
mod cost;
mod dialling;
mod ending;
mod errors;
mod examples;
mod forks;
mod groups;
mod handshake;
mod keepalive;
mod logging;
mod peers;
mod receiving;
mod scale;
mod sending;
mod server;
mod settings;
mod smoke;
mod staying;
mod support;
mod tidy;
#[cfg(feature = "tls")]
mod tls;
