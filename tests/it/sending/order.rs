//! What is sent arrives in its order.

use std::thread;

use landline::{Config, Message, SendErrorKind, WebSocket};

use super::Line;
use crate::support::opcode::*;
use crate::support::*;

/// Many threads that send into one connection tear, lose, double and reorder nothing, in both
/// roles, and each thread's messages arrive in its order.
#[test]
fn threads_share_a_connection_in_order() {
    share_in_order(
        &quiet()
            .max_queue_messages(1 << 20)
            .max_queue_bytes(64 << 20),
        10_000,
    );
}

/// The same holds where they have to wait for room.
#[test]
fn threads_share_a_full_queue_in_order() {
    share_in_order(&quiet(), 500);
}

fn share_in_order(config: &Config, each: usize) {
    const THREADS: usize = 16;
    let line = Line::open(config);
    for (ws, heard) in line.ways() {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    (0..each).for_each(|number| ws.send(numbered(thread, number)).unwrap());
                });
            }
            let mut expected = [0; THREADS];
            for _ in 0..THREADS * each {
                let (thread, number) = read_numbered(&next(heard));
                assert_eq!(number, expected[thread], "of thread {thread}");
                expected[thread] += 1;
            }
            assert_eq!(expected, [each; THREADS]);
        });
    }
}

/// Makes a message whose length depends on its number, and whose every byte can be checked.
fn numbered(thread: usize, number: usize) -> Vec<u8> {
    let mut bytes = vec![thread as u8; 5 + number % 61];
    bytes[1..5].copy_from_slice(&(number as u32).to_le_bytes());
    bytes
}

#[track_caller]
fn read_numbered(message: &Message) -> (usize, usize) {
    let bytes = message.as_bytes();
    let number = u32::from_le_bytes(*bytes[1..].first_chunk().unwrap()) as usize;
    let thread = usize::from(bytes[0]);
    assert_eq!(bytes, numbered(thread, number), "torn");
    (thread, number)
}

/// Batches, single messages and tries of several threads mix, and each thread's order is kept.
#[test]
fn batches_and_tries_keep_the_order() {
    const THREADS: usize = 6;
    const EACH: usize = 1_500;
    let line = Line::open(&quiet().max_queue_messages(64).max_queue_bytes(8 << 10));
    for (ws, heard) in line.ways() {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || match thread % 3 {
                    0 => {
                        for start in (0..EACH).step_by(100) {
                            let batch = start..start + 100;
                            ws.send_all(batch.map(|number| numbered(thread, number)))
                                .unwrap();
                        }
                    }
                    1 => (0..EACH).for_each(|number| ws.send(numbered(thread, number)).unwrap()),
                    _ => (0..EACH).for_each(|number| insist(ws, numbered(thread, number))),
                });
            }
            let mut expected = [0; THREADS];
            for _ in 0..THREADS * EACH {
                let (thread, number) = read_numbered(&next(heard));
                assert_eq!(number, expected[thread], "of thread {thread}");
                expected[thread] += 1;
            }
        });
    }
}

/// Tries until there is room; a full queue hands the message back.
fn insist(ws: &WebSocket, message: Vec<u8>) {
    let mut message = Message::from(message);
    loop {
        match ws.try_send(message) {
            Ok(()) => return,
            Err(error) => {
                assert_eq!(error.kind(), SendErrorKind::Full);
                message = error.into_message().unwrap();
                thread::yield_now();
            }
        }
    }
}

