//! What TLS has to say of its own accord leaves at once, is bounded, and stands in no message's way.
//!
//! The peer is rustls by hand, whose keys can be asked for anew (RFC 8446, section 4.6.3); landline
//! has OpenSSL, which answers that by itself: an answer when the next request comes, the last one
//! with the next message (3.0.19), which is as early as it has to be.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use landline::{Config, Messages, TlsEngine, WebSocket};
use rustix::net::sockopt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use tungstenite::handshake::derive_accept_key;

use crate::support::*;

/// No deadline is the reason of anything.
fn patient() -> Config {
    Config::new()
        .ping_interval(None)
        .write_timeout(4 * PATIENCE)
        .close_timeout(4 * PATIENCE)
}

/// A server's end of TLS 1.3, by hand: nothing leaves or is read by itself.
struct KeyPeer {
    tcp: TcpStream,
    tls: ServerConnection,
    received: Vec<u8>,
}

impl KeyPeer {
    /// Accepts a client and answers its request.
    fn accept(server: &RawServer) -> Self {
        let chain = CertificateDer::from_pem_slice(LOCAL.pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(LOCAL.key().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        let mut peer = Self {
            tcp: server.accept().stream,
            tls: ServerConnection::new(Arc::new(config)).unwrap(),
            received: Vec::new(),
        };
        peer.tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = loop {
            if let Some(at) = peer.received.windows(4).position(|end| end == b"\r\n\r\n") {
                break String::from_utf8(peer.received.drain(..at + 4).collect()).unwrap();
            }
            peer.receive();
        };
        let key = field(&head, "sec-websocket-key").expect("no key");
        let answer = SWITCHING.replace("ACCEPT", &derive_accept_key(key.as_bytes()));
        peer.send_bytes(answer.as_bytes());
        peer
    }

    fn send_bytes(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
        self.flush();
    }

    fn flush(&mut self) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.tcp).unwrap();
        }
    }

    /// Asks for new keys so many times, which the client MUST answer.
    fn ask_for_keys(&mut self, times: usize) {
        assert!((0..times).all(|_| self.try_ask_for_keys()));
    }

    /// Asks for new keys; returns false if the client takes no more.
    fn try_ask_for_keys(&mut self) -> bool {
        self.tls.refresh_traffic_keys().unwrap();
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut self.tcp).is_err() {
                return false;
            }
        }
        true
    }

    /// Reads what has come over TCP, and what it means.
    #[track_caller]
    fn receive(&mut self) {
        let length = match self.tls.read_tls(&mut self.tcp) {
            Ok(length) => length,
            Err(error) => panic!("nothing came in time: {error}"),
        };
        assert!(length > 0, "the end");
        let state = self.tls.process_new_packets().unwrap();
        let mut plain = vec![0; state.plaintext_bytes_to_read()];
        self.tls.reader().read_exact(&mut plain).unwrap();
        self.received.extend(plain);
        self.flush();
    }

    #[track_caller]
    fn read_frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = Frame::take_from(&mut self.received, true) {
                return frame;
            }
            self.receive();
        }
    }
}

/// Opens a connection of a client to such a peer, with callbacks.
#[track_caller]
fn meet(config: Config, set_up: impl FnOnce(&WebSocket)) -> (KeyPeer, WebSocket) {
    answering(|url| client(config).connect(url, set_up).unwrap())
}

/// Opens one for straight-line code.
#[track_caller]
fn meet_open(config: Config) -> (KeyPeer, (WebSocket, Messages)) {
    answering(|url| client(config).open(url).unwrap())
}

fn client(config: Config) -> landline::Client {
    trusting_by(TlsEngine::Native).config(config)
}

#[track_caller]
fn answering<R>(connect: impl FnOnce(String) -> R) -> (KeyPeer, R) {
    let server = RawServer::with_buffer(2 << 10);
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| KeyPeer::accept(&server));
        let connected = connect(secure_url(&server));
        (accepting.join().unwrap(), connected)
    })
}

