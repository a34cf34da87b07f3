//! What a full queue means: the overflow policies, over ws and wss, in both roles.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use landline::{
    CloseCode, Config, Delivery, DeliveryError, Initiator, Overflow, SendError, SendErrorKind,
    WaitError, WebSocket,
};

use crate::support::opcode::*;
use crate::support::*;

pub(super) const KIB: usize = 1 << 10;

/// More than the kernel and TLS take for a peer that does not read: it stays in the queue.
const PLUG: usize = 256 * KIB;

/// The number of messages of a KiB that have room behind the plug.
const ROOM: u32 = 8;

/// The number of messages that are sent, more than there is room for.
const MANY: u32 = 20;

pub(super) const POLICIES: [Overflow; 5] = [
    Overflow::Wait,
    Overflow::HandBack,
    Overflow::DropNewest,
    Overflow::DropOldest,
    Overflow::Close,
];

/// No deadline is the reason of anything here.
pub(super) fn patient() -> Config {
    Config::new()
        .ping_interval(None)
        .send_buffer(4 * KIB)
        .max_queue_bytes(PLUG + ROOM as usize * KIB)
        .write_timeout(2 * PATIENCE)
        .close_timeout(2 * PATIENCE)
}

/// Makes a message of a KiB.
pub(super) fn numbered(number: u32) -> Vec<u8> {
    let mut bytes = vec![7; KIB];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Says by which method messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Send,
    SendWith,
    SendAll,
    SendTracked,
}

const HOWS: [How; 4] = [How::Send, How::SendWith, How::SendAll, How::SendTracked];

/// What the sender has got.
struct Sent {
    refused: Option<SendError>,
    deliveries: Vec<Delivery>,
}

impl How {
    /// Opens a connection whose socket is full: the plug stands in it, and nothing moves until the
    /// peer reads. The policy is set by what `self` needs.
    #[track_caller]
    fn open(self, way: Way, policy: Overflow) -> (AnyMeeting, Delivery) {
        let config = match self {
            Self::Send => patient().overflow(policy),
            _ => patient(),
        };
        let met = AnyMeeting::deaf(way, config);
        if matches!(self, Self::SendAll | Self::SendTracked) {
            met.ws.set_overflow(policy);
        }
        let plug = plug(&met.ws);
        (met, plug)
    }

    /// Sends until something is refused.
    fn send(self, ws: &WebSocket, policy: Overflow, mut numbers: Range<u32>) -> Sent {
        let mut deliveries = Vec::new();
        let sent = match self {
            Self::Send => numbers.try_for_each(|number| ws.send(numbered(number))),
            Self::SendWith => numbers.try_for_each(|number| ws.send_with(policy, numbered(number))),
            Self::SendAll => ws.send_all(numbers.map(numbered)),
            Self::SendTracked => numbers.try_for_each(|number| {
                let delivery = ws.send_tracked(numbered(number))?;
                deliveries.push(delivery);
                Ok(())
            }),
        };
        Sent {
            refused: sent.err(),
            deliveries,
        }
    }
}

impl Sent {
    #[track_caller]
    fn assert_refused(self, kind: SendErrorKind, number: u32) {
        let error = self.refused.expect("nothing was refused");
        assert_eq!(error.kind(), kind);
        assert_eq!(error.into_message(), Some(numbered(number).into()));
    }
}

#[track_caller]
fn plug(ws: &WebSocket) -> Delivery {
    let plug = ws.send_tracked(vec![b'p'; PLUG]).unwrap();
    assert!(!plug.is_done(), "the kernel took it all");
    plug
}

#[track_caller]
fn expect_plug(peer: &mut AnyPeer) {
    let frame = peer.read_frame();
    assert!(frame.payload == vec![b'p'; PLUG], "{frame:?}");
}

#[track_caller]
fn expect_numbers(peer: &mut AnyPeer, numbers: Range<u32>) {
    for number in numbers {
        assert_eq!(peer.read_frame(), Frame::new(BINARY, numbered(number)));
    }
}

/// Expects that nothing waits but the Close that is sent now.
#[track_caller]
fn expect_nothing_more(met: &mut AnyMeeting) {
    met.ws.close();
    assert_eq!(met.peer.read_frame().close_code(), Some(1000));
}

