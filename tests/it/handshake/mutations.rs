//! Requests and answers that are damaged by chance, over sockets: whatever comes, the peer gets a whole
//! reply or none, nobody hangs, and the next one is served.

use std::thread;

use landline::{Client, Config, Error, Request, Router, Server};

use super::{echo, told};
use crate::support::*;

/// Numbers by chance, the same each time (xorshift, by G. Marsaglia).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// Damages a text in a few places: bytes replaced, left out, repeated, brought in.
    fn damage(&mut self, text: &str) -> Vec<u8> {
        const BYTES: &[u8] = b"\0\t\n\r \"#%,/:;?A\\\x1b\x7f\x80\xff";
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let end = (at + self.below(12)).min(bytes.len());
            match self.below(4) {
                0 => drop(bytes.drain(at..end)),
                1 => drop(bytes.splice(at..at, bytes[at..end].repeat(1 + self.below(200)))),
                2 => bytes.insert(at, BYTES[self.below(BYTES.len())]),
                _ => bytes[at] = BYTES[self.below(BYTES.len())],
            }
        }
        bytes
    }
}

fn look_into(request: &Request) {
    let texts = [request.path(), request.origin().unwrap_or_default()];
    assert!(!texts.concat().contains(|c: char| c.is_ascii_control()));
    let _ = (request.subprotocols(), request.client_addr());
    let _ = (request.query_pairs().count(), request.header("host"));
}

/// A damaged request gets a whole reply, an upgrade, or, where it is not whole, none.
#[test]
fn damaged_requests_get_whole_replies() {
    let router = Router::new()
        .websocket("/ws/{room}", |ws, request| {
            look_into(&request);
            echo(ws);
        })
        .fallback(|request| {
            look_into(request);
            told(request)
        });
    let server = TestServer::start(
        Server::builder()
            .router(router)
            .allow_origins(["https://*.example"])
            .allow_hosts(["a.example"])
            .trusted_proxies(["127.0.0.1"])
            .client_addr_header("Forwarded")
            .subprotocols(["chat"]),
    );
    let upgrade = upgrade_request("127.0.0.1:80");
    let upgrade = upgrade.replacen(
        "GET / HTTP/1.1\r\n",
        "GET /ws/one?a=b HTTP/1.1\r\nOrigin: https://b.example\r\nExpect: 100-continue\r\n\
         Sec-WebSocket-Protocol: chat, v2\r\nForwarded: for=\"[::1]\"\r\n",
        1,
    );
    let post = "POST http://a.example/a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\
        Expect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for round in 0..600 {
        let mut chance = Chance(0x9E37_79B9_7F4A_7C15 ^ (round + 1));
        let request = chance.damage([&upgrade, post][chance.0 as usize % 2]);
        let mut peer = RawPeer::dial(&server);
        let _ = peer.try_send_bytes(&request);
        peer.send_fin();
        let (bytes, _) = peer.read_to_end();
        assert_reply(&bytes, &request);
    }
    let mut healthy = RawPeer::dial(&server);
    healthy.send_bytes(upgrade);
    assert!(healthy.read_head().starts_with("HTTP/1.1 100 "));
    assert!(healthy.read_head().starts_with("HTTP/1.1 101 "));
}

#[track_caller]
fn assert_reply(bytes: &[u8], request: &[u8]) {
    let request = request[..request.len().min(600)].escape_ascii();
    let bytes = bytes
        .strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap_or(bytes);
    if bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 101 ") {
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").expect("no whole head");
    let reply = PlainReply::new(format!("{head}\r\n\r\n"), body.to_owned());
    let known = [200, 400, 403, 404, 405, 413, 414, 417, 426, 431, 501, 505];
    assert!(known.contains(&reply.status), "{request}: {reply:?}");
    reply.assert_head();
    let body_expected = reply.length().expect("no length");
    assert!(
        [0, body_expected].contains(&body.len()),
        "{request}: {reply:?}"
    );
}

/// A damaged answer opens a connection or is an error that can be printed; no client waits for more
/// than its deadline.
#[test]
fn damaged_answers_are_errors() {
    let answers = [
        SWITCHING.replace("\r\n\r\n", "\r\nX: a\r\n b\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 302 Found\r\nLocation: /a?b\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        "HTTP/1.0 404 Not Found\r\n\r\nto the end".to_owned(),
    ];
    let config = Config::new().handshake_timeout(PATIENCE);
    let client = Client::new().config(config).subprotocols(["chat"]);
    let raw = RawServer::new();
    for round in 0..300 {
        let mut chance = Chance(0xD1B5_4A32_D192_ED03 ^ (round + 1));
        let answer = &answers[round as usize % answers.len()];
        let outcome = thread::scope(|scope| {
            let connecting = scope.spawn(|| client.open(raw.url()).map(drop));
            let mut peer = raw.accept();
            let request = peer.read_head();
            let _ = peer.try_send_bytes(chance.damage(&with_accept_key(answer, &request)));
            drop(peer);
            connecting.join().unwrap()
        });
        if let Err(error) = outcome {
            let shown = error.to_string();
            assert!(!shown.contains(char::is_control), "{shown:?}");
            assert!(!matches!(error, Error::Timeout(_)), "round {round}");
        }
    }
}
