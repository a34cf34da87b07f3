//! What a cork holds back leaves, at the latest with the background's tick.

use std::sync::Arc;

use super::assert_at_rest;
use super::world::{FakeWire, PLENTY, drive_with, explore, numbers, tick_corks};
use crate::outbox::Cork;

/// A burst leaves when its reading end uncorks, whoever else sends meanwhile.
#[test]
fn loom_uncork_lets_everything_leave() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let reader = loom::thread::spawn(move || {
            let cork = Cork::new();
            drive_with(&cork);
            theirs.send_numbers(1, 2);
            cork.set_active(false);
            cork.uncork();
        });
        outbox.send_numbers(0, 1);
        reader.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!(
            (numbers(&frames, 0), numbers(&frames, 1)),
            (vec![0], vec![0, 1])
        );
    });
}

/// Of two reading ends that send to the same connection, one holds it; what the other sends leaves
/// with that, or the other holds it next.
#[test]
fn loom_two_corks_hold_one_outbox() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let readers = [1, 2].map(|reader| {
            let outbox = Arc::clone(&outbox);
            loom::thread::spawn(move || {
                let cork = Cork::new();
                drive_with(&cork);
                outbox.send_numbers(reader, 1);
                cork.uncork();
            })
        });
        for reader in readers {
            reader.join().expect("no panic");
        }
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!(
            (numbers(&frames, 1), numbers(&frames, 2)),
            (vec![0], vec![0])
        );
    });
}

/// The background's tick beside sends and an uncork: nothing is left behind by any of them.
#[test]
fn loom_tick_beside_uncork() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let cork = Cork::new();
        let (theirs, their_cork) = (Arc::clone(&outbox), Arc::clone(&cork));
        let reader = loom::thread::spawn(move || {
            drive_with(&their_cork);
            theirs.send_numbers(1, 2);
            their_cork.uncork();
        });
        cork.tick();
        cork.tick();
        reader.join().expect("no panic");
        assert_at_rest(&outbox);
        assert_eq!(numbers(&wire.frames(), 1), [0, 1]);
    });
}

/// A reading end whose callback never returns: what it has sent leaves with the ticks, and it is
/// never held while nobody ticks.
#[test]
fn loom_ticks_let_everything_leave() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let reader = loom::thread::spawn(move || {
            drive_with(&Cork::new());
            theirs.send_numbers(1, 2);
        });
        tick_corks();
        reader.join().expect("no panic");
        // Whatever still asks for ticks gets them; what does not must hold nothing.
        tick_corks();
        assert_at_rest(&outbox);
        assert_eq!(numbers(&wire.frames(), 1), [0, 1]);
    });
}

/// A full queue uncorks before it makes its sender wait.
#[test]
fn loom_who_finds_the_queue_full_uncorks() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 1);
        let theirs = Arc::clone(&outbox);
        let reader = loom::thread::spawn(move || {
            let cork = Cork::new();
            drive_with(&cork);
            theirs.send_numbers(1, 2);
            cork.uncork();
        });
        outbox.send_numbers(0, 1);
        reader.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!(
            (numbers(&frames, 0), numbers(&frames, 1)),
            (vec![0], vec![0, 1])
        );
    });
}
