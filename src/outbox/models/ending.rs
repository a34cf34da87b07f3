//! The Close is the last that is written, and written once; a seal leaves nothing and nobody behind.

use std::sync::Arc;

use super::world::{CLOSE, FRAME, FakeWire, PLENTY, count, explore, numbers};
use super::{assert_at_rest, assert_closed_once, assert_discarded};
use crate::CloseCode;
use crate::outbox::Urgency;

/// The program's Close leaves behind everything that was reserved before it, late reservers
/// included; a send that comes later is refused.
#[test]
fn loom_close_goes_after_what_was_sent() {
    explore(None, || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let sender = loom::thread::spawn(move || theirs.send_or_closed(1, 0));
        assert!(outbox.close_with(CloseCode::NORMAL, Urgency::AfterMessages));
        assert!(!outbox.send_or_closed(0, 0));
        let sent = sender.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_closed_once(&frames);
        assert_eq!(numbers(&frames, 1).len(), usize::from(sent));
    });
}

/// The same with two senders.
#[test]
fn loom_close_goes_after_what_two_have_sent() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let senders = [1, 2].map(|sender| {
            let outbox = Arc::clone(&outbox);
            loom::thread::spawn(move || outbox.send_or_closed(sender, 0))
        });
        outbox.close_with(CloseCode::NORMAL, Urgency::AfterMessages);
        let sent = senders.map(|sender| usize::from(sender.join().expect("no panic")));
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_closed_once(&frames);
        assert_eq!([1, 2].map(|sender| numbers(&frames, sender).len()), sent);
    });
}

/// The same over a wire that is full, with a sender that may wait for room.
#[test]
fn loom_close_goes_after_what_a_full_wire_has_left() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(1, 1);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || {
            if !theirs.send_or_closed(1, 0) {
                assert!(!theirs.send_or_closed(1, 1), "open again");
            }
        });
        let theirs = Arc::clone(&outbox);
        let closer = wire.spawn(move || {
            theirs.close_with(CloseCode::NORMAL, Urgency::AfterMessages);
        });
        wire.make_room(PLENTY);
        wire.run_background();
        sender.join().expect("no panic");
        closer.join().expect("no panic");
        assert_at_rest(&outbox);
        assert_closed_once(&wire.frames());
    });
}

/// A Close that overtakes, beside the program's: one of them is written; of the messages, each is
/// written before it or thrown away.
#[test]
fn loom_an_overtaking_close_beside_the_programs() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let sender = loom::thread::spawn(move || theirs.send_or_closed(1, 0));
        let theirs = Arc::clone(&outbox);
        let replier = loom::thread::spawn(move || {
            let first = theirs.close_with(CloseCode::GOING_AWAY, Urgency::Overtaking);
            theirs.flush_close();
            first
        });
        let first = outbox.close_with(CloseCode::NORMAL, Urgency::AfterMessages);
        let theirs_first = replier.join().expect("no panic");
        assert!(first != theirs_first, "both were the first, or neither");
        let sent = sender.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_closed_once(&frames);
        assert!(numbers(&frames, 1).len() <= usize::from(sent));
    });
}

/// Who flushes its Close returns when that is with the kernel, whoever has written it.
#[test]
fn loom_flush_waits_for_the_close() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(1, 8);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || _ = theirs.send_or_closed(1, 0));
        let (theirs, their_wire) = (Arc::clone(&outbox), Arc::clone(&wire));
        let replier = wire.spawn(move || {
            theirs.close_with(CloseCode::GOING_AWAY, Urgency::Overtaking);
            theirs.flush_close();
            assert_eq!(count(&their_wire.frames(), CLOSE), 1);
        });
        wire.make_room(PLENTY);
        wire.run_background();
        sender.join().expect("no panic");
        replier.join().expect("no panic");
        assert_at_rest(&outbox);
        assert_closed_once(&wire.frames());
    });
}

/// A seal beside sends: nothing stays queued, no room reserved, the wire is given up.
#[test]
fn loom_seal_throws_away_what_is_sent_beside_it() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(FRAME, 8);
        let theirs = Arc::clone(&outbox);
        let sender = loom::thread::spawn(move || {
            let _ = theirs.send_or_closed(1, 0) && theirs.send_or_closed(1, 1);
            theirs.ping(1);
        });
        assert!(outbox.abort());
        assert!(!outbox.send_or_closed(0, 0));
        sender.join().expect("no panic");
        wire.run_background();
        assert_discarded(&outbox, &wire);
    });
}

/// A seal wakes who waits for room, whether it polls or stands in line.
#[test]
fn loom_seal_wakes_who_waits() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(0, 1);
        let senders = [1, 2].map(|sender| {
            let outbox = Arc::clone(&outbox);
            loom::thread::spawn(move || {
                let _ = outbox.send_or_closed(sender, 0) && outbox.send_or_closed(sender, 1);
            })
        });
        assert!(outbox.abort());
        for sender in senders {
            sender.join().expect("no panic");
        }
        wire.run_background();
        assert_discarded(&outbox, &wire);
    });
}

/// A Close ends the wait of who waits for room over a full wire; what was queued before goes first.
#[test]
fn loom_close_wakes_who_waits() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(0, 1);
        let theirs = Arc::clone(&outbox);
        let sender = loom::thread::spawn(move || {
            u8::from(theirs.send_or_closed(1, 0)) + u8::from(theirs.send_or_closed(1, 1))
        });
        outbox.close_with(CloseCode::NORMAL, Urgency::AfterMessages);
        let sent = sender.join().expect("no panic");
        wire.settle();
        let frames = wire.frames();
        assert_eq!(numbers(&frames, 1), Vec::from_iter(0..sent));
        assert_closed_once(&frames);
    });
}

/// Of two seals one counts, beside a Close and who flushes it, and the background.
#[test]
fn loom_seal_beside_seal_and_close() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(0, 8);
        let theirs = Arc::clone(&outbox);
        let aborter = loom::thread::spawn(move || theirs.abort());
        let theirs = Arc::clone(&outbox);
        let replier = loom::thread::spawn(move || {
            theirs.close_with(CloseCode::GOING_AWAY, Urgency::Overtaking);
            theirs.flush_close();
            theirs.take_seal().is_some()
        });
        let first = outbox.abort();
        wire.run_background();
        assert!(
            first != aborter.join().expect("no panic"),
            "both were the first, or neither"
        );
        assert!(
            replier.join().expect("no panic"),
            "went on without Close or seal"
        );
        wire.run_background();
        assert_discarded(&outbox, &wire);
        assert_eq!(count(&wire.frames(), CLOSE), 0);
    });
}
