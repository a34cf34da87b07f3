//! Connections that die at a random point: what the program is told of them is true.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use landline::{
    Client, CloseCode, CloseEvent, Config, Delivery, DeliveryError, SendErrorKind, Server,
    ServerBuilder, WaitError, WebSocket,
};
use rustix::net::sockopt;

use crate::support::*;

/// The number of rounds that go on at once.
const WORKERS: u64 = 8;

/// Whenever and however a connection dies: what was confirmed has arrived, what has arrived is the
/// beginning of what was sent, and so is what was delivered, and the counts add up.
#[test]
fn what_is_told_of_a_killed_connection_is_true() {
    kill(1_000, || {
        let mut stage = Stage::open();
        move |round: Round| {
            let (peer, ws) = stage.meet(round.role);
            round.play(peer, &ws);
        }
    });
}

/// The same holds over TLS.
#[test]
#[cfg(feature = "tls")]
fn what_is_told_of_a_killed_connection_is_true_over_tls() {
    kill(200, || {
        let mut stage = Stage::open_tls();
        move |round: Round| {
            let (peer, ws) = stage.meet_tls(round.role);
            round.play(peer, &ws);
        }
    });
}

/// Plays so many rounds, several at once. A seed in the environment plays the round that failed with
/// it first.
fn kill<P: FnMut(Round)>(rounds: u64, player: impl Fn() -> P + Sync) {
    let asked = std::env::var("LANDLINE_TEST_SEED").ok();
    let first: u64 = asked.map_or_else(rand::random, |seed| seed.parse().unwrap());
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let player = &player;
            scope.spawn(move || {
                let mut play = player();
                for number in (worker..rounds).step_by(WORKERS as usize) {
                    play(Round::new(first.wrapping_add(number)));
                }
            });
        }
    });
}

/// A queue that is often full, a kernel that takes little, and no deadline that could be the reason.
fn config() -> Config {
    Config::new()
        .ping_interval(None)
        .max_queue_bytes(24 << 10)
        .max_queue_messages(40)
        .send_buffer(4 << 10)
        .write_timeout(4 * PATIENCE)
        .close_timeout(4 * PATIENCE)
}

/// Has connections in both roles, one after another.
struct Stage {
    server: TestServer,
    opened: Receiver<WebSocket>,
    raw: RawServer,
}

/// Little fits in when nobody reads.
const SMALL: usize = 2 << 10;
/// As little that records of 16 KiB still come through without the kernel's timers.
#[cfg(feature = "tls")]
const RECORDS: usize = 24 << 10;

impl Stage {
    fn open() -> Self {
        Self::with(TestServer::start, SMALL)
    }

    #[cfg(feature = "tls")]
    fn open_tls() -> Self {
        Self::with(secure, RECORDS)
    }

    #[track_caller]
    fn with(start: impl FnOnce(ServerBuilder) -> TestServer, buffer: usize) -> Self {
        let (sender, opened) = mpsc::channel();
        let builder = Server::builder().config(config());
        Self {
            server: start(builder.on_upgrade(move |ws, _| sender.send(ws.clone()))),
            opened,
            raw: RawServer::with_buffer(buffer),
        }
    }

    #[track_caller]
    fn meet(&mut self, role: Role) -> (RawPeer, WebSocket) {
        if role == Role::Client {
            return self.raw.meet(&Client::new().config(config()), |_| {});
        }
        let mut peer = RawPeer::dial_with_buffer(&self.server, SMALL);
        peer.upgrade();
        (peer, next(&self.opened))
    }

    #[track_caller]
    #[cfg(feature = "tls")]
    fn meet_tls(&mut self, role: Role) -> (TlsPeer, WebSocket) {
        if role == Role::Client {
            return TlsPeer::meet(&self.raw, &trusting().config(config()), |_| {});
        }
        let mut peer = TlsPeer::over(RawPeer::dial_with_buffer(&self.server, RECORDS));
        peer.upgrade();
        (peer, next(&self.opened))
    }
}

