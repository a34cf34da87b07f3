//! A message that is written piece by piece: what the peer sees, and what else the connection does
//! meanwhile.

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
/// So much gathers before a fragment leaves.
const FRAGMENT: usize = 16 * KIB;
/// So much of fragments waits before writing does.
const LANE: usize = 64 * KIB;
/// More than the kernel and TLS take for a peer that does not read.
const PLUG: usize = 256 * KIB;

fn quiet() -> Config {
    Config::new().ping_interval(None)
}

/// No deadline is the reason of anything here, and the kernel takes little.
fn patient() -> Config {
    quiet()
        .send_buffer(4 * KIB)
        .write_timeout(2 * PATIENCE)
        .close_timeout(2 * PATIENCE)
}

/// Says of which kind a message is.
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

/// Is a large source: its bytes repeat, but not with the fragments.
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

/// Other messages of any thread queue behind a streamed one and keep their order, what was sent
/// before goes before (L4), and pings and pongs pass between the fragments.
#[test]
fn other_messages_keep_their_order() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        met.ws.send("before").unwrap();
        let mut writer = met.ws.text_writer().unwrap();
        met.ws.send("during, by the same thread").unwrap();
        write!(writer, "begun, ").unwrap();
        writer.flush().unwrap();
        let ws = met.ws.clone();
        let sending = thread::spawn(move || ws.send("during, by another").unwrap());
        sending.join().unwrap();
        assert_eq!(met.peer.read_frame(), Frame::text("before"));
        assert_eq!(met.peer.read_frame(), Frame::text("begun, ").unfinished());
        met.ws.ping("ours").unwrap();
        assert_eq!(met.peer.read_frame(), Frame::new(PING, "ours"));
        met.peer.send(&Frame::new(PING, "theirs"));
        assert_eq!(met.peer.read_frame(), Frame::new(PONG, "theirs"));
        write!(writer, "ended").unwrap();
        writer.finish().unwrap();
        met.ws.send("after").unwrap();
        assert_eq!(met.peer.read_frame(), Frame::new(CONTINUATION, "ended"));
        for text in ["during, by the same thread", "during, by another", "after"] {
            assert_eq!(met.peer.read_frame(), Frame::text(text));
        }
    }
}

/// A second streamed message is refused at once while the first is not finished, whoever asks, and
/// begins right behind it then, also while the socket is full.
#[test]
fn one_message_is_streamed_at_a_time() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, patient(), |_| {});
        plug(&met.ws);
        let mut first = met.ws.text_writer().unwrap();
        let refused = |ws: &WebSocket| {
            assert_eq!(
                ws.text_writer().unwrap_err().kind(),
                SendErrorKind::Streaming
            );
            let error = ws.binary_writer().unwrap_err();
            assert_eq!(error.kind(), SendErrorKind::Streaming);
            assert_eq!(error.into_message(), None);
        };
        refused(&met.ws);
        write!(first, "first").unwrap();
        first.flush().unwrap();
        let ws = met.ws.clone();
        in_time("another thread is refused", move || refused(&ws));
        first.finish().unwrap();
        let mut second = met.ws.binary_writer().unwrap();
        refused(&met.ws);
        write!(second, "second").unwrap();
        second.finish().unwrap();
        met.ws.text_writer().unwrap().finish().unwrap();
        expect_plug(|| met.peer.read_frame());
        assert_eq!(read_message(Kind::Text, &mut met.peer), b"first");
        assert_eq!(met.peer.read_frame(), Frame::new(BINARY, "second"));
        assert_eq!(met.peer.read_frame(), Frame::text(""));
    }
}

