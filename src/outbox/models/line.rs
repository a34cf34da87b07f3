//! Who waits for room is never left asleep, and nobody passes.

use std::sync::{Arc, Mutex};

use super::assert_at_rest;
use super::world::{FRAME, FakeWire, PLENTY, explore, message, numbers};
use crate::outbox::budget::{Budget, Respect};
use crate::sync::lock;
use crate::{Config, Overflow};

/// Room that another thread's pump makes wakes who waits for it.
#[test]
fn loom_a_pump_makes_room_for_who_waits() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 1);
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

/// The same for two who wait at a time.
#[test]
fn loom_pumps_make_room_for_two_who_wait() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 1);
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

/// Over a full wire the first in line polls and pumps; or else the background makes the room.
#[test]
fn loom_a_full_wire_lets_who_waits_go_on() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(0, 1);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || theirs.send_numbers(1, 3));
        wire.make_room(1);
        wire.make_room(PLENTY);
        wire.run_background();
        sender.join().expect("no panic");
        assert_at_rest(&outbox);
        assert_eq!(numbers(&wire.frames(), 1), [0, 1, 2]);
    });
}

/// The same for two who wait, of whom only one polls.
#[test]
fn loom_a_full_wire_lets_two_who_wait_go_on() {
    explore(Some(2), || {
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
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!(
            (numbers(&frames, 1), numbers(&frames, 2)),
            (vec![0, 1], vec![0, 1])
        );
    });
}

/// Who never waits takes nothing from who does, and leaves nobody asleep.
#[test]
fn loom_try_send_beside_who_waits() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 1);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || theirs.send_numbers(1, 2));
        let sent = outbox.send(message(0, 0), Overflow::HandBack).is_ok();
        sender.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!(
            (numbers(&frames, 0).len(), numbers(&frames, 1)),
            (sent.into(), vec![0, 1])
        );
    });
}

/// Keeps a record of a line. It is not one of loom's locks: it stands for the moment in which the
/// thread that writes to it came so far.
#[derive(Default)]
struct Record {
    waiting: Mutex<Vec<u8>>,
    served: Mutex<Vec<u8>>,
}

impl Record {
    fn wait_in_line(&self, budget: &Budget, who: u8) {
        let place = budget.line_up();
        lock(&self.waiting).push(who);
        while place.reserve(1).is_err() {
            place.wait(1, None);
        }
        lock(&self.served).push(who);
        drop(place);
        budget.release(1, 1);
    }
}

fn budget_of_one() -> Arc<Budget> {
    let budget = Budget::new(&Config::new().max_queue_messages(1));
    budget
        .reserve(1, Respect::Line)
        .expect("nothing is reserved yet");
    Arc::new(budget)
}

/// Those in line are served in the order in which they came.
#[test]
fn loom_the_line_is_served_in_order() {
    explore(Some(3), || {
        let (budget, record) = (budget_of_one(), Arc::new(Record::default()));
        let waiters = [1, 2].map(|who| {
            let (budget, record) = (Arc::clone(&budget), Arc::clone(&record));
            loom::thread::spawn(move || record.wait_in_line(&budget, who))
        });
        budget.release(1, 1);
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
        assert_eq!((budget.messages(), budget.bytes()), (0, 0));
        assert_eq!(*lock(&record.waiting), *lock(&record.served));
        budget
            .reserve(1, Respect::Line)
            .expect("nobody is left in line");
    });
}

/// While somebody stands in line, nobody passes.
#[test]
fn loom_nobody_passes_the_line() {
    explore(None, || {
        let (budget, record) = (budget_of_one(), Arc::new(Record::default()));
        let (theirs, record_of_theirs) = (Arc::clone(&budget), Arc::clone(&record));
        let waiter = loom::thread::spawn(move || record_of_theirs.wait_in_line(&theirs, 1));
        budget.release(1, 1);
        let waiting = lock(&record.waiting).clone();
        if budget.reserve(1, Respect::Line).is_ok() {
            assert!(lock(&record.served).starts_with(&waiting), "passed");
            budget.release(1, 1);
        }
        waiter.join().expect("no panic");
        assert_eq!((budget.messages(), budget.bytes()), (0, 0));
    });
}

/// Who gives up lets the next in line move up.
#[test]
fn loom_who_leaves_the_line_wakes_the_next() {
    explore(Some(3), || {
        let (budget, record) = (budget_of_one(), Arc::new(Record::default()));
        let (theirs, record_of_theirs) = (Arc::clone(&budget), Arc::clone(&record));
        let waiter = loom::thread::spawn(move || record_of_theirs.wait_in_line(&theirs, 1));
        let theirs = Arc::clone(&budget);
        let hasty = loom::thread::spawn(move || drop(theirs.line_up()));
        budget.release(1, 1);
        hasty.join().expect("no panic");
        waiter.join().expect("no panic");
        assert_eq!((budget.messages(), budget.bytes()), (0, 0));
    });
}
