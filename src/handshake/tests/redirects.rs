//! Where redirects lead.

use http::{HeaderMap, HeaderValue, Response};
use url::Url;

use super::{header_map, parse_response};
use crate::Error;
use crate::handshake::redirect;

fn response(status: u16, lines: &str) -> Response<()> {
    let bytes = format!("HTTP/1.1 {status}\r\n{lines}\r\n");
    parse_response(bytes.as_bytes()).unwrap().unwrap().0
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn target(from: &str, location: &str) -> Result<Option<Url>, Error> {
    let response = response(302, &format!("Location: {location}\r\n"));
    redirect::target(&url(from), &response)
}

/// Five statuses redirect, with one Location (RFC 9110, section 15.4).
#[test]
fn statuses() {
    let to = |status, lines| redirect::target(&url("ws://a.example/"), &response(status, lines));
    for status in [301, 302, 303, 307, 308] {
        let found = to(status, "Location: /b\r\n").unwrap().unwrap();
        assert_eq!(found.as_str(), "ws://a.example/b", "{status}");
        assert_eq!(to(status, "").unwrap(), None, "{status}");
        assert!(to(status, "Location: /b\r\nLocation: /b\r\n").is_err());
    }
    for status in [200, 201, 300, 304, 305, 306, 309, 401, 503] {
        assert_eq!(to(status, "Location: /b\r\n").unwrap(), None, "{status}");
    }
}

/// A Location may be relative (RFC 9110, section 10.2.2); `http` stands for `ws`, fragments go, and
/// user and password stay with their origin.
#[test]
fn locations() {
    for (from, location, expected) in [
        ("ws://a.example/b/c?d", "e", "ws://a.example/b/e"),
        ("ws://a.example/b/c?d", "../e?f", "ws://a.example/e?f"),
        ("ws://a.example/b/c?d", "?f", "ws://a.example/b/c?f"),
        ("ws://a.example/b/c?d", "", "ws://a.example/b/c?d"),
        ("ws://a.example/b/c?d#e", "/f#g", "ws://a.example/f"),
        ("ws://a.example/", "//b.example:81/c", "ws://b.example:81/c"),
        ("ws://a.example/", "http://a.example/b", "ws://a.example/b"),
        ("ws://a.example/", "ws://a.example/b", "ws://a.example/b"),
        ("ws://a.example/", "https://a.example", "wss://a.example/"),
        ("ws://a.example/", "WSS://a.example:443", "wss://a.example/"),
        (
            "wss://a.example/",
            "https://a.example:80",
            "wss://a.example:80/",
        ),
        ("http://a.example/b", "c", "ws://a.example/c"),
        ("https://a.example/b", "c", "wss://a.example/c"),
        ("ws://[::1]:9001/", "/b", "ws://[::1]:9001/b"),
        ("ws://a.example/", "/caf\u{e9}", "ws://a.example/caf%C3%A9"),
        // Credentials.
        ("ws://u:p@a.example/", "/b", "ws://u:p@a.example/b"),
        (
            "ws://u:p@a.example/",
            "http://A.example:80/b",
            "ws://u:p@a.example/b",
        ),
        (
            "http://u@a.example/",
            "ws://a.example/b",
            "ws://u@a.example/b",
        ),
        ("ws://u:p@a.example/", "ws://b.example/", "ws://b.example/"),
        (
            "ws://u:p@a.example/",
            "ws://a.example:81/",
            "ws://a.example:81/",
        ),
        (
            "ws://u:p@a.example/",
            "wss://a.example/",
            "wss://a.example/",
        ),
        (
            "ws://u:p@a.example/",
            "wss://a.example:80/",
            "wss://a.example:80/",
        ),
        ("ws://a.example/", "ws://x:y@a.example/", "ws://a.example/"),
        (
            "ws://u:p@a.example/",
            "ws://x:y@a.example/",
            "ws://u:p@a.example/",
        ),
        ("ws://a.example/", "ws://x:y@b.example/", "ws://b.example/"),
    ] {
        let found = target(from, location).unwrap().unwrap();
        assert_eq!(found.as_str(), expected, "{from} {location}");
    }
}

/// Other schemes, plain text after TLS, and what is no URL are refused, in words of ours.
#[test]
fn refused_locations() {
    for (from, location) in [
        ("ws://a.example/", "ftp://a.example/"),
        ("ws://a.example/", "file:///etc/passwd"),
        ("ws://a.example/", "javascript:alert(1)"),
        ("ws://a.example/", "data:,x"),
        ("wss://a.example/", "ws://a.example/"),
        ("wss://a.example/", "http://a.example/"),
        ("https://a.example/", "http://a.example:443/"),
        ("ws://a.example/", "http://"),
        ("ws://a.example/", "ws://a.example:99999/"),
        ("ws://a.example/", "ws://[::1/"),
    ] {
        match target(from, location) {
            Err(Error::Handshake(what)) => assert!(what.starts_with("the server redirects")),
            other => panic!("{from} {location}: {other:?}"),
        }
    }
    let mut headers = HeaderMap::new();
    headers.insert("location", HeaderValue::from_bytes(b"/\xff").unwrap());
    let mut response = response(302, "");
    *response.headers_mut() = headers;
    assert!(redirect::target(&url("ws://a.example/"), &response).is_err());
}

/// Credentials, the Host override and what is marked as sensitive are for one origin; everything else
/// goes along.
#[test]
fn headers_stay_with_their_origin() {
    let mut secret = HeaderValue::from_static("token");
    secret.set_sensitive(true);
    let mut all = header_map(&[
        ("authorization", "Bearer x"),
        ("proxy-authorization", "Basic x"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
        ("host", "c.example"),
        ("origin", "https://d.example"),
        ("x-own", "1"),
    ]);
    all.insert("x-api-key", secret.clone());
    all.append("x-own", secret);
    let rest = header_map(&[("origin", "https://d.example"), ("x-own", "1")]);
    assert_eq!(redirect::for_other_origin(&all), rest);
}

/// An origin is scheme, host and port; `http` is `ws` (RFC 6454, section 4).
#[test]
fn origins() {
    let from = url("ws://a.example/");
    for (to, same) in [
        ("ws://a.example/b", true),
        ("http://a.example:80/", true),
        ("ws://b.example/", false),
        ("ws://a.example:81/", false),
        ("wss://a.example/", false),
        ("wss://a.example:80/", false),
        ("ws://a.a.example/", false),
    ] {
        assert_eq!(redirect::is_same_origin(&from, &url(to)), same, "{to}");
    }
}
