//! Messages that a cork holds back leave, at the latest with the background's ticks.

use std::sync::Arc;

use super::world::{FakeWire, PLENTY, drive_with, explore, message, numbers, tick_corks};
use crate::outbox::Cork;

/// Two reading ends send to one connection, whose queue is full in between: one of them holds it,
/// and the messages of the other leave with that.
#[test]
fn loom_two_corks_hold_one_outbox() {
    for queue in [1, 8] {
        explore(3, move || {
            let (wire, outbox) = FakeWire::with_outbox(PLENTY, queue);
            let readers = [1, 2].map(|reader| {
                let outbox = Arc::clone(&outbox);
                wire.spawn(move || {
                    let cork = Cork::new();
                    drive_with(&cork);
                    outbox.send_numbers(reader, reader);
                    cork.set_active(false);
                    cork.uncork();
                })
            });
            for reader in readers {
                reader.join().expect("no panic");
            }
            outbox.assert_at_rest();
            let frames = wire.frames();
            let all = (numbers(&frames, 1), numbers(&frames, 2));
            assert_eq!(all, (vec![0], vec![0, 1]));
        });
    }
}

/// A reading end whose callback never returns, beside a sender: its messages leave with the ticks,
/// and no held message is without ticks.
#[test]
fn loom_ticks_let_everything_leave() {
    explore(3, || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let reader = wire.spawn(move || {
            drive_with(&Cork::new());
            theirs.send_numbers(1, 2);
        });
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || theirs.send_numbers(2, 1));
        tick_corks();
        reader.join().expect("no panic");
        sender.join().expect("no panic");
        tick_corks();
        outbox.assert_at_rest();
        let frames = wire.frames();
        let all = (numbers(&frames, 1), numbers(&frames, 2));
        assert_eq!(all, (vec![0, 1], vec![0]));
    });
}

/// A program's iterator that gives no more, beside a sender: the messages it has given, which are
/// encoded, leave with the ticks and in order, whichever thread writes them.
#[test]
fn loom_what_is_encoded_at_once_leaves_with_the_ticks() {
    explore(3, || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let giver = wire.spawn(move || {
            drive_with(&Cork::new());
            for number in 0..2 {
                let given = theirs.send_with_next(message(1, number));
                given.expect("there is room");
            }
        });
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || theirs.send_numbers(2, 1));
        tick_corks();
        giver.join().expect("no panic");
        sender.join().expect("no panic");
        tick_corks();
        outbox.assert_at_rest();
        let frames = wire.frames();
        let all = (numbers(&frames, 1), numbers(&frames, 2));
        assert_eq!(all, (vec![0, 1], vec![0]));
    });
}