/// The thread that writes cannot wait for room behind its own message, so it is told at once, also
/// if the writer came from another thread; other threads wait.
#[test]
fn full_queue_is_an_error_for_the_writers_thread_alone() {
    for role in ROLES {
        for is_moved in [false, true] {
            let met = Meeting::of(role, patient().max_queue_messages(3), |_| {});
            let (ws, mut peer) = (met.ws.clone(), met.peer);
            let writer = is_moved.then(|| ws.text_writer().unwrap());
            in_time("nothing waits", move || {
                let mut writer = writer.unwrap_or_else(|| ws.text_writer().unwrap());
                write!(writer, "streamed").unwrap();
                ws.send_all(["second", "third"]).unwrap();
                let error = ws.send("fourth").unwrap_err();
                assert_eq!(error.kind(), SendErrorKind::Full);
                assert_eq!(error.into_message(), Some(Message::from("fourth")));
                let kind = ws.send_tracked("fourth").unwrap_err().kind();
                assert_eq!(kind, SendErrorKind::Full);
                assert_eq!(ws.send_all(["4"]).unwrap_err().kind(), SendErrorKind::Full);
                assert_eq!(ws.confirm(2 * PATIENCE), Err(WaitError::WouldDeadlock));
                let other = ws.clone();
                let waiting = thread::spawn(move || other.send("fourth").unwrap());
                writer.finish().unwrap();
                waiting.join().unwrap();
            });
            for text in ["streamed", "second", "third", "fourth"] {
                assert_eq!(peer.read_frame(), Frame::text(text), "{role:?}");
            }
        }
    }
}

/// Another thread's `send` waits behind the writer as long as `write_timeout`, and the connection
/// lives on: no peer is to blame.
#[test]
fn waiting_behind_a_writer_ends() {
    for role in ROLES {
        let config = quiet().max_queue_messages(1).write_timeout(ms(50));
        let mut met = Meeting::of(role, config, |_| {});
        let mut writer = met.ws.text_writer().unwrap();
        let ws = met.ws.clone();
        let error = in_time("the wait ends", move || ws.send("waits").unwrap_err());
        assert_eq!(error.kind(), SendErrorKind::Timeout);
        write!(writer, "streamed").unwrap();
        writer.finish().unwrap();
        met.ws.send("later").unwrap();
        assert_eq!(met.peer.read_frame(), Frame::text("streamed"));
        assert_eq!(met.peer.read_frame(), Frame::text("later"));
    }
}

/// The writer's thread cannot wait for its own message to leave; another can, and it has left when
/// that wait ends.
#[test]
fn draining_waits_for_the_writer() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let mut writer = met.ws.text_writer().unwrap();
        assert_eq!(
            met.ws.wait_drained(2 * PATIENCE),
            Err(WaitError::WouldDeadlock)
        );
        let ws = met.ws.clone();
        let drained = in_time("the wait has its time", move || ws.wait_drained(ms(20)));
        assert_eq!(drained, Err(WaitError::Timeout));
        write!(writer, "streamed").unwrap();
        let ws = met.ws.clone();
        let draining = thread::spawn(move || ws.wait_drained(PATIENCE));
        writer.finish().unwrap();
        assert_eq!(draining.join().unwrap(), Ok(()));
        assert_eq!(met.ws.wait_drained(PATIENCE), Ok(()));
        assert_eq!(met.ws.counters().messages_out, 1);
        assert_eq!(met.peer.read_frame(), Frame::text("streamed"));
    }
}

/// Threads that send and stream as they come share a connection: each thread's messages arrive in its
/// order, and none is torn.
#[test]
fn threads_share_a_connection_with_writers() {
    const THREADS: usize = 4;
    const EACH: usize = 60;
    let (sender, heard) = mpsc::channel();
    let server = TestServer::with(quiet(), move |ws| {
        let sender = sender.clone();
        ws.on_text(move |_, text| drop(sender.send(String::from(text))));
    });
    let client = Client::new().config(quiet().max_queue_messages(4));
    let ws = client.connect(server.url(), |_| {}).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let ws = &ws;
            scope.spawn(move || {
                for number in 0..EACH {
                    let message = format!("{thread} {number} {}", text(number * 400));
                    if number % 2 == 0 {
                        ws.send(message).unwrap();
                    } else {
                        stream(ws, &message);
                    }
                }
            });
        }
        let mut expected = [0; THREADS];
        for _ in 0..THREADS * EACH {
            let message = next(&heard);
            let (thread, rest) = message.split_once(' ').unwrap();
            let (number, rest) = rest.split_once(' ').unwrap();
            let (thread, number): (usize, usize) =
                (thread.parse().unwrap(), number.parse().unwrap());
            assert_eq!(number, expected[thread], "of thread {thread}");
            assert!(rest == text(number * 400), "torn");
            expected[thread] += 1;
        }
    });
}

