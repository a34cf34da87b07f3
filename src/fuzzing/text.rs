//! Hostile text: paths and patterns, Host and Origin, the headers of proxies, credentials, URLs.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, ORIGIN, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use url::Url;

use super::input::Input;
use crate::handshake::{ClientHandshake, RequestHead, UpgradeRequest, redirect};
use crate::http::{Guard, TrustedProxies};
use crate::{BasicAuth, Reply, Request, Router};

/// Checks that there is a right verdict on any text in the places of a peer or a program.
pub fn text(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    let lines: Vec<_> = input.rest().split(|byte| *byte == b'\n').collect();
    match kind % 5 {
        0 => route(&lines),
        1 => guard(&lines),
        2 => believe(&lines),
        3 => authorize(&lines),
        _ => ask(&lines),
    }
}

fn utf8(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line).ok()
}

/// Makes a request with these fields, leaving out those that are not allowed.
fn request(uri: Uri, fields: &[(HeaderName, &[u8])]) -> Request {
    let mut request = http::Request::new(Bytes::new());
    *request.uri_mut() = uri;
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().append(name, value);
        }
    }
    Request::from(request)
}

/// Checks routes. The first line is the path, the others are the routes: the most specific one
/// answers, if one matches.
fn route(lines: &[&[u8]]) {
    let (path, patterns) = (lines[0], &lines[1..]);
    let Some(uri) = utf8(path).and_then(|path| path.parse::<Uri>().ok()) else {
        return;
    };
    let mut router = Router::new();
    let patterns: Vec<_> = patterns
        .iter()
        .filter_map(|line| utf8(line))
        .take(20)
        .collect();
    for (number, pattern) in patterns.iter().enumerate() {
        router = router.get(pattern, move |_| Reply::new(status_of(number)));
    }
    let mut request = request(uri, &[]);
    let _: Vec<_> = request.query_pairs().collect();
    let reply = router.reply(&mut request);
    if router.check().is_err() {
        return assert_eq!(reply.status(), 500);
    }
    let path = request.path();
    let ranked = patterns.iter().enumerate();
    let matching = ranked.filter_map(|(number, pattern)| Some((rank(pattern, path)?, number)));
    let expected = matching.min().map_or(404, |(_, number)| status_of(number));
    assert_eq!(reply.status(), expected, "{path} of {patterns:?}");
}

/// Each route answers with a status of its own.
fn status_of(number: usize) -> u16 {
    200 + number as u16
}

/// Returns how specific a pattern is that matches the path, segment by segment: less is more.
fn rank(pattern: &str, path: &str) -> Option<Vec<u8>> {
    let mut rest = Some(path.strip_prefix('/')?);
    let mut ranks = Vec::new();
    for segment in pattern.strip_prefix('/')?.split('/') {
        let path = rest?;
        if segment.starts_with("{*") {
            ranks.push(2);
            return (!path.is_empty()).then_some(ranks);
        }
        let (first, below) = match path.split_once('/') {
            Some((first, below)) => (first, Some(below)),
            None => (path, None),
        };
        let is_parameter = segment.starts_with('{');
        let matches = if is_parameter {
            !first.is_empty()
        } else {
            first == segment
        };
        if !matches {
            return None;
        }
        ranks.push(is_parameter.into());
        rest = below;
    }
    rest.is_none().then_some(ranks)
}

