//! No message is left behind: not by a sender that finds the writer taken, and not over a full
//! wire.

use std::sync::Arc;

use bytes::Bytes;

use super::world::{FakeWire, PLENTY, explore, message, numbers};
use crate::DeliveryError;
use crate::outbox::delivery::delivery;
use crate::protocol::Opcode;

/// Of three senders, one that finds the writer taken leaves its message to the holder, which looks
/// once more.
#[test]
fn loom_three_senders_leave_nothing_behind() {
    explore(2, || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let senders = [1, 2].map(|sender| {
            let outbox = Arc::clone(&outbox);
            wire.spawn(move || outbox.send_numbers(sender, sender))
        });
        outbox.send_control(Opcode::Ping, Bytes::from_static(&[0]));
        for sender in senders {
            sender.join().expect("no panic");
        }
        outbox.assert_at_rest();
        let frames = wire.frames();
        let all = (numbers(&frames, 1), numbers(&frames, 2), frames.len());
        assert_eq!(all, (vec![0], vec![0, 1], 4));
    });
}

/// Over a full wire there is always a keeper: the background, or a reader that polls and passes the
/// wait on when something else has woken it. A delivery is resolved when its whole frame is on the
/// wire.
#[test]
fn loom_a_stalled_outbox_is_never_left_to_nobody() {
    for writable in [true, false] {
        explore(3, move || {
            let (wire, outbox) = FakeWire::with_outbox(1, 8);
            let (theirs, their_wire) = (Arc::clone(&outbox), Arc::clone(&wire));
            let sender = wire.spawn(move || {
                let delivery = theirs.send_tracked(message(1, 0)).expect("open");
                assert_eq!(delivery.wait(), Ok(()));
                assert_eq!(numbers(&their_wire.frames(), 1), [0]);
            });
            let theirs = Arc::clone(&outbox);
            let reader = wire.spawn(move || {
                theirs.assert_kept();
                if theirs.is_stalled() && theirs.begin_polling().is_some() {
                    theirs.end_polling(writable);
                }
                theirs.assert_kept();
            });
            wire.make_room(1);
            wire.make_room(PLENTY);
            wire.run_background();
            sender.join().expect("no panic");
            reader.join().expect("no panic");
            outbox.assert_at_rest();
        });
    }
}

/// The wire's own bytes leave between two messages, before them or behind them, over a full wire
/// too, and without any message.
#[test]
fn loom_the_wires_own_bytes_leave() {
    for messages in [0, 2] {
        explore(3, move || {
            let (wire, outbox) = FakeWire::with_outbox(5, 8);
            let (theirs, their_wire) = (Arc::clone(&outbox), Arc::clone(&wire));
            let reader = wire.spawn(move || {
                their_wire.add_pending();
                theirs.flush_wire();
            });
            outbox.send_numbers(0, messages);
            wire.make_room(PLENTY);
            wire.run_background();
            reader.join().expect("no panic");
            outbox.assert_at_rest();
            assert_eq!(numbers(&wire.frames(), 0), Vec::from_iter(0..messages));
        });
    }
}

/// A thread that waits until nothing is queued is woken by the thread that writes the last message.
#[test]
fn loom_the_last_write_wakes_who_waits_for_it() {
    explore(3, || {
        let (wire, outbox) = FakeWire::with_outbox(1, 8);
        outbox.send_numbers(0, 1);
        let (theirs, their_wire) = (Arc::clone(&outbox), Arc::clone(&wire));
        let waiter = wire.spawn(move || {
            assert_eq!(theirs.wait_drained(None), Ok(()));
            assert_eq!(numbers(&their_wire.frames(), 0), [0]);
        });
        wire.make_room(PLENTY);
        wire.run_background();
        waiter.join().expect("no panic");
        outbox.assert_at_rest();
    });
}

/// A dropped promise resolves its delivery and wakes the waiting thread (L6).
#[test]
fn loom_a_dropped_promise_wakes_who_waits() {
    explore(3, || {
        let (promise, delivery) = delivery();
        let waiter = loom::thread::spawn(move || delivery.wait());
        drop(promise);
        let outcome = waiter.join().expect("no panic");
        assert_eq!(outcome, Err(DeliveryError::Lost));
    });
}