/// Streams a message once no other thread does.
#[track_caller]
fn stream(ws: &WebSocket, message: &str) {
    loop {
        match ws.text_writer() {
            Ok(mut writer) => {
                writer.write_all(message.as_bytes()).unwrap();
                return writer.finish().unwrap();
            }
            Err(error) => assert_eq!(error.kind(), SendErrorKind::Streaming),
        }
        thread::yield_now();
    }
}

// Slow peers

/// While the peer does not read, writing waits with little in memory; when it does, all arrives.
#[test]
fn slow_peer_makes_writing_wait() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, patient());
        plug(&met.ws);
        let (ws, text) = (met.ws.clone(), text(20 * FRAGMENT));
        let expected = text.clone();
        let writing = thread::spawn(move || {
            let mut writer = ws.text_writer().unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap();
        });
        let full = PLUG + LANE;
        settled("as much waits as may", || {
            met.ws.buffered_amount() > full - FRAGMENT
        });
        met.ws.ping("still there?").unwrap();
        assert!(met.ws.buffered_amount() <= full);
        assert!(!writing.is_finished());
        expect_plug(|| met.peer.read_frame());
        let (mut pings, peer) = (Vec::new(), &mut met.peer);
        let fragments = read_fragments(Kind::Text, || peer.read_frame(), |ping| pings.push(ping));
        assert!(fragments.concat() == expected.as_bytes());
        assert_eq!(pings, [Frame::new(PING, "still there?")]);
        writing.join().unwrap();
        assert_eq!(met.ws.wait_drained(PATIENCE), Ok(()));
        assert_eq!(met.ws.counters().queued_bytes, 0);
    }
}

/// Writing to a peer that reads nothing, or a few bytes at a time, fails when the write deadline cuts
/// it, and is no longer than that.
#[test]
fn deaf_peer_fails_the_writing() {
    for &way in WAYS {
        for reads in [false, true] {
            let mut met = AnyMeeting::deaf(way, patient().write_timeout(ms(150)));
            let ws = met.ws.clone();
            let writing = thread::spawn(move || {
                let mut writer = ws.binary_writer().unwrap();
                flood(&mut writer, 64 << 20).unwrap_err()
            });
            settled("it is cut", || {
                if reads {
                    met.peer.sip();
                }
                met.ws.close_code().is_some()
            });
            let error = writing.join().unwrap();
            let kinds = [ErrorKind::TimedOut, ErrorKind::BrokenPipe];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            let event = met.events.next_close();
            assert_eq!(event.undelivered(), 1, "{event:?}");
            assert_eq!(met.ws.counters().queued_bytes, 0, "{way:?}");
        }
    }
}

/// What could not be written in time, as the peer is slow but not so slow as to be cut, may be tried
/// again: nothing is lost or doubled.
#[test]
fn writing_may_be_tried_again() {
    for role in ROLES {
        // On a machine that stalls the peer is too slow after all.
        let tried = (0..20).any(|_| write_to_a_slow_peer(role));
        assert!(tried, "{role:?}: no write ever took too long");
    }
}

