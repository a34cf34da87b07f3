//! What is sent leaves at once: it waits for no callback to return.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use crate::support::opcode::*;
use crate::support::*;

/// Opens a connection that sends each text back, and then blocks in the callback until the gate opens.
#[track_caller]
fn echo_and_block(role: Role) -> (Meeting, Gate) {
    let gate = Gate::new();
    let waiting = gate.clone();
    let met = Meeting::of(role, quiet(), move |ws| {
        let waiting = waiting.clone();
        ws.on_text(move |ws, text| {
            ws.send(text).unwrap();
            waiting.wait();
        });
    });
    (met, gate)
}

/// A message sent in a callback arrives while the callback blocks.
#[test]
fn message_arrives_while_its_callback_blocks() {
    for role in ROLES {
        let (mut met, gate) = echo_and_block(role);
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
        let (mut met, gate) = echo_and_block(role);
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
