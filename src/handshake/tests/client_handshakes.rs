//! What a client sends.

use http::HeaderMap;
use url::Url;

use super::{header_map, parse_request, parse_response};
use crate::Error;
use crate::handshake::{ClientHandshake, UpgradeRequest, is_secure, offered_subprotocols};

fn handshake(url: &str) -> ClientHandshake {
    ClientHandshake::new(&Url::parse(url).unwrap(), &HeaderMap::new(), &[], None).unwrap()
}

fn text(handshake: &ClientHandshake) -> &str {
    std::str::from_utf8(handshake.bytes()).unwrap()
}

/// Returns the value of a field in what is sent; it must be there once at most.
#[track_caller]
fn field<'a>(handshake: &'a ClientHandshake, name: &str) -> Option<&'a str> {
    let pairs = text(handshake)
        .lines()
        .filter_map(|line| line.split_once(": "));
    let mut values = pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| value);
    assert_eq!(values.next(), None, "{name} is there twice");
    value
}

/// The target is path and query, the Host is host and port unless that is the default one (RFC
/// 6455, section 4.1).
#[test]
fn urls() {
    for (url, target, host) in [
        ("ws://a.example", "/", "a.example"),
        ("ws://a.example:80/", "/", "a.example"),
        ("ws://a.example:443/", "/", "a.example:443"),
        ("wss://a.example:443/b", "/b", "a.example"),
        ("wss://a.example:80/b", "/b", "a.example:80"),
        ("http://a.example:8080/b", "/b", "a.example:8080"),
        ("https://a.example:443", "/", "a.example"),
        ("WS://A.Example/B", "/B", "a.example"),
        ("ws://127.0.0.1:9001/", "/", "127.0.0.1:9001"),
        ("ws://[::1]/", "/", "[::1]"),
        ("ws://[2001:DB8::0:1]:9001/", "/", "[2001:db8::1]:9001"),
        ("ws://b\u{fc}cher.example/", "/", "xn--bcher-kva.example"),
        ("ws://a.example?b=c", "/?b=c", "a.example"),
        ("ws://a.example/?", "/?", "a.example"),
        ("ws://a.example/b?c=d&e=?#f", "/b?c=d&e=?", "a.example"),
        (
            "ws://a.example/b c/\u{e9}?\u{e9} d",
            "/b%20c/%C3%A9?%C3%A9%20d",
            "a.example",
        ),
        ("ws://a.example/%2F/../b", "/b", "a.example"),
        ("ws://a.example/\r\nX: y", "/X:%20y", "a.example"),
        ("ws://user:pass@a.example:81/", "/", "a.example:81"),
    ] {
        let handshake = handshake(url);
        let line = format!("GET {target} HTTP/1.1\r\n");
        assert!(
            text(&handshake).starts_with(&line),
            "{url}: {}",
            text(&handshake)
        );
        assert_eq!(field(&handshake, "Host"), Some(host), "{url}");
    }
}

/// `ws` and `http`, `wss` and `https` are the same; others are refused.
#[test]
fn schemes() {
    let secure = |url: &str| is_secure(&Url::parse(url).unwrap());
    assert!(!secure("ws://a").unwrap());
    assert!(!secure("http://a").unwrap());
    assert!(secure("wss://a").unwrap());
    assert!(secure("https://a").unwrap());
    for url in ["ftp://a", "file:///a", "wsx://a", "mailto:a@b", "data:,"] {
        assert!(matches!(secure(url), Err(Error::Invalid(_))), "{url}");
        let url = Url::parse(url).unwrap();
        assert!(
            ClientHandshake::new(&url, &HeaderMap::new(), &[], None).is_err(),
            "{url}"
        );
    }
}

/// The request has the fields of RFC 6455, section 4.1, once each, and a fresh key.
#[test]
fn own_fields() {
    let (first, second) = (handshake("ws://a.example"), handshake("ws://a.example"));
    assert_eq!(field(&first, "Upgrade"), Some("websocket"));
    assert_eq!(field(&first, "Connection"), Some("Upgrade"));
    assert_eq!(field(&first, "Sec-WebSocket-Version"), Some("13"));
    assert_eq!(field(&first, "Sec-WebSocket-Protocol"), None);
    assert_eq!(field(&first, "Authorization"), None);
    let key = "Sec-WebSocket-Key";
    assert_ne!(field(&first, key), field(&second, key));
    assert!(text(&first).ends_with("\r\n\r\n"));
}

/// User and password become Basic credentials, decoded first (RFC 7617, section 2).
#[test]
fn credentials() {
    for (userinfo, expected) in [
        (
            "Aladdin:open%20sesame",
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ),
        ("user", Some("Basic dXNlcjo=")),
        (":pass", Some("Basic OnBhc3M=")),
        ("a:b:c", Some("Basic YTpiOmM=")),
        ("%C3%A9:+", Some("Basic w6k6Kw==")),
        ("", None),
    ] {
        let handshake = handshake(&format!("ws://{userinfo}@a.example/"));
        assert_eq!(field(&handshake, "Authorization"), expected, "{userinfo}");
    }
    for userinfo in ["a%3Ab:c", "a:b%0D%0A", "a%00", "%7F:a"] {
        let url = Url::parse(&format!("ws://{userinfo}@a.example/")).unwrap();
        let result = ClientHandshake::new(&url, &HeaderMap::new(), &[], None);
        assert!(matches!(result, Err(Error::Invalid(_))), "{userinfo}");
    }
}