/// Streams behind many messages to a peer that takes its time for them. Returns whether a write
/// failed for a time and the connection lived on.
#[track_caller]
fn write_to_a_slow_peer(role: Role) -> bool {
    const BEFORE: usize = 200;
    let config = patient().write_timeout(ms(150));
    let config = config.max_queue_bytes(BEFORE * FRAGMENT);
    let mut met = Meeting::deaf(role, config, |_| {});
    (0..BEFORE).for_each(|_| met.ws.send(vec![7; FRAGMENT]).unwrap());
    let (ws, sent) = (met.ws.clone(), text(12 * FRAGMENT));
    let expected = sent.clone();
    let (sender, timeouts) = mpsc::channel();
    let writing = thread::spawn(move || {
        let mut writer = ws.text_writer().ok()?;
        let mut rest = sent.as_bytes();
        while !rest.is_empty() {
            match writer.write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == ErrorKind::TimedOut => drop(sender.send(())),
                Err(_) => return None,
            }
        }
        writer.finish().ok()
    });
    let (mut timed_out, mut message) = (false, Vec::new());
    while let Ok(frame) = met.peer.read_frame_or_end() {
        timed_out |= timeouts.try_recv().is_ok();
        if frame.opcode == BINARY {
            // As long as the writer has not given up once.
            thread::sleep(ms(if timed_out { 0 } else { 4 }));
            continue;
        }
        message.extend(frame.payload);
        if frame.fin {
            assert!(message == expected.as_bytes());
            writing.join().unwrap().unwrap();
            return timed_out;
        }
    }
    false
}

/// Whoever waits to write is woken by every end of the connection.
#[test]
fn every_end_wakes_a_waiting_writer() {
    let ends: [fn(&WebSocket, RawPeer); 4] = [
        |ws, _| ws.abort(),
        |_, peer| peer.reset(),
        |_, mut peer| peer.send_close(1000, ""),
        |ws, _| ws.close(),
    ];
    for role in ROLES {
        for (number, end) in ends.into_iter().enumerate() {
            let met = Meeting::deaf(role, patient(), |_| {});
            plug(&met.ws);
            let ws = met.ws.clone();
            let writing = thread::spawn(move || {
                let mut writer = ws.binary_writer().unwrap();
                assert_fails(flood(&mut writer, 64 << 20), ErrorKind::BrokenPipe);
            });
            settled("it waits", || met.ws.buffered_amount() == PLUG + LANE);
            end(&met.ws, met.peer);
            settled("it is woken", || writing.is_finished());
            writing
                .join()
                .unwrap_or_else(|_| panic!("{role:?}, end {number}"));
        }
    }
}

/// Whenever a connection ends under a writer, its message is one that was not delivered, and nothing
/// stays queued.
#[test]
fn nothing_stays_queued_after_the_end() {
    let ends: [fn(&WebSocket, &mut RawPeer); 3] = [
        |ws, _| ws.abort(),
        |_, peer| peer.send_close(1000, ""),
        |ws, _| ws.close(),
    ];
    for role in ROLES {
        for end in ends.into_iter().cycle().take(60) {
            let mut met = Meeting::of(role, quiet(), |_| {});
            let ws = met.ws.clone();
            let writing = thread::spawn(move || {
                let mut writer = ws.binary_writer().unwrap();
                while writer.write_all(b"w").and(writer.flush()).is_ok() {}
            });
            met.peer.read_frame();
            end(&met.ws, &mut met.peer);
            settled("writing fails", || writing.is_finished());
            drop(met.peer);
            settled("it has ended", || met.ws.close_code().is_some());
            let counters = met.ws.counters();
            assert_eq!((counters.queued_messages, counters.queued_bytes), (0, 0));
            assert_eq!(counters.undelivered, 1);
        }
    }
}

// What is no text

