//! A message that is written piece by piece: what the peer sees, and what else the connection does
//! meanwhile.

mod ending;
mod fragments;
mod order;
mod places;
mod waiting;

use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc;
use std::thread;

use landline::{
    Client, CloseCode, CloseEvent, Config, DeliveryError, Initiator, Message, MessageWriter,
    Outcome, SendError, SendErrorKind, Server, WaitError, WebSocket,
};

use crate::support::opcode::*;
use crate::support::*;

const KIB: usize = 1 << 10;
/// The bytes that gather before a fragment leaves.
const FRAGMENT: usize = 16 * KIB;
/// The bytes of fragments that may wait before a writer does.
const LANE: usize = 64 * KIB;
/// More than the kernel and TLS take for a peer that does not read.
const PLUG: usize = 256 * KIB;

/// No deadline is the reason of anything here, and the kernel takes little.
fn shallow() -> Config {
    patient().send_buffer(4 * KIB)
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

impl Kind {
    #[track_caller]
    fn begin(self, ws: &WebSocket) -> MessageWriter {
        match self {
            Self::Text => ws.text_writer().unwrap(),
            Self::Binary => ws.binary_writer().unwrap(),
        }
    }

    fn opcode(self) -> u8 {
        match self {
            Self::Text => TEXT,
            Self::Binary => BINARY,
        }
    }
}

const KINDS: [Kind; 2] = [Kind::Text, Kind::Binary];

/// Reads the fragments of one message, and asserts what is true of all (RFC 6455, section 5.4).
/// Control frames between them go to `between`.
#[track_caller]
fn read_fragments(
    kind: Kind,
    mut read_frame: impl FnMut() -> Frame,
    mut between: impl FnMut(Frame),
) -> Vec<Vec<u8>> {
    let mut fragments = Vec::new();
    loop {
        let frame = read_frame();
        if frame.opcode >= CLOSE {
            between(frame);
            continue;
        }
        let expected = if fragments.is_empty() {
            kind.opcode()
        } else {
            CONTINUATION
        };
        assert_eq!(frame.opcode, expected, "{frame:?}");
        if kind == Kind::Text {
            assert!(
                std::str::from_utf8(&frame.payload).is_ok(),
                "a torn character"
            );
        }
        fragments.push(frame.payload);
        if frame.fin {
            return fragments;
        }
    }
}

/// Reads one message of a raw peer, between whose fragments nothing stands.
#[track_caller]
fn read_message(kind: Kind, peer: &mut RawPeer) -> Vec<u8> {
    let unexpected = |frame| panic!("{frame:?} in the message");
    read_fragments(kind, || peer.read_frame(), unexpected).concat()
}

/// Makes a text of which every stretch differs, some of its characters longer than a byte.
fn text(length: usize) -> String {
    let mut text = String::with_capacity(length);
    for number in 0.. {
        let piece = format!("{number} \u{e4}\u{20ac}\u{1f980} ");
        if text.len() + piece.len() > length {
            break;
        }
        text.push_str(&piece);
    }
    let missing = length - text.len();
    text + &"x".repeat(missing)
}

#[track_caller]
fn plug(ws: &WebSocket) {
    let plug = ws.send_tracked(vec![b'p'; PLUG]).unwrap();
    assert!(!plug.is_done(), "the kernel took it all");
}

#[track_caller]
fn expect_plug(mut read_frame: impl FnMut() -> Frame) {
    let frame = read_frame();
    assert!(frame.payload == vec![b'p'; PLUG], "{frame:?}");
}

#[track_caller]
fn assert_fails(result: io::Result<()>, kind: ErrorKind) {
    assert_eq!(result.unwrap_err().kind(), kind);
}

/// Asserts that nothing can be written any more, whichever way it is tried.
#[track_caller]
fn assert_broken(mut writer: MessageWriter) {
    assert_fails(flood(&mut writer, 2 * FRAGMENT), ErrorKind::BrokenPipe);
    assert_fails(writer.flush(), ErrorKind::BrokenPipe);
    let error = writer.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let source = error
        .get_ref()
        .unwrap()
        .downcast_ref::<SendError>()
        .unwrap();
    assert_eq!(source.kind(), SendErrorKind::Closed);
}

/// Writes so many bytes.
fn flood(writer: &mut MessageWriter, length: usize) -> io::Result<()> {
    let written = io::copy(&mut io::repeat(b'w').take(length as u64), writer)?;
    assert_eq!(written, length as u64);
    Ok(())
}

/// Answers our Close, and waits for the end that the program is told.
#[track_caller]
fn answer_close(met: &mut Meeting, events: &Recorder, code: u16) -> CloseEvent {
    met.peer.send_close(code, "");
    met.peer.send_fin();
    settled("the connection has ended", || met.ws.close_code().is_some());
    events.next_close()
}

// On the wire