/// The peer's end, over TLS or not.
trait Mortal {
    /// Reads the next frame; `None` is the end.
    fn next_frame(&mut self) -> Option<Frame>;
    /// Returns the socket below.
    fn tcp(&self) -> &TcpStream;
    /// Writes what the other side may not want any more.
    fn say(&mut self, frame: &Frame);
}

impl Mortal for RawPeer {
    fn next_frame(&mut self) -> Option<Frame> {
        self.read_frame_or_end().ok()
    }

    fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    fn say(&mut self, frame: &Frame) {
        let bytes = self.encode(frame);
        let _ = self.try_send_bytes(bytes);
    }
}

#[cfg(feature = "tls")]
impl Mortal for TlsPeer {
    fn next_frame(&mut self) -> Option<Frame> {
        self.read_frame_or_end().ok()
    }

    fn tcp(&self) -> &TcpStream {
        Self::tcp(self)
    }

    fn say(&mut self, frame: &Frame) {
        let bytes = self.encode(frame);
        let _ = self.try_send_bytes(bytes);
    }
}

/// How the connection dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// The peer's process ends: its socket closes over what it has not read, which resets.
    Unread,
    /// The peer resets.
    Reset,
    /// The peer closes its socket.
    Dropped,
    /// The peer ends both directions.
    Shutdown,
    /// The peer ends its direction, and reads on.
    HalfShutdown,
    /// The peer sends a Close, and reads on.
    PeerClose,
    /// The peer breaks the protocol, and reads on.
    Violation,
    /// Our side closes, and the peer answers.
    OurClose,
    /// Our side cuts.
    Abort,
}

const DEATHS: [Death; 9] = [
    Death::Unread,
    Death::Reset,
    Death::Dropped,
    Death::Shutdown,
    Death::HalfShutdown,
    Death::PeerClose,
    Death::Violation,
    Death::OurClose,
    Death::Abort,
];

/// One connection's life. What it shows when it fails has the seed.
#[derive(Debug)]
struct Round {
    seed: u64,
    role: Role,
    senders: usize,
    /// The bytes of payload that the peer takes before it dies.
    lifetime: usize,
    death: Death,
}

const MOST_SENDERS: usize = 2;

/// What one sending thread remembers.
#[derive(Default)]
struct Memory {
    /// The number of its sends that have succeeded.
    sent: u32,
    /// The number of each thread's messages that were confirmed to it.
    confirmed: [u32; MOST_SENDERS],
    tracked: Vec<(u32, Delivery)>,
}

/// What the threads of a round share.
struct Shared<'a> {
    ws: &'a WebSocket,
    /// The number of each thread's sends that have returned.
    returned: [AtomicU32; MOST_SENDERS],
    deliveries: Arc<Mutex<Vec<Delivery>>>,
}

