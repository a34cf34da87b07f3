//! What a client is told of an answer that is no 101.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use landline::{Client, Config, Error, Refusal, Timeout};

use crate::support::*;

/// An answer other than 101 is `Refused`, with its status, headers and body, however the body ends.
#[test]
fn refusals_tell_status_headers_and_body() {
    for (answer, status, body, transient) in [
        (
            "HTTP/1.1 403 Forbidden\r\nX-Why: you\r\nContent-Length: 5\r\n\r\nno wayX",
            403,
            "no wa",
            false,
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\nX-Why: you\r\n\r\nto the end",
            401,
            "to the end",
            false,
        ),
        (
            "HTTP/1.1 503 Busy\r\nX-Why: you\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n",
            503,
            "busy",
            true,
        ),
        (
            "HTTP/1.1 429 Slow\r\nX-Why: you\r\nContent-Length: 0\r\n\r\n",
            429,
            "",
            true,
        ),
        (
            "HTTP/1.1 302 Found\r\nX-Why: you\r\nLocation: /elsewhere\r\nContent-Length: 99\r\n\r\ncut",
            302,
            "cut",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nX-Why: you\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
            false,
        ),
        (
            "HTTP/1.0 404 Not Found\r\nX-Why: you\r\n\r\n",
            404,
            "",
            false,
        ),
        (
            "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 502 Bad\r\nX-Why: you\r\n\r\nbad",
            502,
            "bad",
            true,
        ),
    ] {
        let error = refused(&Client::new(), answer);
        assert_eq!(error.is_transient(), transient, "{error}");
        let Error::Refused(refusal) = error else {
            panic!("{answer}: {error:?}")
        };
        let Refusal {
            status: got,
            headers,
            body: text,
            ..
        } = *refusal;
        assert_eq!(
            (got.as_u16(), &*text),
            (status, body.as_bytes()),
            "{answer}"
        );
        assert_eq!(headers["x-why"], "you");
    }
}

/// A refusal that does not say where its body ends is told as soon as its head is there, though the
/// server keeps the connection open, with what comes of the body within a moment.
#[test]
fn refusals_without_a_length_are_told_at_once() {
    let config = Config::new().handshake_timeout(Duration::from_secs(10 * 60 * 60));
    let client = Client::new().config(config);
    for (answer, body) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", ""),
        (
            "HTTP/1.0 403 Forbidden\r\nContent-Length: x\r\n\r\nno way",
            "no way",
        ),
    ] {
        let raw = RawServer::new();
        let (client, url) = (client.clone(), raw.url());
        let connecting = thread::spawn(move || client.open(url).map(drop).unwrap_err());
        let mut peer = raw.accept();
        peer.read_head();
        peer.send_bytes(answer);
        settled("the refusal is told", || connecting.is_finished());
        let error = connecting.join().unwrap();
        let Error::Refused(refusal) = error else {
            panic!("{error:?}");
        };
        assert_eq!(
            (refusal.status.as_u16(), &*refusal.body),
            (403, body.as_bytes())
        );
        drop(peer);
    }
}

/// A refusal whose body never ends is still told when the time is over.
#[test]
fn refusal_without_end_is_told() {
    let client = Client::new().config(Config::new().handshake_timeout(ms(300)));
    let raw = RawServer::new();
    thread::scope(|scope| {
        let connecting = scope.spawn(|| client.open(raw.url()).map(drop).unwrap_err());
        let mut peer = raw.accept();
        let _ = peer.try_send_bytes("HTTP/1.1 403 Forbidden\r\nContent-Length: 99\r\n\r\nno");
        let error = connecting.join().unwrap();
        drop(peer);
        // A machine that stalls over the head makes a timeout of it.
        let told = match &error {
            Error::Refused(refusal) => refusal.status == 403 && *refusal.body == *b"no",
            error => matches!(error, Error::Timeout(_)),
        };
        assert!(told, "{error:?}");
    });
}

