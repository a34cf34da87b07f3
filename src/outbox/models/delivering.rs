//! Every delivery is resolved, and says what is true; what a policy drops is gone once.

use std::sync::Arc;

use super::world::{FRAME, FakeWire, PLENTY, explore, message, numbers};
use super::{assert_at_rest, assert_discarded};
use crate::outbox::{Delivery, Outbox, Urgency};
use crate::{CloseCode, DeliveryError, Overflow};

fn send_tracked(outbox: &Arc<Outbox<FakeWire>>, number: u8) -> Option<Delivery> {
    outbox.send_tracked(message(1, number), Overflow::Wait).ok()
}

/// A delivery is resolved by whoever writes the message, and wakes who waits for it.
#[test]
fn loom_a_delivery_wakes_who_waits() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || {
            let delivery = send_tracked(&theirs, 0).expect("open");
            assert_eq!(delivery.wait(), Ok(()));
        });
        outbox.send_numbers(0, 1);
        sender.join().expect("no panic");
        assert_at_rest(&outbox);
    });
}

/// The same over a full wire, where the background writes it.
#[test]
fn loom_a_delivery_waits_for_the_wire() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(1, 8);
        let (theirs, their_wire) = (Arc::clone(&outbox), Arc::clone(&wire));
        let sender = wire.spawn(move || {
            let delivery = send_tracked(&theirs, 0).expect("open");
            assert_eq!(delivery.wait(), Ok(()));
            assert_eq!(numbers(&their_wire.frames(), 1), [0]);
        });
        wire.make_room(PLENTY);
        wire.run_background();
        sender.join().expect("no panic");
        assert_at_rest(&outbox);
    });
}

/// Beside a seal a message is either written, and says so, or counted as undelivered.
#[test]
fn loom_a_delivery_beside_a_seal_says_what_is_true() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(FRAME, 8);
        let theirs = Arc::clone(&outbox);
        let sender = loom::thread::spawn(move || {
            let deliveries = [send_tracked(&theirs, 0), send_tracked(&theirs, 1)];
            deliveries
                .into_iter()
                .flatten()
                .map(|delivery| delivery.wait())
                .collect::<Vec<_>>()
        });
        assert!(outbox.abort());
        let outcomes = sender.join().expect("no panic");
        wire.run_background();
        assert_discarded(&outbox, &wire);
        let delivered = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(
            numbers(&wire.frames(), 1),
            Vec::from_iter(0..delivered as u8)
        );
        let lost = Err(DeliveryError::Aborted);
        assert!(outcomes[delivered..].iter().all(|outcome| *outcome == lost));
        let counters = outbox.counters();
        assert_eq!(counters.messages_out, delivered as u64);
        assert_eq!(counters.undelivered, (outcomes.len() - delivered) as u64);
    });
}

/// What a Close overtakes is resolved with its code, also what takes its place late.
#[test]
fn loom_a_close_that_overtakes_resolves_what_it_passes() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(0, 8);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || {
            let Some(delivery) = send_tracked(&theirs, 0) else {
                return;
            };
            let outcome = delivery.wait();
            let passed = Err(DeliveryError::Closed(CloseCode::POLICY_VIOLATION));
            assert!(outcome == passed || outcome == Ok(()), "{outcome:?}");
        });
        outbox.close_with(CloseCode::POLICY_VIOLATION, Urgency::Overtaking);
        wire.make_room(PLENTY);
        wire.run_background();
        sender.join().expect("no panic");
        assert_at_rest(&outbox);
    });
}

/// Two who drop the oldest beside the background: each message is written or counted as dropped, and
/// the last of each has not been dropped by its own sender.
#[test]
fn loom_dropping_the_oldest_beside_the_background() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(1, 1);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || {
            for number in 0..2 {
                let sent = theirs.send(message(1, number), Overflow::DropOldest);
                sent.expect("open");
            }
        });
        let sent = outbox.send(message(0, 0), Overflow::DropOldest);
        sent.expect("open");
        wire.make_room(PLENTY);
        wire.run_background();
        sender.join().expect("no panic");
        assert_at_rest(&outbox);
        let counters = outbox.counters();
        assert_eq!(counters.messages_out + counters.dropped, 3);
        assert_eq!(counters.messages_out, wire.frames().len() as u64);
        assert!(counters.dropped <= 2, "the last one was dropped as well");
    });
}

/// Who waits until nothing is queued is woken by whoever writes the last of it.
#[test]
fn loom_drained_wakes_who_waits() {
    explore(Some(3), || {
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
        assert_at_rest(&outbox);
    });
}
