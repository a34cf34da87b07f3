//! A burst to many: everything leaves, in order, and is counted, whoever sends, gathers or ends a
//! connection meanwhile.

use std::sync::Arc;

use super::world::{FakeWire, PLENTY, drive_with, explore, message, numbers};
use crate::SlowPeers;
use crate::life::CloseCause;
use crate::outbox::{Burst, Cork, Outbox, send_to_many};

type Members = [Arc<Outbox<FakeWire>>; 2];

/// A thread that gathers messages to two connections.
struct Publisher {
    members: Members,
    cork: Arc<Cork<FakeWire>>,
    burst: Option<Arc<Burst<FakeWire>>>,
}

impl Publisher {
    fn new(members: &Members) -> Self {
        let cork = Cork::new();
        drive_with(&cork);
        Self {
            members: members.clone(),
            cork,
            burst: None,
        }
    }

    /// Sends a message to both. Returns for how many it was queued.
    fn send(&mut self, sender: u8, number: u8) -> usize {
        let message = message(sender, number);
        let burst = self.burst.as_ref();
        if let Some(queued) = burst.and_then(|burst| burst.push(&message)) {
            return queued;
        }
        let members = self.members.iter().cloned();
        let (queued, begun) = send_to_many(members, &message, SlowPeers::Close);
        self.burst = begun;
        queued
    }

    fn end(self) {
        self.cork.set_active(false);
        self.cork.uncork();
    }
}

/// Two wires that take everything, and queues with room for a burst.
fn world() -> ([Arc<FakeWire>; 2], Members) {
    let [one, two] = [(); 2].map(|()| FakeWire::with_outbox(PLENTY, 1 << 10));
    ([one.0, two.0], [one.1, two.1])
}

/// One thread sends to both, to one alone, and to both again, beside a sender to that one: each hears the
/// thread in its order.
#[test]
fn loom_messages_to_one_keep_their_place_in_a_burst() {
    explore(2, || {
        let (wires, members) = world();
        let theirs = members.clone();
        let publisher = wires[0].spawn(move || {
            let mut publisher = Publisher::new(&theirs);
            assert_eq!(publisher.send(1, 0), 2);
            assert!(theirs[0].send_or_closed(1, 1));
            assert_eq!(publisher.send(1, 2), 2);
            publisher.end();
        });
        members[0].send_numbers(2, 1);
        publisher.join().expect("no panic");
        members.iter().for_each(|member| member.assert_at_rest());
        let [one, two] = wires.map(|wire| wire.frames());
        assert_eq!(numbers(&one, 1), [0, 1, 2]);
        assert_eq!(numbers(&one, 2), [0]);
        assert_eq!(numbers(&two, 1), [0, 2]);
    });
}

/// Two threads gather for the same connections, and end each other's bursts.
#[test]
fn loom_two_bursts_to_the_same_connections() {
    explore(2, || {
        let (wires, members) = world();
        let publishers = [1, 2].map(|sender| {
            let theirs = members.clone();
            wires[0].spawn(move || {
                let mut publisher = Publisher::new(&theirs);
                for number in 0..2 {
                    assert_eq!(publisher.send(sender, number), 2);
                }
                publisher.end();
            })
        });
        for publisher in publishers {
            publisher.join().expect("no panic");
        }
        members.iter().for_each(|member| member.assert_at_rest());
        for wire in wires {
            let frames = wire.frames();
            assert_eq!(
                (numbers(&frames, 1), numbers(&frames, 2)),
                (vec![0, 1], vec![0, 1])
            );
        }
    });
}

/// One of the connections ends during the burst: each message that was queued for it is counted, and the
/// other hears all.
#[test]
fn loom_a_connection_ends_during_a_burst() {
    explore(3, || {
        let (wires, members) = world();
        let theirs = members.clone();
        let publisher = wires[0].spawn(move || {
            let mut publisher = Publisher::new(&theirs);
            let queued = (0..2)
                .map(|number| publisher.send(1, number))
                .sum::<usize>();
            publisher.end();
            queued
        });
        members[0].end(CloseCause::Aborted);
        let queued = publisher.join().expect("no panic");
        members[0].assert_over(&wires[0], queued as u64 - 2);
        members[1].assert_at_rest();
        assert_eq!(numbers(&wires[1].frames(), 1), [0, 1]);
    });
}