/// A text that is not UTF-8 fails where that shows, and the peer is told by 1011 that there is none.
#[test]
fn invalid_text_is_refused() {
    let bad: [&[u8]; 4] = [
        b"\xff",
        b"fine, then \xc3\x28",
        b"cut \xf0\x9f\xa6",
        b"\xed\xa0\x80",
    ];
    for role in ROLES {
        for bytes in bad {
            let (mut met, events) = Meeting::recorded(role, quiet());
            let mut writer = met.ws.text_writer().unwrap();
            writer.write_all(bytes).unwrap();
            // What may still become a character is no error yet.
            let is_cut = std::str::from_utf8(bytes)
                .unwrap_err()
                .error_len()
                .is_none();
            assert_eq!(writer.flush().is_ok(), is_cut);
            assert_fails(writer.finish(), ErrorKind::InvalidData);
            expect_unfinished(&mut met, &events);
        }
        let (mut met, events) = Meeting::recorded(role, quiet());
        let mut writer = met.ws.text_writer().unwrap();
        writer.write_all(&[0xff; FRAGMENT]).unwrap();
        assert_fails(writer.write_all(b"more"), ErrorKind::InvalidData);
        drop(writer);
        expect_unfinished(&mut met, &events);
        // Of bytes none is wrong.
        let mut met = Meeting::of(role, quiet(), |_| {});
        let mut writer = met.ws.binary_writer().unwrap();
        writer.write_all(b"\xff").unwrap();
        writer.finish().unwrap();
        assert_eq!(met.peer.read_frame(), Frame::new(BINARY, b"\xff"));
    }
}

/// Expects that the peer is told of a message without an end, and the program too. What left of it
/// may come before.
#[track_caller]
fn expect_unfinished(met: &mut Meeting, events: &Recorder) {
    assert_eq!(met.peer.read_close(), Some(1011));
    met.peer.send_close(1011, "");
    met.peer.send_fin();
    settled("the connection has ended", || met.ws.close_code().is_some());
    let events = events.so_far();
    let [Event::Error(error), Event::Close(event)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(error, "a streamed message was dropped before its end");
    assert_eq!(event.code(), CloseCode::INTERNAL_ERROR);
    assert_eq!(event.initiator(), Initiator::Local);
    assert!(event.undelivered() > 0, "{event:?}");
}

/// Dropped before its end, however much has left of it, it fails the connection with 1011, and what
/// waits behind it is not delivered.
#[test]
fn dropped_writer_fails_the_connection() {
    let uses: [fn(&mut MessageWriter); 4] = [
        |_| {},
        |writer| write!(writer, "gathered").unwrap(),
        |writer| write!(writer, "left").and(writer.flush()).unwrap(),
        |writer| flood(writer, 3 * FRAGMENT).unwrap(),
    ];
    for role in ROLES {
        for write in uses {
            let (mut met, events) = Meeting::recorded(role, quiet());
            let mut writer = met.ws.binary_writer().unwrap();
            let behind = met.ws.send_tracked("behind").unwrap();
            write(&mut writer);
            drop(writer);
            let internal = DeliveryError::Closed(CloseCode::INTERNAL_ERROR);
            assert_eq!(behind.wait(), Err(internal));
            let refused = met.ws.text_writer().unwrap_err();
            assert_eq!(refused.kind(), SendErrorKind::Closed);
            assert_eq!(met.ws.wait_drained(PATIENCE), Err(WaitError::Closed));
            expect_unfinished(&mut met, &events);
        }
    }
}

/// The same holds while the socket is full: the queue is freed at once, and the Close comes behind
/// what is being written.
#[test]
fn dropped_writer_frees_a_full_queue() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, patient());
        plug(&met.ws);
        let mut writer = met.ws.binary_writer().unwrap();
        flood(&mut writer, 3 * FRAGMENT).unwrap();
        writer.flush().unwrap();
        met.ws.send("behind").unwrap();
        drop(writer);
        let counters = met.ws.counters();
        assert_eq!((counters.queued_messages, counters.undelivered), (1, 2));
        assert_eq!(counters.queued_bytes, PLUG as u64);
        expect_plug(|| met.peer.read_frame());
        let close = met.peer.read_frame();
        assert_eq!(close.close_code(), Some(1011));
        assert_eq!(&close.payload[2..], b"a message was not finished");
        met.peer.send_close(1011);
        met.peer.send_fin();
        let event = met.events.next_close();
        assert_eq!((event.code().as_u16(), event.undelivered()), (1011, 2));
    }
}

// How it ends

