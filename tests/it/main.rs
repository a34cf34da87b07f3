//! What landline promises, proven from the outside: over sockets, against raw peers that speak
//! literal bytes, through the public API alone.
//!
//! Where a test goes: bytes of requests and answers to `handshake`; what the API of one side does to
//! `client` or `server`; messages to `sending` or `receiving`; dead and slow peers to `keepalive`;
//! permessage-deflate to `compression`; every end to `ending`. A file is one feature; the doc of a test
//! begins with the rule it proves.
//!
//! What it takes: `Meeting`, landline and a raw peer in either role (`ROLES`); `AnyMeeting`, the same
//! over TLS too (`WAYS`); `Pulled`, which reads by `recv`; `Recorder` for what callbacks hear. Events
//! are waited for by `next`, `settled`, `in_time`; `pause` says why; `alone` is for what counts
//! threads, memory, descriptors or CPU time.
//!
//! What runs elsewhere: costs of optimized code (`.ci/run cost`), models of threads (`loom`), default
//! settings for minutes (`soak`), many connections (`scale`), and what is `#[ignore]`d (`long`).
//!
//! # Other systems
//!
//! The suite is written for Linux, and is to pass with `--cfg landline_portable` too. What is Linux's or
//! Unix's by nature has a `cfg`, or skips itself, for one of these reasons:
//!
//! - *It counts what the system has:* threads, descriptors, memory, CPU time and system calls come from
//!   `/proc`, `strace` and `perf` (`cost`, `scale`, and what calls `threads`, `open_fds` or `cpu_time`).
//! - *It takes something from the process:* `setrlimit` (`server::accepting`, `server::limits`,
//!   `sending::contention`, `receiving::memory::crowd`, `ending::on_close`, `handshake::unfinished`).
//! - *It stops or forks a process,* by signals and `fork` (`forks`, `keepalive::freezes`, `staying::servers`,
//!   `sending::deliveries::killed`, and programs of others, `dialling::real_proxies` and `server::proxies`).
//! - *It speaks over Unix sockets or hands descriptors on* (`server::unix_sockets`, `server::listening`,
//!   `server::streams`, `dialling::unix_sockets`, `dialling::given_streams`).
//! - *The kernel must be told to take little* beyond what it can send, by `TCP_NOTSENT_LOWAT`
//!   (`close_timeout_begins_when_our_close_has_left`): elsewhere it takes it all at once.
//! - *The kernel must keep the set of full sockets:* `full_sockets_cost_a_burst_nothing`, and in the library
//!   `background::tests::ticks`; a poll looks at all of them.
//!
//! Under qemu-user these fail: `client_without_a_thread_calls_on_close` and `crowd_aborts_nothing`, as it ignores
//! `RLIMIT_AS`; and `kept_requests_cost_their_heads`, which counts the emulator's memory too. A test that starts
//! its own program again needs qemu to be registered with `binfmt_misc`.
//!
//! Under Wine these fail: what asks `/proc` whether a named thread sleeps (`settle_asleep`, as in
//! `sending::full_queue`), as Wine names none there; and what has a raw peer find a reset, which Wine tells its
//! programs as an end.
#![cfg_attr(
    not(unix),
    allow(
        dead_code,
        unused_imports,
        reason = "helpers of what is Unix's by nature"
    )
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is worth knowing")]

mod client;
#[cfg(feature = "deflate")]
mod compression;
#[cfg(unix)]
mod cost;
mod dialling;
mod ending;
mod errors;
mod examples;
#[cfg(unix)]
mod forks;
mod groups;
mod handshake;
mod keepalive;
mod logging;
mod peers;
mod receiving;
#[cfg(unix)]
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
