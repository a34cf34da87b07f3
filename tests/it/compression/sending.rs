//! What leaves compressed, and what leaves plain.

use std::io::Write;

use landline::{Compression, Overflow, SendOptions};

use super::*;
use crate::support::opcode::*;

/// Messages from 256 bytes on leave compressed, in one frame, and are what they were.
#[test]
fn messages_leave_compressed() {
    for role in ROLES {
        for mut met in [Agreed::alone(role), Agreed::with_takeover(role)] {
            for length in [256, 2_000, 60_000, 1 << 20] {
                let text = json(length);
                met.ws.send(&text).unwrap();
                met.ws.send(text.as_bytes()).unwrap();
                for _ in 0..2 {
                    let (wire, got) = met.read_compressed();
                    assert!(wire * 3 < length * 2, "{wire} of {length}");
                    assert!(got == text.as_bytes());
                    if !met.ws.compression().unwrap().context_takeover {
                        met.inflate.reset(false);
                    }
                }
            }
        }
    }
}

/// What gains nothing leaves plain: short messages, empty ones, what does not shrink. With takeover the
/// peer's window stays in step.
#[test]
fn what_gains_nothing_leaves_plain() {
    for role in ROLES {
        for mut met in [Agreed::alone(role), Agreed::with_takeover(role)] {
            for _ in 0..2 {
                for plain in [&b""[..], &[b'a'; 255], &noise(300), &noise(70_000)] {
                    met.ws.send(plain).unwrap();
                    assert_eq!(met.peer.read_frame(), Frame::new(BINARY, plain));
                    if !met.ws.compression().unwrap().context_takeover {
                        met.inflate.reset(false);
                    }
                    met.ws.send(json(3_000)).unwrap();
                    assert!(met.read_compressed().1 == json(3_000).as_bytes());
                }
            }
        }
    }
}

/// With takeover a message refers back to those before, and without it does not.
#[test]
fn takeover_makes_alike_messages_small() {
    for role in ROLES {
        let mut sizes = Vec::new();
        for mut met in [Agreed::alone(role), Agreed::with_takeover(role)] {
            met.ws.send(json(400)).unwrap();
            met.read_compressed();
            met.ws.send(json(400)).unwrap();
            sizes.push(met.peer.read_frame().payload.len());
        }
        assert!(sizes[1] * 5 < sizes[0], "{sizes:?}");
    }
}

/// A peer's window is kept to, and where zlib has none so small, messages leave plain.
#[test]
fn windows_are_kept_to() {
    let mut long = noise(600);
    long.extend_from_within(..);
    for (window, shrinks) in [(8, false), (9, false), (10, true), (15, true)] {
        let answer = format!("permessage-deflate; client_max_window_bits={window}");
        let mut met = Agreed::by(Role::Client, compressing(), &answer);
        assert_eq!(met.ws.compression().unwrap().window_bits, window);
        // Only the distance of 600 bytes makes it shrink.
        met.ws.send(&long).unwrap();
        assert_eq!(met.peer.read_frame().rsv1, shrinks, "{window}");
        met.ws.send(vec![b'a'; 1_000]).unwrap();
        assert_eq!(met.peer.read_frame().rsv1, window > 8, "{window}");
    }
}

/// A message that is to leave plain does, alone, queued behind others, and beside a policy.
#[test]
fn messages_leave_plain_if_told_to() {
    for role in ROLES {
        let mut met = Agreed::with_takeover(role);
        let plain = SendOptions::new().plain();
        for options in [plain, plain.overflow(Overflow::HandBack)] {
            met.ws.send_with(options, json(2_000)).unwrap();
            assert_eq!(met.peer.read_frame(), Frame::text(&json(2_000)));
        }
        // In a callback with more input they only queue.
        met.ws.on_text(move |ws, _| {
            ws.send(json(1_000))?;
            ws.send_with(plain, json(1_001))?;
            ws.send(json(1_002))
        });
        let two = [
            met.peer.encode(&Frame::text("a")),
            met.peer.encode(&Frame::text("b")),
        ];
        met.peer.send_bytes(two.concat());
        for _ in 0..2 {
            assert_eq!(met.read_compressed().1.len(), 1_000);
            assert_eq!(met.peer.read_frame(), Frame::text(&json(1_001)));
            assert_eq!(met.read_compressed().1.len(), 1_002);
        }
    }
}

