//! Compression of messages: permessage-deflate (RFC 7692), against peers by hand whose deflate streams
//! are zlib-rs's own, or written byte by byte.

mod attacks;
mod groups;
mod negotiation;
mod receiving;
mod sending;

use std::sync::mpsc;
use std::thread;

use landline::{Client, Compression, Config, WebSocket};
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

use crate::support::*;

/// Makes settings with compression, without keepalive.
fn compressing() -> Config {
    quiet().compression(Compression::new())
}

/// Landline and a peer by hand that have agreed on compression.
struct Agreed {
    peer: RawPeer,
    ws: WebSocket,
    events: Recorder,
    /// The extensions that landline has offered or answered.
    extensions: Option<String>,
    deflate: Deflate,
    inflate: Inflate,
    _server: Option<TestServer>,
}

/// The end of a message's data, which is not sent (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

impl Agreed {
    /// Opens a connection to a peer that offers these extensions, or answers by them.
    #[track_caller]
    fn by(role: Role, config: Config, extensions: &str) -> Self {
        let (peer, ws, events, head, server) = match role {
            Role::Server => {
                let (sender, receiver) = mpsc::channel();
                let server = TestServer::with(config, move |ws| {
                    let events = Recorder::new();
                    events.record_all(ws);
                    let _ = sender.send((ws.clone(), events));
                });
                let request = upgrade_request(tcp_addr(&server));
                let mut peer = RawPeer::asking(&server, &extended(&request, extensions));
                let head = peer.read_head();
                assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
                let (ws, events) = next(&receiver);
                (peer, ws, events, head, Some(server))
            }
            Role::Client => {
                let events = Recorder::new();
                let server = RawServer::new();
                let client = Client::new().config(config);
                let (ws, (peer, head)) = thread::scope(|scope| {
                    let answering = scope.spawn(|| answer(&server, extensions));
                    let ws = client.connect(server.url(), |ws| events.record_all(ws));
                    (ws.unwrap(), answering.join().unwrap())
                });
                (peer, ws, events, head, None)
            }
        };
        Self {
            peer,
            ws,
            events,
            extensions: field(&head, "sec-websocket-extensions").map(ToOwned::to_owned),
            deflate: Deflate::new(6, false, 15),
            inflate: Inflate::new(false, 15),
            _server: server,
        }
    }

    /// Opens a connection with context takeover in both directions.
    #[track_caller]
    fn with_takeover(role: Role) -> Self {
        let config = quiet().compression(Compression::new().context_takeover(true));
        Self::by(role, config, "permessage-deflate")
    }

    /// Opens a connection whose messages stand alone, in both directions.
    #[track_caller]
    fn alone(role: Role) -> Self {
        let extensions =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        Self::by(role, compressing(), extensions)
    }

    /// Opens a connection without compression.
    #[track_caller]
    fn plain(role: Role) -> Self {
        Self::by(role, quiet(), "")
    }

    /// Compresses a message, as the next one of the peer's stream.
    fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        let mut compressed = self.deflate_part(message);
        compressed.truncate(compressed.len() - TAIL.len());
        compressed
    }

    /// Compresses a part of a message, with the tail.
    fn deflate_part(&mut self, part: &[u8]) -> Vec<u8> {
        let mut output = vec![0; part.len() + part.len() / 8 + 100];
        let before = self.deflate.total_out();
        let flush = DeflateFlush::SyncFlush;
        self.deflate.compress(part, &mut output, flush).unwrap();
        output.truncate((self.deflate.total_out() - before) as usize);
        output
    }

    /// Decompresses a message of landline's, as the next one of its stream.
    fn inflate(&mut self, compressed: &[u8]) -> Vec<u8> {
        let input = [compressed, &TAIL].concat();
        let mut output = vec![0; 32 << 20];
        let before = self.inflate.total_out();
        let flush = InflateFlush::SyncFlush;
        let status = self.inflate.decompress(&input, &mut output, flush);
        status.unwrap();
        output.truncate((self.inflate.total_out() - before) as usize);
        output
    }

    /// Reads a frame that must be a compressed message, and returns its length and its content.
    #[track_caller]
    fn read_compressed(&mut self) -> (usize, Vec<u8>) {
        let frame = self.peer.read_frame();
        assert!(frame.rsv1 && frame.fin, "{frame:?}");
        (frame.payload.len(), self.inflate(&frame.payload))
    }
}

fn extended(head: &str, extensions: &str) -> String {
    let line = format!("\r\nSec-WebSocket-Extensions: {extensions}\r\n\r\n");
    head.replace("\r\n\r\n", &line)
}

#[track_caller]
fn answer(server: &RawServer, extensions: &str) -> (RawPeer, String) {
    let mut peer = server.accept();
    let request = peer.read_head();
    let answer = with_accept_key(&extended(SWITCHING, extensions), &request);
    peer.send_bytes(answer);
    (peer, request)
}

/// Makes JSON of this length, whose records are alike.
fn json(length: usize) -> String {
    let mut text = String::from("[");
    for number in 0_u32.. {
        if text.len() >= length {
            break;
        }
        let price = number.wrapping_mul(2_654_435_761) >> 12;
        text += &format!("{{\"id\":{number},\"name\":\"item {number}\",\"price\":{price}}},");
    }
    text.truncate(length);
    text
}

/// Makes bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(next).collect()
}
