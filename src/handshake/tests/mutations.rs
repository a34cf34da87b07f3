//! Heads that are damaged by chance: whatever comes, there is one verdict, however the bytes are cut,
//! and what is accepted is what the rules allow. The seeds are fixed; `LANDLINE_MUTATIONS` sets how
//! many are tried.

use super::{parse_request, parse_response};
use crate::fuzzing::{Chance, check_request, check_response};

const REQUESTS: [&str; 5] = [
    "GET /chat?a=b&c=%20 HTTP/1.1\r\nHost: a.example:80\r\nUpgrade: websocket\r\n\
     Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, v2\r\nExpect: 100-continue\r\n\r\n",
    "POST http://[::1]:9001/a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "OPTIONS * HTTP/1.0\r\nContent-Length: 3\r\nExpect: x\r\n\r\nabc",
    "\r\n\nHEAD //b?\"<>` HTTP/1.1\nHost:\nUpgrade: h2c\nX: \t caf\u{e9} \n\n",
    "GET / HTTP/1.1\r\nHost: a\r\nOrigin: null\r\nForwarded: for=\"[::1]\"\r\n\r\n\x01\0\0\0\0",
];

const RESPONSES: [&str; 5] = [
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: chat\r\nX: a\r\n b\r\n\r\n\x01\x02hi",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: http://b.example/c?d#e\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.0 404 Not Found\nServer: x\n\nto the end",
    "HTTP/1.1 401\r\nWWW-Authenticate: Basic\r\nContent-Length:0\r\n\r\n",
];

/// What heads are made of, and what they must not hold.
const PIECES: [&str; 24] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "/",
    "?",
    "#",
    "%",
    "\"",
    "\u{e9}",
    "\x7f",
    "HTTP/1.1",
    "Host: a\r\n",
    "chunked",
    "websocket",
    "100-continue",
    "13",
    "\r\n\r\n",
    "\r\n ",
];

impl Chance {
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = [8, length][self.below(2)];
        start..(start + self.below(longest)).min(length)
    }

    /// Damages one of these, in one place or in several.
    fn damage(&mut self, seeds: &[&str]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.range(bytes.len());
            match self.below(6) {
                0 => drop(bytes.drain(at)),
                1 => {
                    let other = seeds[self.below(seeds.len())].as_bytes();
                    let part = self.range(other.len());
                    drop(bytes.splice(at, other[part].iter().copied()));
                }
                2 => {
                    let piece = PIECES[self.below(PIECES.len())].bytes();
                    drop(bytes.splice(at.start..at.start, piece));
                }
                3 => {
                    let times = [1, 2, 30, 3_000][self.below(4)];
                    let part = bytes[at.clone()].repeat(times);
                    drop(bytes.splice(at.start..at.start, part));
                }
                4 => bytes.truncate(at.start),
                _ => {
                    let byte = self.below(256) as u8;
                    if let Some(found) = bytes.get_mut(at.start) {
                        *found = byte;
                    }
                }
            }
            bytes.truncate(40 << 10);
        }
        bytes
    }
}

fn rounds() -> usize {
    let asked = std::env::var("LANDLINE_MUTATIONS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(2_000)
}

/// A damaged request gets one verdict, at whatever place it is cut; what is accepted keeps the rules.
#[test]
fn damaged_requests() {
    for round in 0..rounds() {
        let mut chance = Chance::new(round as u64);
        let bytes = chance.damage(&REQUESTS);
        check_request(&bytes, 64 << 10, &mut chance);
    }
}

/// A damaged response gets one verdict, at whatever place it is cut, its body too, and no error repeats
/// what cannot be printed.
#[test]
fn damaged_responses() {
    for round in 0..rounds() {
        let mut chance = Chance::new(round as u64);
        let bytes = chance.damage(&RESPONSES);
        check_response(&bytes, "wss://a.example/", &mut chance);
    }
}

/// The seeds are good: each is accepted as it stands.
#[test]
fn the_seeds_are_whole() {
    assert!(
        REQUESTS
            .iter()
            .all(|seed| parse_request(seed.as_bytes()).unwrap().is_some())
    );
    assert!(
        RESPONSES
            .iter()
            .all(|seed| parse_response(seed.as_bytes()).unwrap().is_some())
    );
}
