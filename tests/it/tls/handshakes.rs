//! TLS handshakes that never complete, and peers that speak something else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use landline::{Client, Config, Error, Server, ServerTls, TlsOptions, TlsVersion};

use crate::support::*;

/// A time that does not pass while a test runs.
const NEVER: Duration = Duration::from_secs(10_000);

fn unhurried() -> Config {
    Config::new().handshake_timeout(NEVER)
}

/// Returns where the records of a whole client's handshake end.
#[track_caller]
fn record_ends(server: &Server) -> Vec<usize> {
    let peer = TlsPeer::dial(server);
    let (bytes, mut ends, mut at) = (peer.ciphertext(), Vec::new(), 0);
    while let Some(length) = bytes.get(at + 3..at + 5) {
        at += 5 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        ends.push(at);
    }
    assert_eq!(at, bytes.len());
    ends
}

/// A hello cut in and between its records, and silence after the handshake or in the request: one
/// deadline ends them all, off the accept thread, and nothing is left of them.
#[test]
fn unfinished_tls_handshakes_are_gone_after_the_deadline() {
    // Those that are to be silent behind their handshake need to come so far.
    alone(|| unless_stalled(ms(250), leave_tls_handshakes_unfinished));
}

fn leave_tls_handshakes_unfinished() {
    let server = secure_echo(Config::new().handshake_timeout(ms(2_000)));
    let ends = record_ends(&server);
    let probe = Probe::by(&trusting(), &server);
    let before = Resources::now();
    let mut silent = vec![RawPeer::dial(&server)];
    for cut in ends.iter().flat_map(|end| [end - 1, *end, end + 1]) {
        if cut < *ends.last().unwrap() {
            silent.push(TlsPeer::dial_cut(&server, cut));
        }
    }
    let mut shaken: Vec<_> = (0..20).map(|_| TlsPeer::dial(&server)).collect();
    let request = upgrade_request(server.local_addr());
    for (length, peer) in shaken.iter_mut().enumerate() {
        let _ = peer.try_send_bytes(&request[..length]);
    }
    probe.keeps_up();
    for peer in &mut silent {
        assert!(matches!(peer.read_end(), End::Eof | End::Reset));
    }
    for peer in &mut shaken {
        peer.read_end();
    }
    drop((silent, shaken));
    probe.keeps_up();
    before.settle_back();
}

/// At the limit of handshakes, those that are silent before TLS, in its handshake, behind it or within
/// a record are cut, and the newcomer is served.
#[test]
fn silent_tls_clients_give_way_to_newcomers() {
    // All of a record's head, and little of the rest.
    const HALF: [u8; 9] = [0x17, 3, 3, 0, 99, 1, 2, 3, 4];
    let builder = Server::builder().config(unhurried()).max_handshakes(3);
    let server = secure(builder.on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message))));
    let probe = Probe::by(&trusting(), &server);
    let mut silent = [RawPeer::dial(&server), TlsPeer::dial_cut(&server, 16)];
    let mut shaken: Vec<_> = (0..3).map(|_| TlsPeer::dial(&server)).collect();
    for peer in &shaken {
        peer.tcp().write_all(&HALF).unwrap();
    }
    let mut newcomers = Vec::new();
    settled("all of the silent are cut", || {
        newcomers.push(RawPeer::dial(&server));
        TlsPeer::dial(&server).upgrade();
        let over = |peer: &TlsPeer| has_ended(peer.tcp());
        silent.iter_mut().all(RawPeer::has_ended) && shaken.iter().all(over)
    });
    shaken.clear();
    probe.keeps_up();
}

fn has_ended(stream: &TcpStream) -> bool {
    RawPeer::over(stream.try_clone().unwrap()).has_ended()
}

/// A TLS handshake cut after every 16 bytes leaves nothing behind.
#[test]
fn tls_handshakes_cut_everywhere_leave_nothing() {
    alone(|| {
        let server = secure_echo(unhurried());
        let whole = *record_ends(&server).last().unwrap();
        let probe = Probe::by(&trusting(), &server);
        let before = Resources::now();
        for length in (0..whole).step_by(16) {
            let raw = TlsPeer::dial_cut(&server, length);
            if length % 32 == 0 {
                raw.reset();
            } else {
                drop(raw);
            }
        }
        before.settle_back();
        probe.keeps_up();
        assert_eq!(server.connection_count(), 1);
    });
}

/// A client gives a server that never says hello its deadline, and says which it was.
#[test]
fn client_gives_up_a_server_that_never_says_hello() {
    let raw = RawServer::new();
    let client = trusting().config(Config::new().handshake_timeout(ms(200)));
    let error = connect_error(&client, secure_url(&raw));
    let handshake = landline::Timeout::Handshake;
    assert!(
        matches!(error, Error::Timeout(timeout) if timeout == handshake),
        "{error:?}"
    );
}

/// A client that speaks plainly on the TLS port is told at once what to do instead, not by a deadline.
#[test]
fn plain_request_to_the_tls_port_is_answered_at_once() {
    let server = secure_echo(unhurried());
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET",
        "\r\n",
        "\0",
    ] {
        for pace in PACES {
            let reply = exchange(&server, pace, request);
            assert_eq!(reply.status, 400, "{reply:?}");
            assert_eq!(reply.length(), Some(reply.body.len()), "{reply:?}");
            assert!(reply.body.contains("wss://"), "{reply:?}");
        }
    }
    Probe::by(&trusting(), &server).keeps_up();
}

