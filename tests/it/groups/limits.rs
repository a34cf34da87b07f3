//! Limits of a group: on its members, and on what waits for each of them.

use std::sync::{Arc, Barrier};
use std::thread;

use landline::{Config, Counters, Group, SlowPeers, WebSocket};

use crate::support::*;

const ALL: [SlowPeers; 3] = [
    SlowPeers::Close,
    SlowPeers::DropNewest,
    SlowPeers::DropOldest,
];

/// However many threads join at the same time, a group never has more members than each of them allows;
/// who is a member stays one, and who ends makes room.
#[test]
fn nobody_joins_beyond_the_limit() {
    const THREADS: usize = 50;
    const MOST: usize = 7;
    let server = TestServer::with(patient(), |_| {});
    let mut peers: Vec<_> = (0..THREADS).map(|_| RawPeer::client_of(&server)).collect();
    settled("all are entered", || server.connection_count() == THREADS);
    let handles = server.connections();
    for _ in 0..20 {
        let (group, barrier) = (Group::new(), Barrier::new(THREADS));
        let join = |ws: &WebSocket| {
            barrier.wait();
            group.join_up_to(ws, MOST)
        };
        let joined: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = handles
                .iter()
                .map(|ws| scope.spawn(move || (ws, join(ws))))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.filter(|(_, joined)| *joined).collect()
        });
        assert_eq!((joined.len(), group.len()), (MOST, MOST));
        for ws in &handles {
            let is_member = joined.iter().any(|(member, _)| *member == ws);
            assert_eq!(group.join_up_to(ws, MOST), is_member);
            assert_eq!(group.join_up_to(ws, 0), is_member);
        }
    }
    let group = Group::new();
    let mut handles = handles.into_iter();
    let first = handles.next().unwrap();
    let second = handles.next().unwrap();
    assert!(group.join_up_to(&first, 1) && !group.join_up_to(&second, 1));
    first.abort();
    settled("it has left", || !group.contains(&first));
    assert!(group.join_up_to(&second, 1));
    assert!(!group.join_up_to(&first, 9), "it has ended");
    peers.clear();
}

/// The number of messages in a burst, and of bursts.
const BURST: usize = 60;
const BURSTS: usize = 30;

/// Opens a connection that takes little, with a short queue, in a group of this kind, and one whose
/// input makes bursts to the group. Returns the member, what each send to the group has returned, and
/// the most messages and bytes that were queued.
#[track_caller]
fn outpaced(slow_peers: SlowPeers, config: Config) -> (Meeting, usize, (u64, u64)) {
    let member = Meeting::deaf(Role::Server, config.send_buffer(4 << 10), |_| {});
    let group = Group::with_slow_peers(slow_peers);
    assert!(group.join(&member.ws));
    let (told, ws) = (Recorder::new(), member.ws.clone());
    let sender = std::sync::Mutex::new(told.sender());
    let mut publisher = Meeting::of(Role::Server, patient(), move |publisher| {
        let (group, ws) = (group.clone(), ws.clone());
        let sender = sender.lock().unwrap().clone();
        publisher.on_text(move |_, text| {
            let queued = group.send(format!("{text:>200}"));
            let Counters {
                queued_messages,
                queued_bytes,
                ..
            } = ws.counters();
            let _ = sender.send((queued, queued_messages, queued_bytes));
        });
    });
    for burst in 0..BURSTS {
        let numbers = burst * BURST..(burst + 1) * BURST;
        let frames = numbers.map(|number| Frame::text(&number.to_string()));
        let bytes: Vec<_> = frames
            .flat_map(|frame| publisher.peer.encode(&frame))
            .collect();
        publisher.peer.send_bytes(&bytes);
    }
    let (mut sent, mut most) = (0, (0, 0));
    for _ in 0..BURST * BURSTS {
        let (queued, messages, bytes) = told.next();
        sent += queued;
        most = (most.0.max(messages), most.1.max(bytes));
    }
    (member, sent, most)
}

/// The limits of a member's queue hold to the message during bursts, of messages and of bytes, whether
/// there is room for a whole burst or not; and each message is queued, or counted as dropped, or ends
/// the connection, as the group was made.
#[test]
fn limits_hold_during_bursts() {
    const NUMBER: usize = BURST * BURSTS;
    let queues = [
        (20, 1 << 20),
        (300, 1 << 20),
        (700, 1 << 20),
        (4_000, 10_000),
        (4_000, 60_000),
        (4_000, 130_000),
    ];
    for slow_peers in ALL {
        for (messages, bytes) in queues {
            let config = patient()
                .max_queue_messages(messages)
                .max_queue_bytes(bytes);
            let (mut member, sent, most) = outpaced(slow_peers, config);
            let what = format!("{slow_peers:?}, {messages} messages, {bytes} bytes");
            assert!(most.0 <= messages as u64, "{what}: {most:?}");
            assert!(most.1 <= bytes as u64, "{what}: {most:?}");
            let dropped = member.ws.counters().dropped as usize;
            let expected = match slow_peers {
                SlowPeers::Close => {
                    assert!(!member.ws.is_open() && sent < NUMBER, "{what}");
                    assert_eq!(read_numbers(&mut member.peer, usize::MAX).1, Some(1008));
                    continue;
                }
                SlowPeers::DropNewest => sent,
                SlowPeers::DropOldest => {
                    assert_eq!(sent, NUMBER, "{what}");
                    NUMBER - dropped
                }
            };
            assert!(dropped > 0 && expected + dropped == NUMBER, "{what}");
            let (numbers, _) = read_numbers(&mut member.peer, expected);
            assert!(numbers.is_sorted_by(|a, b| a < b), "{what}: {numbers:?}");
            assert_eq!(numbers.first(), Some(&0), "{what}");
            if slow_peers == SlowPeers::DropOldest {
                assert_eq!(numbers.last(), Some(&(NUMBER - 1)), "{what}");
            }
            settled("all have left", || {
                member.ws.counters().messages_out as usize == expected
            });
        }
    }
}

/// Reads so many messages, or all before a Close, and returns their numbers and the Close's code.
#[track_caller]
fn read_numbers(peer: &mut RawPeer, most: usize) -> (Vec<usize>, Option<u16>) {
    let mut numbers = Vec::new();
    while numbers.len() < most {
        let frame = peer.read_frame();
        if frame.opcode == opcode::CLOSE {
            return (numbers, frame.close_code());
        }
        let text = String::from_utf8(frame.payload).unwrap();
        numbers.push(text.trim().parse().unwrap());
    }
    (numbers, None)
}

/// In a group that drops the oldest, a member that reads again gets what was being written, and then the
/// newest, without a gap: as much as its queue holds.
#[test]
fn freshest_messages_stay() {
    for role in ROLES {
        let config = patient().max_queue_messages(10).send_buffer(4 << 10);
        let mut met = Meeting::deaf(role, config, |_| {});
        let group = Arc::new(Group::with_slow_peers(SlowPeers::DropOldest));
        group.join(&met.ws);
        for number in 0..500 {
            assert_eq!(group.send(format!("{number:>0999}")), 1);
        }
        assert!(met.ws.is_open());
        let dropped = met.ws.counters().dropped as usize;
        assert!(dropped > 400, "{dropped}");
        let (numbers, _) = read_numbers(&mut met.peer, 500 - dropped);
        let newest = &numbers[numbers.len() - 5..];
        assert_eq!(newest, [495, 496, 497, 498, 499], "{role:?}");
    }
}
