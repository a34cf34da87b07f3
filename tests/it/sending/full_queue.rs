//! A queue is full by its limits alone, not because somebody waits; and whoever waits gets its turn.

use std::thread::{self, JoinHandle};

use landline::{Config, Group, Message, Overflow, SendErrorKind, SlowPeers, WebSocket};

use crate::support::*;

const KIB: usize = 1 << 10;
/// What somebody sends of whom two do not fit into the queue.
const LARGE: usize = 600 * KIB;
const QUEUE: usize = 1 << 20;

/// No deadline is the reason of anything.
fn shallow() -> Config {
    patient().send_buffer(4 * KIB)
}

/// Sends on a thread of that name, and waits until it waits for room.
#[track_caller]
fn send_waiting(
    ws: &WebSocket,
    name: &str,
    message: impl Into<Message>,
) -> JoinHandle<Result<(), SendErrorKind>> {
    let sending = send_on_thread(ws, name, message.into());
    settle_asleep(name);
    sending
}

fn send_on_thread(
    ws: &WebSocket,
    name: &str,
    message: Message,
) -> JoinHandle<Result<(), SendErrorKind>> {
    let ws = ws.clone();
    let sending = move || ws.send(message).map_err(|error| error.kind());
    let sending = thread::Builder::new().name(name.into()).spawn(sending);
    sending.unwrap()
}

/// A connection whose socket takes nothing, with 600 KiB of 1 MiB queued; the same once more waits.
#[track_caller]
fn open_with_one_waiting(way: Way) -> (AnyMeeting, JoinHandle<Result<(), SendErrorKind>>) {
    let met = AnyMeeting::of(way, shallow().max_queue_bytes(QUEUE), |_| {});
    met.ws.send(vec![b'1'; LARGE]).unwrap();
    let waiting = send_waiting(&met.ws, "waits", vec![b'2'; LARGE]);
    (met, waiting)
}

/// How a message goes that does not wait.
#[derive(Clone, Copy, Debug)]
enum How {
    Group,
    Broadcast,
    Try,
    Close,
    DropNewest,
    DropOldest,
}

const HOWS: [How; 6] = [
    How::Group,
    How::Broadcast,
    How::Try,
    How::Close,
    How::DropNewest,
    How::DropOldest,
];

impl How {
    /// Sends without waiting; returns whether it was taken.
    fn send(self, met: &AnyMeeting, group: &Group) -> Option<bool> {
        let message = "status";
        Some(match self {
            Self::Group => group.send(message) == 1,
            Self::Broadcast => met.server()?.broadcast(message) == 1,
            Self::Try => met.ws.try_send(message).is_ok(),
            Self::Close => met.ws.send_with(Overflow::Close, message).is_ok(),
            Self::DropNewest => met.ws.send_with(Overflow::DropNewest, message).is_ok(),
            Self::DropOldest => met.ws.send_with(Overflow::DropOldest, message).is_ok(),
        })
    }
}

/// Beside one who waits, there is room for a message that has room: nobody is closed, nothing is
/// dropped, nothing is refused, and all of it arrives.
#[test]
fn whoever_waits_does_not_make_the_queue_full() {
    alone(|| {
        let mut wrong = Vec::new();
        for (way, how) in WAYS.iter().flat_map(|way| HOWS.map(|how| (*way, how))) {
            let (mut met, waiting) = open_with_one_waiting(way);
            let group = Group::new();
            group.join(&met.ws);
            let taken: Vec<_> = (0..3).map_while(|_| how.send(&met, &group)).collect();
            let counters = met.ws.counters();
            let seen = (
                taken.iter().all(|taken| *taken),
                counters.dropped,
                met.ws.is_open(),
            );
            if seen != (true, 0, true) {
                wrong.push(format!("{way:?} {how:?}: {seen:?}"));
                met.ws.abort();
                let _ = waiting.join();
                continue;
            }
            let mut lengths: Vec<_> = (0..2 + taken.len())
                .map(|_| met.peer.read_frame().payload.len())
                .collect();
            lengths.sort_unstable();
            let expected = [vec![6; taken.len()], vec![LARGE; 2]].concat();
            assert_eq!(lengths, expected, "{way:?} {how:?}");
            assert_eq!(waiting.join().unwrap(), Ok(()), "{way:?} {how:?}");
        }
        assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
    });
}

