//! The end wakes every thread, and counts every message once.

use std::sync::Arc;

use super::world::{BINARY, CLOSE, FRAME, FakeWire, Frame, PLENTY, explore, message, numbers};
use crate::life::CloseCause;
use crate::outbox::{Delivery, Outbox, Rest, Wire};
use crate::protocol::CloseFrame;
use crate::{CloseCode, DeliveryError, Error, Initiator};

const NORMAL: CloseCode = CloseCode::NORMAL;
const GONE: CloseCode = CloseCode::GOING_AWAY;
const FAILED: CloseCode = CloseCode::PROTOCOL_ERROR;

fn close(code: CloseCode) -> CloseFrame {
    CloseFrame::cut_to_fit(code, "")
}

/// Sends messages 0 and 1 of sender 1 until one is refused.
fn send_tracked(outbox: &Arc<Outbox<FakeWire>>) -> Vec<Delivery> {
    let numbers = 0..2;
    let sent = numbers.map_while(|number| outbox.send_tracked(message(1, number)).ok());
    sent.collect()
}

/// Checks that exactly one Close was written, and nothing behind it (L5).
fn assert_closed_once(frames: &[Frame]) {
    let close = frames.iter().position(|frame| frame.opcode == CLOSE);
    assert_eq!(close, Some(frames.len() - 1), "{frames:?}");
}

/// The program's Close leaves behind everything that was admitted before it, over a full wire too,
/// and ends the wait of the threads in line.
#[test]
fn loom_a_close_goes_behind_what_was_sent() {
    for room in [0, FRAME + 1] {
        explore(2, move || {
            let (wire, outbox) = FakeWire::with_outbox(room, 1);
            let senders = [1, 2].map(|sender| {
                let outbox = Arc::clone(&outbox);
                wire.spawn(move || outbox.send_or_closed(sender, 0))
            });
            assert!(outbox.close(close(NORMAL)));
            assert!(!outbox.send_or_closed(0, 0), "open again");
            wire.make_room(PLENTY);
            wire.run_background();
            let sent = senders.map(|sender| usize::from(sender.join().expect("no panic")));
            outbox.assert_at_rest();
            let frames = wire.frames();
            assert_closed_once(&frames);
            assert_eq!([1, 2].map(|sender| numbers(&frames, sender).len()), sent);
        });
    }
}

/// A reply to the peer's Close beside the program's and a sender: one of the two is written, and
/// when the flush returns, it has been. The outcome of every delivery is true.
#[test]
fn loom_a_reply_overtakes_and_is_flushed() {
    explore(2, || {
        let (wire, outbox) = FakeWire::with_outbox(FRAME, 8);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || {
            let deliveries = send_tracked(&theirs);
            let outcomes = deliveries.iter().map(Delivery::wait);
            outcomes.collect::<Vec<_>>()
        });
        let (theirs, their_wire) = (Arc::clone(&outbox), Arc::clone(&wire));
        let reader = wire.spawn(move || {
            theirs.answer_close(close(GONE));
            theirs.flush();
            assert_closed_once(&their_wire.frames());
        });
        wire.make_room(PLENTY);
        outbox.close(close(NORMAL));
        wire.run_background();
        reader.join().expect("no panic");
        let outcomes = sender.join().expect("no panic");
        outbox.assert_at_rest();
        assert_closed_once(&wire.frames());
        let overtaken = outcomes.iter().filter(|outcome| outcome.is_err());
        assert!(
            overtaken
                .clone()
                .all(|outcome| *outcome == Err(DeliveryError::Closed(GONE)))
        );
        let counters = outbox.counters();
        assert_eq!(counters.undelivered, overtaken.count() as u64);
        assert_eq!(
            counters.messages_out,
            numbers(&wire.frames(), 1).len() as u64
        );
    });
}

/// A write fails while input waits: the sending ends, which wakes the threads in line and resolves
/// every delivery. The reading goes on, and the peer's Close is reported.
#[test]
fn loom_a_failed_write_ends_the_sending_alone() {
    explore(2, || {
        let (wire, outbox) = FakeWire::with_outbox(FRAME, 1);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || {
            let deliveries = send_tracked(&theirs);
            let outcomes = deliveries.iter().map(Delivery::wait);
            (
                outcomes.filter(Result::is_ok).count(),
                deliveries.len() as u64,
            )
        });
        let theirs = Arc::clone(&outbox);
        let breaker = wire.spawn({
            let wire = Arc::clone(&wire);
            move || {
                wire.break_off();
                u64::from(theirs.send_or_closed(2, 0))
            }
        });
        wire.run_background();
        let (delivered, sent) = sender.join().expect("no panic");
        let sent = sent + breaker.join().expect("no panic");
        wire.run_background();
        // If everything was written before, this call finds out.
        outbox.answer_close(close(GONE));
        assert!(!outbox.is_cut(), "reading is over");
        outbox.assert_over(&wire, sent);
        assert_eq!(numbers(&wire.frames(), 1).len(), delivered);
        let (event, _) = outbox.tell();
        assert_eq!(
            (event.code(), event.is_clean(), event.timeout()),
            (GONE, false, None)
        );
        assert_eq!(event.undelivered(), outbox.counters().undelivered);
    });
}

/// The end while a thread has the writer: the end waits for it, and messages are either written or
/// counted as undelivered.
#[test]
fn loom_the_end_waits_for_the_writer() {
    explore(3, || {
        let (wire, outbox) = FakeWire::with_outbox(FRAME + 1, 8);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || {
            let sent = send_tracked(&theirs);
            let outcomes = sent.iter().map(Delivery::wait);
            (
                outcomes.filter(Result::is_ok).count() as u64,
                sent.len() as u64,
            )
        });
        let (event, _) = outbox.tell();
        let counted = (outbox.counters().messages_out, event.undelivered());
        wire.run_background();
        let (delivered, sent) = sender.join().expect("no panic");
        wire.cut(Rest::Discarded);
        outbox.assert_over(&wire, sent);
        assert_eq!(counted, (delivered, sent - delivered));
        drop(outbox);
        assert_eq!(Arc::strong_count(&wire), 1, "something keeps the wire");
    });
}

/// A cut wakes every thread: in line, at a delivery, in a flush. Of two cuts one counts.
#[test]
fn loom_a_cut_wakes_everybody() {
    explore(2, || {
        let (wire, outbox) = FakeWire::with_outbox(0, 1);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || {
            let sent = send_tracked(&theirs);
            let lost = [
                Err(DeliveryError::Aborted),
                Err(DeliveryError::Closed(FAILED)),
            ];
            assert!(sent.iter().all(|delivery| lost.contains(&delivery.wait())));
            sent.len() as u64
        });
        let theirs = Arc::clone(&outbox);
        let reader = wire.spawn(move || {
            theirs.fail(close(FAILED), Error::TooSlow);
            theirs.flush();
            theirs.cut(CloseCause::Aborted)
        });
        let first = outbox.cut(CloseCause::Aborted);
        wire.run_background();
        assert!(
            first != reader.join().expect("no panic"),
            "both cut it, or neither"
        );
        let sent = sender.join().expect("no panic");
        outbox.assert_over(&wire, sent);
        assert!(wire.frames().iter().all(|frame| frame.opcode == BINARY));
        assert_eq!(outbox.tell().0.initiator(), Initiator::Local);
    });
}
