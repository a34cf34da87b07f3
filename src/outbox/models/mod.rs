//! The outbox under loom: every order in which a few threads can run. With one lock, the remaining
//! questions are which threads wait, which are woken, and which write on. The queue's own rules
//! have plain tests.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib loom` runs them. A thread that is never woken
//! shows as loom's "deadlock". Time passes only when a model makes it pass.

mod bursts;
mod cork;
mod ending;
mod handing;
mod splitting;
mod streaming;
mod waiting_senders;
mod world;
