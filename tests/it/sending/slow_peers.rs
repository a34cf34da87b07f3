//! A peer that does not read fast enough is cut, whatever the overflow policy.

use std::collections::BTreeSet;
use std::thread;

use landline::{CloseEvent, Config, Initiator, Overflow, SendErrorKind, Timeout, WebSocket};

use super::overflow::{KIB, POLICIES, numbered, patient};
use crate::support::*;

/// What the peer does that is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    Nothing,
    AFewBytesAtATime,
}

/// Makes settings with a queue of 32 messages and a write deadline that passes soon.
fn strict(policy: Overflow) -> Config {
    patient()
        .max_queue_bytes(QUEUE)
        .overflow(policy)
        .write_timeout(ms(250))
}

const QUEUE: usize = 32 * KIB;

/// Sends until the connection is closed, and returns why each refused send was.
fn flood(ws: &WebSocket) -> BTreeSet<&'static str> {
    let mut refused = BTreeSet::new();
    for number in 0.. {
        let sent = match number % 3 {
            0 => ws.send(numbered(number)),
            1 => ws.send_all([numbered(number)]),
            _ => ws.send_tracked(numbered(number)).map(drop),
        };
        let queued = ws.counters().queued_bytes;
        assert!(queued <= (QUEUE + KIB) as u64, "{queued} bytes are queued");
        match sent.map_err(|error| error.kind()) {
            Ok(()) => {}
            Err(SendErrorKind::Full) => drop(refused.insert("full")),
            Err(SendErrorKind::Timeout) => drop(refused.insert("timeout")),
            Err(SendErrorKind::Closed) => break,
            Err(kind) => panic!("{kind:?}"),
        }
    }
    refused
}

/// Floods a peer that never reads (F01) and one that reads a few bytes at a time (F13), each over ws
/// and wss in both roles. It is cut when the write deadline passes, the queue stays within its budget,
/// and other connections of the server fare no worse.
#[track_caller]
fn assert_slow_peers_are_cut(policy: Overflow, refused: &[&str]) {
    thread::scope(|scope| {
        let ways: Vec<_> = WAYS
            .iter()
            .map(|&way| {
                scope.spawn(move || {
                    for reads in [Reads::Nothing, Reads::AFewBytesAtATime] {
                        println!("{way:?}, the peer reads {reads:?}");
                        assert_slow_peer_is_cut(way, reads, policy, refused);
                    }
                })
            })
            .collect();
        ways.into_iter().for_each(|way| way.join().unwrap());
    });
}

#[track_caller]
fn assert_slow_peer_is_cut(way: Way, reads: Reads, policy: Overflow, refused: &[&str]) {
    let mut met = AnyMeeting::deaf(way, strict(policy));
    let probe = met.probe();
    let seen = thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&met.ws));
        let probing = scope.spawn(|| probe.as_ref().inspect(|probe| probe.keeps_up()));
        settled("it is cut", || {
            if reads == Reads::AFewBytesAtATime {
                met.peer.sip();
            }
            met.ws.close_code().is_some()
        });
        probing.join().unwrap();
        flooding.join().unwrap()
    });
    for kind in seen {
        assert!(refused.contains(&kind), "{way:?}: {kind}");
    }
    assert_cut(&met, policy);
}

#[track_caller]
fn assert_cut(met: &AnyMeeting, policy: Overflow) {
    let counters = met.ws.counters();
    let drops = matches!(policy, Overflow::DropOldest | Overflow::DropNewest);
    assert_eq!(counters.dropped > 0, drops, "{counters:?}");
    assert_eq!((counters.queued_messages, counters.queued_bytes), (0, 0));
    let events = met.events.so_far();
    let [Event::Error(error), Event::Close(event)] = &events[..] else {
        panic!("{events:?}");
    };
    let (code, said) = match policy {
        Overflow::Close => (1008, "the peer reads too slowly"),
        _ => (1006, "timed out writing to a peer that does not read"),
    };
    assert_eq!((event.code().as_u16(), &**error), (code, said));
    assert_eq!(event.undelivered(), counters.undelivered);
    assert_cut_by_the_write_deadline(event);
}

#[track_caller]
fn assert_cut_by_the_write_deadline(event: &CloseEvent) {
    assert_eq!(event.timeout(), Some(Timeout::Write), "{event:?}");
    assert_eq!(event.initiator(), Initiator::Local, "{event:?}");
    assert_eq!(event.sent_code(), None, "{event:?}");
    assert!(!event.is_clean(), "{event:?}");
    assert!(event.undelivered() > 0, "{event:?}");
}

/// A send that waits for a slow peer to make room waits until the peer is cut, and no longer.
#[test]
fn waiting_for_a_slow_peer_ends() {
    assert_slow_peers_are_cut(Overflow::Wait, &["timeout"]);
}

/// A full queue of a slow peer hands messages back until the peer is cut.
#[test]
fn handing_back_from_a_slow_peer_ends() {
    assert_slow_peers_are_cut(Overflow::HandBack, &["full"]);
}

/// Dropping the newest keeps nobody open who does not read.
#[test]
fn dropping_the_newest_of_a_slow_peer_ends() {
    assert_slow_peers_are_cut(Overflow::DropNewest, &[]);
}

/// Dropping the oldest keeps nobody open who does not read, however fast that goes.
#[test]
fn dropping_the_oldest_of_a_slow_peer_ends() {
    assert_slow_peers_are_cut(Overflow::DropOldest, &[]);
}

/// A slow peer that cannot be told so is cut, and the program hears that it was too slow.
#[test]
fn closing_a_slow_peer_ends() {
    assert_slow_peers_are_cut(Overflow::Close, &[]);
}

/// What a peer that never reads costs stays within the published formula, whatever the policy.
#[test]
fn memory_stays_within_the_formula() {
    alone(|| {
        const MESSAGE: usize = 64 * KIB;
        const LIMIT: usize = 1_024 * KIB;
        for &way in WAYS {
            for policy in POLICIES {
                let config = strict(policy).max_queue_bytes(LIMIT);
                let met = AnyMeeting::deaf(way, config);
                let before = resident_kib();
                for _ in 0..1_000 {
                    let _ = met.ws.send(vec![7; MESSAGE]);
                }
                let grown = resident_kib().saturating_sub(before) as usize;
                // Twice the queue, 100 bytes a message, and what is under way; half as much again.
                let formula = (2 * LIMIT + 100 * 1_024) / KIB + 512;
                assert!(
                    grown <= formula * 3 / 2,
                    "{way:?}, {policy:?}: {grown} KiB more after 64 MiB"
                );
            }
        }
    });
}
