//! Messages that leave in several frames, as `max_outgoing_frame` asks: what the peer sees, over ws and
//! wss, in both roles.

use std::io::Write;
use std::thread;

use landline::{Config, DeliveryError, Message, Overflow};

use crate::support::opcode::*;
use crate::support::*;

const KIB: usize = 1 << 10;
/// More than the kernel and TLS take for a peer that does not read.
const LONG: usize = 512 * KIB;
const FRAME: usize = 8 * KIB;

/// No deadline is the reason of anything here, and the kernel takes little.
fn splitting(max_frame: usize) -> Config {
    Config::new()
        .max_outgoing_frame(max_frame)
        .ping_interval(None)
        .send_buffer(4 * KIB)
        .write_timeout(2 * PATIENCE)
        .close_timeout(2 * PATIENCE)
}

/// Makes a text whose bytes do not repeat with any frame.
fn text(length: usize) -> String {
    let digits = (0..).flat_map(|number: u32| number.to_string().into_bytes());
    String::from_utf8(digits.take(length).collect()).unwrap()
}

/// Reads up to the end of one message. Returns its frames, and at which places others stood.
#[track_caller]
fn read_message(peer: &mut AnyPeer) -> (Vec<Frame>, Vec<(usize, Frame)>) {
    let (mut frames, mut between) = (Vec::new(), Vec::new());
    loop {
        let frame = peer.read_frame();
        if frame.opcode >= CLOSE {
            between.push((frames.len(), frame));
            continue;
        }
        let is_last = frame.fin;
        frames.push(frame);
        if is_last {
            return (frames, between);
        }
    }
}

/// Asserts that these are the frames of this message (RFC 6455, section 5.4), all full but the last.
#[track_caller]
fn assert_split(frames: &[Frame], message: &Message, max_frame: usize) {
    let (first, rest) = frames.split_first().unwrap();
    let opcode = if message.as_text().is_some() {
        TEXT
    } else {
        BINARY
    };
    assert_eq!(first.opcode, opcode);
    assert!(rest.iter().all(|frame| frame.opcode == CONTINUATION));
    let (last, full) = frames.split_last().unwrap();
    assert!(full.iter().all(|frame| frame.payload.len() == max_frame));
    assert!(last.payload.len() <= max_frame && (full.is_empty() || !last.payload.is_empty()));
    let payload: Vec<_> = frames.iter().flat_map(|frame| &frame.payload).collect();
    assert!(payload.into_iter().eq(message.as_bytes()));
}

/// A larger message arrives in full fragments and a rest, any other in one frame, texts and binaries.
#[test]
fn larger_messages_leave_in_fragments_of_that_size() {
    for &way in ALL_WAYS {
        for max_frame in [125, FRAME, 64 * KIB] {
            let mut met = AnyMeeting::deaf(way, splitting(max_frame).max_queue_bytes(LONG));
            for length in [
                0,
                max_frame,
                max_frame + 1,
                2 * max_frame,
                5 * max_frame + 7,
            ] {
                for message in [
                    Message::from(text(length)),
                    Message::from(text(length).into_bytes()),
                ] {
                    let (ws, sent) = (met.ws.clone(), message.clone());
                    let sending = thread::spawn(move || ws.send(sent).unwrap());
                    let (frames, between) = read_message(&mut met.peer);
                    assert_split(&frames, &message, max_frame);
                    assert_eq!(between, [], "{way:?}");
                    sending.join().unwrap();
                }
            }
            let counted = 10;
            settled("each counts once", || {
                met.ws.counters().messages_out == counted
            });
        }
    }
}

/// A message that is written piece by piece has no longer frames either.
#[test]
fn streamed_fragments_are_no_longer() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, splitting(KIB));
        let message = Message::from(text(10 * KIB + 1));
        let (ws, sent) = (met.ws.clone(), message.clone());
        let writing = thread::spawn(move || {
            let mut writer = ws.text_writer().unwrap();
            writer.write_all(sent.as_bytes()).unwrap();
            writer.finish().unwrap();
        });
        let (frames, _) = read_message(&mut met.peer);
        assert_split(&frames, &message, KIB);
        writing.join().unwrap();
    }
}

/// A long message stands in the socket, of a peer that has pinged and reads on from now: pongs and
/// pings of ours leave in its middle. Without the setting they leave behind it.
#[test]
fn control_frames_leave_between_fragments() {
    for &way in ALL_WAYS {
        for split in [true, false] {
            let config = if split {
                splitting(FRAME)
            } else {
                splitting(FRAME).max_outgoing_frame(None)
            };
            let mut met = AnyMeeting::deaf(way, config);
            let message = Message::from(text(LONG));
            let delivery = met.ws.send_tracked(&message).unwrap();
            assert_eq!(delivery.wait_timeout(ms(0)), Err(DeliveryError::Pending));
            met.peer.send(&Frame::new(PING, "theirs"));
            met.events
                .find(|event| *event == Event::Ping(b"theirs".into()));
            met.ws.ping("ours").unwrap();
            let (frames, mut between) = read_message(&mut met.peer);
            if split {
                assert_split(&frames, &message, FRAME);
            } else {
                assert_eq!(between, [], "{way:?}");
                let behind = [met.peer.read_frame(), met.peer.read_frame()];
                between = behind.into_iter().map(|frame| (1, frame)).collect();
            }
            let at = between[0].0;
            assert!(!split || at < frames.len() / 2, "{way:?}: behind {at}");
            let (pong, ping) = (Frame::new(PONG, "theirs"), Frame::new(PING, "ours"));
            assert_eq!(between, [(at, pong), (at, ping)], "{way:?}");
            assert_eq!(delivery.wait(), Ok(()));
        }
    }
}

/// A Close that overtakes tears the message: its delivery fails, and it is counted once with what
/// stands behind it.
#[test]
fn an_overtaking_close_leaves_in_the_middle() {
    for &way in ALL_WAYS {
        let mut met = AnyMeeting::deaf(way, splitting(FRAME));
        let torn = met.ws.send_tracked(text(LONG)).unwrap();
        met.ws.send("behind").unwrap();
        met.peer.send_close(4000);
        settled("it is given up", || torn.is_done());
        assert_eq!(torn.wait(), Err(DeliveryError::Closed(4000.into())));
        let mut frames = Vec::new();
        let close = loop {
            let frame = met.peer.read_frame();
            if frame.opcode == CLOSE {
                break frame;
            }
            assert!(!frame.fin, "{way:?}");
            frames.push(frame);
        };
        assert_eq!(close.close_code(), Some(4000), "{way:?}");
        assert!(!frames.is_empty() && frames.len() < LONG / FRAME);
        let event = met.events.next_close();
        assert_eq!(
            (event.undelivered(), event.is_clean()),
            (2, true),
            "{way:?}"
        );
    }
}

/// A message of which a fragment has left is dropped by no policy.
#[test]
fn a_message_that_has_begun_is_not_dropped() {
    for &way in ALL_WAYS {
        let config = splitting(FRAME).max_queue_messages(2);
        let mut met = AnyMeeting::deaf(way, config.overflow(Overflow::DropOldest));
        let message = Message::from(text(LONG));
        let delivery = met.ws.send_tracked(&message).unwrap();
        for number in 0..10 {
            met.ws.send(number.to_string()).unwrap();
        }
        let (frames, _) = read_message(&mut met.peer);
        assert_split(&frames, &message, FRAME);
        assert_eq!(met.peer.read_frame(), Frame::text("9"), "{way:?}");
        assert_eq!(delivery.wait(), Ok(()));
        assert_eq!(met.ws.counters().dropped, 9);
    }
}
