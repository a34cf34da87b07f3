//! Servers that are killed, started again and stopped, and a client that is.

use std::sync::mpsc;
use std::thread;

use landline::{Client, Config, Server, SessionState};

use super::brief;
use crate::support::*;

/// Keepalive and handshakes that give up soon.
fn hasty() -> Config {
    Config::new()
        .ping_interval(ms(100))
        .ping_timeout(ms(200))
        .handshake_timeout(ms(300))
}

/// Plays the part of a server on a port that was free a moment ago, until it is killed.
fn serve_at(address: &str) {
    let server = Server::builder().on_upgrade(|ws, _| {
        ws.on_text(|ws, text| ws.send(format!("{text} is heard")));
    });
    let server = server.bind(address).unwrap();
    tell("bound");
    until_released();
    drop(server);
}

/// The loop of a program: it subscribes in each session, and reports what it is told.
fn report(client: &Client, url: &str, report: impl Fn(String)) {
    for session in client.sessions(url).backoff(brief()) {
        let (ws, messages) = session.unwrap();
        let _ = ws.send("subscription");
        for message in messages {
            report(message.unwrap().to_string());
        }
    }
}

/// A server that is killed and started again, three times, gets the subscription of each session
/// before anything else.
#[test]
fn killed_servers_are_come_back_to() {
    const TEST: &str = "staying::servers::killed_servers_are_come_back_to";
    if let Some(address) = part() {
        return serve_at(&address);
    }
    let address = free_address().to_string();
    let url = format!("ws://{address}");
    let client = Client::new();
    let (told, heard) = mpsc::channel();
    let canceller = client.canceller();
    // Not scoped: it would keep a test waiting that fails.
    let reporter = thread::spawn(move || report(&client, &url, |text| told.send(text).unwrap()));
    for _ in 0..3 {
        let mut server = Part::start(TEST, &address, &[]);
        assert_eq!(server.hear(), "bound");
        assert_eq!(next(&heard), "subscription is heard");
        server.kill();
    }
    canceller.cancel();
    reporter.join().unwrap();
    assert!(heard.try_recv().is_err());
}

/// A server that stands still is noticed, its attempts pass, and once it goes on there is a session
/// again.
#[test]
#[cfg(unix)]
fn stopped_servers_are_come_back_to() {
    const TEST: &str = "staying::servers::stopped_servers_are_come_back_to";
    if let Some(address) = part() {
        return serve_at(&address);
    }
    let address = free_address().to_string();
    let client = Client::new().config(hasty());
    let mut server = Part::start(TEST, &address, &[]);
    assert_eq!(server.hear(), "bound");
    let (told, states) = mpsc::channel();
    let sessions = client.sessions(format!("ws://{address}")).backoff(brief());
    let sessions = sessions.on_state(move |state| told.send(state).unwrap());
    let (heard, texts) = mpsc::channel();
    let kept = sessions
        .keep(move |ws| {
            let heard = heard.clone();
            ws.on_text(move |_, text| heard.send(text));
            ws.send("subscription")
        })
        .unwrap();
    assert_eq!(next(&texts), "subscription is heard");
    server.stop();
    for _ in 0..3 {
        let waits = |state: &SessionState| matches!(state, SessionState::Waiting { .. });
        while !waits(&next(&states)) {}
    }
    server.go_on();
    assert_eq!(next(&texts), "subscription is heard");
    kept.send("this too").unwrap();
    assert_eq!(next(&texts), "this too is heard");
    drop(kept);
    drop(server);
}

/// A client that stands still for longer than every timeout, as on a suspended machine, goes on where
/// it was: its connection is not cut if the server has kept it, and if not there is another session.
#[test]
#[cfg(unix)]
fn stopped_clients_go_on() {
    const TEST: &str = "staying::servers::stopped_clients_go_on";
    if let Some(url) = part() {
        // The server may take its time.
        let client = Client::new().config(hasty().handshake_timeout(PATIENCE));
        tell("begun");
        return thread::scope(|scope| {
            scope.spawn(|| report(&client, &url, |text| tell(&text)));
            until_released();
            client.canceller().cancel();
        });
    }
    let raw = RawServer::new();
    let mut program = Part::start(TEST, &raw.url(), &[]);
    assert_eq!(program.hear(), "begun");
    let mut peer = Answering::upgrade(&raw);
    program.stop();
    pause(ms(1000), "longer than every timeout");
    program.go_on();
    peer.send_text("kept");
    assert_eq!(program.hear(), "kept");
    program.stop();
    peer.hang_up();
    pause(ms(1000), "longer than every timeout");
    program.go_on();
    let mut peer = Answering::upgrade(&raw);
    peer.send_text("another");
    assert_eq!(program.hear(), "another");
    peer.hang_up();
    let last = Answering::upgrade(&raw);
    program.release();
    drop(last);
}

/// A peer that has been subscribed to, and answers pings and the Close.
struct Answering(RawPeer, thread::JoinHandle<()>);

impl Answering {
    #[track_caller]
    fn upgrade(raw: &RawServer) -> Self {
        let mut peer = raw.upgrade_with(&[]);
        while peer.read_frame() != Frame::text("subscription") {}
        let mut reads = RawPeer::of_server(peer.stream.try_clone().unwrap());
        let answering = thread::spawn(move || {
            while let Ok(frame) = reads.read_frame_or_end() {
                match frame.opcode {
                    opcode::PING => {
                        let pong = Frame::new(opcode::PONG, frame.payload);
                        let _ = reads.try_send_bytes(pong.bytes(false));
                    }
                    opcode::CLOSE => {
                        let _ = reads.try_send_bytes(frame.bytes(false));
                        return reads.send_fin();
                    }
                    _ => {}
                }
            }
        });
        Self(peer, answering)
    }

    #[track_caller]
    fn send_text(&mut self, text: &str) {
        self.0.send_text(text);
    }

    /// Breaks off.
    fn hang_up(self) {
        let _ = self.0.stream.shutdown(std::net::Shutdown::Both);
        self.1.join().unwrap();
    }
}
