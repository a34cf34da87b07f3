//! What is sent arrives: whole, in order, without waiting for a callback to return.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use landline::{Config, Message, SendErrorKind, WebSocket};

use crate::support::opcode::*;
use crate::support::*;

fn quiet() -> Config {
    Config::new().ping_interval(None)
}

/// Is a connection with landline at both ends.
struct Line {
    /// The end that a server handles.
    served: WebSocket,
    client: WebSocket,
    heard_by_server: Receiver<Message>,
    heard_by_client: Receiver<Message>,
    _server: TestServer,
}

impl Line {
    #[track_caller]
    fn open(config: &Config) -> Self {
        let (sender, accepted) = mpsc::channel();
        let server = TestServer::with(config.clone(), move |ws| {
            let (messages, heard) = mpsc::channel();
            forward(ws, messages);
            let _ = sender.send((ws.clone(), heard));
        });
        let (messages, heard_by_client) = mpsc::channel();
        let client = landline::Client::new().config(config.clone());
        let client = client
            .connect(server.url(), |ws| forward(ws, messages))
            .unwrap();
        let (served, heard_by_server) = next(&accepted);
        Self {
            served,
            client,
            heard_by_server,
            heard_by_client,
            _server: server,
        }
    }

    /// Returns who sends and where it arrives, for either role of the sender.
    fn ways(&self) -> [(&WebSocket, &Receiver<Message>); 2] {
        [
            (&self.served, &self.heard_by_client),
            (&self.client, &self.heard_by_server),
        ]
    }
}

fn forward(ws: &WebSocket, to: Sender<Message>) {
    ws.on_message(move |_, message| drop(to.send(message)));
}

/// Many threads that send into one connection tear, lose, double and reorder nothing, in both
/// roles, and each thread's messages arrive in its order.
#[test]
fn threads_share_a_connection_in_order() {
    share_in_order(
        &quiet()
            .max_queue_messages(1 << 20)
            .max_queue_bytes(64 << 20),
        10_000,
    );
}

/// The same holds where they have to wait for room.
#[test]
fn threads_share_a_full_queue_in_order() {
    share_in_order(&quiet(), 500);
}

fn share_in_order(config: &Config, each: usize) {
    const THREADS: usize = 16;
    let line = Line::open(config);
    for (ws, heard) in line.ways() {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    (0..each).for_each(|number| ws.send(numbered(thread, number)).unwrap());
                });
            }
            let mut expected = [0; THREADS];
            for _ in 0..THREADS * each {
                let (thread, number) = read_numbered(&next(heard));
                assert_eq!(number, expected[thread], "of thread {thread}");
                expected[thread] += 1;
            }
            assert_eq!(expected, [each; THREADS]);
        });
    }
}

/// Makes a message whose length depends on its number, and whose every byte can be checked.
fn numbered(thread: usize, number: usize) -> Vec<u8> {
    let mut bytes = vec![thread as u8; 5 + number % 61];
    bytes[1..5].copy_from_slice(&(number as u32).to_le_bytes());
    bytes
}

#[track_caller]
fn read_numbered(message: &Message) -> (usize, usize) {
    let bytes = message.as_bytes();
    let number = u32::from_le_bytes(*bytes[1..].first_chunk().unwrap()) as usize;
    let thread = usize::from(bytes[0]);
    assert_eq!(bytes, numbered(thread, number), "torn");
    (thread, number)
}

/// Batches, single messages and tries of several threads mix, and each thread's order is kept.
#[test]
fn batches_and_tries_keep_the_order() {
    const THREADS: usize = 6;
    const EACH: usize = 1_500;
    let line = Line::open(&quiet().max_queue_messages(64).max_queue_bytes(8 << 10));
    for (ws, heard) in line.ways() {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || match thread % 3 {
                    0 => {
                        for start in (0..EACH).step_by(100) {
                            let batch = start..start + 100;
                            ws.send_all(batch.map(|number| numbered(thread, number)))
                                .unwrap();
                        }
                    }
                    1 => (0..EACH).for_each(|number| ws.send(numbered(thread, number)).unwrap()),
                    _ => (0..EACH).for_each(|number| insist(ws, numbered(thread, number))),
                });
            }
            let mut expected = [0; THREADS];
            for _ in 0..THREADS * EACH {
                let (thread, number) = read_numbered(&next(heard));
                assert_eq!(number, expected[thread], "of thread {thread}");
                expected[thread] += 1;
            }
        });
    }
}

