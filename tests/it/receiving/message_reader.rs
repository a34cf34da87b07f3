//! Messages too large to hold are read as they come, in both roles.

use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::thread;

use landline::{
    Client, CloseEvent, Config, Message, MessageReader, Messages, RecvError, RecvTimeoutError,
    Server, Timeout, WebSocket,
};

use crate::support::opcode::*;
use crate::support::*;

/// Takes less than the messages have that are read here.
fn limits() -> Config {
    Config::new()
        .max_message_size(1000)
        .max_frame_size(1000)
        .max_fragments(2)
}

/// Makes a frame's header by hand, its length in 64 bits, its mask of zeros.
fn header(role: Role, first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first, 127];
    header.extend(length.to_be_bytes());
    if role.peer_masks() {
        header[1] |= 0x80;
        header.extend([0; 4]);
    }
    header
}

/// Returns these bytes of a payload that tells its places apart.
fn payload(range: Range<usize>) -> Vec<u8> {
    range.map(|at| (at % 251) as u8).collect()
}

fn read_all(reader: &mut MessageReader<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

fn read_some(reader: &mut MessageReader<'_>, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).unwrap();
    bytes
}

/// A message of 64 MiB is read in a process that grows by less than 4 MiB meanwhile, whatever the
/// limits are.
#[test]
fn large_messages_take_little_memory() {
    alone(|| {
        const BLOCK: usize = 251 << 10;
        const BLOCKS: usize = 261;
        for role in ROLES {
            let met = Pulled::new(role, limits());
            let mut sending = met.peer.stream.try_clone().unwrap();
            let block = payload(0..BLOCK);
            let expected = block.clone();
            let writing = thread::spawn(move || {
                let length = (BLOCK * BLOCKS) as u64;
                sending.write_all(&header(role, 0x82, length)).unwrap();
                for _ in 0..BLOCKS {
                    sending.write_all(&block).unwrap();
                }
            });
            let read = move |messages: &mut Messages| {
                let mut reader = messages.recv_reader().unwrap();
                let mut came = vec![0; BLOCK];
                let before = resident_kib();
                let mut most = before;
                for _ in 0..BLOCKS {
                    reader.read_exact(&mut came).unwrap();
                    assert!(came == expected, "not what was sent");
                    most = most.max(resident_kib());
                }
                assert_eq!(reader.read(&mut came).unwrap(), 0);
                most - before
            };
            let grown = met.play(read, |_| writing.join().unwrap());
            println!("{role:?}: {grown} KiB more");
            assert!(grown < 4 << 10, "{role:?}: {grown} KiB more");
        }
    });
}

/// All fragments are one message, its kind is told, and its end is 0 bytes, again and again.
#[test]
fn fragments_are_read_through() {
    for role in ROLES {
        for (opcode, is_text) in [(TEXT, true), (BINARY, false)] {
            let Pulled { peer, messages, .. } = &mut Pulled::new(role, limits());
            peer.send(&Frame::new(opcode, "one ").unfinished());
            peer.send(&Frame::new(CONTINUATION, "").unfinished());
            peer.send(&Frame::new(CONTINUATION, "two ").unfinished());
            peer.send(&Frame::new(CONTINUATION, "three"));
            let mut reader = messages.recv_reader().unwrap();
            assert_eq!(reader.is_text(), is_text);
            assert_eq!(read_all(&mut reader), b"one two three");
            assert_eq!(reader.read(&mut [0]).unwrap(), 0);
            assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        }
    }
}

/// A message has begun with its header, and what has come of it is read without the rest.
#[test]
fn reading_does_not_wait_for_more() {
    for role in ROLES {
        let Pulled { peer, messages, .. } = &mut Pulled::new(role, limits());
        peer.send_bytes(header(role, 0x81, 70_000));
        let mut reader = messages.recv_reader().unwrap();
        assert!(reader.is_text());
        assert_eq!(reader.read(&mut []).unwrap(), 0);
        peer.send_bytes("a\u{e4}");
        assert_eq!(read_some(&mut reader, 3), "a\u{e4}".as_bytes());
        peer.send_bytes("b".repeat(69_997));
        assert_eq!(read_all(&mut reader), "b".repeat(69_997).as_bytes());
    }
}

/// While a read waits in the middle of a message, pings are answered and callbacks run.
#[test]
fn pings_are_answered_in_between() {
    for role in ROLES {
        let met = Pulled::new(role, limits());
        let events = Recorder::new();
        events.record_all(&met.ws);
        let read = |messages: &mut Messages| read_all(&mut messages.recv_reader().unwrap());
        let read = met.play(read, |peer| {
            peer.send(&Frame::text("he").unfinished());
            peer.send(&Frame::new(PING, "there?"));
            assert_eq!(peer.read_frame(), Frame::new(PONG, "there?"));
            peer.send(&Frame::new(CONTINUATION, "llo"));
        });
        assert_eq!(read, b"hello");
        assert_eq!(events.next(), Event::Ping(b"there?".to_vec()));
    }
}

/// Text may be split inside its characters, by frames and by reads.
#[test]
fn characters_may_be_split() {
    const WORDS: &str = "a\u{e4}\u{20ac}\u{1f600}z";
    for role in ROLES {
        for split in 0..=WORDS.len() {
            let Pulled { peer, messages, .. } = &mut Pulled::new(role, limits());
            let (one, two) = WORDS.as_bytes().split_at(split);
            for _ in 0..2 {
                peer.send(&Frame::new(TEXT, one).unfinished());
                peer.send(&Frame::new(CONTINUATION, two));
            }
            let mut text = String::new();
            let mut reader = messages.recv_reader().unwrap();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, WORDS);
            let mut reader = messages.recv_reader().unwrap();
            for byte in WORDS.as_bytes() {
                assert_eq!(read_some(&mut reader, 1), [*byte]);
            }
        }
    }
}

