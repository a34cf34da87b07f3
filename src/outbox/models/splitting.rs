//! A message that leaves in two frames, beside other senders and a Close.

use std::sync::Arc;

use super::world::{BINARY, CLOSE, CONTINUATION, FakeWire, Frame, PLENTY, explore, numbers};
use crate::outbox::Outbox;
use crate::protocol::CloseFrame;
use crate::{CloseCode, Config, Message, Overflow};

/// The sender number of the split message.
const SPLIT: u8 = 9;
/// The shortest allowed limit of a frame.
const FRAME: usize = 125;

fn splitting(room: usize) -> (Arc<FakeWire>, Arc<Outbox<FakeWire>>) {
    FakeWire::configured(room, Config::new().max_outgoing_frame(FRAME))
}

/// Sends a message that fills one frame and begins a second. Returns whether it was taken.
fn send_split(outbox: &Arc<Outbox<FakeWire>>) -> bool {
    let message = Message::from(vec![SPLIT; FRAME + 1]);
    outbox.send_message(message, Some(Overflow::Wait)).is_ok()
}

/// Returns how many fragments of it were written, and checks that they follow each other.
fn fragments(frames: &[Frame]) -> usize {
    let of_split = |frame: &&Frame| frame.opcode <= BINARY && frame.payload[0] == SPLIT;
    let first = frames.iter().position(|frame| of_split(&frame));
    let run = frames.iter().skip(first.unwrap_or(frames.len()));
    let opcodes: Vec<_> = run.take_while(of_split).map(|frame| frame.opcode).collect();
    assert!([BINARY, CONTINUATION].starts_with(&opcodes), "{frames:?}");
    assert_eq!(frames.iter().filter(of_split).count(), opcodes.len());
    opcodes.len()
}

/// Messages of other senders go before it or behind it, over a full wire too.
#[test]
fn loom_a_split_message_beside_a_sender() {
    explore(2, || {
        let (wire, outbox) = splitting(FRAME);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || assert!(send_split(&theirs)));
        outbox.send_numbers(0, 2);
        wire.make_room(PLENTY);
        wire.run_background();
        sender.join().expect("no panic");
        outbox.assert_at_rest();
        let frames = wire.frames();
        assert_eq!((fragments(&frames), numbers(&frames, 0)), (2, vec![0, 1]));
    });
}

/// A Close that overtakes it tears it or does not; either way the message is counted once.
#[test]
fn loom_an_overtaking_close_beside_a_split_message() {
    explore(2, || {
        let (wire, outbox) = splitting(FRAME);
        let theirs = Arc::clone(&outbox);
        let sender = wire.spawn(move || send_split(&theirs));
        outbox.answer_close(CloseFrame::cut_to_fit(CloseCode::NORMAL, ""));
        wire.make_room(PLENTY);
        wire.run_background();
        let sent = sender.join().expect("no panic");
        outbox.assert_at_rest();
        let frames = wire.frames();
        let is_close = |frame: &Frame| frame.opcode == CLOSE;
        assert_eq!(frames.iter().position(is_close), Some(frames.len() - 1));
        let (whole, counters) = (fragments(&frames) == 2, outbox.counters());
        let counted = (counters.messages_out, counters.undelivered);
        assert_eq!(counted, (u64::from(whole), u64::from(sent && !whole)));
    });
}