/// Tries until there is room; a full queue hands the message back.
fn insist(ws: &WebSocket, message: Vec<u8>) {
    let mut message = Message::from(message);
    loop {
        match ws.try_send(message) {
            Ok(()) => return,
            Err(error) => {
                assert_eq!(error.kind(), SendErrorKind::Full);
                message = error.into_message().unwrap();
                thread::yield_now();
            }
        }
    }
}

/// A batch leaves in its order, and an empty one is nothing.
#[test]
fn batches_leave_in_order() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        met.ws.send_all(Vec::<&str>::new()).unwrap();
        met.ws.send_all((0..3000).map(|i| i.to_string())).unwrap();
        for i in 0..3000 {
            assert_eq!(met.peer.read_frame(), Frame::text(&i.to_string()));
        }
    }
}

/// An iterator that panics takes nothing with it that it has given before.
#[test]
fn batch_cut_by_a_panic_still_leaves() {
    let mut met = Meeting::of(Role::Server, quiet(), |_| {});
    let ws = met.ws.clone();
    let sending = thread::spawn(move || {
        let batch = ["one", "two", "panic"].into_iter();
        ws.send_all(batch.map(|word| {
            if word == "panic" {
                panic!("on purpose")
            } else {
                word
            }
        }))
    });
    sending.join().unwrap_err();
    assert_eq!(met.peer.read_frame(), Frame::text("one"));
    assert_eq!(met.peer.read_frame(), Frame::text("two"));
}

/// A message sent in a callback arrives while the callback blocks.
#[test]
fn message_arrives_while_its_callback_blocks() {
    for role in ROLES {
        let gate = Gate::new();
        let waiting = gate.clone();
        let mut met = Meeting::of(role, quiet(), move |ws| {
            let waiting = waiting.clone();
            ws.on_text(move |ws, text| {
                ws.send(text).unwrap();
                waiting.wait();
            });
        });
        met.peer.send_text("working...");
        assert_eq!(met.peer.read_frame(), Frame::text("working..."));
        gate.open();
    }
}

/// So does one that was sent while more input waits behind it, when it is held back to leave with
/// the rest of the burst.
#[test]
fn held_message_arrives_while_its_callback_blocks() {
    for role in ROLES {
        let gate = Gate::new();
        let waiting = gate.clone();
        let mut met = Meeting::of(role, quiet(), move |ws| {
            let waiting = waiting.clone();
            ws.on_text(move |ws, text| {
                ws.send(text).unwrap();
                waiting.wait();
            });
        });
        let burst: Vec<_> = (0..10)
            .flat_map(|i| met.peer.encode(&Frame::text(&i.to_string())))
            .collect();
        met.peer.send_bytes(burst);
        assert_eq!(
            met.peer.read_frame(),
            Frame::text("0"),
            "landline as {role:?}"
        );
        gate.open();
        for i in 1..10 {
            assert_eq!(met.peer.read_frame(), Frame::text(&i.to_string()));
        }
    }
}

/// So does one that was sent to another connection, and a ping, and a pong to a ping of the burst.
#[test]
fn everything_held_arrives_while_the_callback_blocks() {
    for role in ROLES {
        let mut other = Meeting::of(Role::Server, quiet(), |_| {});
        let gate = Gate::new();
        let (waiting, to) = (gate.clone(), other.ws.clone());
        let mut met = Meeting::of(role, quiet(), move |ws| {
            let (waiting, to) = (waiting.clone(), to.clone());
            ws.on_text(move |ws, text| {
                to.send(text).unwrap();
                ws.ping("still there?").unwrap();
                waiting.wait();
            });
        });
        let burst = [
            met.peer.encode(&Frame::new(PING, "first")),
            met.peer.encode(&Frame::text("to the other")),
            met.peer.encode(&Frame::text("behind")),
        ];
        met.peer.send_bytes(burst.concat());
        assert_eq!(
            other.peer.read_frame(),
            Frame::text("to the other"),
            "landline as {role:?}"
        );
        assert_eq!(met.peer.read_frame(), Frame::new(PONG, "first"));
        assert_eq!(met.peer.read_frame(), Frame::new(PING, "still there?"));
        gate.open();
    }
}