/// The limits still count beside one who waits.
#[test]
fn limits_count_beside_whoever_waits() {
    alone(|| {
        for &way in WAYS {
            let (met, waiting) = open_with_one_waiting(way);
            let chunk = 64 * KIB;
            let room = (QUEUE - met.ws.buffered_amount()) / chunk;
            let taken = (0..100).take_while(|_| met.ws.try_send(vec![7; chunk]).is_ok());
            let taken = taken.count();
            assert!(taken <= room, "{way:?}: {taken} where {room} fit");
            assert!(met.ws.buffered_amount() <= QUEUE, "{way:?}");
            assert_eq!(
                met.ws.counters().queued_messages,
                1 + taken as u64,
                "{way:?}"
            );
            met.ws.abort();
            assert_eq!(waiting.join().unwrap(), Err(SendErrorKind::Closed));
            let event = met.ws.wait_closed().unwrap();
            assert_eq!(event.undelivered(), 1 + taken as u64, "{way:?} {event:?}");
        }
    });
}

/// One thread sends 600 KiB messages as fast as they go, and a group says "status" all the while: a
/// member that reads is never closed.
#[test]
fn member_that_reads_is_not_closed_for_large_messages() {
    for role in [Role::Server, Role::Client] {
        let config = patient().max_queue_bytes(QUEUE).send_buffer(64 * KIB);
        // Its receive buffer is the usual one: into a small one, Linux may send by its persist timer
        // alone, a KiB in 200 milliseconds.
        let mut met = Meeting::of(role, config, |_| {});
        let group = Group::new();
        group.join(&met.ws);
        let ws = met.ws.clone();
        let sending = thread::spawn(move || while ws.send(vec![7; LARGE]).is_ok() {});
        // As many are under way as fit beside the large ones by far.
        let mut told = 0;
        let mut under_way = 0;
        while told < 200 {
            while under_way < 50 {
                if group.send("status") != 1 {
                    panic!("{role:?}: closed after {told}: {:?}", met.ws.counters());
                }
                under_way += 1;
            }
            if met.peer.read_frame().payload.len() != LARGE {
                under_way -= 1;
                told += 1;
            }
        }
        assert!(met.ws.is_open(), "{role:?}");
        met.ws.abort();
        settled("the sender has heard", || sending.is_finished());
    }
}

/// The number of messages of a KiB that a queue holds: far more than the system takes at a time.
const MANY: usize = 64;

/// Fills the queue with messages of a KiB, by whoever never waits.
fn flood(ws: &WebSocket) {
    while ws.try_send(vec![b'f'; KIB]).is_ok() {}
}

/// A connection with its queue full of messages of a KiB, and one who waits for room to send `message`.
#[track_caller]
fn open_flooded(
    way: Way,
    config: &Config,
    message: &[u8],
) -> (AnyMeeting, JoinHandle<Result<(), SendErrorKind>>) {
    loop {
        let met = AnyMeeting::of(way, config.clone(), |_| {});
        flood(&met.ws);
        let sending = send_on_thread(&met.ws, "waits", message.into());
        if settle_asleep_unless("waits", || sending.is_finished()) {
            return (met, sending);
        }
        // The system has taken a little more since it was flooded: there was room.
    }
}

/// Reads one message after another, with the queue filled again after each, until so many more have
/// left. Returns false if what has been waited with came meanwhile: it had room.
#[track_caller]
fn flood_until(met: &mut AnyMeeting, left: u64, is_over: impl Fn() -> bool) -> bool {
    let end = met.ws.counters().messages_out + left;
    while met.ws.counters().messages_out < end && !is_over() {
        if met.peer.read_frame().payload[0] != b'f' {
            return false;
        }
        flood(&met.ws);
    }
    true
}

