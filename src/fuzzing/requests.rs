//! Requests: heads, upgrades and bodies.

use bytes::Bytes;
use http::{HeaderMap, Request, Version};

use super::Chance;
use super::input::Input;
use crate::handshake::{
    BadRequest, RequestBody, RequestHead, ResponseHead, UpgradeRequest, offered_subprotocols,
    wants_upgrade,
};

/// Checks requests: a request gets one verdict, wherever its bytes are cut, and an accepted one
/// keeps the rules. A body arrives as it was sent.
pub fn requests(data: &[u8]) {
    let mut input = Input::new(data);
    let mut chance = Chance::new(input.number().into());
    match input.byte() {
        0xFF => check_body(input.rest(), &mut chance),
        kind => check(input.rest(), LIMITS[usize::from(kind) % 4], &mut chance),
    }
}

const LIMITS: [usize; 4] = [1_000, 64 << 10, 3, 0];

/// Sends a body in chunks, with a pipelined request behind it.
fn check_body(body: &[u8], chance: &mut Chance) {
    let mut bytes = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let mut begin = 0;
    for end in chance.cuts(body.len()) {
        let size = format!("{:X};a=\"b\"\r\n", end - begin);
        bytes.extend([size.as_bytes(), &body[begin..end], b"\r\n"].concat());
        begin = end;
    }
    bytes.extend(b"000\r\nA: b\r\n\r\nGET /");
    let verdict = Verdict::of(&bytes, chance.cuts(bytes.len()), body.len());
    let Verdict::Request {
        body: Ok(Some((came, left))),
        ..
    } = verdict
    else {
        panic!("{verdict:?}");
    };
    assert!(came == body && left == b"GET /".len(), "{left}");
}

/// Reads a request whose body may have `limit` bytes.
pub(crate) fn check(bytes: &[u8], limit: usize, chance: &mut Chance) {
    let whole = Verdict::of(bytes, [bytes.len()], limit);
    let cut = Verdict::of(bytes, chance.cuts(bytes.len()), limit);
    assert_eq!(cut, whole, "{}", bytes.escape_ascii());
    match whole {
        Verdict::Incomplete => {}
        Verdict::Bad(bad) => check_refusal(&bad),
        Verdict::Request {
            head, length, body, ..
        } => {
            assert!(length <= bytes.len().min(16 << 10), "{length}");
            check_head(&head);
            match body {
                Ok(Some((body, left))) => assert!(body.len() <= limit && left <= bytes.len()),
                Ok(None) => {}
                Err(bad) => check_refusal(&bad),
            }
        }
    }
}

/// The outcome of a request.
#[derive(Debug)]
enum Verdict {
    Incomplete,
    Bad(BadRequest),
    Request {
        head: Box<Request<()>>,
        length: usize,
        /// The body once it is whole, with the number of bytes that are left behind it.
        body: Result<Option<(Bytes, usize)>, BadRequest>,
    },
}

// Requests of the http crate have no equality.
impl PartialEq for Verdict {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Verdict {
    /// Reads like a server that gets the bytes up to each of these ends.
    fn of(bytes: &[u8], ends: impl IntoIterator<Item = usize>, limit: usize) -> Self {
        let mut coming = RequestHead::default();
        let mut ends = ends.into_iter();
        while let Some(end) = ends.next() {
            match coming.parse(&bytes[..end]) {
                Ok(None) => {}
                Ok(Some((head, length))) => {
                    let body = read_body(&head, bytes, (length, end), ends, limit);
                    return Self::Request { head, length, body };
                }
                Err(bad) => return Self::Bad(bad),
            }
        }
        Self::Incomplete
    }
}

fn read_body(
    head: &Request<()>,
    bytes: &[u8],
    (length, mut end): (usize, usize),
    mut ends: impl Iterator<Item = usize>,
    limit: usize,
) -> Result<Option<(Bytes, usize)>, BadRequest> {
    let mut coming = RequestBody::announced_by(head, limit)?;
    let mut received = bytes[length..end].to_vec();
    loop {
        if let Some(body) = coming.take_from(&mut received)? {
            return Ok(Some((body, received.len() + bytes.len() - end)));
        }
        let Some(next) = ends.next() else {
            return Ok(None);
        };
        received.extend_from_slice(&bytes[end..next]);
        end = next;
    }
}

/// Checks that a refusal is a whole response.
fn check_refusal(bad: &BadRequest) {
    let reply = bad.reply(None);
    let parsed = ResponseHead::default().parse(&reply);
    let (response, _) = parsed.ok().flatten().expect("a response");
    assert_eq!(response.status(), bad.status);
}

fn check_head(request: &Request<()>) {
    let target = request.uri().to_string();
    assert!(target.starts_with('/') || target == "*", "{target}");
    assert!(
        !target.contains(|c: char| !c.is_ascii_graphic()),
        "{target}"
    );
    check_fields(request.headers(), 100);
    let hosts = request.headers().get_all("host").iter().count();
    assert!(hosts == 1 || request.version() == Version::HTTP_10 && hosts == 0);
    match UpgradeRequest::of(request) {
        Ok(upgrade) => check_upgrade(request, &upgrade),
        Err(bad) => check_refusal(&bad),
    }
}

fn check_upgrade(request: &Request<()>, upgrade: &UpgradeRequest) {
    assert!(wants_upgrade(request) && request.method() == "GET");
    let Ok(offered) = offered_subprotocols(request.headers()) else {
        return;
    };
    let chosen = offered.first().cloned();
    let accepted = upgrade.accept(&offered, chosen, None, &HeaderMap::new());
    let parsed = ResponseHead::default().parse(&accepted.expect("a 101").1);
    let (response, _) = parsed.ok().flatten().expect("a response");
    assert_eq!(response.status(), 101);
}

/// Checks that fields are few, without control characters, and trimmed.
pub(super) fn check_fields(headers: &HeaderMap, most: usize) {
    assert!(headers.len() <= most);
    for value in headers.values() {
        let controls = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        assert!(!value.as_bytes().iter().any(controls), "{value:?}");
        assert_eq!(value.as_bytes().trim_ascii(), value.as_bytes());
    }
}
