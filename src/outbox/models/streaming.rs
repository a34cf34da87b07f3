//! The fragments of a streamed message leave in order, nothing stands between them, and a message
//! without an end ends the connection.

use std::sync::Arc;

use bytes::Bytes;

use super::world::{BINARY, CLOSE, CONTINUATION, FakeWire, Frame, PLENTY, explore, numbers};
use super::{assert_at_rest, assert_closed_once, assert_discarded};
use crate::CloseCode;
use crate::outbox::{Outbox, Urgency};
use crate::protocol::{Fin, Opcode};

/// Is who streams, and the second byte of its fragments counts them.
const STREAMER: u8 = 9;

/// Streams a message of `count` fragments; returns how many were taken.
fn stream(outbox: &Arc<Outbox<FakeWire>>, count: u8) -> u8 {
    let Ok(stream) = outbox.begin_stream(Opcode::Binary) else {
        return 0;
    };
    for number in 0..count {
        let fin = if number + 1 == count {
            Fin::Last
        } else {
            Fin::More
        };
        let payload = Bytes::copy_from_slice(&[STREAMER, number]);
        if outbox.send_fragment(&stream, payload, fin).is_err() {
            return number;
        }
    }
    count
}

/// Returns the fragments as they were written, and asserts that nothing else stands between them.
fn fragments(frames: &[Frame]) -> Vec<u8> {
    let of_stream = |frame: &Frame| frame.opcode <= BINARY && frame.payload[0] == STREAMER;
    let Some(start) = frames.iter().position(of_stream) else {
        return Vec::new();
    };
    let run: Vec<_> = frames[start..]
        .iter()
        .take_while(|frame| of_stream(frame))
        .collect();
    for (position, frame) in run.iter().enumerate() {
        let opcode = if position == 0 { BINARY } else { CONTINUATION };
        assert_eq!(frame.opcode, opcode, "{frames:?}");
        assert!(!frame.is_final || position + 1 == run.len(), "{frames:?}");
    }
    assert_eq!(
        frames.iter().filter(|frame| of_stream(frame)).count(),
        run.len()
    );
    run.iter().map(|frame| frame.payload[1]).collect()
}

/// Messages of others go before or behind a streamed message, and none is left behind.
#[test]
fn loom_a_stream_beside_a_sender() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let streamer = wire.spawn(move || assert_eq!(stream(&theirs, 2), 2));
        outbox.send_numbers(0, 2);
        streamer.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!(fragments(&frames), [0, 1]);
        assert_eq!(numbers(&frames, 0), [0, 1]);
    });
}

/// The same over a full wire, with the background.
#[test]
fn loom_a_stream_over_a_full_wire() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(1, 8);
        let theirs = Arc::clone(&outbox);
        let streamer = wire.spawn(move || assert_eq!(stream(&theirs, 2), 2));
        outbox.send_numbers(0, 1);
        wire.make_room(PLENTY);
        wire.run_background();
        streamer.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_eq!(fragments(&frames), [0, 1]);
        assert_eq!(numbers(&frames, 0), [0]);
    });
}

/// A close beside a stream: the message is whole before the Close, or torn by it, and then nothing
/// of it follows; the Close always leaves.
#[test]
fn loom_a_close_beside_a_stream() {
    explore(Some(3), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let streamer = wire.spawn(move || _ = stream(&theirs, 2));
        outbox.close_with(CloseCode::NORMAL, Urgency::AfterMessages);
        streamer.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_closed_once(&frames);
        let fragments = fragments(&frames);
        assert_eq!(fragments, Vec::from_iter(0..fragments.len() as u8));
    });
}

/// Of what is queued behind a torn message nothing is written, and all of it is counted.
#[test]
fn loom_a_close_tears_a_stream_with_messages_behind_it() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let stream = outbox.begin_stream(Opcode::Binary).expect("open");
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || _ = theirs.send_or_closed(1, 0));
        let theirs = Arc::clone(&outbox);
        let closer = wire.spawn(move || {
            theirs.close_with(CloseCode::NORMAL, Urgency::AfterMessages);
        });
        let payload = Bytes::from_static(&[STREAMER, 0]);
        let begun = outbox.send_fragment(&stream, payload, Fin::More).is_ok();
        sender.join().expect("no panic");
        closer.join().expect("no panic");
        assert_at_rest(&outbox);
        let frames = wire.frames();
        assert_closed_once(&frames);
        assert_eq!(fragments(&frames).len(), usize::from(begun));
        assert!(!begun || numbers(&frames, 1).is_empty(), "{frames:?}");
        let counters = outbox.counters();
        assert_eq!(counters.messages_out, numbers(&frames, 1).len() as u64);
        assert!(counters.undelivered >= 1, "the stream itself");
    });
}

/// A seal wakes a writer that waits, and leaves nothing behind.
#[test]
fn loom_a_seal_beside_a_stream() {
    explore(Some(2), || {
        let (wire, outbox) = FakeWire::with_outbox(1, 8);
        let theirs = Arc::clone(&outbox);
        let streamer = wire.spawn(move || _ = stream(&theirs, 2));
        assert!(outbox.abort());
        streamer.join().expect("no panic");
        wire.run_background();
        assert_discarded(&outbox, &wire);
        assert!(wire.frames().iter().all(|frame| frame.opcode != CLOSE));
    });
}
