//! Nothing is left behind: not by a sender that finds the pump taken, not over a full wire.

use std::sync::Arc;

use super::assert_at_rest;
use super::world::{FRAME, FakeWire, PING, PLENTY, count, explore, message, numbers};
use crate::Overflow;
use crate::outbox::Outbox;
use crate::outbox::sync::lock;

/// A sender that finds the pump taken leaves its message to the holder, which looks once more; the
/// messages of one thread keep their order.
#[test]
fn loom_two_senders_leave_nothing_behind() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || theirs.send_numbers(1, 2));
        outbox.send_numbers(0, 1);
        sender.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!(
            (numbers(&frames, 0), numbers(&frames, 1)),
            (vec![0], vec![0, 1])
        );
    });
}

/// The same for three.
#[test]
fn loom_three_senders_leave_nothing_behind() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let senders = [1, 2].map(|sender| {
            let outbox = Arc::clone(&outbox);
            wire.spawn(move || outbox.send_numbers(sender, 1))
        });
        outbox.send_numbers(0, 1);
        for sender in senders {
            sender.join().expect("no panic");
        }
        assert_at_rest(&outbox);
        let frames = wire.frames();
        for sender in 0..3 {
            assert_eq!(numbers(&frames, sender), [0]);
        }
    });
}

/// Control frames are handed over like messages.
#[test]
fn loom_control_frames_are_not_left_behind() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || {
            theirs.ping(1);
            theirs.ping(2);
        });
        outbox.send_numbers(0, 1);
        sender.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!(numbers(&frames, 0), [0]);
        let pings: Vec<_> = frames.iter().filter(|frame| frame.opcode == PING).collect();
        assert_eq!(
            pings
                .iter()
                .map(|frame| frame.payload[0])
                .collect::<Vec<_>>(),
            [1, 2]
        );
    });
}

/// Who only looks at the pump must not be taken for somebody who takes messages along.
#[test]
fn loom_who_looks_at_the_pump_takes_messages_along() {
    let looks: [fn(&Arc<Outbox<FakeWire>>); 3] = [
        |outbox| _ = outbox.writing(),
        |outbox| assert!(outbox.begin_polling().is_none()),
        |outbox| outbox.flush_close(),
    ];
    for look in looks {
        explore(None, move || {
            let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
            let theirs = Arc::clone(&outbox);
            let sender = wire.spawn(move || theirs.send_numbers(1, 1));
            look(&outbox);
            sender.join().expect("no panic");
            assert_at_rest(&outbox);
            assert_eq!(numbers(&wire.frames(), 1), [0]);
        });
    }
}

/// Over a full wire, what is queued leaves when the background finds room; no frame is torn.
#[test]
fn loom_background_takes_what_a_full_wire_has_left() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(FRAME + 1, 8);
        let senders = [1, 2].map(|sender| {
            let outbox = Arc::clone(&outbox);
            wire.spawn(move || outbox.send_numbers(sender, 1))
        });
        wire.make_room(1);
        wire.run_background();
        for sender in senders {
            sender.join().expect("no panic");
        }
        wire.settle();
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!(
            (numbers(&frames, 1), numbers(&frames, 2)),
            (vec![0], vec![0])
        );
    });
}

/// At every moment at which nobody holds a stalled outbox, somebody waits for its wire.
#[test]
fn loom_a_stalled_outbox_is_left_to_somebody() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(1, 8);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || theirs.send_numbers(1, 2));
        let theirs = Arc::clone(&outbox);
        let onlooker = wire.spawn(move || {
            let pump = lock(&theirs.pump);
            assert!(pump.stall.is_none() || pump.pollers > 0 || pump.watched);
            drop(pump);
            theirs.pump();
        });
        wire.make_room(1);
        wire.run_background();
        sender.join().expect("no panic");
        onlooker.join().expect("no panic");
        wire.settle();
        assert_at_rest(&outbox);
        assert_eq!(numbers(&wire.frames(), 1), [0, 1]);
    });
}

/// A reader that waits for both directions pumps if it may write, and else hands the wait on.
#[test]
fn loom_reader_polls_for_an_unfinished_write() {
    for writable in [true, false] {
        explore(Some(3), move || {
            let (wire, outbox) = FakeWire::with_outbox(1, 8);
            let theirs = Arc::clone(&outbox);
            let sender = wire.spawn(move || theirs.send_numbers(1, 2));
            let theirs = Arc::clone(&outbox);
            let reader = wire.spawn(move || {
                if theirs.is_stalled() && theirs.begin_polling().is_some() {
                    theirs.end_polling(writable);
                }
            });
            wire.make_room(PLENTY);
            wire.run_background();
            sender.join().expect("no panic");
            reader.join().expect("no panic");
            assert_at_rest(&outbox);
            assert_eq!(numbers(&wire.frames(), 1), [0, 1]);
        });
    }
}

/// A `try_send` over a full wire queues, and the background takes it.
#[test]
fn loom_try_send_over_a_full_wire_queues() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(0, 2);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || {
            let sent = theirs.send(message(1, 0), Overflow::HandBack);
            sent.expect("room for two");
        });
        outbox.ping(1);
        wire.make_room(PLENTY);
        wire.run_background();
        sender.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!((numbers(&frames, 1), count(&frames, PING)), (vec![0], 1));
    });
}