/// Our own Close goes in the middle of a message that has begun, behind what was written of it;
/// writing fails then, and what waits behind is not delivered, and counted.
#[test]
fn close_goes_in_the_middle() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, quiet());
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "begun").unwrap();
        writer.flush().unwrap();
        met.ws.send("behind").unwrap();
        let tracked = met.ws.send_tracked("behind too").unwrap();
        met.ws.close();
        assert_eq!(met.peer.read_frame(), Frame::text("begun").unfinished());
        assert_eq!(met.peer.read_frame(), Frame::new(CLOSE, [3, 0xe8]));
        let closed = DeliveryError::Closed(CloseCode::NORMAL);
        assert_eq!(tracked.wait(), Err(closed));
        assert_broken(writer);
        let event = answer_close(&mut met, &events, 1000);
        assert_eq!(event.code(), CloseCode::NORMAL);
        assert!(event.is_clean());
        assert_eq!(event.undelivered(), 3);
        assert_eq!(events.so_far(), []);
    }
}

/// The same holds where what was written has yet to leave.
#[test]
fn close_waits_for_what_was_written() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, patient());
        plug(&met.ws);
        met.ws.send("before").unwrap();
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "begun").unwrap();
        writer.flush().unwrap();
        met.ws.send("behind").unwrap();
        met.ws.close_with(4000, "enough").unwrap();
        assert_broken(writer);
        expect_plug(|| met.peer.read_frame());
        assert_eq!(met.peer.read_frame(), Frame::text("before"));
        assert_eq!(met.peer.read_frame(), Frame::text("begun").unfinished());
        assert_eq!(met.peer.read_frame().close_code(), Some(4000));
        met.peer.send_close(4000);
        met.peer.send_fin();
        let event = met.events.next_close();
        assert_eq!((event.code().as_u16(), event.undelivered()), (4000, 2));
    }
}

/// A message of which nothing has been written when the connection closes is left out, and what is
/// queued behind it goes before the Close.
#[test]
fn close_leaves_out_what_has_not_begun() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, quiet());
        met.ws.send("before").unwrap();
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "gathered").unwrap();
        met.ws.send("behind").unwrap();
        met.ws.close();
        assert_eq!(met.peer.read_frame(), Frame::text("before"));
        assert_eq!(met.peer.read_frame(), Frame::text("behind"));
        assert_eq!(met.peer.read_frame(), Frame::new(CLOSE, [3, 0xe8]));
        assert_broken(writer);
        let event = answer_close(&mut met, &events, 1000);
        assert_eq!((event.code().as_u16(), event.undelivered()), (1000, 1));
    }
}

/// A finished message goes before the Close like any other, also while another is not.
#[test]
fn close_waits_for_finished_messages() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, patient());
        plug(&met.ws);
        let mut finished = met.ws.binary_writer().unwrap();
        flood(&mut finished, 2 * FRAGMENT + 1).unwrap();
        finished.finish().unwrap();
        let unfinished = met.ws.text_writer().unwrap();
        met.ws.close();
        drop(unfinished);
        expect_plug(|| met.peer.read_frame());
        let unexpected = |frame| panic!("{frame:?} in the message");
        let fragments = read_fragments(Kind::Binary, || met.peer.read_frame(), unexpected);
        assert!(fragments.concat() == vec![b'w'; 2 * FRAGMENT + 1]);
        assert_eq!(met.peer.read_frame().close_code(), Some(1000));
    }
}

/// The peer's Close is answered in the middle of the message, and writing fails.
#[test]
fn peers_close_ends_the_message() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, quiet());
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "begun").unwrap();
        writer.flush().unwrap();
        assert_eq!(met.peer.read_frame(), Frame::text("begun").unfinished());
        met.ws.send("behind").unwrap();
        met.peer.send_close(4001, "enough");
        assert_eq!(met.peer.read_frame().close_code(), Some(4001));
        assert_broken(writer);
        met.peer.send_fin();
        let event = events.next_close();
        assert_eq!((event.code().as_u16(), event.undelivered()), (4001, 2));
        assert!(event.is_clean(), "{event:?}");
    }
}