/// Calls back with each way of meeting and of sending; what is below does not know how it was sent.
#[track_caller]
fn each(policy: Overflow, test: impl Fn(How, AnyMeeting, Delivery)) {
    for &way in WAYS {
        let hows = match way {
            Way::Plain(_) => &HOWS[..],
            #[cfg(feature = "tls")]
            _ => &[How::SendTracked],
        };
        for &how in hows {
            println!("{way:?}, {how:?}");
            let (met, plug) = how.open(way, policy);
            test(how, met, plug);
        }
    }
}

/// `Wait`: what finds no room waits for it, the queue stays within its budget, and all arrives in
/// order.
#[test]
fn waiting_keeps_all_in_order() {
    each(Overflow::Wait, |how, mut met, plug| {
        let ws = met.ws.clone();
        let sending = thread::spawn(move || how.send(&ws, Overflow::Wait, 0..MANY));
        let full = u64::from(ROOM) + 1;
        settled("the queue is full", || {
            met.ws.counters().queued_messages == full
        });
        assert!(!sending.is_finished());
        let counters = met.ws.counters();
        assert_eq!(counters.queued_bytes, (PLUG + ROOM as usize * KIB) as u64);
        assert!(!plug.is_done());
        expect_plug(&mut met.peer);
        expect_numbers(&mut met.peer, 0..MANY);
        let sent = sending.join().unwrap();
        assert_eq!(sent.refused, None);
        for delivery in sent.deliveries {
            assert_eq!(delivery.wait(), Ok(()));
        }
        assert_eq!(met.ws.counters().dropped, 0);
        expect_nothing_more(&mut met);
    });
}

/// `HandBack`: what finds no room comes back, what was taken arrives.
#[test]
fn handing_back_keeps_what_was_taken() {
    each(Overflow::HandBack, |how, mut met, _| {
        let sent = how.send(&met.ws, Overflow::HandBack, 0..MANY);
        for delivery in &sent.deliveries {
            assert!(!delivery.is_done());
        }
        sent.assert_refused(SendErrorKind::Full, ROOM);
        let again = how.send(&met.ws, Overflow::HandBack, MANY..MANY + 1);
        again.assert_refused(SendErrorKind::Full, MANY);
        expect_plug(&mut met.peer);
        expect_numbers(&mut met.peer, 0..ROOM);
        assert_eq!(met.ws.counters().dropped, 0);
        expect_nothing_more(&mut met);
    });
}

/// `DropNewest`: what finds no room is dropped and counted, its delivery says so at once, and the
/// older ones arrive.
#[test]
fn dropping_the_newest_keeps_the_oldest() {
    each(Overflow::DropNewest, |how, mut met, _| {
        let sent = how.send(&met.ws, Overflow::DropNewest, 0..MANY);
        assert_eq!(sent.refused, None);
        let counters = met.ws.counters();
        assert_eq!(counters.dropped, u64::from(MANY - ROOM));
        assert_eq!(counters.queued_messages, u64::from(ROOM) + 1);
        let (kept, dropped) = sent
            .deliveries
            .split_at(sent.deliveries.len().min(ROOM as usize));
        for delivery in dropped {
            assert_eq!(delivery.wait(), Err(DeliveryError::Dropped));
        }
        expect_plug(&mut met.peer);
        expect_numbers(&mut met.peer, 0..ROOM);
        for delivery in kept {
            assert_eq!(delivery.wait(), Ok(()));
        }
        // There is room again.
        let later = how.send(&met.ws, Overflow::DropNewest, MANY..MANY + 1);
        assert_eq!(later.refused, None);
        expect_numbers(&mut met.peer, MANY..MANY + 1);
        expect_nothing_more(&mut met);
    });
}

