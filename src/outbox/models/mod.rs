//! The outbox under loom: every order in which a few threads can go, and every stale value that
//! the memory model lets them see.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib loom` runs them. A thread that is left asleep
//! shows as loom's "deadlock". Time does not pass: a wait ends by what others do, or not at all.

mod cork;
mod delivering;
mod ending;
mod line;
mod pumping;
mod streaming;
mod world;

use std::sync::Arc;

use self::world::{FakeWire, Frame};
use super::Outbox;

/// Checks an outbox whose threads have all gone: nothing waits, everything was released.
fn assert_at_rest(outbox: &Arc<Outbox<FakeWire>>) {
    assert!(outbox.channel.is_empty(), "left behind in the channel");
    assert_eq!(
        (outbox.budget.messages(), outbox.budget.bytes()),
        (0, 0),
        "not released"
    );
    let pump = super::sync::lock(&outbox.pump);
    assert!(pump.unsent.is_empty(), "left behind unsent");
    assert!(pump.stall.is_none(), "left stalled");
    assert_eq!(pump.pollers, 0);
    assert!(
        !outbox.is_sealed() && !outbox.control.has_work(|| 0),
        "left behind in the control lane"
    );
}

/// Checks a sealed outbox whose threads have all gone.
fn assert_discarded(outbox: &Arc<Outbox<FakeWire>>, wire: &Arc<FakeWire>) {
    assert!(outbox.channel.is_empty(), "left behind in the channel");
    assert_eq!(
        (outbox.budget.messages(), outbox.budget.bytes()),
        (0, 0),
        "not released"
    );
    let pump = super::sync::lock(&outbox.pump);
    assert!(pump.unsent.is_empty() && pump.stall.is_none());
    drop(pump);
    assert_eq!(Arc::strong_count(wire), 1, "keeps the wire");
}

/// Checks that exactly one Close was written, and nothing after it (L5).
fn assert_closed_once(frames: &[Frame]) {
    let close = frames.iter().position(|frame| frame.opcode == world::CLOSE);
    assert_eq!(close, Some(frames.len() - 1), "{frames:?}");
}