/// An abort and a reset end the message without a word, and a writer that is kept holds nothing up.
#[test]
fn lost_connection_ends_the_message() {
    let ends: [fn(&WebSocket, RawPeer); 3] = [
        |ws, _| ws.abort(),
        |_, peer| peer.reset(),
        |_, peer| drop(peer),
    ];
    for role in ROLES {
        for end in ends {
            let (mut met, events) = Meeting::recorded(role, quiet());
            let mut writer = met.ws.text_writer().unwrap();
            write!(writer, "begun").unwrap();
            writer.flush().unwrap();
            assert_eq!(met.peer.read_frame(), Frame::text("begun").unfinished());
            end(&met.ws, met.peer);
            let event = closed_once(&events, &met.ws);
            assert_eq!((event.code().as_u16(), event.undelivered()), (1006, 1));
            assert_eq!(
                met.ws.text_writer().unwrap_err().kind(),
                SendErrorKind::Closed
            );
            assert_broken(writer);
            assert_eq!(events.so_far(), []);
            assert_eq!(met.ws.counters().queued_bytes, 0);
        }
    }
}

/// A server that stops says so in the middle of the message.
#[test]
fn stop_goes_in_the_middle() {
    let (mut met, events) = Meeting::recorded(Role::Server, quiet());
    let mut writer = met.ws.text_writer().unwrap();
    write!(writer, "begun").unwrap();
    writer.flush().unwrap();
    met.server.as_ref().unwrap().handle().stop();
    assert_eq!(met.peer.read_frame(), Frame::text("begun").unfinished());
    assert_eq!(met.peer.read_frame().close_code(), Some(1001));
    assert_broken(writer);
    let event = answer_close(&mut met, &events, 1001);
    assert_eq!(event.code(), CloseCode::GOING_AWAY);
}

// Where it is written

/// A message may begin on one thread, go on on a second and end on a third.
#[test]
fn writer_moves_between_threads() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "one, ").unwrap();
        let writing = thread::spawn(move || {
            write!(writer, "two, ").unwrap();
            writer.flush().unwrap();
            writer
        });
        let mut writer = writing.join().unwrap();
        // Whose it was may wait again.
        assert_eq!(met.ws.wait_drained(ms(1)), Err(WaitError::Timeout));
        write!(writer, "three").unwrap();
        writer.finish().unwrap();
        assert_eq!(read_message(Kind::Text, &mut met.peer), b"one, two, three");
    }
}

/// A callback may stream, also while the rest of a burst is at hand and what it sends is held back,
/// and however large it is.
#[test]
fn callbacks_stream() {
    fn answer(ws: &WebSocket, asked: &str) -> Outcome {
        let mut writer = ws.text_writer()?;
        write!(writer, "answer to {asked}, ")?;
        writer.flush()?;
        ws.send("inside")?;
        writer.write_all(text(6 * FRAGMENT).as_bytes())?;
        writer.finish()?;
        ws.send("behind")?;
        Ok(())
    }
    for role in ROLES {
        let set_up = |ws: &WebSocket| ws.on_text(|ws, asked| answer(ws, &asked));
        let mut met = Meeting::deaf(role, patient(), set_up);
        let burst = ["0", "1", "2", "3"].map(|text| met.peer.encode(&Frame::text(text)));
        met.peer.send_bytes(burst.concat());
        for number in 0..4 {
            let message = read_message(Kind::Text, &mut met.peer);
            let expected = format!("answer to {number}, {}", text(6 * FRAGMENT));
            assert!(message == expected.as_bytes(), "{role:?}: {number}");
            assert_eq!(met.peer.read_frame(), Frame::text("inside"));
            assert_eq!(met.peer.read_frame(), Frame::text("behind"));
        }
    }
}