/// `DropOldest`: the newest arrives always and in order, the oldest that waits makes room for it and
/// is counted, and what is being written stays.
#[test]
fn dropping_the_oldest_keeps_the_newest() {
    each(Overflow::DropOldest, |how, mut met, plug| {
        let sent = how.send(&met.ws, Overflow::DropOldest, 0..MANY);
        assert_eq!(sent.refused, None);
        let counters = met.ws.counters();
        assert_eq!(counters.dropped, u64::from(MANY - ROOM));
        assert_eq!(counters.queued_messages, u64::from(ROOM) + 1);
        let gone = sent.deliveries.len().min((MANY - ROOM) as usize);
        let (dropped, kept) = sent.deliveries.split_at(gone);
        for delivery in dropped {
            assert_eq!(delivery.wait(), Err(DeliveryError::Dropped));
        }
        for delivery in kept {
            assert!(!delivery.is_done());
        }
        expect_plug(&mut met.peer);
        expect_numbers(&mut met.peer, MANY - ROOM..MANY);
        for delivery in kept.iter().chain([&plug]) {
            assert_eq!(delivery.wait(), Ok(()));
        }
        expect_nothing_more(&mut met);
    });
}

/// `Close`: the first that finds no room closes with 1008 and comes back. What waits is freed at
/// once, though the socket is full, what is being written arrives, and then the Close.
#[test]
fn closing_frees_the_queue_at_once() {
    each(Overflow::Close, |how, mut met, plug| {
        let sent = how.send(&met.ws, Overflow::Close, 0..MANY);
        for delivery in &sent.deliveries {
            assert!(delivery.is_done());
            let closed = DeliveryError::Closed(CloseCode::POLICY_VIOLATION);
            assert_eq!(delivery.wait(), Err(closed));
        }
        sent.assert_refused(SendErrorKind::Closed, ROOM);
        assert!(!met.ws.is_open());
        let counters = met.ws.counters();
        assert_eq!(counters.queued_messages, 1, "the plug alone");
        assert_eq!(counters.queued_bytes, PLUG as u64);
        assert_eq!(counters.undelivered, u64::from(ROOM));
        let again = how.send(&met.ws, Overflow::Close, MANY..MANY + 1);
        again.assert_refused(SendErrorKind::Closed, MANY);
        assert!(!plug.is_done());
        expect_plug(&mut met.peer);
        expect_too_slow(&mut met);
        assert_eq!(plug.wait(), Ok(()));
    });
}

/// Expects the Close of that policy, answers it, and expects that the program is told the same.
#[track_caller]
fn expect_too_slow(met: &mut AnyMeeting) {
    let close = met.peer.read_frame();
    assert_eq!(close.close_code(), Some(1008));
    assert_eq!(&close.payload[2..], b"too slow");
    met.peer.send_close(1008);
    met.peer.send_fin();
    settled("it has ended", || met.ws.close_code().is_some());
    let events = met.events.so_far();
    let [Event::Error(error), Event::Close(event)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(error, "the peer reads too slowly");
    assert_eq!(event.code(), CloseCode::POLICY_VIOLATION);
    assert_eq!(event.reason(), "too slow");
    assert_eq!(event.initiator(), Initiator::Local);
    assert!(event.is_clean());
    assert_eq!(event.undelivered(), u64::from(ROOM));
}

/// Many threads that find the queue full at once close one connection, once.
#[test]
fn closing_from_many_threads_is_one_close() {
    for &way in WAYS {
        let (mut met, _plug) = How::Send.open(way, Overflow::Close);
        thread::scope(|scope| {
            for thread in 0..8 {
                let ws = &met.ws;
                scope.spawn(move || {
                    let first = thread * MANY;
                    let sent = How::Send.send(ws, Overflow::Close, first..first + MANY);
                    assert_eq!(sent.refused.unwrap().kind(), SendErrorKind::Closed);
                });
            }
        });
        assert_eq!(met.ws.counters().queued_messages, 1, "the plug alone");
        expect_plug(&mut met.peer);
        expect_too_slow(&mut met);
    }
}

/// One message may have a policy of its own, and a connection a new one at any time.
#[test]
fn policies_change_from_message_to_message() {
    for &way in WAYS {
        let (mut met, _plug) = How::Send.open(way, Overflow::HandBack);
        How::Send
            .send(&met.ws, Overflow::HandBack, 0..ROOM + 1)
            .assert_refused(SendErrorKind::Full, ROOM);
        met.ws
            .send_with(Overflow::DropNewest, numbered(90))
            .unwrap();
        met.ws.send_with(Overflow::DropOldest, numbered(8)).unwrap();
        met.ws.try_send(numbered(91)).unwrap_err();
        met.ws.set_overflow(Overflow::DropOldest);
        met.ws.send(numbered(9)).unwrap();
        met.ws.set_overflow(Overflow::DropNewest);
        met.ws.send(numbered(92)).unwrap();
        assert_eq!(met.ws.counters().dropped, 4);
        expect_plug(&mut met.peer);
        expect_numbers(&mut met.peer, 2..10);
        expect_nothing_more(&mut met);
    }
}

/// What callbacks send falls under the policy too: an echo to a peer that does not read keeps the
/// oldest or the newest, or ends by 1008 and is no failure of the callback.
#[test]
fn echoes_follow_the_policy() {
    const ECHOES: u32 = 40;
    for &way in WAYS {
        for policy in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Close] {
            let mut met = AnyMeeting::deaf(way, patient().overflow(policy));
            let _plug = plug(&met.ws);
            let name = |number: u32| format!("{number:>KIB$}");
            (0..ECHOES).for_each(|number| met.peer.send(&Frame::text(&name(number))));
            met.peer.send(&Frame::new(PONG, "all have been heard"));
            let heard = met.events.next();
            assert_eq!(heard, Event::Pong(b"all have been heard".into()));
            expect_plug(&mut met.peer);
            let kept = match policy {
                Overflow::DropNewest => 0..ROOM,
                Overflow::DropOldest => ECHOES - ROOM..ECHOES,
                _ => 0..0,
            };
            for number in kept {
                assert_eq!(met.peer.read_frame(), Frame::text(&name(number)));
            }
            if policy == Overflow::Close {
                expect_too_slow(&mut met);
            } else {
                expect_nothing_more(&mut met);
            }
        }
    }
}