/// Pings are answered in order, each with its payload, up to 4 KiB of pongs; beyond that some pings
/// of a burst may go unanswered (RFC 6455, section 5.5.3), but never the last one.
#[test]
fn pongs_come_in_order() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let pings = |count: usize| (0..count).map(|i| Frame::new(PING, format!("{i:0>20}")));
        let burst: Vec<_> = pings(50).flat_map(|ping| met.peer.encode(&ping)).collect();
        met.peer.send_bytes(burst);
        for ping in pings(50) {
            assert_eq!(met.peer.read_frame(), Frame::new(PONG, &ping.payload));
        }
        let burst: Vec<_> = pings(5_000)
            .flat_map(|ping| met.peer.encode(&ping))
            .collect();
        let mut sending = met.peer.stream.try_clone().unwrap();
        let writer =
            thread::spawn(move || std::io::Write::write_all(&mut sending, &burst).unwrap());
        let last = format!("{:0>20}", 4_999).into_bytes();
        let mut before = Vec::new();
        while before != last {
            let pong = met.peer.read_frame();
            assert_eq!(pong.opcode, PONG);
            assert!(
                pong.payload > before,
                "{pong:?} behind {}",
                before.escape_ascii()
            );
            before = pong.payload;
        }
        writer.join().unwrap();
    }
}

/// Control frames overtake queued messages at the next frame boundary, and tear none.
#[test]
fn control_frames_overtake_messages() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet().max_queue_bytes(64 << 20), |_| {});
        const COUNT: usize = 64;
        // More than any socket buffers hold: the rest waits in the queue.
        for i in 0..COUNT {
            met.ws.try_send(vec![i as u8; 256 << 10]).unwrap();
        }
        met.ws.ping("urgent").unwrap();
        met.peer.send(&Frame::new(PING, "yours"));
        let mut messages = 0;
        let mut overtaken = Vec::new();
        while messages < COUNT {
            let frame = met.peer.read_frame();
            match frame.opcode {
                BINARY => {
                    assert_eq!(frame, Frame::new(BINARY, vec![messages as u8; 256 << 10]));
                    messages += 1;
                }
                _ => overtaken.push((frame, messages)),
            }
        }
        let [(first, at), (second, _)] = &overtaken[..] else {
            panic!("{overtaken:?}")
        };
        let mut both = [first.clone(), second.clone()];
        both.sort_by_key(|frame| frame.opcode);
        assert_eq!(
            both,
            [Frame::new(PING, "urgent"), Frame::new(PONG, "yours")]
        );
        assert!(*at < COUNT, "landline as {role:?}: behind all messages");
    }
}

/// What was sent before `close` goes before the Close, nothing comes behind it.
#[test]
fn close_comes_behind_what_was_sent() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet().max_queue_bytes(64 << 20), |_| {});
        (0..40).for_each(|i| met.ws.try_send(vec![i as u8; 256 << 10]).unwrap());
        met.ws.close();
        let error = met.ws.send("late").unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::Closed);
        assert_eq!(error.into_message(), Some(Message::from("late")));
        assert_eq!(
            met.ws.ping("late").unwrap_err().kind(),
            SendErrorKind::Closed
        );
        for i in 0..40 {
            assert_eq!(
                met.peer.read_frame(),
                Frame::new(BINARY, vec![i as u8; 256 << 10])
            );
        }
        assert_eq!(met.peer.read_frame(), Frame::new(CLOSE, [3, 0xe8]));
        met.peer.send_close(1000, "");
        met.peer.send_fin();
        met.peer.read_eof();
        settled("the end", || met.ws.close_code().is_some());
        assert_eq!(met.ws.close_code(), Some(landline::CloseCode::NORMAL));
    }
}

/// What overtakes messages goes before them also where nothing else is queued: the answer to a ping
/// leaves before the echo of a message whose end came behind it, however they arrive.
#[test]
fn pongs_go_before_the_echo() {
    for role in ROLES {
        let config = Config::new().ping_interval(None);
        let mut met = Meeting::of(role, config, |ws| {
            ws.on_message(|ws, message| ws.send(message));
        });
        let frames = [
            Frame::text("one ").unfinished(),
            Frame::new(PING, "in between"),
            Frame::new(CONTINUATION, "message"),
        ];
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|frame| met.peer.encode(frame))
            .collect();
        for size in [bytes.len(), 1] {
            bytes
                .chunks(size)
                .for_each(|piece| met.peer.send_bytes(piece));
            assert_eq!(met.peer.read_frame(), Frame::new(PONG, "in between"));
            assert_eq!(met.peer.read_frame(), Frame::text("one message"));
        }
    }
}