/// An answer that no message carries leaves at once, though nobody sends anything.
#[test]
fn key_update_is_answered_at_once() {
    let (mut peer, ws) = meet(patient(), |_| {});
    for _ in 0..10 {
        peer.ask_for_keys(2);
        // It comes, and is no message.
        peer.receive();
        assert_eq!(peer.received, b"");
    }
    ws.send("still open").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("still open"));
    drop(peer);
}

/// The same where the program pulls.
#[test]
fn key_update_is_answered_while_the_program_pulls() {
    let (mut peer, (ws, mut messages)) = meet_open(patient());
    let pulling = std::thread::spawn(move || messages.recv().map(|message| message.len()).ok());
    peer.ask_for_keys(2);
    peer.receive();
    assert_eq!(peer.received, b"");
    peer.send_bytes(&Frame::text("done").bytes(false));
    assert_eq!(
        in_time("it comes", move || pulling.join().unwrap()),
        Some(4)
    );
    drop((peer, ws));
}

/// A flood of them costs no memory, whether the peer reads the answers or not.
#[test]
fn flood_of_key_updates_costs_no_memory() {
    const FLOOD: usize = 100_000;
    alone(|| {
        for reads in [true, false] {
            let (mut peer, ws) = meet(patient(), |_| {});
            // What is read is not looked at: rustls takes so many for an attack.
            let mut tcp = peer.tcp.try_clone().unwrap();
            let reading = std::thread::spawn(move || {
                let mut read = || uninterrupted(|| tcp.read(&mut [0; 4 << 10]));
                while reads && read().is_ok_and(|length| length > 0) {}
            });
            let before = resident_kib();
            peer.tcp.set_write_timeout(Some(ms(1_000))).unwrap();
            // A client may read no more instead.
            let asked = (0..FLOOD).take_while(|_| peer.try_ask_for_keys()).count();
            let grown = resident_kib().saturating_sub(before);
            println!("{asked} asked, read: {reads}: {grown} KiB more");
            assert!(
                grown < 1 << 10,
                "{grown} KiB more after {asked}, read: {reads}"
            );
            // Of a peer that does not read its answers, landline may have hung up.
            let _ = peer.tcp.shutdown(Shutdown::Both);
            drop(peer);
            reading.join().unwrap();
            settled("it has ended", || ws.close_code().is_some());
        }
    });
}

/// A message that finds only owed bytes before it, in a socket that takes nothing, leaves behind them
/// once the peer reads; it is no failure of the connection.
#[test]
fn message_behind_owed_bytes_arrives() {
    // The system fills up a segment that it has begun, and then takes nothing: what is owed has to
    // meet the end of one.
    let lasts = (1..1_400).step_by(20);
    let came_so_far = lasts.filter(|last| was_full_behind_owed_bytes(*last));
    assert!(came_so_far.count() > 0, "no socket was full");
}

/// Sends messages that the system takes, the last of them so long, and one behind what is owed; tells
/// whether the socket was full by then.
fn was_full_behind_owed_bytes(last: usize) -> bool {
    let (mut peer, ws) = meet(patient().send_buffer(16 << 10), |ws| {
        // Each message has the client look for what it owes.
        ws.on_text(|_, _| ());
    });
    let Some(socket) = own_socket(&ws) else {
        println!("skipped: the system gives no descriptor of another's socket");
        return true;
    };
    let filling = [vec![b'1'; 8 << 10], vec![b'2'; last]];
    filling.iter().for_each(|payload| ws.send(payload).unwrap());
    ws.wait_drained(PATIENCE).unwrap();
    // From now on it begins no other segment.
    sockopt::set_socket_send_buffer_size(&socket, 1).unwrap();
    peer.ask_for_keys(5);
    peer.send_bytes(&Frame::text("go on").bytes(false));
    settled("it has come", || ws.counters().messages_in == 1);
    ws.send("behind").unwrap();
    let was_full = ws.buffered_amount() > 0;
    for payload in filling {
        assert_eq!(peer.read_frame().payload, payload, "{last}");
    }
    assert_eq!(peer.read_frame(), Frame::text("behind"), "{last}");
    ws.send("still open").unwrap();
    assert_eq!(peer.read_frame(), Frame::text("still open"));
    // It goes first, so that nothing waits for it.
    drop(peer);
    was_full
}