/// Where one message is all the queue may hold, the newest takes the place of the one before.
#[test]
fn queue_of_one_holds_the_newest() {
    for &way in WAYS {
        let config = patient().max_queue_messages(1);
        let mut met = AnyMeeting::deaf(way, config.overflow(Overflow::DropOldest));
        let _plug = plug(&met.ws);
        let sent = How::SendTracked.send(&met.ws, Overflow::DropOldest, 0..MANY);
        let (newest, older) = sent.deliveries.split_last().unwrap();
        for delivery in older {
            assert_eq!(delivery.wait(), Err(DeliveryError::Dropped));
        }
        assert_eq!(met.ws.counters().queued_messages, 2, "the plug and one");
        expect_plug(&mut met.peer);
        expect_numbers(&mut met.peer, MANY - 1..MANY);
        assert_eq!(newest.wait(), Ok(()));
        expect_nothing_more(&mut met);
    }
}

/// A message larger than the whole queue takes the place of all that waits, and the next takes its.
#[test]
fn larger_than_the_queue_displaces_all() {
    for &way in WAYS {
        let (mut met, _plug) = How::SendTracked.open(way, Overflow::DropOldest);
        let larger = vec![b'l'; PLUG + (ROOM as usize + 1) * KIB];
        for _ in 0..3 {
            How::SendTracked.send(&met.ws, Overflow::DropOldest, 0..MANY);
            met.ws.send(larger.clone()).unwrap();
            let counters = met.ws.counters();
            assert_eq!(counters.queued_messages, 2, "the plug and the larger");
            assert_eq!(counters.queued_bytes, (PLUG + larger.len()) as u64);
        }
        assert_eq!(met.ws.counters().dropped, u64::from(3 * MANY + 2));
        expect_plug(&mut met.peer);
        assert!(met.peer.read_frame().payload == larger);
        expect_nothing_more(&mut met);
    }
}

/// What is no message of its own yet is not dropped: streamed messages and barriers keep their turn
/// among what is.
#[test]
fn streams_and_barriers_are_not_dropped() {
    for &way in WAYS {
        let (mut met, _plug) = How::SendTracked.open(way, Overflow::DropOldest);
        met.ws.send(numbered(90)).unwrap();
        let mut finished = met.ws.text_writer().unwrap();
        write!(finished, "finished").unwrap();
        finished.finish().unwrap();
        met.ws.send(numbered(91)).unwrap();
        // Its ping is queued, and goes out though nobody waits for the pong any more.
        assert_eq!(met.ws.confirm(Duration::ZERO), Err(WaitError::Timeout));
        met.ws.send(numbered(92)).unwrap();
        let mut begun = met.ws.text_writer().unwrap();
        How::SendTracked.send(&met.ws, Overflow::DropOldest, 0..MANY);
        write!(begun, "begun").unwrap();
        begun.finish().unwrap();
        assert_eq!(met.ws.counters().dropped, u64::from(3 + MANY - ROOM));
        expect_plug(&mut met.peer);
        assert_eq!(met.peer.read_frame(), Frame::text("finished"));
        assert_eq!(met.peer.read_frame().opcode, PING);
        assert_eq!(met.peer.read_frame(), Frame::text("begun"));
        expect_numbers(&mut met.peer, MANY - ROOM..MANY);
        expect_nothing_more(&mut met);
    }
}

