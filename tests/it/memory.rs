//! The memory that peers make the process hold: messages half received, and bodies of requests.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use landline::{Client, Config, Server, ServerBuilder, WebSocket};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::support::opcode::*;
use crate::support::*;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// No deadline is the reason of anything.
fn patient() -> Config {
    Config::new()
        .ping_interval(None)
        .message_timeout(Duration::from_secs(60 * 60))
}

/// Is a message of which a part has been sent, and the connection that it comes over.
struct Half {
    met: Meeting,
    events: Recorder,
    whole: Vec<u8>,
    sent: usize,
}

/// So many bytes are free before more memory is wanted.
const LEFT: usize = 4 * KIB;

impl Half {
    /// Opens a connection and has it hold so much memory for a message: the header comes by itself, so
    /// that the memory doubles from 64 KiB on, and what comes then leaves little of it free.
    #[track_caller]
    fn of(role: Role, config: Config, whole: usize, held: usize) -> Self {
        let (met, events) = Meeting::recorded(role, config);
        let whole = met.peer.encode(&Frame::new(BINARY, vec![7; whole]));
        let mut half = Self {
            met,
            events,
            whole,
            sent: 0,
        };
        half.send(half.header());
        half.send(held - LEFT);
        half
    }

    /// Fills the memory that it has, so that it wants twice as much.
    #[track_caller]
    fn want_more(&mut self) {
        self.send_unread(LEFT + 1);
    }

    /// How long the header is, of a payload of 64 KiB and more.
    fn header(&self) -> usize {
        if self.met.server.is_some() { 14 } else { 10 }
    }

    /// Sends so much more, and waits until it has been read.
    #[track_caller]
    fn send(&mut self, bytes: usize) {
        self.send_unread(bytes);
        let expected = self.sent as u64;
        settled("it is read", || self.received() == expected);
    }

    /// Sends so much more.
    #[track_caller]
    fn send_unread(&mut self, bytes: usize) {
        let end = self.sent + bytes;
        self.met.peer.send_bytes(&self.whole[self.sent..end]);
        self.sent = end;
    }

    fn received(&self) -> u64 {
        self.met.ws.counters().bytes_in
    }

    /// Sends the rest, and waits until the message has been delivered.
    #[track_caller]
    fn complete(mut self) {
        self.send_unread(self.whole.len() - self.sent);
        let Event::Binary(payload) = self.events.next() else {
            panic!("no message");
        };
        assert!(payload.iter().all(|byte| *byte == 7));
    }
}

/// Waits until all who read are asleep, be it in a pause.
#[track_caller]
fn settle_readers() {
    settle_asleep("landline-");
}

/// Two messages of which each holds half of the budget and wants more.
#[track_caller]
fn deadlocked(role: Role) -> [Half; 2] {
    landline::set_memory_budget(512 * KIB);
    let mut halves = [(); 2].map(|()| Half::of(role, patient(), 512 * KIB, 256 * KIB));
    for half in &mut halves {
        half.want_more();
    }
    settle_readers();
    for half in &halves {
        assert_eq!(half.received() as usize, half.header() + 256 * KIB);
    }
    halves
}

#[track_caller]
fn assert_refused(server: &Server) {
    let head = RawPeer::dial(server).try_upgrade();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
}

/// While messages wait for room, newcomers get 503, and whoever is there and sends little is served;
/// when one of those that wait is gone, the other goes on, and newcomers are served.
#[test]
fn messages_wait_for_room_and_nobody_else_does() {
    alone(|| {
        let server = TestServer::echo_with(patient());
        let probe = Probe::of(&server);
        let client = Client::new().config(patient());
        let (ws, mut messages) = client.open(server.url()).unwrap();
        for role in ROLES {
            let [first, second] = deadlocked(role);
            assert_refused(&server);
            probe.keeps_up();
            ws.send(vec![1; 60 * KIB]).unwrap();
            assert_eq!(messages.recv().unwrap().len(), 60 * KIB, "{role:?}");
            drop(first.met.peer);
            first.met.ws.abort();
            second.complete();
            settled("newcomers are served", || {
                RawPeer::dial(&server)
                    .try_upgrade()
                    .starts_with("HTTP/1.1 101 ")
            });
        }
    });
}

/// A message that waits for room longer than it may costs the largest of those that wait its place: it
/// gets 1009, the others go on with its room, and nobody else is closed.
#[test]
fn largest_message_that_waits_is_given_up() {
    alone(|| {
        for role in ROLES {
            landline::set_memory_budget(768 * KIB);
            let mut large = Half::of(role, patient(), MIB, 512 * KIB);
            let mut small = Half::of(role, patient(), 512 * KIB, 256 * KIB);
            large.want_more();
            small.want_more();
            settle_readers();
            let hasty = patient().message_timeout(ms(500));
            let (met, hasty_events) = Meeting::recorded(role, hasty);
            let mut peer = met.peer;
            let sending = thread::spawn(move || {
                peer.send(&Frame::new(BINARY, vec![7; 200 * KIB]));
                peer
            });
            // Its own wait is what runs out.
            assert_eq!(large.met.peer.read_close(), Some(1009), "{role:?}");
            let Event::Error(error) = large.events.next() else {
                panic!("no error");
            };
            assert!(error.contains("no room"), "{error}");
            let event = large.events.next_close();
            assert_eq!(event.code().as_u16(), 1009, "{role:?} {event:?}");
            small.complete();
            let Event::Binary(payload) = hasty_events.next() else {
                panic!("no message");
            };
            assert_eq!(payload.len(), 200 * KIB);
            drop(sending.join().unwrap());
        }
    });
}

/// A cut ends the wait for room at once, and so does a stop at its deadline.
#[test]
fn cut_ends_the_wait_for_room() {
    let ends: [fn(&Half); 2] = [
        |half| half.met.ws.abort(),
        |half| match &half.met.server {
            Some(server) => server.stop_within(ms(100)),
            None => half.met.ws.abort(),
        },
    ];
    alone(|| {
        for (role, end) in ROLES.iter().flat_map(|role| ends.map(|end| (*role, end))) {
            let [first, second] = deadlocked(role);
            end(&first);
            let event = closed_once(&first.events, &first.met.ws);
            assert_eq!(event.code().as_u16(), 1006, "{role:?} {event:?}");
            if let Some(server) = &first.met.server {
                server.stop_within(ms(100));
                let server = server.handle();
                let report = in_time("it stops", move || server.wait().unwrap());
                assert!(report.stuck().is_empty(), "{report:?}");
            }
            second.complete();
        }
    });
}
