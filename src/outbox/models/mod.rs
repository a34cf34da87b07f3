//! The outbox under loom: every order in which a few threads can go. With one lock, what is left to be
//! proved is who waits, who is woken, and who writes on. What the queue itself does, plain tests show.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib loom` runs them. A thread that is left asleep
//! shows as loom's "deadlock". Time passes where a model says so.

mod cork;
mod ending;
mod handing;
mod splitting;
mod streaming;
mod waiting_senders;
mod world;
