//! The memory that peers make the process hold: messages half received, and bodies of requests.

#[cfg(unix)]
mod crowd;

use std::thread;
use std::time::Duration;

use landline::{Client, Config, Server};

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

/// A message of which a part has been sent, and the connection that it comes over.
struct Half {
    met: Meeting,
    events: Recorder,
    whole: Vec<u8>,
    sent: usize,
}

/// The bytes that are free before more memory is wanted.
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

    /// Fills the memory that it has, so that it wants twice as much, and waits until it waits for that.
    #[track_caller]
    fn want_more(&mut self) {
        self.send_unread(LEFT + 1);
        let expected = self.sent as u64 - 1;
        settled("it is full", || self.received() == expected);
        let name = format!("landline-{}", self.met.ws.id());
        settled("it waits", || {
            let mut threads = threads_named(&name).into_iter();
            threads.any(|thread| thread.name == name && thread.asleep)
        });
        assert_eq!(self.received(), expected, "it is read on");
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

/// Two messages of which each holds half of the budget and wants more.
#[track_caller]
fn deadlocked(role: Role) -> [Half; 2] {
    landline::set_memory_budget(512 * KIB);
    let mut halves = [(); 2].map(|()| Half::of(role, patient(), 512 * KIB, 256 * KIB));
    for half in &mut halves {
        half.want_more();
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
            second.complete();
            settled("newcomers are served", || {
                RawPeer::dial(&server)
                    .try_upgrade()
                    .starts_with("HTTP/1.1 101 ")
            });
        }
    });
}

/// A peer that is gone leaves its place to others, although it is not read while its message waits.
#[test]
fn lost_message_waits_no_longer() {
    let ends: [fn(RawPeer); 2] = [drop, RawPeer::reset];
    alone(|| {
        for (role, end) in ROLES.iter().flat_map(|role| ends.map(|end| (*role, end))) {
            let [first, second] = deadlocked(role);
            end(first.met.peer);
            let event = closed_once(&first.events, &first.met.ws);
            assert_eq!(event.code().as_u16(), 1006, "{role:?} {event:?}");
            second.complete();
        }
    });
}

/// A message that has come whole waits on when its peer is gone, and is delivered, with what came behind
/// it.
#[test]
fn whole_message_waits_on_without_its_peer() {
    alone(|| {
        for role in ROLES {
            landline::set_memory_budget(512 * KIB);
            let mut first = Half::of(role, patient(), 296 * KIB, 256 * KIB);
            let mut second = Half::of(role, patient(), 512 * KIB, 256 * KIB);
            first.want_more();
            second.want_more();
            first.send_unread(first.whole.len() - first.sent);
            let close = Frame::new(CLOSE, 1000_u16.to_be_bytes());
            first.met.peer.send(&close);
            first.met.peer.send_fin();
            pause(ms(600), "the end is looked for in steps");
            second.met.ws.abort();
            let Event::Binary(payload) = first.events.next() else {
                panic!("no message");
            };
            assert_eq!(payload.len(), 296 * KIB, "{role:?}");
            let event = closed_once(&first.events, &first.met.ws);
            assert_eq!(event.code().as_u16(), 1000, "{role:?} {event:?}");
        }
    });
}

/// A message that waits for room longer than it may costs the largest of those that wait its place: it
/// gets 1009, the others go on with its room, and nobody else is closed.
#[test]
fn largest_message_that_waits_is_given_up() {
    alone(|| {
        for role in ROLES {
            landline::set_memory_budget(MIB);
            let hasty = patient().message_timeout(ms(500));
            let (met, hasty_events) = Meeting::recorded(role, hasty);
            let idle = Half::of(role, patient(), 512 * KIB, 256 * KIB);
            let mut large = Half::of(role, patient(), MIB, 512 * KIB);
            let mut small = Half::of(role, patient(), 512 * KIB, 256 * KIB);
            large.want_more();
            small.want_more();
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
            idle.complete();
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

/// Bodies of requests are counted too: one that would take more than there is gets 503, one of 64
/// KiB is taken, and what is over leaves the budget.
#[test]
fn bodies_are_counted() {
    alone(|| {
        let server = TestServer::start(
            Server::builder()
                .config(patient().max_body_size(8 * MIB))
                .on_request(|request| request.body().len().to_string()),
        );
        let post = |length: usize, coding: &str| {
            let mut peer = RawPeer::dial(&server);
            peer.send_bytes(format!(
                "POST / HTTP/1.1\r\nHost: {}\r\n{coding}\r\n\r\n",
                server.local_addr()
            ));
            // It may be refused before its end.
            let _ = peer.try_send_bytes(vec![b'x'; length]);
            peer
        };
        let reply = |mut peer: RawPeer| peer.read_head()[9..12].to_owned();
        let whole = |length: usize| post(length, &format!("Content-Length: {length}"));
        let chunked = |length: usize| {
            let mut peer = post(0, "Transfer-Encoding: chunked");
            let chunk = [
                format!("{length:x}\r\n").as_bytes(),
                &vec![b'x'; length],
                b"\r\n0\r\n\r\n",
            ]
            .concat();
            let _ = peer.try_send_bytes(chunk);
            peer
        };
        landline::set_memory_budget(MIB);
        for _ in 0..5 {
            assert_eq!(reply(whole(400 * KIB)), "200");
            assert_eq!(reply(chunked(400 * KIB)), "200");
            assert_eq!(reply(whole(4 * MIB)), "503");
            assert_eq!(reply(chunked(4 * MIB)), "503");
        }
        let waiting = [whole(0), post(0, "Content-Length: 65536")];
        let half = post(600 * KIB, "Content-Length: 700000");
        settled("the half is held", || {
            RawPeer::dial(&server).try_upgrade().contains(" 503 ")
        });
        let [empty, mut small] = waiting;
        assert_eq!(reply(empty), "200");
        small.send_bytes(vec![b'x'; 64 * KIB]);
        assert_eq!(reply(small), "200");
        drop(half);
        settled("the half has left", || reply(whole(400 * KIB)) == "200");
    });
}