/// The program's headers are sent and may replace the defaults.
#[test]
fn program_headers() {
    let headers = header_map(&[
        ("host", "b.example"),
        ("user-agent", "me"),
        ("origin", "https://c.example"),
        ("authorization", "Bearer x"),
        ("x-api-key", "1"),
    ]);
    let url = Url::parse("ws://user:pass@a.example/").unwrap();
    let handshake = ClientHandshake::new(&url, &headers, &[], None).unwrap();
    for (name, value) in [
        ("Host", "b.example"),
        ("User-Agent", "me"),
        ("Origin", "https://c.example"),
        ("Authorization", "Bearer x"),
        ("X-Api-Key", "1"),
    ] {
        assert_eq!(field(&handshake, name), Some(value));
        // Devices match names to the letter.
        let line = format!("\r\n{name}: {value}\r\n");
        assert!(text(&handshake).contains(&line), "{}", text(&handshake));
    }
}

/// Host is the first field, the program's too (RFC 9110, section 7.2).
#[test]
fn host_comes_first() {
    let url = Url::parse("ws://user:pass@a.example/").unwrap();
    let offers = ["chat".to_owned()];
    for (headers, host) in [
        (header_map(&[("x", "1")]), "a.example"),
        (
            header_map(&[("x", "1"), ("host", "b.example")]),
            "b.example",
        ),
    ] {
        let handshake = ClientHandshake::new(&url, &headers, &offers, None).unwrap();
        let begin = format!("GET / HTTP/1.1\r\nHost: {host}\r\n");
        assert!(text(&handshake).starts_with(&begin), "{}", text(&handshake));
        assert_eq!(field(&handshake, "Host"), Some(host));
    }
}

/// The program cannot set the handshake's own headers, nor announce a body, nor name two hosts.
#[test]
fn headers_of_the_handshake() {
    let url = Url::parse("ws://a.example/").unwrap();
    for name in [
        "connection",
        "content-length",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    ] {
        let result = ClientHandshake::new(&url, &header_map(&[(name, "0")]), &[], None);
        assert!(matches!(result, Err(Error::Invalid(_))), "{name}");
    }
    let hosts = header_map(&[("host", "a"), ("host", "b")]);
    assert!(ClientHandshake::new(&url, &hosts, &[], None).is_err());
}

/// Subprotocols are tokens and all different (RFC 6455, section 4.1).
#[test]
fn subprotocols() {
    let url = Url::parse("ws://a.example/").unwrap();
    let handshake = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        ClientHandshake::new(&url, &HeaderMap::new(), &names, None)
    };
    let offered = handshake(&["chat.v2", "chat", "Chat"]).unwrap();
    let expected = Some("chat.v2, chat, Chat");
    assert_eq!(field(&offered, "Sec-WebSocket-Protocol"), expected);
    for names in [
        &["a", "a"][..],
        &[""],
        &["a b"],
        &["a,b"],
        &["a\r\nb"],
        &["\u{e9}"],
    ] {
        match handshake(names) {
            Err(Error::Invalid(what)) => assert!(!what.contains(char::is_control), "{what:?}"),
            _ => panic!("{names:?}"),
        }
    }
}

/// What the client asks the server accepts, and what the server answers the client verifies.
#[test]
fn both_sides_agree() {
    let offers = ["b".to_owned(), "a".to_owned()];
    for url in [
        "ws://a.example",
        "wss://[::1]:9001/b?c",
        "ws://u:p@b\u{fc}cher.example/\"<>`{}|^[]\\~!$&'()*+,;=:@%",
        "ws://a.example/?\"<>`{}|^[]\\~!$&'()*+,;=:@%/?#f",
    ] {
        let url = Url::parse(url).unwrap();
        for chosen in [None, Some("a")] {
            let handshake =
                ClientHandshake::new(&url, &header_map(&[("x", "y")]), &offers, None).unwrap();
            let (request, length) = parse_request(handshake.bytes()).unwrap().unwrap();
            assert_eq!(length, handshake.bytes().len());
            assert_eq!(request.uri().path(), url.path());
            // URLs leave it as it is in a query, where no URI has it.
            let query = url.query().map(|query| query.replace('`', "%60"));
            assert_eq!(request.uri().query(), query.as_deref());
            let upgrade = UpgradeRequest::of(&request).unwrap();
            let offered = offered_subprotocols(request.headers()).unwrap();
            assert_eq!(offered, offers);
            let (_, bytes) = upgrade
                .accept(&offered, chosen.map(Into::into), None, &HeaderMap::new())
                .unwrap();
            let (response, length) = parse_response(&bytes).unwrap().unwrap();
            assert_eq!(length, bytes.len());
            let negotiated = handshake.verify(response).unwrap();
            assert_eq!(negotiated.subprotocol.as_deref(), chosen);
        }
    }
}
