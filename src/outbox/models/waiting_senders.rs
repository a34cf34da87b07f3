//! A sender that waits for room gets it, or learns why not. A sender that is called to write on
//! does so.

use std::sync::Arc;
use std::time::Instant;

use super::world::{FRAME, FakeWire, PLENTY, explore, message, numbers};
use crate::outbox::Outbox;
use crate::outbox::outgoing::Outgoing;
use crate::{Config, Message, Overflow, SendErrorKind};

/// Waits in line with a message, until the deadline. Returns the error.
fn wait_in_line(outbox: &Arc<Outbox<FakeWire>>, sender: u8) -> Option<SendErrorKind> {
    let outgoing = Outgoing::Message(message(sender, 0));
    let outcome = outbox.wait_in_line(outgoing, || Some(Instant::now()));
    outcome.err().map(|(kind, _)| kind)
}

/// Over a full wire two waiting senders are admitted, and write on when they are called.
#[test]
fn loom_two_who_wait_get_through_a_full_wire() {
    explore(2, || {
        let (wire, outbox) = FakeWire::with_outbox(0, 1);
        let senders = [1, 2].map(|sender| {
            let outbox = Arc::clone(&outbox);
            wire.spawn(move || outbox.send_numbers(sender, 2))
        });
        wire.make_room(FRAME);
        wire.make_room(PLENTY);
        wire.run_background();
        for sender in senders {
            sender.join().expect("no panic");
        }
        outbox.assert_at_rest();
        let frames = wire.frames();
        assert_eq!(
            [1, 2].map(|sender| numbers(&frames, sender)),
            [[0, 1], [0, 1]]
        );
    });
}

/// A sender that never waits is judged by the limits alone, with or without senders in line.
#[test]
fn loom_a_sender_that_never_waits_beside_one_that_does() {
    explore(3, || {
        let (wire, outbox) = FakeWire::configured(0, Config::new().max_queue_bytes(5));
        outbox.send_numbers(0, 1);
        let theirs = Arc::clone(&outbox);
        let waiter = wire.spawn(move || {
            // Four bytes do not fit before something has left.
            let sent = theirs.send_message(Message::from([1, 0, 0, 0]), Some(Overflow::Wait));
            sent.expect("open");
        });
        let never_wait = |number| outbox.send_message(message(2, number), Some(Overflow::HandBack));
        assert!(never_wait(0).is_ok(), "four of five bytes");
        let refused = never_wait(1).expect_err("six of five bytes");
        assert_eq!(refused.kind(), SendErrorKind::Full);
        wire.make_room(PLENTY);
        wire.run_background();
        waiter.join().expect("no panic");
        outbox.assert_at_rest();
        let frames = wire.frames();
        assert_eq!([0, 1, 2].map(|sender| numbers(&frames, sender)), [[0]; 3]);
    });
}

/// A place in line that times out beside a grant: the message was admitted and is written, or it
/// was not. The senders behind move up.
#[test]
fn loom_a_place_in_line_that_times_out() {
    explore(3, || {
        let (wire, outbox) = FakeWire::with_outbox(0, 1);
        outbox.send_numbers(0, 1);
        let theirs = Arc::clone(&outbox);
        let hasty = wire.spawn(move || wait_in_line(&theirs, 1));
        let theirs = Arc::clone(&outbox);
        let patient = wire.spawn(move || theirs.send_numbers(2, 1));
        wire.make_room(PLENTY);
        outbox.time_out();
        wire.run_background();
        let outcome = hasty.join().expect("no panic");
        patient.join().expect("no panic");
        outbox.assert_at_rest();
        let written = numbers(&wire.frames(), 1).len();
        match outcome {
            None => assert_eq!(written, 1),
            Some(kind) => assert_eq!((kind, written), (SendErrorKind::Timeout, 0)),
        }
        assert_eq!(numbers(&wire.frames(), 2), [0]);
    });
}

/// A sender that is called to write on does so, though it has just timed out, or is writing: the
/// call needs no sleeping thread.
#[test]
fn loom_a_call_to_write_on_is_not_lost() {
    explore(3, || {
        let (wire, outbox) = FakeWire::with_outbox(0, 1);
        outbox.send_numbers(0, 1);
        let theirs = Arc::clone(&outbox);
        let waiter = wire.spawn(move || wait_in_line(&theirs, 1));
        let theirs = Arc::clone(&outbox);
        let clock = wire.spawn(move || {
            theirs.assert_kept();
            theirs.time_out();
            theirs.assert_kept();
        });
        wire.make_room(1);
        wire.make_room(FRAME - 1);
        wire.make_room(PLENTY);
        wire.run_background();
        let refused = waiter.join().expect("no panic").is_some();
        clock.join().expect("no panic");
        outbox.assert_at_rest();
        let written = numbers(&wire.frames(), 1).len();
        assert_eq!(written, usize::from(!refused));
    });
}