/// A client that speaks TLS on the plain port is told at once, after its first byte, what is wrong.
#[test]
fn tls_hello_to_the_plain_port_is_answered_at_once() {
    let server = TestServer::echo_with(unhurried());
    for length in [1, 5, 100, usize::MAX] {
        let mut raw = RawPeer::dial(&server);
        raw.send_bytes(&tls_hello()[..length.min(tls_hello().len())]);
        let reply = raw.read_reply();
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.body.contains("TLS"), "{reply:?}");
    }
    Probe::of(&server).keeps_up();
}

/// Returns the first that a client says.
#[track_caller]
fn tls_hello() -> Vec<u8> {
    let server = secure_echo(Config::new());
    let length = record_ends(&server)[0];
    TlsPeer::dial(&server).ciphertext()[..length].to_vec()
}

/// A client that speaks TLS to a plain server, or plainly to a TLS one, fails at once and says what
/// probably was meant.
#[test]
fn client_of_the_wrong_scheme_fails_at_once() {
    let (plain, secure) = (TestServer::echo_with(unhurried()), secure_echo(unhurried()));
    let client = trusting().config(unhurried());
    match connect_error(&client, plain.url().replacen("ws:", "wss:", 1)) {
        Error::Tls(text) => assert!(text.contains("ws:// was probably meant"), "{text}"),
        error => panic!("{error:?}"),
    }
    match connect_error(&client, secure.url().replacen("wss:", "ws:", 1)) {
        Error::Refused(refusal) => {
            let body = String::from_utf8_lossy(&refusal.body);
            assert_eq!(refusal.status, 400);
            assert!(body.contains("wss://"), "{body}");
        }
        error => panic!("{error:?}"),
    }
}

/// A client that speaks plainly to a TLS server which answers by an alert, as most do, says so.
#[test]
fn alert_tells_a_plain_client_of_tls() {
    // RFC 8446, section 6: fatal, unexpected_message; the end of TCP does not come.
    const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];
    let raw = RawServer::new();
    let url = raw.url();
    let connecting =
        std::thread::spawn(move || connect_error(&Client::new().config(unhurried()), url));
    let mut peer = raw.accept();
    peer.send_bytes(ALERT);
    match connecting.join().unwrap() {
        Error::Handshake(text) => assert!(text.contains("wss:// was probably meant"), "{text}"),
        error => panic!("{error:?}"),
    }
}

/// A server whose first byte is no TLS fails the client at once, though silence follows.
#[test]
fn first_wrong_byte_fails_a_tls_client() {
    for byte in [b'H', 0, 0x80] {
        let raw = RawServer::new();
        let url = secure_url(&raw);
        let connecting =
            std::thread::spawn(move || connect_error(&trusting().config(unhurried()), url));
        let mut peer = raw.accept();
        peer.send_bytes([byte]);
        let error = connecting.join().unwrap();
        assert!(matches!(error, Error::Tls(_)), "{error:?}");
    }
}

/// A server that hangs up in the TLS handshake fails the client at once.
#[test]
fn client_hears_of_a_server_that_hangs_up() {
    let raw = RawServer::new();
    let url = secure_url(&raw);
    let client = Client::new().config(unhurried());
    let connecting = std::thread::spawn(move || connect_error(&client, url));
    drop(raw.accept());
    let error = connecting.join().unwrap();
    assert!(matches!(error, Error::Tls(_) | Error::Io(_)), "{error:?}");
}

/// A host's name stands readable in the hello unless that is not wanted, an address never does (RFC
/// 6066, section 3).
#[test]
fn hello_names_hosts_and_no_addresses() {
    let silent = || trust(&TRUSTED).without_sni();
    for (options, host, is_told) in [
        (trust(&TRUSTED), "localhost", true),
        (silent(), "localhost", false),
        (trust(&TRUSTED), "127.0.0.1", false),
    ] {
        let raw = RawServer::new();
        let url = secure_url(&raw).replacen("127.0.0.1", host, 1);
        let client = Client::new().tls(options);
        let connecting = std::thread::spawn(move || connect_error(&client, url));
        let mut hello = vec![0; 4 << 10];
        let mut peer = raw.accept();
        let length = uninterrupted(|| peer.stream.read(&mut hello)).unwrap();
        let mut windows = hello[..length].windows(host.len());
        let is_there = windows.any(|bytes| bytes == host.as_bytes());
        assert_eq!(is_there, is_told, "{host}");
        drop(peer);
        connecting.join().unwrap();
    }
}

/// A server chooses HTTP/1.1 of what a client offers (RFC 7301).
#[test]
fn server_chooses_http_1() {
    let server = secure_echo(Config::new());
    let alpn = TlsPeer::dial(&server).alpn();
    assert_eq!(alpn.as_deref(), Some(&b"http/1.1"[..]));
}

/// A client that wants a newer version than the server speaks fails.
#[test]
fn versions_must_meet() {
    // Of native-tls, whose servers stop at TLS 1.2.
    let server = TestServer::start(
        Server::builder()
            .tls(ServerTls::from_native_tls(acceptor()))
            .on_request(|_| "page"),
    );
    let options = trust(&TRUSTED).min_version(TlsVersion::Tls13);
    let error = connect_error(&Client::new().tls(options), server.url());
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
}

/// A finished connector and a finished acceptor of native-tls are used as they are.
#[test]
fn finished_settings_of_native_tls_are_used() {
    let server = TestServer::start(
        Server::builder()
            .tls(ServerTls::from_native_tls(acceptor()))
            .on_upgrade(|ws, _| ws.send("welcome")),
    );
    let client = Client::new().tls(TlsOptions::from_native_tls(CONNECTOR.clone()));
    assert_eq!(greeting(&client, &server, "/"), "welcome");
}