/// What a callback has flushed leaves while it blocks, though it is held back for the burst.
#[test]
fn flushed_fragment_leaves_while_the_callback_blocks() {
    for role in ROLES {
        let (release, released) = mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let released = std::sync::Arc::new(released);
        let mut met = Meeting::of(role, quiet(), move |ws| {
            let released = std::sync::Arc::clone(&released);
            ws.on_text(move |ws, _| -> Outcome {
                let mut writer = ws.text_writer()?;
                write!(writer, "working... ")?;
                writer.flush()?;
                let _ = released.lock().unwrap().recv_timeout(PATIENCE);
                write!(writer, "done")?;
                writer.finish()?;
                Ok(())
            });
        });
        let burst = ["0", "1"].map(|text| met.peer.encode(&Frame::text(text)));
        met.peer.send_bytes(burst.concat());
        assert_eq!(
            met.peer.read_frame(),
            Frame::text("working... ").unfinished()
        );
        drop(release);
        assert_eq!(met.peer.read_frame(), Frame::new(CONTINUATION, "done"));
        assert_eq!(read_message(Kind::Text, &mut met.peer), b"working... done");
    }
}

/// Straight-line handlers stream, and a handler that returns in the middle fails the connection.
#[test]
fn handlers_stream() {
    let server = TestServer::start(Server::builder().config(quiet()).serve(
        |ws, mut messages, _| {
            let asked = messages.recv()?;
            let mut writer = ws.text_writer()?;
            write!(writer, "{asked}, answered")?;
            writer.finish()?;
            let mut unfinished = ws.binary_writer()?;
            unfinished.write_all(b"no end")?;
            unfinished.flush()?;
            Ok(())
        },
    ));
    let mut peer = RawPeer::client_of(&server);
    peer.send_text("asked");
    assert_eq!(peer.read_frame(), Frame::text("asked, answered"));
    let frame = peer.read_frame();
    assert_eq!(frame, Frame::new(BINARY, "no end").unfinished());
    assert_eq!(peer.read_frame().close_code(), Some(1011));
}

/// Landline reads what landline streams, over ws and wss, both sides at once.
#[test]
fn landline_reads_what_landline_streams() {
    fn converse(server: &Server, client: &Client) {
        let (ws, mut messages) = client.open(server.url()).unwrap();
        let sent = text(40 * FRAGMENT);
        for kind in KINDS {
            let mut writer = kind.begin(&ws);
            writer.write_all(sent.as_bytes()).unwrap();
            writer.finish().unwrap();
            let echo = messages.recv().unwrap();
            assert_eq!(echo.as_text().is_some(), kind == Kind::Text);
            assert!(echo.as_bytes() == sent.as_bytes());
        }
    }
    fn echo(builder: landline::ServerBuilder) -> landline::ServerBuilder {
        builder.on_upgrade(|ws, _| {
            ws.on_message(|ws, message| -> Outcome {
                let mut writer = match message {
                    Message::Text(_) => ws.text_writer()?,
                    Message::Binary(_) => ws.binary_writer()?,
                };
                writer.write_all(message.as_bytes())?;
                Ok(writer.finish()?)
            });
        })
    }
    converse(&TestServer::start(echo(Server::builder())), &Client::new());
    #[cfg(feature = "tls")]
    converse(&secure(echo(Server::builder())), &trusting());
}

/// A message waits for its place in a full queue as a send does, and is refused as one.
#[test]
fn beginning_waits_for_a_place() {
    for role in ROLES {
        let config = patient().max_queue_messages(1);
        let mut met = Meeting::deaf(role, config, |_| {});
        plug(&met.ws);
        let ws = met.ws.clone();
        let beginning = thread::spawn(move || {
            let mut writer = ws.text_writer().unwrap();
            write!(writer, "streamed").unwrap();
            writer.finish().unwrap();
        });
        assert!(!beginning.is_finished());
        expect_plug(|| met.peer.read_frame());
        assert_eq!(met.peer.read_frame(), Frame::text("streamed"));
        beginning.join().unwrap();
        let config = patient().max_queue_messages(1);
        let met = Meeting::deaf(role, config.write_timeout(ms(100)), |_| {});
        plug(&met.ws);
        let ws = met.ws.clone();
        let error = in_time("it is refused", move || ws.text_writer().unwrap_err());
        let kinds = [SendErrorKind::Timeout, SendErrorKind::Closed];
        assert!(kinds.contains(&error.kind()), "{error:?}");
    }
}