/// Streamed messages leave plain, unless asked for; then their fragments are one compressed message, with
/// pings between.
#[test]
fn streams_leave_plain_unless_asked_for() {
    for (role, compressed) in [
        (Role::Server, false),
        (Role::Server, true),
        (Role::Client, false),
        (Role::Client, true),
    ] {
        for takeover in [true, false] {
            let settings = Compression::new()
                .context_takeover(takeover)
                .streams(compressed);
            let mut met = Agreed::by(role, quiet().compression(settings), "permessage-deflate");
            for _ in 0..2 {
                let mut writer = met.ws.text_writer().unwrap();
                let text = json(50_000);
                for part in text.as_bytes().chunks(7_000) {
                    writer.write_all(part).unwrap();
                    writer.flush().unwrap();
                    met.ws.ping("between").unwrap();
                }
                writer.finish().unwrap();
                met.ws.send(json(300)).unwrap();
                let mut payload = Vec::new();
                let mut frames = Vec::new();
                while frames.last().is_none_or(|frame: &Frame| !frame.fin) {
                    let frame = met.peer.read_frame();
                    if frame.opcode == PING {
                        assert!(!frame.rsv1);
                        continue;
                    }
                    payload.extend_from_slice(&frame.payload);
                    frames.push(frame);
                }
                assert!(frames.len() > 5);
                assert_eq!(frames[0].rsv1, compressed);
                assert!(frames[1..].iter().all(|frame| !frame.rsv1));
                let payload = if compressed {
                    met.inflate(&payload)
                } else {
                    payload
                };
                assert!(payload == text.as_bytes());
                if !takeover {
                    met.inflate.reset(false);
                }
                let next = loop {
                    let frame = met.peer.read_frame();
                    if frame.opcode != PING {
                        break frame;
                    }
                };
                assert!(next.rsv1);
                assert_eq!(met.inflate(&next.payload), json(300).as_bytes());
                if !takeover {
                    met.inflate.reset(false);
                }
            }
        }
    }
}

/// Messages that are split over frames are streams in this respect, and no frame is longer than allowed.
#[test]
fn split_messages_leave_plain_unless_asked_for() {
    const MOST: usize = 4_000;
    for role in ROLES {
        for streams in [false, true] {
            let settings = Compression::new().context_takeover(true).streams(streams);
            let config = quiet().compression(settings).max_outgoing_frame(MOST);
            let mut met = Agreed::by(role, config, "permessage-deflate");
            for message in [
                json(50_000).into_bytes(),
                noise(50_000),
                json(2_000).into_bytes(),
            ] {
                met.ws.send(&message).unwrap();
                let (mut payload, mut frames) = (Vec::new(), 0);
                let is_compressed = loop {
                    let frame = met.peer.read_frame();
                    assert!(frame.payload.len() <= MOST, "{frame:?}");
                    payload.extend_from_slice(&frame.payload);
                    frames += 1;
                    if frame.fin {
                        break frames == 1 || streams;
                    }
                };
                let payload = if is_compressed {
                    met.inflate(&payload)
                } else {
                    payload
                };
                assert!(payload == message, "{role:?}, {streams}");
            }
        }
    }
}

/// Bytes that wait count as they were given, and bytes that have left as they are on the wire.
#[test]
fn counters_tell_both_sizes() {
    let mut met = Agreed::alone(Role::Server);
    let delivery = met.ws.send_tracked(json(10_000)).unwrap();
    delivery.wait().unwrap();
    let counters = met.ws.counters();
    let frame = met.peer.read_frame();
    assert_eq!(counters.bytes_out, frame.bytes(false).len() as u64);
    assert_eq!((counters.messages_out, counters.queued_bytes), (1, 0));
    // A peer that does not read: what waits is the messages' own size.
    let config = deep().compression(Compression::new());
    let met = Agreed::by(Role::Server, config, "permessage-deflate");
    let text = json(200_000);
    settled("the kernel takes no more", || {
        met.ws.try_send(&text).unwrap();
        met.ws.buffered_amount() > 3 * text.len()
    });
    let waiting = met.ws.counters();
    assert_eq!(waiting.queued_bytes as usize, met.ws.buffered_amount());
    assert_eq!(waiting.queued_bytes % 200_000, 0);
    assert_eq!(waiting.queued_messages, waiting.queued_bytes / 200_000);
}

/// Threads that send at once compress each message whole, in an order that the peer's window follows.
#[test]
fn threads_share_a_compressor() {
    for role in ROLES {
        let mut met = Agreed::with_takeover(role);
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let ws = met.ws.clone();
                thread::spawn(move || {
                    for round in 0..100 {
                        ws.send(format!("{number} {round:03} {}", json(500)))
                            .unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0; 4];
        for _ in 0..400 {
            let (_, got) = met.read_compressed();
            let number = usize::from(got[0] - b'0');
            let round: usize = std::str::from_utf8(&got[2..5]).unwrap().parse().unwrap();
            assert_eq!(round, next[number]);
            assert_eq!(got[6..], *json(500).as_bytes());
            next[number] += 1;
        }
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