/// What came of a round.
struct Outcome {
    memories: Vec<Memory>,
    arrived: [u32; MOST_SENDERS],
    event: CloseEvent,
    /// The number of deliveries that were not resolved when `on_close` ran.
    unresolved: usize,
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let longest = [1, 2 << 10, 100 << 10][dice.below(3)];
        Self {
            seed,
            role: ROLES[dice.below(ROLES.len())],
            senders: 1 + dice.below(MOST_SENDERS),
            lifetime: dice.below(longest),
            death: DEATHS[dice.below(DEATHS.len())],
        }
    }

    fn play(&self, peer: impl Mortal, ws: &WebSocket) {
        let _shown = Shown(self);
        let shared = Shared {
            ws,
            returned: Default::default(),
            deliveries: Arc::default(),
        };
        let (sender, closed) = mpsc::channel();
        let deliveries = Arc::clone(&shared.deliveries);
        ws.on_close(move |_, event| {
            let deliveries = deliveries.lock().unwrap();
            let unresolved = deliveries.iter().filter(|delivery| !delivery.is_done());
            let _ = sender.send((event, unresolved.count()));
        });
        let (memories, arrived) = thread::scope(|scope| {
            let send = |own| {
                scope.spawn({
                    let shared = &shared;
                    move || self.send(own, shared)
                })
            };
            let senders: Vec<_> = (0..self.senders).map(send).collect();
            let arrived = self.live_and_die(peer, ws);
            let memories = senders.into_iter().map(|sender| sender.join().unwrap());
            (memories.collect(), arrived)
        });
        let (event, unresolved) = next(&closed);
        let outcome = Outcome {
            memories,
            arrived,
            event,
            unresolved,
        };
        self.judge_counts(ws, &outcome);
        self.judge_deliveries(&outcome);
    }

    /// Sends until that fails, and asks now and then what has arrived.
    fn send(&self, own: usize, shared: &Shared<'_>) -> Memory {
        let mut dice = Dice(self.seed ^ (own as u64 + 1));
        let mut memory = Memory::default();
        loop {
            let message = numbered(own, memory.sent, dice.size());
            let sent = if dice.below(2) == 0 {
                shared.ws.send(message)
            } else {
                shared.ws.send_tracked(message).map(|delivery| {
                    shared.deliveries.lock().unwrap().push(delivery.clone());
                    memory.tracked.push((memory.sent, delivery));
                })
            };
            if let Err(error) = sent {
                assert_eq!(error.kind(), SendErrorKind::Closed);
                return memory;
            }
            memory.sent += 1;
            shared.returned[own].store(memory.sent, Ordering::SeqCst);
            if dice.below(20) == 0 {
                let before = shared
                    .returned
                    .each_ref()
                    .map(|count| count.load(Ordering::SeqCst));
                match shared.ws.confirm(4 * PATIENCE) {
                    Ok(()) => memory.confirmed = before,
                    Err(error) => assert_eq!(error, WaitError::Closed),
                }
            }
        }
    }

    /// Plays the peer to its end; returns how many messages of each thread have arrived.
    fn live_and_die(&self, mut peer: impl Mortal, ws: &WebSocket) -> [u32; MOST_SENDERS] {
        let mut arrived = [0; MOST_SENDERS];
        let mut taken = 0;
        while taken < self.lifetime {
            let frame = peer.next_frame().expect("the end came too early");
            taken += frame.payload.len();
            take(&mut peer, frame, &mut arrived);
        }
        match self.death {
            Death::Unread => {
                // What has come is not read; it comes unless all wait for a pong.
                peer.tcp().set_read_timeout(Some(ms(100))).unwrap();
                let _ = uninterrupted(|| peer.tcp().peek(&mut [0]));
                return arrived;
            }
            Death::Reset => {
                sockopt::set_socket_linger(peer.tcp(), Some(Duration::ZERO)).unwrap();
                return arrived;
            }
            Death::Dropped => return arrived,
            Death::Shutdown => {
                peer.tcp().shutdown(Shutdown::Both).unwrap();
                return arrived;
            }
            Death::HalfShutdown => peer.tcp().shutdown(Shutdown::Write).unwrap(),
            Death::PeerClose => peer.say(&Frame::new(opcode::CLOSE, PEERS_CODE.to_be_bytes())),
            Death::Violation => peer.say(&Frame::new(opcode::TEXT, [0xff])),
            Death::OurClose => ws.close(),
            Death::Abort => ws.abort(),
        }
        while let Some(frame) = peer.next_frame() {
            if frame.opcode == opcode::CLOSE {
                peer.say(&frame);
                break;
            }
            take(&mut peer, frame, &mut arrived);
        }
        arrived
    }

    #[track_caller]
    fn judge_counts(&self, ws: &WebSocket, outcome: &Outcome) {
        let Outcome {
            memories,
            arrived,
            event,
            ..
        } = outcome;
        for (own, memory) in memories.iter().enumerate() {
            assert!(arrived[own] <= memory.sent, "more arrived than was sent");
            for (confirmed, arrived) in memory.confirmed.iter().zip(arrived) {
                assert!(
                    confirmed <= arrived,
                    "{confirmed} confirmed, {arrived} arrived"
                );
            }
        }
        let sent: u32 = memories.iter().map(|memory| memory.sent).sum();
        let came: u32 = arrived.iter().sum();
        let counters = ws.counters();
        let told = (counters.messages_out, event.undelivered());
        assert_eq!(told.0 + told.1, u64::from(sent), "{counters:?} {event:?}");
        assert!(u64::from(came) <= told.0, "{came} arrived: {counters:?}");
        assert_eq!(counters.undelivered, event.undelivered());
        let rest = (
            counters.dropped,
            counters.queued_messages,
            counters.queued_bytes,
        );
        assert_eq!(rest, (0, 0, 0));
        if self.death == Death::OurClose {
            assert!(event.is_clean(), "{event:?}");
            assert_eq!(came, sent);
        }
    }

    #[track_caller]
    fn judge_deliveries(&self, outcome: &Outcome) {
        assert_eq!(outcome.unresolved, 0, "unresolved at the end");
        for (memory, arrived) in outcome.memories.iter().zip(outcome.arrived) {
            let mut is_over = false;
            for (number, delivery) in &memory.tracked {
                match delivery.wait_timeout(PATIENCE) {
                    Ok(()) => assert!(!is_over, "{number} was delivered behind one that was not"),
                    Err(error) => {
                        assert_eq!(Some(error), self.death.reason(), "of {number}");
                        assert!(*number >= arrived, "{number} has arrived after all");
                        is_over = true;
                    }
                }
            }
        }
    }
}

