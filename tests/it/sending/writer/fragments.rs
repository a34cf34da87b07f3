//! What leaves, and in which frames.

use super::*;

/// What fits one fragment is one unfragmented frame, whatever the pieces, also if it is empty.
#[test]
fn small_messages_are_single_frames() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        for kind in KINDS {
            for length in [0, 1, 125, 126, FRAGMENT - 1, FRAGMENT] {
                let text = text(length);
                let mut writer = kind.begin(&met.ws);
                for piece in text.as_bytes().chunks(1_000) {
                    writer.write_all(piece).unwrap();
                }
                writer.finish().unwrap();
                let frame = met.peer.read_frame();
                assert!(frame == Frame::new(kind.opcode(), text), "{frame:?}");
            }
        }
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "{} and {:?}", 1, "two").unwrap();
        writer.finish().unwrap();
        assert_eq!(met.peer.read_frame(), Frame::text("1 and \"two\""));
    }
}

/// What is larger leaves in fragments of some 16 KiB, which together are what was written.
#[test]
fn larger_messages_leave_in_fragments() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        for kind in KINDS {
            for length in [FRAGMENT + 1, 3 * FRAGMENT, 10 * FRAGMENT + 77] {
                let (text, ws) = (text(length), met.ws.clone());
                let expected = text.clone();
                let writing = thread::spawn(move || {
                    let mut writer = kind.begin(&ws);
                    let copied = io::copy(&mut text.as_bytes(), &mut writer).unwrap();
                    assert_eq!(copied, length as u64);
                    writer.finish().unwrap();
                });
                let unexpected = |frame| panic!("{frame:?} in the message");
                let fragments = read_fragments(kind, || met.peer.read_frame(), unexpected);
                for fragment in &fragments[..fragments.len() - 1] {
                    let expected = FRAGMENT - 3..=FRAGMENT;
                    assert!(expected.contains(&fragment.len()), "{}", fragment.len());
                }
                assert!(fragments.concat() == expected.as_bytes());
                writing.join().unwrap();
            }
        }
    }
}

/// A flush makes leave what has gathered, and nothing where that is nothing.
#[test]
fn flush_makes_a_fragment_leave() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let mut writer = met.ws.text_writer().unwrap();
        writer.flush().unwrap();
        for (number, piece) in ["one", "two", "three"].into_iter().enumerate() {
            write!(writer, "{piece}").unwrap();
            writer.flush().unwrap();
            writer.flush().unwrap();
            let opcode = if number == 0 { TEXT } else { CONTINUATION };
            assert_eq!(
                met.peer.read_frame(),
                Frame::new(opcode, piece).unfinished()
            );
        }
        writer.finish().unwrap();
        assert_eq!(met.peer.read_frame(), Frame::new(CONTINUATION, ""));
    }
}

/// Characters that are split across writes and flushes arrive whole, and each fragment of a text is
/// valid by itself.
#[test]
fn split_characters_stay_whole() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let text = text(500);
        let mut writer = met.ws.text_writer().unwrap();
        for byte in text.as_bytes() {
            writer.write_all(&[*byte]).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(read_message(Kind::Text, &mut met.peer), text.as_bytes());
    }
}

/// A large source: its bytes repeat, but not with the fragments.
struct Source {
    pattern: Vec<u8>,
    at: usize,
    left: usize,
}

impl Source {
    fn new(length: usize) -> Self {
        // A prime.
        let pattern = (0..65_521_u32).map(|at| ((at * at) >> 7) as u8).collect();
        Self {
            pattern,
            at: 0,
            left: length,
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.pattern[self.at..];
        let length = rest.len().min(buffer.len()).min(self.left);
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at = (self.at + length) % self.pattern.len();
        self.left -= length;
        Ok(length)
    }
}

/// 64 MiB arrive whole, and never are in memory as a whole.
#[test]
fn large_message_takes_little_memory() {
    const LENGTH: usize = 64 << 20;
    alone(|| {
        let mut met = Meeting::of(Role::Server, quiet(), |_| {});
        let (ws, before) = (met.ws.clone(), resident_kib());
        let writing = thread::spawn(move || {
            let mut writer = ws.binary_writer().unwrap();
            io::copy(&mut Source::new(LENGTH), &mut writer).unwrap();
            writer.finish().unwrap();
        });
        let (mut source, mut most, mut fin) = (Source::new(LENGTH), 0, false);
        while !fin {
            let (is_last, payload) = read_unmasked(&mut met.peer);
            let mut expected = vec![0; payload.len()];
            source.read_exact(&mut expected).unwrap();
            assert!(payload == expected);
            most = most.max(resident_kib().saturating_sub(before));
            fin = is_last;
        }
        assert_eq!(source.left, 0);
        writing.join().unwrap();
        assert!(most < 2_048, "{most} KiB more");
    });
}

/// Reads one frame of a server without holding more than it, fast.
#[track_caller]
fn read_unmasked(peer: &mut RawPeer) -> (bool, Vec<u8>) {
    let (mut header, mut length) = ([0; 2], [0; 2]);
    peer.stream.read_exact(&mut header).unwrap();
    let length = match header[1] {
        126 => {
            peer.stream.read_exact(&mut length).unwrap();
            usize::from(u16::from_be_bytes(length))
        }
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    peer.stream.read_exact(&mut payload).unwrap();
    (header[0] & 0x80 != 0, payload)
}

// Beside other messages
