//! Messages arrive whole, in frames as RFC 6455, section 5, has them.

use std::sync::mpsc;

use bytes::Bytes;
use landline::Message;

use super::Line;
use crate::support::opcode::*;
use crate::support::*;

/// Messages of every size up to 16 MiB arrive whole, text and binary, in both roles.
#[test]
fn large_messages_arrive_whole() {
    const MIB: usize = 1 << 20;
    let line = Line::open(&quiet());
    let around = |edge: usize| [edge - 1, edge, edge + 1];
    let mut sizes = vec![0, 1, 2, 5 * MIB + 3, 16 * MIB];
    let edges = [126, 4 << 10, 16 << 10, 32 << 10, 64 << 10, MIB];
    sizes.extend(edges.into_iter().flat_map(around));
    for (ws, heard) in line.ways() {
        for &size in &sizes {
            let text = letters(size);
            ws.send(&text).unwrap();
            ws.send(text.as_bytes()).unwrap();
            let (got_text, got_binary) = (next(heard), next(heard));
            assert!(
                got_text.as_text() == Some(&*text),
                "{size} as text: {}",
                got_text.len()
            );
            let is_same = matches!(&got_binary, Message::Binary(bytes) if bytes == text.as_bytes());
            assert!(is_same, "{size} as binary: {}", got_binary.len());
        }
    }
}

fn letters(count: usize) -> String {
    (0..count)
        .map(|at| char::from(b'a' + (at % 23) as u8))
        .collect()
}

/// A large message of landline's is one frame on the wire, with the shortest form of its length.
#[test]
fn messages_are_single_frames() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        for size in [0, 125, 126, 65_535, 65_536, 300_000] {
            met.ws.send(vec![7; size]).unwrap();
            assert_eq!(met.peer.read_frame(), Frame::new(BINARY, vec![7; size]));
        }
    }
}

/// A client masks each frame with a key of its own (RFC 6455, section 5.3).
#[test]
fn keys_differ_from_frame_to_frame() {
    let met = Meeting::of(Role::Client, quiet(), |_| {});
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..20 {
        met.ws.send([0; 4]).unwrap();
        let mut frame = [0; 10];
        std::io::Read::read_exact(&mut &met.peer.stream, &mut frame).unwrap();
        assert_eq!(frame[..2], [0x82, 0x84]);
        // Zeros masked are the key.
        assert_eq!(frame[2..6], frame[6..]);
        keys.insert(frame[2..6].to_vec());
    }
    assert!(keys.len() > 15, "{} keys for 20 frames", keys.len());
}

/// Fragments of a message, with control frames between them, are one message; its pings are
/// answered before it is complete.
#[test]
fn fragments_with_pings_between_are_one_message() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, quiet());
        met.peer.send(&Frame::text("frag").unfinished());
        met.peer.send(&Frame::new(PING, "now"));
        assert_eq!(met.peer.read_frame(), Frame::new(PONG, "now"));
        met.peer.send(&Frame::new(CONTINUATION, "men").unfinished());
        met.peer.send(&Frame::new(PONG, "unasked"));
        met.peer.send(&Frame::new(CONTINUATION, "ted"));
        assert_eq!(events.next(), Event::Ping("now".into()));
        assert_eq!(events.next(), Event::Pong("unasked".into()));
        assert_eq!(events.next(), Event::Text("fragmented".into()));
    }
}

/// A payload is shared, never changed: what a client has sent, masked, can be sent again.
#[test]
fn payloads_are_never_touched() {
    let line = Line::open(&quiet());
    let message = Message::from(letters(200_000));
    let copy = letters(200_000);
    for (ws, heard) in line.ways() {
        for _ in 0..3 {
            ws.send(&message).unwrap();
            assert!(next(heard).as_text() == Some(&*copy));
        }
    }
    assert!(message.as_text() == Some(&*copy));
}

/// A payload is given up once it has left, whatever its size: an idle connection keeps none.
#[test]
fn sent_payloads_are_given_up() {
    struct Owner(Vec<u8>, mpsc::Sender<usize>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            let _ = self.1.send(self.0.len());
        }
    }
    let line = Line::open(&quiet());
    for (ws, heard) in line.ways() {
        for size in [1, 5_000, 64 << 10, 1 << 20] {
            let (gone, dropped) = mpsc::channel();
            ws.send(Bytes::from_owner(Owner(vec![7; size], gone)))
                .unwrap();
            assert_eq!(next(heard).len(), size);
            assert_eq!(dropped.recv_timeout(PATIENCE), Ok(size));
        }
    }
}