/// A code of the peer's own.
const PEERS_CODE: u16 = 4000;

impl Death {
    /// Returns what becomes of a message that is still queued, if any can be.
    fn reason(self) -> Option<DeliveryError> {
        match self {
            Self::Unread | Self::Reset | Self::Dropped | Self::Shutdown | Self::HalfShutdown => {
                Some(DeliveryError::Lost)
            }
            Self::PeerClose => Some(DeliveryError::Closed(PEERS_CODE.into())),
            Self::Violation => Some(DeliveryError::Closed(CloseCode::INVALID_PAYLOAD)),
            Self::OurClose => None,
            Self::Abort => Some(DeliveryError::Aborted),
        }
    }
}

/// Answers a ping, or checks a message and counts it.
#[track_caller]
fn take(peer: &mut impl Mortal, frame: Frame, arrived: &mut [u32; MOST_SENDERS]) {
    if frame.opcode == opcode::PING {
        return peer.say(&Frame::new(opcode::PONG, frame.payload));
    }
    let own = usize::from(frame.payload[0]);
    let expected = numbered(own, arrived[own], frame.payload.len() - 5);
    assert!(frame == Frame::new(opcode::BINARY, expected), "{frame:?}");
    arrived[own] += 1;
}

/// Makes a message whose every byte can be checked.
fn numbered(own: usize, number: u32, size: usize) -> Vec<u8> {
    let mut bytes = vec![number as u8; 5 + size];
    bytes[0] = own as u8;
    bytes[1..5].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Shows a round that fails.
struct Shown<'a>(&'a Round);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            println!(
                "LANDLINE_TEST_SEED={} begins with {:?}",
                self.0.seed, self.0
            );
        }
    }
}

/// Makes numbers that a seed determines.
struct Dice(u64);

impl Dice {
    /// Steps as `SplitMix64` does (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns how long a message is: mostly short, and sometimes too long to be copied.
    fn size(&mut self) -> usize {
        match self.below(10) {
            0 => (16 << 10) + self.below(4 << 10),
            1..4 => self.below(4 << 10),
            _ => self.below(200),
        }
    }
}