/// Beside a flood of those who never wait, and never leave half of the queue empty, whoever waits
/// gets its turn once as much has left as the queue holds: with bytes, with messages, and for a
/// message larger than the whole queue.
#[test]
fn whoever_waits_gets_its_turn_in_a_flood() {
    alone(|| {
        let by_bytes = shallow()
            .max_queue_bytes(MANY * KIB)
            .max_queue_messages(10_000);
        let by_messages = shallow().max_queue_messages(MANY).max_queue_bytes(1 << 30);
        for (config, size) in [
            (&by_bytes, KIB),
            (&by_bytes, 10 * KIB),
            (&by_bytes, 4 * MANY * KIB),
            (&by_messages, KIB),
        ] {
            for &way in WAYS {
                let (mut met, waiting) = open_flooded(way, config, &vec![b'w'; size]);
                let comes = flood_until(&mut met, MANY as u64 + 8, || waiting.is_finished());
                settled("it has its turn", || waiting.is_finished());
                assert_eq!(waiting.join().unwrap(), Ok(()), "{way:?} {size}");
                if !comes {
                    continue;
                }
                // The excess is that one message.
                let counters = met.ws.counters();
                assert!(counters.queued_messages <= MANY as u64 + 1, "{counters:?}");
                let most = MANY * KIB + size;
                assert!(met.ws.buffered_amount() <= most, "{way:?} {counters:?}");
                // It comes, and nothing is lost.
                let taken = counters.messages_out + counters.queued_messages;
                while met.peer.read_frame().payload != vec![b'w'; size] {}
                let last = send_on_thread(&met.ws, "ends", "last".into());
                while met.peer.read_frame().payload != b"last" {}
                assert_eq!(last.join().unwrap(), Ok(()), "{way:?} {size}");
                settled("all are counted", || {
                    met.ws.counters().messages_out == taken + 1
                });
                assert_eq!(met.ws.counters().undelivered, 0, "{way:?} {size}");
            }
        }
    });
}

/// Where a message was taken over the limit, the queue is truly full for those who never wait.
#[test]
fn queue_is_full_over_the_limit() {
    alone(|| {
        for &way in WAYS {
            let config = shallow().max_queue_bytes(MANY * KIB);
            let mut met = AnyMeeting::of(way, config, |_| {});
            flood(&met.ws);
            let large = vec![b'w'; 4 * MANY * KIB];
            let waiting = send_waiting(&met.ws, "waits", large.clone());
            if !flood_until(&mut met, MANY as u64 + 8, || waiting.is_finished()) {
                continue;
            }
            settled("it has its turn", || waiting.is_finished());
            let group = Group::with_slow_peers(SlowPeers::DropNewest);
            group.join(&met.ws);
            let refused = met.ws.try_send("more").map_err(|error| error.kind());
            assert_eq!(refused, Err(SendErrorKind::Full), "{way:?}");
            assert_eq!(group.send("more"), 0, "{way:?}");
            assert!(met.ws.is_open(), "{way:?}");
            while met.peer.read_frame().payload != large {}
            settled("there is room again", || met.ws.try_send("more").is_ok());
            assert_eq!(met.peer.read_frame(), Frame::text("more"), "{way:?}");
        }
    });
}

