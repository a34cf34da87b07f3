//! Heads that are damaged by chance: whatever comes, there is one verdict, however the bytes are cut,
//! and what is accepted is what the rules allow. The seeds are fixed; `LANDLINE_MUTATIONS` sets how
//! many are tried.

use http::{HeaderMap, Request, Response, Version};
use url::Url;

use super::{parse_request, parse_response};
use crate::Error;
use crate::handshake::{
    BadRequest, ClientHandshake, RequestHead, ResponseBody, ResponseHead, UpgradeRequest,
    offered_subprotocols, redirect, wants_upgrade,
};

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

/// Numbers by chance, the same each time.
struct Chance(u64);

impl Chance {
    /// Returns a number below this.
    fn below(&mut self, limit: usize) -> usize {
        // Xorshift, as G. Marsaglia found it.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

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

    /// Returns ends of the pieces that the bytes come in: ever longer, the whole last.
    fn cuts(&mut self, length: usize) -> Vec<usize> {
        let step = [1, 7, 500][self.below(3)];
        let mut ends = Vec::new();
        let mut end = 0;
        while end < length {
            end += 1 + self.below(step);
            ends.push(end.min(length));
        }
        ends
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
        let mut chance = Chance(0x9E37_79B9_7F4A_7C15 ^ (round as u64 + 1));
        let bytes = chance.damage(&REQUESTS);
        let whole = told(parse_request(&bytes));
        let mut coming = RequestHead::default();
        let cuts = chance.cuts(bytes.len());
        let verdicts = cuts.iter().map(|end| told(coming.parse(&bytes[..*end])));
        let first = verdicts.flatten().next();
        assert_eq!(first, whole, "round {round}: {}", bytes.escape_ascii());
        if let Ok(Some((request, length))) = parse_request(&bytes) {
            assert!(length <= bytes.len().min(16 << 10), "round {round}");
            check_request(&request);
        }
    }
}

/// Says what came of a request; nothing while it is not whole.
fn told(
    parsed: Result<Option<(Box<Request<()>>, usize)>, BadRequest>,
) -> Option<Result<String, BadRequest>> {
    let show = |(request, length)| format!("{length} {request:?}");
    parsed.map(|parsed| parsed.map(show)).transpose()
}

#[track_caller]
fn check_request(request: &Request<()>) {
    let target = request.uri().to_string();
    assert!(target.starts_with('/') || target == "*", "{target}");
    assert!(
        !target.contains(|c: char| !c.is_ascii_graphic()),
        "{target}"
    );
    check_fields(request.headers(), 100);
    let hosts = request.headers().get_all("host").iter().count();
    assert!(hosts == 1 || request.version() == Version::HTTP_10 && hosts == 0);
    let upgrade = UpgradeRequest::of(request);
    let Ok((upgrade, offered)) =
        upgrade.and_then(|upgrade| Ok((upgrade, offered_subprotocols(request.headers())?)))
    else {
        return;
    };
    assert!(wants_upgrade(request) && request.method() == "GET");
    let chosen = offered.first().map(String::as_str);
    let bytes = upgrade.response(&offered, chosen, &HeaderMap::new());
    let (response, _) = parse_response(&bytes.unwrap()).unwrap().unwrap();
    assert_eq!(response.status(), 101);
}

#[track_caller]
fn check_fields(headers: &HeaderMap, most: usize) {
    assert!(headers.len() <= most);
    for value in headers.values() {
        let controls = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        assert!(!value.as_bytes().iter().any(controls), "{value:?}");
        assert_eq!(value.as_bytes().trim_ascii(), value.as_bytes());
    }
}

/// A damaged response gets one verdict, at whatever place it is cut, its body too, and no error repeats
/// what cannot be printed.
#[test]
fn damaged_responses() {
    let url = Url::parse("wss://a.example/").unwrap();
    let handshake = ClientHandshake::new(&url, &HeaderMap::new(), &["chat".to_owned()]).unwrap();
    for round in 0..rounds() {
        let mut chance = Chance(0xD1B5_4A32_D192_ED03 ^ (round as u64 + 1));
        let bytes = chance.damage(&RESPONSES);
        let whole = told_response(parse_response(&bytes));
        let mut coming = ResponseHead::default();
        let cuts = chance.cuts(bytes.len());
        let verdicts = cuts
            .iter()
            .map(|end| told_response(coming.parse(&bytes[..*end])));
        let first = verdicts.flatten().next();
        assert_eq!(first, whole, "round {round}: {}", bytes.escape_ascii());
        if let Ok(Some((response, length))) = parse_response(&bytes) {
            assert!(length <= bytes.len().min(32 << 10), "round {round}");
            check_fields(response.headers(), 128);
            check_printable(handshake.verify(&response).map(drop));
            check_printable(redirect::target(&url, &response).map(drop));
            check_body(&response, &bytes[length..], &mut chance);
        }
    }
}

fn told_response(
    parsed: Result<Option<(Response<()>, usize)>, Error>,
) -> Option<Result<String, String>> {
    match parsed {
        Ok(parsed) => parsed.map(|(response, length)| Ok(format!("{length} {response:?}"))),
        Err(error) => {
            let text = error.to_string();
            check_printable(Err(error));
            Some(Err(text))
        }
    }
}

#[track_caller]
fn check_printable(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        assert!(matches!(error, Error::Handshake(_)), "{error:?}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
}

#[track_caller]
fn check_body(response: &Response<()>, received: &[u8], chance: &mut Chance) {
    let mut whole = ResponseBody::announced_by(response);
    whole.take(received);
    let mut pieces = ResponseBody::announced_by(response);
    let mut begin = 0;
    for end in chance.cuts(received.len()) {
        pieces.take(&received[begin..end]);
        begin = end;
    }
    assert_eq!(
        pieces.is_over(),
        whole.is_over(),
        "{}",
        received.escape_ascii()
    );
    let (pieces, whole) = (pieces.into_bytes(), whole.into_bytes());
    assert!(pieces == whole && whole.len() <= 16 << 10);
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