/// So does one that a straight-line handler sends between two `recv`s, whatever it does then.
#[test]
fn message_arrives_while_a_straight_line_blocks() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let server = TestServer::start(landline::Server::builder().config(quiet()).serve(
        move |ws, mut messages, _| {
            while let Ok(message) = messages.recv() {
                ws.send(message)?;
                waiting.wait();
            }
            Ok(())
        },
    ));
    let mut peer = RawPeer::client_of(&server);
    peer.send_bytes(
        [
            peer.encode(&Frame::text("0")),
            peer.encode(&Frame::text("1")),
        ]
        .concat(),
    );
    assert_eq!(peer.read_frame(), Frame::text("0"));
    gate.open();
    assert_eq!(peer.read_frame(), Frame::text("1"));
}

/// So does one that a callback sends and then waits, by any wait of the library itself, for
/// something else: what it has sent leaves first.
#[test]
fn message_leaves_before_the_library_waits() {
    let gate = Gate::new();
    let raw = RawServer::new();
    let (mut upstream, _, upstream_messages) =
        raw.meet_open(&landline::Client::new().config(quiet()));
    let upstream_messages = Arc::new(Mutex::new(Some(upstream_messages)));
    let mut met = Meeting::of(Role::Server, quiet(), move |ws| {
        let upstream = Arc::clone(&upstream_messages);
        ws.on_text(move |ws, text| {
            ws.send(text).unwrap();
            // Held back, because "behind" waits; recv on another connection lets it leave.
            if let Some(mut messages) = upstream.lock().unwrap().take() {
                let answer = messages.recv().unwrap();
                ws.send(answer).unwrap();
            }
        });
    });
    let burst = ["0", "behind"].map(|text| met.peer.encode(&Frame::text(text)));
    met.peer.send_bytes(burst.concat());
    assert_eq!(met.peer.read_frame(), Frame::text("0"));
    upstream.send_text("from upstream");
    assert_eq!(met.peer.read_frame(), Frame::text("from upstream"));
    assert_eq!(met.peer.read_frame(), Frame::text("behind"));
    gate.open();
}

/// Blocks those who wait until it is opened, or dropped.
#[derive(Clone)]
struct Gate {
    opener: Arc<Mutex<Option<Sender<()>>>>,
    opened: Arc<Mutex<Receiver<()>>>,
}

impl Gate {
    fn new() -> Self {
        let (opener, opened) = mpsc::channel();
        Self {
            opener: Arc::new(Mutex::new(Some(opener))),
            opened: Arc::new(Mutex::new(opened)),
        }
    }

    fn wait(&self) {
        let _ = self.opened.lock().unwrap().recv_timeout(PATIENCE);
    }

    fn open(&self) {
        self.opener.lock().unwrap().take();
    }
}

/// The replies to a burst leave together: those to messages that came in one segment fill one or
/// two, and come in order.
#[test]
fn replies_to_a_burst_leave_together() {
    const BURST: usize = 200;
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |ws| ws.on_text(|ws, text| ws.send(text)));
        let burst: Vec<_> = (0..BURST)
            .flat_map(|i| met.peer.encode(&Frame::text(&i.to_string())))
            .collect();
        let mut fewest = usize::MAX;
        // One that is stalled for more than the cork's millisecond leaves in parts.
        for _ in 0..20 {
            // Where the kernel does not tell, only the order is proven.
            let before = met.peer.data_segments_in().unwrap_or(0);
            met.peer.send_bytes(&burst);
            for i in 0..BURST {
                assert_eq!(met.peer.read_frame(), Frame::text(&i.to_string()));
            }
            fewest = fewest.min(met.peer.data_segments_in().unwrap_or(0) - before);
        }
        assert!(
            fewest <= 2,
            "landline as {role:?}: {fewest} segments for {BURST} replies"
        );
    }
}

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