/// Of a refusal's body the first 16 KiB are told, whichever way it is sent.
#[test]
fn bodies_of_refusals_are_cut() {
    let body: String = (0..20_000).map(|number| format!("{number:06}")).collect();
    let chunks: String = body
        .as_bytes()
        .chunks(1_000)
        .map(|chunk| format!("3e8\r\n{}\r\n", std::str::from_utf8(chunk).unwrap()))
        .collect();
    let head = "HTTP/1.1 403 Forbidden\r\n";
    for answer in [
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
        format!("{head}\r\n{body}"),
    ] {
        let refusal = refusal_of(refused(&Client::new(), &answer));
        assert_eq!(refusal.status, 403);
        assert_eq!(refusal.body, body.as_bytes()[..16 << 10]);
    }
}

/// A body that goes on and on is read no further than it is told, long before the deadline.
#[test]
fn endless_bodies_are_left() {
    let client = Client::new().config(Config::new().handshake_timeout(PATIENCE * 4));
    for (line, begin, more, length) in [
        ("Content-Length: 99999999999999999999", "", "aaaa", 16 << 10),
        ("Content-Length: 18446744073709551615", "", "aaaa", 16 << 10),
        ("X: none", "", "aaaa", 16 << 10),
        ("Transfer-Encoding: chunked", "", "1\r\na\r\n", 16 << 10),
        (
            "Transfer-Encoding: chunked",
            "fffffffffffffff\r\n",
            "a",
            16 << 10,
        ),
        ("Transfer-Encoding: chunked", "1;", "aaaa", 0),
    ] {
        let raw = RawServer::new();
        let error = thread::scope(|scope| {
            let asking = scope.spawn(|| client.open(raw.url()).map(drop).unwrap_err());
            let mut peer = raw.accept();
            peer.read_head();
            let head = format!("HTTP/1.1 403 Forbidden\r\n{line}\r\n\r\n{begin}");
            let mut going_on = peer.try_send_bytes(head);
            while going_on.is_ok() {
                going_on = peer.try_send_bytes(more.repeat(1_000));
            }
            asking.join().unwrap()
        });
        let refusal = refusal_of(error);
        assert_eq!(
            (refusal.status.as_u16(), refusal.body.len()),
            (403, length),
            "{line}"
        );
    }
}

/// The handshake's deadline bounds an answer that trickles, however little is still to come.
#[test]
fn trickling_answers_are_bounded() {
    let client = Client::new().config(Config::new().handshake_timeout(ms(300)));
    for head in [
        "HTTP/1.1 403 Forbidden\r\nX-Long: ",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 16000\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    ] {
        let raw = RawServer::new();
        let (end, ended) = mpsc::channel();
        let error = thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let error = client.open(raw.url()).map(drop).unwrap_err();
                end.send(()).unwrap();
                error
            });
            let mut peer = raw.accept();
            let mut going_on = peer.try_send_bytes(head).is_ok();
            while going_on && ended.recv_timeout(ms(5)).is_err() {
                going_on = peer.try_send_bytes("a").is_ok();
            }
            asking.join().unwrap()
        });
        // A machine that stalls over the head makes a timeout of it.
        let bounded = match &error {
            Error::Refused(refusal) => head.ends_with("\r\n\r\n1;") || refusal.body.len() < 16_000,
            error => matches!(error, Error::Timeout(Timeout::Handshake)),
        };
        assert!(bounded, "{error:?}");
    }
}

/// A status that will be the same tomorrow is told from one that may pass.
#[test]
fn passing_refusals_are_transient() {
    for (transient, statuses) in [
        (true, &[408, 429, 500, 502, 503, 504][..]),
        (
            false,
            &[
                200, 204, 301, 308, 400, 401, 403, 404, 405, 410, 426, 431, 501, 505,
            ],
        ),
    ] {
        for status in statuses {
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
            let error = refused(&Client::new(), &answer);
            assert_eq!(error.is_transient(), transient, "{status}");
            assert_eq!(refusal_of(error).status, *status);
        }
    }
    let invalid = landline::open("ws://a.example:99999/").unwrap_err();
    assert!(!invalid.is_transient(), "{invalid:?}");
}