/// Checks the guard. The first two lines are Host and Origin, the others are allowed. Without them
/// no page of another host is let in, a refusal is 403, and further allowed ones refuse no request.
fn guard(lines: &[&[u8]]) {
    let [host, origin, allowed @ ..] = lines else {
        return;
    };
    let upgrade = [(HOST, *host), (ORIGIN, origin), (UPGRADE, b"websocket")];
    let request = request(Uri::from_static("/"), &upgrade);
    let mut open = Guard::default();
    let mut guard = Guard::default();
    for line in allowed.iter().take(20).filter_map(|line| utf8(line)) {
        let _ = guard.allow_origin(line);
        let _ = open.allow_origin(line);
        let _ = guard.allow_host(line);
    }
    open.allow_any_origin();
    if request.header("origin").is_some() && Guard::default().judge(&request, false).is_ok() {
        assert!(is_same_host(&request), "{host:?}, {origin:?}");
    }
    for on_loopback in [false, true] {
        match guard.judge(&request, on_loopback) {
            Ok(()) => assert!(open.judge(&request, false).is_ok()),
            Err(reply) => assert_eq!(reply.status(), 403),
        }
    }
}

/// Tells whether Origin and Host agree, by the parser of URLs.
fn is_same_host(request: &Request) -> bool {
    let origin = request.header("origin").and_then(|it| Url::parse(it).ok());
    origin.is_some_and(|origin| {
        let host = request.header("host").unwrap_or_default();
        let own = Url::parse(&format!("{}://{host}", origin.scheme()));
        own.is_ok_and(|own| redirect::is_same_origin(&own, &origin))
    })
}

/// Checks trusted proxies. The first line is the peer's address, the second and third are the
/// proxies' headers, the others are trusted: the client is the peer, or no trusted address.
fn believe(lines: &[&[u8]]) {
    let [peer, fields @ .., last] = lines else {
        return;
    };
    let mut proxies = TrustedProxies::default();
    for network in lines.iter().skip(3).filter_map(|line| utf8(line)) {
        let _ = proxies.add(network);
    }
    let peer = utf8(peer).and_then(|peer| peer.parse().ok());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    for name in ["forwarded", "x-forwarded-for"].map(HeaderName::from_static) {
        let mut headers = HeaderMap::new();
        for line in fields.iter().chain([last]).take(3) {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append(&name, value);
            }
        }
        proxies.set_header(name);
        let client = proxies.client_of(peer, &headers);
        let known = client.is_none_or(|client| !proxies.contains(client));
        assert!(known, "{client:?}");
    }
}

/// Checks credentials. The first line is the Authorization: only the right name and password are
/// let in.
fn authorize(lines: &[&[u8]]) {
    let given = [(AUTHORIZATION, lines[0])];
    let request = request(Uri::from_static("/"), &given);
    let auth = BasicAuth::new("a \"realm\"").user("ann", "p:w");
    match auth.check(&request) {
        Ok(name) => {
            assert_eq!(name, "ann");
            let is_right = lines[0].trim_ascii().ends_with(b"YW5uOnA6dw==");
            assert!(is_right, "{}", lines[0].escape_ascii());
        }
        Err(reply) => assert_eq!(reply.status(), 401),
    }
}

/// Checks a client's request. The first line is a URL, and a server accepts the request for it.
fn ask(lines: &[&[u8]]) {
    let Some(url) = utf8(lines[0]).and_then(|line| Url::parse(line).ok()) else {
        return;
    };
    let Ok(ask) = ClientHandshake::new(&url, &HeaderMap::new(), &[], None) else {
        return;
    };
    let shown = ask.bytes().escape_ascii();
    // The hosts of URLs may have characters that RFC 3986 does not allow, such as braces.
    let is_host = |char: char| char.is_ascii_alphanumeric() || ".-_~[]:".contains(char);
    let is_odd = !url.host_str().is_some_and(|host| host.chars().all(is_host));
    match RequestHead::default().parse(ask.bytes()) {
        Ok(Some((request, length))) => {
            assert_eq!(length, ask.bytes().len(), "{shown}");
            assert!(UpgradeRequest::of(&request).is_ok(), "{shown}");
        }
        Ok(None) => panic!("no end: {shown}"),
        Err(bad) => {
            let is_long = [414, 431].contains(&bad.status.as_u16());
            assert!(is_odd || is_long, "{bad:?}: {shown}");
        }
    }
}