/// A send that drops the oldest message passes those that wait in line; nothing is dropped for it
/// while there is room.
#[test]
fn nothing_is_dropped_because_somebody_waits() {
    for &way in WAYS {
        let (mut met, _plug) = How::SendTracked.open(way, Overflow::DropOldest);
        met.ws.send(numbered(0)).unwrap();
        let ws = met.ws.clone();
        let large = vec![b'l'; (ROOM as usize + 1) * KIB];
        let waiting = thread::Builder::new().name("stands in line".into());
        let waiting = waiting
            .spawn(move || ws.send_with(Overflow::Wait, large))
            .unwrap();
        settle_asleep("stands in line");
        met.ws.send(numbered(1)).unwrap();
        assert_eq!(met.ws.counters().dropped, 0);
        expect_plug(&mut met.peer);
        expect_numbers(&mut met.peer, 0..2);
        assert_eq!(
            met.peer.read_frame().payload.len(),
            (ROOM as usize + 1) * KIB
        );
        assert_eq!(waiting.join().unwrap(), Ok(()));
        expect_nothing_more(&mut met);
    }
}

const THREADS: u32 = 8;

/// Threads that push the oldest out all at once lose, double and reorder nothing: what arrives is
/// what was not dropped, each thread's messages in its order, and the last of all is among it.
#[test]
fn many_threads_drop_the_oldest() {
    const EACH: u32 = 300;
    for &way in WAYS {
        let config = patient().max_queue_bytes(ROOM as usize * KIB);
        let mut met = AnyMeeting::deaf(way, config.overflow(Overflow::DropOldest));
        let ws = met.ws.clone();
        let sending = thread::spawn(move || {
            let limit = (ROOM + THREADS) as usize * KIB;
            let mut deliveries = thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|thread| {
                        let ws = &ws;
                        scope.spawn(move || {
                            let numbers = thread * EACH..(thread + 1) * EACH;
                            let send = |number| {
                                let delivery = ws.send_tracked(numbered(number)).unwrap();
                                let queued = ws.buffered_amount();
                                assert!(queued <= limit, "{queued} bytes are queued");
                                delivery
                            };
                            numbers.map(send).collect::<Vec<_>>()
                        })
                    })
                    .collect();
                let threads = threads.into_iter().map(|thread| thread.join().unwrap());
                threads.flatten().collect::<Vec<_>>()
            });
            deliveries.push(ws.send_tracked(numbered(THREADS * EACH)).unwrap());
            deliveries
        });
        let mut arrived = BTreeSet::new();
        let mut latest = [None; THREADS as usize + 1];
        while !arrived.contains(&(THREADS * EACH)) {
            let frame = met.peer.read_frame();
            let number = u32::from_be_bytes(*frame.payload.first_chunk().unwrap());
            assert_eq!(frame, Frame::new(BINARY, numbered(number)));
            let latest = &mut latest[(number / EACH) as usize];
            assert!(*latest < Some(number), "{number} behind {latest:?}");
            *latest = Some(number);
            arrived.insert(number);
        }
        let deliveries = sending.join().unwrap();
        let mut dropped = 0;
        for (number, delivery) in (0..).zip(&deliveries) {
            match delivery.wait() {
                Ok(()) => assert!(arrived.contains(&number), "{way:?}: {number}"),
                Err(error) => {
                    assert_eq!(error, DeliveryError::Dropped);
                    assert!(!arrived.contains(&number), "{way:?}: {number}");
                    dropped += 1;
                }
            }
        }
        assert_eq!(met.ws.counters().dropped, dropped);
        expect_nothing_more(&mut met);
    }
}
