//! Handshakes that never complete.

use std::sync::{Arc, Condvar, Mutex};

use landline::{Config, Reply, Server, Upgrade};
#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::*;

fn echo(handshake_timeout: std::time::Duration) -> landline::ServerBuilder {
    Server::builder()
        .config(Config::new().handshake_timeout(handshake_timeout))
        .on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message)))
}

/// A gate that those who are to pass wait at until it is opened.
#[derive(Default)]
struct Gate {
    state: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        drop(self.changed.wait_while(state, |state| !state.1).unwrap());
    }

    fn waiting(&self) -> u64 {
        self.state.lock().unwrap().0
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// Silence, a byte at a time, no final blank line: one deadline ends them all, off the accept
/// thread, and nothing is left of them.
#[test]
fn unfinished_handshakes_are_gone_after_the_deadline() {
    alone(|| {
        let server = TestServer::start(echo(ms(1_000)).max_handshakes(1_000));
        let probe = Probe::of(&server);
        let before = Resources::now();
        let request = upgrade_request(server.local_addr());
        let mut dribbling: Vec<_> = (0..100).map(|_| RawPeer::dial(&server)).collect();
        let mut others: Vec<_> = (0..200).map(|_| RawPeer::dial(&server)).collect();
        for raw in &mut others[..100] {
            let _ = raw.try_send_bytes(&request[..request.len() - 2]);
        }
        probe.keeps_up();
        for byte in request.bytes().take(request.len() - 2) {
            dribbling.retain_mut(|raw| raw.try_send_bytes([byte]).is_ok());
            if dribbling.is_empty() {
                break;
            }
            pause(ms(20), "all bytes together take longer than the deadline");
        }
        others
            .iter_mut()
            .chain(&mut dribbling)
            .for_each(|raw| assert!(matches!(raw.read_end(), End::Eof | End::Reset)));
        drop((others, dribbling));
        probe.keeps_up();
        before.settle_back();
    });
}

/// At the limit of handshakes under way the oldest is cut, and the newcomer served.
#[test]
fn oldest_handshake_gives_way_to_newcomers() {
    let server = TestServer::start(echo(4 * PATIENCE).max_handshakes(3));
    let probe = Probe::of(&server);
    let mut first = RawPeer::dial(&server);
    let mut silent = Vec::new();
    settled("the first is cut", || {
        silent.push(RawPeer::dial(&server));
        RawPeer::client_of(&server);
        first.has_ended()
    });
    settled("all but three are cut", || {
        silent.retain_mut(|raw| !raw.has_ended());
        silent.len() <= 3
    });
    RawPeer::client_of(&server);
    probe.keeps_up();
}

/// A server that lets few handshakes be under way, and whose program takes its time until released.
fn slow_hook(handshakes: usize) -> (TestServer, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let hook = Arc::clone(&gate);
    let builder = Server::builder()
        .config(Config::new().handshake_timeout(4 * PATIENCE))
        .max_handshakes(handshakes)
        .should_upgrade(move |request| {
            if request.path() == "/slow" {
                hook.pass();
            }
            Ok(Upgrade::new())
        })
        .on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message)));
    (TestServer::start(builder), gate)
}

/// A client that the program keeps waiting is not cut for silent ones, however many they are.
#[test]
fn complete_requests_are_not_cut_for_silent_clients() {
    const SLOW: u64 = 35;
    let (server, gate) = slow_hook(3);
    let probe = Probe::of(&server);
    let request = upgrade_request(server.local_addr()).replacen("GET / ", "GET /slow ", 1);
    let ask = |_| RawPeer::asking(&server, &request);
    let mut complete: Vec<_> = (0..SLOW).map(ask).collect();
    settled("the program is asked", || gate.waiting() == SLOW);
    let mut silent: Vec<_> = (0..100).map(|_| RawPeer::dial(&server)).collect();
    settled("all but three of the silent are cut", || {
        silent.retain_mut(|raw| !raw.has_ended());
        silent.len() <= 3
    });
    RawPeer::client_of(&server);
    probe.keeps_up();
    gate.open();
    let heads = complete.iter_mut().map(RawPeer::read_head_or_end);
    let served = heads.filter(|head| head.starts_with("HTTP/1.1 101 "));
    assert_eq!(served.count(), complete.len());
}

/// An answer that is being written is not cut for those who say nothing.
#[test]
fn answers_are_not_cut_for_silent_clients() {
    const LONG: usize = 8 << 20;
    let builder = Server::builder()
        .config(Config::new().handshake_timeout(4 * PATIENCE))
        .max_handshakes(3)
        .on_request(|_| Reply::text("x".repeat(LONG)));
    let server = TestServer::start(builder);
    let mut reading = RawPeer::dial_with_buffer(&server, 4 << 10);
    let host = server.local_addr();
    reading.send_bytes(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    // The answer is on its way, and far from whole.
    let head = reading.read_head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut silent: Vec<_> = (0..100).map(|_| RawPeer::dial(&server)).collect();
    settled("all but three of the silent are cut", || {
        silent.retain_mut(|raw| !raw.has_ended());
        silent.len() <= 3
    });
    let (body, end) = reading.read_to_end();
    assert_eq!((body.len(), end), (LONG, End::Eof));
}

/// A crowd of which each is kept waiting by the program gets through, all of it.
#[test]
#[cfg(unix)]
fn crowd_gets_through_a_slow_hook() {
    alone(|| {
        let limits = getrlimit(Resource::Nofile);
        let most = Rlimit {
            current: limits.maximum,
            ..limits
        };
        setrlimit(Resource::Nofile, most).unwrap();
        // Each has a descriptor at either end.
        let descriptors = limits.maximum.unwrap_or(u64::MAX);
        let crowd = usize::try_from(descriptors / 3)
            .unwrap()
            .min(addressable(3_000));
        let builder = Server::builder()
            .max_connections(crowd + 1)
            .should_upgrade(|_| {
                pause(ms(100), "the program takes its time over each");
                Ok(Upgrade::new())
            })
            .on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message)));
        let server = TestServer::start(builder);
        let probe = Probe::of(&server);
        let request = upgrade_request(server.local_addr());
        let ask = |_| RawPeer::asking(&server, &request);
        let mut raws: Vec<_> = (0..crowd).map(ask).collect();
        let heads = raws.iter_mut().map(RawPeer::read_head_or_end);
        let served = heads.filter(|head| head.starts_with("HTTP/1.1 101 "));
        let served = served.count();
        println!("{served} of {crowd} got through");
        assert_eq!(served, crowd);
        probe.keeps_up();
    });
}

/// A handshake that is slow, but in time, is served.
#[test]
fn request_byte_by_byte_is_served() {
    let server = TestServer::echo();
    let mut raw = RawPeer::dial(&server);
    let request = upgrade_request(server.local_addr());
    request.bytes().for_each(|byte| raw.send_bytes([byte]));
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    raw.send_text("hello");
    assert_eq!(raw.read_frame(), Frame::text("hello"));
}

/// A handshake cut at every byte leaves nothing behind.
#[test]
fn handshakes_cut_at_every_byte_leave_nothing() {
    alone(|| {
        let server = TestServer::echo();
        let probe = Probe::of(&server);
        let before = Resources::now();
        let request = upgrade_request(server.local_addr());
        for length in 0..request.len() {
            let mut raw = RawPeer::dial(&server);
            raw.send_bytes(&request[..length]);
            if length % 2 == 0 {
                raw.reset();
            } else {
                drop(raw);
            }
        }
        before.settle_back();
        probe.keeps_up();
        assert_eq!(server.connection_count(), 1);
    });
}
