//! A streamed message beside all other users of the wire.

use std::sync::Arc;

use bytes::Bytes;

use super::world::{BINARY, CLOSE, CONTINUATION, FRAME, FakeWire, Frame, PLENTY, explore, numbers};
use crate::CloseCode;
use crate::life::CloseCause;
use crate::outbox::{Outbox, Wire};
use crate::protocol::{CloseFrame, Fin, Opcode};

/// The first byte of a fragment; the second counts them.
const STREAM: u8 = 9;

/// Streams a message of `count` fragments. Returns how many were taken.
fn stream(outbox: &Arc<Outbox<FakeWire>>, count: u8) -> u8 {
    let Ok(stream) = outbox.begin_stream(Opcode::Binary) else {
        return 0;
    };
    let mut taken = 0..count;
    let refused = taken.find(|number| {
        let is_last = number + 1 == count;
        let fin = if is_last { Fin::Last } else { Fin::More };
        let payload = Bytes::copy_from_slice(&[STREAM, *number]);
        outbox.send_fragment(stream, payload, fin).is_err()
    });
    refused.unwrap_or(count)
}

/// Returns how many fragments were written, and checks that they are in order, with nothing between
/// them.
fn fragments(frames: &[Frame]) -> u8 {
    let numbers = numbers(frames, STREAM);
    let of_stream = |frame: &Frame| frame.opcode <= BINARY && frame.payload[0] == STREAM;
    let run = frames.iter().skip_while(|frame| !of_stream(frame));
    let run = run.take(numbers.len()).map(|frame| frame.opcode);
    let opcodes = (0..numbers.len()).map(|at| if at == 0 { BINARY } else { CONTINUATION });
    assert!(run.eq(opcodes), "{frames:?}");
    assert!(
        numbers.iter().copied().eq(0..numbers.len() as u8),
        "{frames:?}"
    );
    numbers.len() as u8
}

/// Messages of other senders go before a streamed message or behind it, over a full wire too.
#[test]
fn loom_a_stream_beside_a_sender() {
    explore(2, || {
        let (wire, outbox) = FakeWire::with_outbox(FRAME + 1, 8);
        let theirs = Arc::clone(&outbox);
        let streamer = wire.spawn(move || assert_eq!(stream(&theirs, 2), 2));
        outbox.send_numbers(0, 2);
        wire.make_room(PLENTY);
        wire.run_background();
        streamer.join().expect("no panic");
        outbox.assert_at_rest();
        let frames = wire.frames();
        assert_eq!((fragments(&frames), numbers(&frames, 0)), (2, vec![0, 1]));
    });
}

/// A close beside a stream and a sender behind it: a torn message stays torn, and only the Close is
/// written behind it, which always leaves. Unwritten messages are counted.
#[test]
fn loom_a_close_beside_a_stream() {
    explore(2, || {
        let (wire, outbox) = FakeWire::with_outbox(PLENTY, 8);
        let theirs = Arc::clone(&outbox);
        let streamer = wire.spawn(move || stream(&theirs, 2));
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || theirs.send_or_closed(1, 0));
        outbox.close(CloseFrame::cut_to_fit(CloseCode::NORMAL, ""));
        let taken = streamer.join().expect("no panic");
        let sent = usize::from(sender.join().expect("no panic"));
        outbox.assert_at_rest();
        let frames = wire.frames();
        let is_close = |frame: &Frame| frame.opcode == CLOSE;
        assert_eq!(frames.iter().position(is_close), Some(frames.len() - 1));
        assert_eq!(fragments(&frames), taken);
        let counters = outbox.counters();
        let written = numbers(&frames, 1).len() + usize::from(taken == 2);
        assert_eq!(counters.messages_out, written as u64);
        assert!(counters.undelivered >= (sent - numbers(&frames, 1).len()) as u64);
    });
}

/// An author that waits for room in the lane is called to write on, woken after a polling reader
/// has written on, and woken by the end.
#[test]
fn loom_an_author_that_waits_is_woken() {
    for cut in [false, true] {
        explore(2, move || {
            let (wire, outbox) = FakeWire::with_outbox(1, 8);
            let theirs = Arc::clone(&outbox);
            let author = wire.spawn(move || {
                let stream = theirs.begin_stream(Opcode::Binary)?;
                let full = Bytes::from_static(&[STREAM; 64 << 10]);
                theirs.send_fragment(stream, full, Fin::More)?;
                theirs.send_fragment(stream, Bytes::from_static(&[STREAM]), Fin::Last)
            });
            let (theirs, their_wire) = (Arc::clone(&outbox), Arc::clone(&wire));
            let reader = wire.spawn(move || {
                if theirs.begin_polling().is_some() {
                    their_wire.wait_writable();
                    theirs.end_polling(true);
                }
            });
            if cut {
                outbox.cut(CloseCause::Aborted);
            }
            wire.make_room(10);
            wire.make_room(PLENTY);
            wire.run_background();
            reader.join().expect("no panic");
            let outcome = author.join().expect("no panic");
            assert!(cut || outcome.is_ok());
            if !cut {
                outbox.assert_at_rest();
            }
        });
    }
}
