//! Proxies that stop at any step.

use std::thread;
use std::time::Instant;

use landline::{Client, Config, Error};

use super::error_of;
use crate::support::*;

/// The schemes, with what a proxy answers to each message of ours, up to the tunnel.
const ANSWERS: [(&str, &[&[u8]]); 3] = [
    ("http", &[b"HTTP/1.1 200 OK\r\n\r\n"]),
    ("socks5h", &[b"\x05\0", b"\x05\0\0\x01\0\0\0\0\0\0"]),
    (
        "socks5h",
        &[b"\x05\x02", b"\x01\0", b"\x05\0\0\x03\x02ab\0\0"],
    ),
];

/// Answers so many bytes of these, each answer behind a message of the client.
fn answer_partly(mut peer: RawPeer, answers: &[&[u8]], mut length: usize) -> RawPeer {
    for answer in answers {
        peer.wait_for_bytes();
        let part = &answer[..answer.len().min(length)];
        let _ = peer.try_send_bytes(part);
        length -= part.len();
        if part.len() < answer.len() {
            break;
        }
    }
    peer
}

/// Returns each place at which an answer may stop.
fn places() -> impl Iterator<Item = (&'static str, &'static [&'static [u8]], usize)> {
    ANSWERS.into_iter().flat_map(|(scheme, answers)| {
        let total: usize = answers.iter().map(|answer| answer.len()).sum();
        (0..total).map(move |length| (scheme, answers, length))
    })
}

fn client(scheme: &str, raw: &RawServer, config: Config) -> Client {
    let user = "user:secret@";
    Client::new()
        .config(config)
        .proxy(format!("{scheme}://{user}{}", raw.local_addr()))
}

/// A proxy that falls silent anywhere is an error at the deadline, which says who it was.
#[test]
fn stalled_proxies_time_out() {
    alone(|| {
        let raw = RawServer::new();
        let before = Resources::now();
        for (scheme, answers, length) in places() {
            let by_config = client(scheme, &raw, Config::new().handshake_timeout(ms(30)));
            let by_client = client(scheme, &raw, Config::new()).connect_timeout(ms(30));
            for client in [by_config, by_client] {
                thread::scope(|scope| {
                    let begun = Instant::now();
                    let connecting = scope.spawn(move || error_of(&client, "ws://example.com/"));
                    // On a machine that stalls, it may have given up before.
                    let peer = raw.accept_unless(|| connecting.is_finished());
                    let peer = peer.map(|peer| answer_partly(peer, answers, length));
                    let error = connecting.join().unwrap();
                    let Error::Proxy(source) = &error else {
                        panic!("{scheme} {length}: {error:?}")
                    };
                    assert_eq!(source.kind(), std::io::ErrorKind::TimedOut, "{error}");
                    assert!(error.is_transient() && begun.elapsed() < PATIENCE / 3);
                    let text = error.to_string();
                    assert!(text.contains(&raw.local_addr().to_string()), "{text}");
                    drop(peer);
                });
            }
        }
        before.settle_back();
    });
}

/// A proxy that hangs up or breaks off anywhere is an error at once, and nothing is left.
#[test]
fn cut_proxies_are_noticed() {
    alone(|| {
        let raw = RawServer::new();
        let before = Resources::now();
        for (scheme, answers, length) in places() {
            for breaks_off in [false, true] {
                thread::scope(|scope| {
                    let client = client(scheme, &raw, Config::new());
                    let connecting = scope.spawn(move || error_of(&client, "ws://example.com/"));
                    let peer = answer_partly(raw.accept(), answers, length);
                    match breaks_off {
                        true => peer.reset(),
                        false => drop(peer),
                    }
                    let error = connecting.join().unwrap();
                    assert!(
                        matches!(error, Error::Proxy(_)),
                        "{scheme} {length}: {error:?}"
                    );
                });
            }
        }
        before.settle_back();
    });
}

/// A cancel ends the wait for a proxy, wherever that stands.
#[test]
fn waits_for_proxies_are_cancelled() {
    let raw = RawServer::new();
    for (scheme, answers, length) in places() {
        let client = client(scheme, &raw, Config::new());
        let canceller = client.canceller();
        thread::scope(|scope| {
            let connecting = scope.spawn(move || error_of(&client, "ws://example.com/"));
            let peer = answer_partly(raw.accept(), answers, length);
            canceller.cancel();
            let error = connecting.join().unwrap();
            assert!(matches!(error, Error::Cancelled), "{error:?}");
            drop(peer);
        });
    }
}

/// Once the tunnel stands, the server has the whole handshake's time, whatever the time to connect.
#[test]
fn servers_have_the_time_of_the_handshake() {
    let raw = RawServer::new();
    let client = client("http", &raw, Config::new()).connect_timeout(ms(300));
    // On a machine that stalls, the tunnel may come too late.
    let answers_late = || {
        thread::scope(|scope| {
            let connecting = scope.spawn(|| client.open("ws://example.com/").map(drop));
            let mut peer = raw.accept_unless(|| connecting.is_finished())?;
            peer.wait_for_bytes();
            peer.try_send_bytes("HTTP/1.1 200 OK\r\n\r\n").ok()?;
            let request = peer.read_head_or_end();
            pause(ms(600), "longer than connecting may take");
            let key = field(&request, "sec-websocket-key").is_some();
            let answer = key.then(|| with_accept_key(SWITCHING, &request))?;
            peer.try_send_bytes(answer).ok()?;
            connecting.join().unwrap().ok()
        })
    };
    assert!((0..5).any(|_| answers_late().is_some()));
}