/// A sender whose place in line times out takes nothing with it: nothing of it is counted, sent or
/// kept.
#[test]
fn place_that_times_out_leaves_nothing() {
    alone(|| {
        for &way in WAYS {
            let config = shallow().max_queue_messages(1).write_timeout(ms(500));
            let mut met = AnyMeeting::of(way, config, |_| {});
            met.ws.send(vec![b'1'; 32 << 20]).unwrap();
            let waiting = send_waiting(&met.ws, "waits", "late");
            // The socket moves on, so that the connection is not cut; the queue does not.
            while !waiting.is_finished() {
                met.peer.gulp(64 * KIB);
                pause(ms(10), "the peer reads slowly");
            }
            let sent = waiting.join().unwrap();
            if !met.ws.is_open() {
                println!("{way:?}: cut, as the machine stalled");
                continue;
            }
            assert_eq!(sent, Err(SendErrorKind::Timeout), "{way:?}");
            assert_eq!(met.ws.counters().queued_messages, 1, "{way:?}");
            met.ws.abort();
            assert_eq!(met.ws.wait_closed().unwrap().undelivered(), 1, "{way:?}");
        }
    });
}

/// Those in line are served in the order in which they came, whatever their size.
#[test]
fn line_is_served_in_order() {
    alone(|| {
        for &way in WAYS {
            let mut met = AnyMeeting::of(way, shallow().max_queue_bytes(MANY * KIB), |_| {});
            flood(&met.ws);
            // The first finds no room, however much the system takes meanwhile.
            let sizes = [4 * MANY * KIB, 3, 20 * KIB, 5, 30 * KIB];
            let waiting: Vec<_> = (0..sizes.len())
                .map(|own| {
                    send_waiting(
                        &met.ws,
                        &format!("waits-{own}"),
                        vec![own as u8; sizes[own]],
                    )
                })
                .collect();
            for (own, size) in sizes.into_iter().enumerate() {
                let payload = loop {
                    let payload = met.peer.read_frame().payload;
                    if payload[0] != b'f' {
                        break payload;
                    }
                };
                assert_eq!((payload[0], payload.len()), (own as u8, size), "{way:?}");
            }
            for waiting in waiting {
                assert_eq!(waiting.join().unwrap(), Ok(()), "{way:?}");
            }
        }
    });
}

/// What is told of the queue stays true while a message is written in parts, a barrier waits, and a
/// sender stands in line.
#[test]
fn counts_stay_true_beside_writers_barriers_and_waiters() {
    use std::io::Write;
    alone(|| {
        for &way in WAYS {
            let config = shallow().max_queue_messages(4);
            let mut met = AnyMeeting::of(way, config, |_| {});
            met.ws.send(vec![b'1'; 256 * KIB]).unwrap();
            let mut writer = met.ws.binary_writer().unwrap();
            writer.write_all(b"part").unwrap();
            let ws = met.ws.clone();
            let confirming = thread::Builder::new().name("confirms".into());
            let confirming = confirming.spawn(move || ws.confirm(4 * PATIENCE)).unwrap();
            settle_asleep("confirms");
            met.ws.try_send("third").unwrap();
            let waiting = send_waiting(&met.ws, "waits", "fourth");
            // The large one, the one in parts, and the third: neither the barrier nor who waits.
            let counters = met.ws.counters();
            assert_eq!(counters.queued_messages, 3, "{way:?} {counters:?}");
            assert!(met.ws.buffered_amount() <= 256 * KIB + 9, "{way:?}");
            assert_eq!(counters.queued_bytes, met.ws.buffered_amount() as u64);
            writer.finish().unwrap();
            let mut seen = Vec::new();
            while seen.last().is_none_or(|last| last != b"fourth") {
                let frame = met.peer.read_frame();
                if frame.opcode == opcode::PING {
                    met.peer.send(&Frame::new(opcode::PONG, frame.payload));
                } else {
                    seen.push(frame.payload);
                }
            }
            assert_eq!(waiting.join().unwrap(), Ok(()), "{way:?}");
            assert_eq!(confirming.join().unwrap(), Ok(()), "{way:?}");
            let length: usize = seen.iter().map(Vec::len).sum();
            assert_eq!(length, 256 * KIB + 4 + 5 + 6, "{way:?}");
            let counters = met.ws.counters();
            assert_eq!(
                (counters.messages_out, counters.queued_messages),
                (4, 0),
                "{way:?}"
            );
        }
    });
}