/// Pings are answered in order, each with its payload, up to 4 KiB of pongs; beyond that some pings
/// of a burst may go unanswered (RFC 6455, section 5.5.3), but never the last one.
#[test]
fn pongs_come_in_order() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let pings = |count: usize| (0..count).map(|i| Frame::new(PING, format!("{i:0>20}")));
        let burst: Vec<_> = pings(50).flat_map(|ping| met.peer.encode(&ping)).collect();
        met.peer.send_bytes(burst);
        for ping in pings(50) {
            assert_eq!(met.peer.read_frame(), Frame::new(PONG, &ping.payload));
        }
        let burst: Vec<_> = pings(5_000)
            .flat_map(|ping| met.peer.encode(&ping))
            .collect();
        let mut sending = met.peer.stream.try_clone().unwrap();
        let writer =
            thread::spawn(move || std::io::Write::write_all(&mut sending, &burst).unwrap());
        let last = format!("{:0>20}", 4_999).into_bytes();
        let mut before = Vec::new();
        while before != last {
            let pong = met.peer.read_frame();
            assert_eq!(pong.opcode, PONG);
            assert!(
                pong.payload > before,
                "{pong:?} behind {}",
                before.escape_ascii()
            );
            before = pong.payload;
        }
        writer.join().unwrap();
    }
}

/// Control frames overtake queued messages at the next frame boundary, and tear none.
#[test]
fn control_frames_overtake_messages() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet().max_queue_bytes(64 << 20), |_| {});
        const COUNT: usize = 64;
        // More than any socket buffers hold: the rest waits in the queue.
        for i in 0..COUNT {
            met.ws.try_send(vec![i as u8; 256 << 10]).unwrap();
        }
        met.ws.ping("urgent").unwrap();
        met.peer.send(&Frame::new(PING, "yours"));
        let mut messages = 0;
        let mut overtaken = Vec::new();
        while messages < COUNT {
            let frame = met.peer.read_frame();
            match frame.opcode {
                BINARY => {
                    assert_eq!(frame, Frame::new(BINARY, vec![messages as u8; 256 << 10]));
                    messages += 1;
                }
                _ => overtaken.push((frame, messages)),
            }
        }
        let [(first, at), (second, _)] = &overtaken[..] else {
            panic!("{overtaken:?}")
        };
        let mut both = [first.clone(), second.clone()];
        both.sort_by_key(|frame| frame.opcode);
        assert_eq!(
            both,
            [Frame::new(PING, "urgent"), Frame::new(PONG, "yours")]
        );
        assert!(*at < COUNT, "landline as {role:?}: behind all messages");
    }
}

/// What was sent before `close` goes before the Close, nothing comes behind it.
#[test]
fn close_comes_behind_what_was_sent() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet().max_queue_bytes(64 << 20), |_| {});
        (0..40).for_each(|i| met.ws.try_send(vec![i as u8; 256 << 10]).unwrap());
        met.ws.close();
        let error = met.ws.send("late").unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::Closed);
        assert_eq!(error.into_message(), Some(Message::from("late")));
        assert_eq!(
            met.ws.ping("late").unwrap_err().kind(),
            SendErrorKind::Closed
        );
        for i in 0..40 {
            assert_eq!(
                met.peer.read_frame(),
                Frame::new(BINARY, vec![i as u8; 256 << 10])
            );
        }
        assert_eq!(met.peer.read_frame(), Frame::new(CLOSE, [3, 0xe8]));
        met.peer.send_close(1000, "");
        met.peer.send_fin();
        met.peer.read_eof();
        settled("the end", || met.ws.close_code().is_some());
        assert_eq!(met.ws.close_code(), Some(landline::CloseCode::NORMAL));
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

/// What overtakes messages goes before them also where nothing else is queued: the answer to a ping
/// leaves before the echo of a message whose end came behind it, however they arrive.
#[test]
fn pongs_go_before_the_echo() {
    for role in ROLES {
        let config = Config::new().ping_interval(None);
        let mut met = Meeting::of(role, config, |ws| {
            ws.on_message(|ws, message| ws.send(message));
        });
        let frames = [
            Frame::text("one ").unfinished(),
            Frame::new(PING, "in between"),
            Frame::new(CONTINUATION, "message"),
        ];
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|frame| met.peer.encode(frame))
            .collect();
        for size in [bytes.len(), 1] {
            bytes
                .chunks(size)
                .for_each(|piece| met.peer.send_bytes(piece));
            assert_eq!(met.peer.read_frame(), Frame::new(PONG, "in between"));
            assert_eq!(met.peer.read_frame(), Frame::text("one message"));
        }
    }
}
