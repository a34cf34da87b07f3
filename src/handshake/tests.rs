//! The handshake as tables: what stands on the wire, and the verdict it must get.

mod answers;
mod bodies;
mod client_handshakes;
mod limits;
mod mutations;
mod plain;
mod redirects;
mod replies;
mod requests;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

use super::{BadRequest, RequestHead, ResponseHead};
use crate::Error;

/// The fields of a request that must be accepted; the key is that of RFC 6455, section 1.3.
const FIELDS: &str = "Host: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// Reads the head of a request that has come so far.
fn parse_request(bytes: &[u8]) -> Result<Option<(Box<Request<()>>, usize)>, BadRequest> {
    RequestHead::default().parse(bytes)
}

/// Reads the head of a response that has come so far.
fn parse_response(bytes: &[u8]) -> Result<Option<(Response<()>, usize)>, Error> {
    ResponseHead::default().parse(bytes)
}

/// Feeds a parser whole, in halves and byte by byte, as far as it wants; the verdicts must agree.
#[track_caller]
fn feed<V: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Option<V>,
) -> Option<V> {
    let whole = parse(bytes);
    let half = bytes.len() / 2;
    let halves = parse(&bytes[..half]).or_else(|| parse(bytes));
    assert_eq!(halves, whole, "in halves: {}", bytes.escape_ascii());
    let bytewise = lengths(bytes.len()).find_map(|length| parse(&bytes[..length]));
    assert_eq!(bytewise, whole, "byte by byte: {}", bytes.escape_ascii());
    whole
}

/// Every length up to a usual head's; of long input the last ones, and samples between.
fn lengths(most: usize) -> impl Iterator<Item = usize> {
    (0..=most).filter(move |length| *length < 1_000 || length % 61 == 0 || length + 50 > most)
}

fn header_map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}