/// What ends a connection in the middle of a message.
#[derive(Clone, Copy, Debug)]
enum Break {
    Close,
    Fin,
    Reset,
    Abort,
    NotUtf8,
    Nested,
    Trickle,
}

const BREAKS: [(Break, u16); 7] = [
    (Break::Close, 1001),
    (Break::Fin, 1006),
    (Break::Reset, 1006),
    (Break::Abort, 1006),
    (Break::NotUtf8, 1007),
    (Break::Nested, 1002),
    (Break::Trickle, 1006),
];

impl Break {
    fn happen(self, role: Role, mut peer: RawPeer, ws: &WebSocket) {
        match self {
            Self::Close => peer.send_close(1001, ""),
            Self::Fin => peer.send_fin(),
            Self::Reset => return peer.reset(),
            Self::Abort => ws.abort(),
            Self::NotUtf8 => {
                peer.send_bytes(header(role, 0x00, 70_000));
                peer.send_bytes(b"\xff");
                assert_eq!(peer.read_close(), Some(1007));
            }
            Self::Nested => {
                peer.send_text("inside");
                assert_eq!(peer.read_close(), Some(1002));
            }
            Self::Trickle => {
                peer.send_bytes(header(role, 0x00, 1 << 40));
                while peer.try_send_bytes("x").is_ok() {
                    pause(ms(5), "the peer sends slowly");
                }
            }
        }
        peer.read_end();
    }
}

/// A connection that ends in the middle of a message fails the read, each time, and says how it
/// ended; so do `recv` and iterating from then on.
#[test]
fn ends_in_mid_message_are_told() {
    for role in ROLES {
        for (what, code) in BREAKS {
            let config = match what {
                Break::Trickle => limits().message_timeout(ms(300)),
                _ => limits(),
            };
            let mut met = Pulled::new(role, config);
            let events = Recorder::new();
            events.record_close(&met.ws);
            met.peer.send(&Frame::text("begun").unfinished());
            let (peer, ws) = (met.peer, met.ws.clone());
            let breaking = {
                let mut reader = met.messages.recv_reader().unwrap();
                assert_eq!(read_some(&mut reader, 5), b"begun");
                let breaking = thread::spawn(move || what.happen(role, peer, &ws));
                let event = read_to_failure(&mut reader);
                assert_eq!(event.code(), code, "{role:?}, {what:?}");
                assert_eq!(read_to_failure(&mut reader), event);
                let timeout = matches!(what, Break::Trickle).then_some(Timeout::Message);
                assert_eq!(event.timeout(), timeout, "{role:?}, {what:?}");
                assert_eq!(events.so_far(), [Event::Close(event)]);
                breaking
            };
            assert!(matches!(met.messages.recv(), Err(RecvError(_))));
            assert!(met.messages.recv_reader().is_err());
            assert_eq!(met.messages.next().is_none(), code == 1001);
            settled("the peer has seen it", || breaking.is_finished());
            breaking.join().unwrap();
        }
    }
}

/// Reads until the connection's end, and returns that.
#[track_caller]
fn read_to_failure(reader: &mut MessageReader<'_>) -> CloseEvent {
    let error = io::copy(reader, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    match error.downcast() {
        Ok(RecvError(event)) => event,
        other => panic!("not how it ended: {other:?}"),
    }
}

/// A text that ends inside a character is answered with 1007, and is no whole message.
#[test]
fn text_that_ends_inside_a_character_fails() {
    for role in ROLES {
        let met = Pulled::new(role, limits());
        let read =
            |messages: &mut Messages| read_to_failure(&mut messages.recv_reader().unwrap()).code();
        let code = met.play(read, |peer| {
            peer.send(&Frame::text("a").unfinished());
            peer.send(&Frame::new(CONTINUATION, b"\xe2\x82"));
            assert_eq!(peer.read_close(), Some(1007));
            peer.read_eof();
            peer.send_fin();
        });
        assert_eq!(code, 1007, "{role:?}");
    }
}

/// A program that lets a message lie half read is not taken for a peer that sends too slowly.
#[test]
fn half_read_messages_have_time() {
    for role in ROLES {
        let config = limits()
            .message_timeout(ms(200))
            .ping_interval(ms(100))
            .ping_timeout(PATIENCE);
        let Pulled { peer, messages, .. } = &mut Pulled::new(role, config);
        peer.send(&Frame::text("be").unfinished());
        let mut reader = messages.recv_reader().unwrap();
        assert_eq!(read_some(&mut reader, 2), b"be");
        for _ in 0..8 {
            assert_eq!(peer.read_frame().opcode, PING);
        }
        peer.send(&Frame::new(CONTINUATION, "gun"));
        assert_eq!(read_all(&mut reader), b"gun");
    }
}

/// What was not read of a message is skipped by whatever is asked for next: it was never read, read
/// in part or read whole.
#[test]
fn unread_messages_are_skipped() {
    type Ask = fn(&mut Messages) -> Message;
    let asks: [Ask; 4] = [
        |messages| messages.recv().unwrap(),
        |messages| messages.recv_timeout(PATIENCE).unwrap(),
        |messages| messages.next().unwrap().unwrap(),
        |messages| Message::from(read_all(&mut messages.recv_reader().unwrap())),
    ];
    for role in ROLES {
        for ask in asks {
            for length in [0, 10, 300_000] {
                let read = move |messages: &mut Messages| {
                    let mut reader = messages.recv_reader().unwrap();
                    assert_eq!(read_some(&mut reader, length), payload(0..length));
                    ask(messages)
                };
                let next = Pulled::new(role, limits()).play(read, |peer| {
                    let (one, two) = (payload(0..200_000), payload(200_000..300_000));
                    peer.send(&Frame::new(BINARY, one).unfinished());
                    peer.send(&Frame::new(PING, "p"));
                    peer.send(&Frame::new(CONTINUATION, two));
                    peer.send(&Frame::new(BINARY, "next"));
                    assert_eq!(peer.read_frame(), Frame::new(PONG, "p"));
                });
                assert_eq!(next, Message::from(b"next"), "{role:?}, {length}");
            }
        }
    }
}

/// Dispatching goes on behind a message that was read in part.
#[test]
fn dispatch_skips_what_was_not_read() {
    for role in ROLES {
        let mut met = Pulled::new(role, limits());
        let events = Recorder::new();
        events.record_all(&met.ws);
        met.peer.send(&Frame::new(BINARY, payload(0..5000)));
        met.peer.send_text("next");
        met.peer.send_close(1000, "");
        met.messages.recv_reader().unwrap();
        let Pulled { messages, .. } = met;
        assert_eq!(messages.dispatch().code(), 1000);
        assert_eq!(events.next(), Event::Text("next".into()));
        assert!(matches!(events.next(), Event::Close(_)));
    }
}

/// Messages that came in one piece are taken in any way, whatever their size, but one over the
/// limits not whole.
#[test]
fn ways_to_ask_may_alternate() {
    for role in ROLES {
        let Pulled { peer, messages, .. } = &mut Pulled::new(role, limits());
        let large = Frame::new(BINARY, payload(0..1500));
        let mut bytes = Vec::new();
        for frame in [Frame::text("small"), large.clone(), Frame::text("small")] {
            bytes.extend(peer.encode(&frame));
        }
        peer.send_bytes([&bytes[..], &bytes, &peer.encode(&large)].concat());
        for _ in 0..2 {
            assert_eq!(messages.recv().unwrap(), "small".into());
            let mut reader = messages.recv_reader().unwrap();
            assert_eq!(read_all(&mut reader), large.payload);
            let mut reader = messages.recv_reader().unwrap();
            assert_eq!(read_all(&mut reader), b"small");
        }
        let RecvError(event) = messages.recv().unwrap_err();
        assert_eq!(event.code(), 1009);
    }
}

/// What has come of a message when `recv_timeout` gives up is the first that is read of it.
#[test]
fn what_came_before_is_read_first() {
    for role in ROLES {
        let Pulled { peer, messages, .. } = &mut Pulled::new(role, Config::new());
        let bytes = peer.encode(&Frame::new(BINARY, payload(0..200_000)));
        let (one, two) = bytes.split_at(100_000);
        peer.send_bytes(one);
        assert_eq!(
            messages.recv_timeout(ms(50)),
            Err(RecvTimeoutError::Timeout)
        );
        let mut reader = messages.recv_reader().unwrap();
        assert_eq!(read_some(&mut reader, 90_000), payload(0..90_000));
        peer.send_bytes(two);
        assert_eq!(read_all(&mut reader), payload(90_000..200_000));
    }
}

/// A message without an end can be read in part, and its rest keeps neither `recv_timeout` nor the
/// polite end from ending.
#[test]
fn endless_messages_hold_up_nobody() {
    for role in ROLES {
        let met = Pulled::new(role, limits().close_timeout(ms(200)));
        let mut sending = met.peer.stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            let mut bytes = header(role, 0x82, (1 << 63) - 1);
            bytes.resize(100_000, 0);
            while sending.write_all(&bytes).is_ok() {
                bytes.fill(0);
            }
        });
        let Pulled { mut messages, .. } = met;
        let event = in_time("it is closed", move || {
            let mut part = messages.recv_reader().unwrap().take(1 << 20);
            assert_eq!(io::copy(&mut part, &mut io::sink()).unwrap(), 1 << 20);
            assert_eq!(
                messages.recv_timeout(ms(20)),
                Err(RecvTimeoutError::Timeout)
            );
            messages.close()
        });
        assert_eq!(event.timeout(), Some(Timeout::Close));
        settled("the peer has noticed", || writing.is_finished());
        writing.join().unwrap();
    }
}

/// What landline sends whole, landline reads in pieces, in both directions at once.
#[test]
fn landline_reads_what_landline_sends() {
    let config = limits().max_queue_bytes(1 << 20);
    let builder = Server::builder().config(config.clone());
    let server = TestServer::start(builder.serve(|ws, mut messages, _| {
        for _ in 0..3 {
            let mut bytes = Vec::new();
            messages.recv_reader()?.read_to_end(&mut bytes)?;
            ws.send(bytes)?;
        }
        Ok(())
    }));
    let (ws, mut messages) = Client::new().config(config).open(server.url()).unwrap();
    let sent = payload(0..8 << 20);
    let sending = sent.clone();
    let writing = thread::spawn(move || (0..3).try_for_each(|_| ws.send(&sending)));
    for _ in 0..3 {
        assert!(read_all(&mut messages.recv_reader().unwrap()) == sent);
    }
    writing.join().unwrap().unwrap();
    assert!(messages.next().is_none());
}
