//! Whom a server lets in: the pages of which origins, under which names.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use landline::{Server, ServerBuilder};

use super::{Program, get, post, repeat, with};
use crate::support::*;

/// Returns an upgrade request to this host, from a page of this origin.
fn from_page(host: &str, origin: &str) -> String {
    let request = upgrade_request("127.0.0.1:80");
    request.replace(
        "Host: 127.0.0.1:80",
        &format!("Host: {host}\r\nOrigin: {origin}"),
    )
}

/// The pages of other origins get 403 before the program hears of them, those of the same host do
/// not (RFC 6455, section 10.2).
#[test]
fn other_origins_are_refused() {
    let program = Program::start();
    for origin in [
        "https://a.example",
        "http://localhost:81",
        "http://localhost.a.example",
        "http://127.0.0.1:80",
        "null",
        "",
        "*",
        "http://localhost:80, http://a.example",
        "http://localhost:80\r\nOrigin: http://a.example",
    ] {
        program.refuse(403, from_page("localhost:80", origin).as_bytes());
    }
    program.upgrade(&from_page("localhost:81", "http://localhost:81"));
    program.upgrade(&from_page("127.0.0.1:81", "https://127.0.0.1:81"));
}

/// Origins are let in that were allowed, and no others; all of them if that was said.
#[test]
fn allowed_origins_are_let_in() {
    let allowed = ["https://good.example", "https://*.wild.example"];
    let some = Program::with(|builder| builder.allow_origins(allowed));
    let any = Program::with(ServerBuilder::danger_allow_any_origin);
    for (good, origin) in [
        (true, "https://good.example"),
        (true, "https://a.wild.example"),
        (false, "http://good.example"),
        (false, "https://good.example:8443"),
        (false, "https://good.example.evil.example"),
        (false, "https://evilgood.example"),
        (false, "https://wild.example"),
        (false, "null"),
    ] {
        let request = from_page("localhost", origin);
        any.upgrade(&request);
        if good {
            some.upgrade(&request);
        } else {
            some.refuse(403, request.as_bytes());
        }
    }
}

/// A server on a loopback address answers to its own names alone, pages and upgrades: others may be
/// names that somebody's DNS has bound to it.
#[test]
fn foreign_hosts_are_refused_on_loopback() {
    let own = Program::start();
    let named = Program::with(|builder| builder.allow_hosts(["good.example", "*.wild.example"]));
    for host in [
        "localhost",
        "a.localhost:80",
        "127.0.0.2",
        "[::1]:80",
        "LOCALHOST.",
    ] {
        own.answer(&get("GET / HTTP/1.1").replace("localhost", host), "GET / ");
        own.upgrade(&from_page(host, &format!("http://{host}")));
    }
    for host in ["good.example:80", "a.wild.example"] {
        let request = from_page(host, &format!("http://{host}"));
        own.refuse(403, request.as_bytes());
        named.upgrade(&request);
    }
    for host in [
        "a.example",
        "localhost.a.example",
        "192.0.2.1",
        "wild.example",
        "",
    ] {
        for program in [&own, &named] {
            let plain = get("GET / HTTP/1.1").replace("localhost", host);
            program.refuse(403, plain.as_bytes());
            program.refuse(403, from_page(host, &format!("http://{host}")).as_bytes());
        }
    }
    let absolute = get("GET http://a.example/ HTTP/1.1");
    own.refuse(403, absolute.as_bytes());
}

/// What may change something is refused to the pages of other origins, whatever the method; what is
/// safe is not (RFC 9110, section 9.2.1), and browsers keep such replies to themselves.
#[test]
fn other_origins_change_nothing() {
    let program = Program::start();
    let allowing = Program::with(|builder| builder.allow_origins(["https://good.example"]));
    for method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
        let from = |origin: &str| {
            with(
                &format!("{method} /a HTTP/1.1"),
                &format!("Origin: {origin}\r\n"),
            )
        };
        for origin in ["https://a.example", "null", "http://localhost:81"] {
            program.refuse(403, from(origin).as_bytes());
            allowing.refuse(403, from(origin).as_bytes());
        }
        for (program, origin) in [
            (&program, "http://localhost"),
            (&allowing, "https://good.example"),
        ] {
            let reply = exchange(&program.server, Pace::Whole, from(origin));
            assert_eq!(reply.body, format!("{method} /a "));
            assert_eq!(program.calls.next(), reply.body);
        }
    }
    for method in ["GET", "OPTIONS"] {
        let line = format!("{method} / HTTP/1.1");
        let request = with(&line, "Origin: https://a.example\r\n");
        let reply = exchange(&program.server, Pace::Whole, request);
        assert_eq!((reply.status, reply.body), (200, format!("{method} / ")));
    }
    let reply = exchange(
        &program.server,
        Pace::Whole,
        post("Content-Length: 3\r\n", "abc"),
    );
    assert_eq!(reply.body, "POST /a abc");
}

/// Programs that are no web pages are let in by name; `null`, which any page can have, by a setting
/// of its own.
#[test]
fn origins_of_programs_are_let_in_by_name() {
    let names = [
        "file://",
        "vscode-webview://*",
        "http://localhost:*",
        "https://slash.example/",
    ];
    let program = Program::with(|builder| builder.allow_origins(names));
    for origin in [
        "file://",
        "vscode-webview://1k0mfq3",
        "http://localhost:5173",
        "https://slash.example",
    ] {
        program.upgrade(&from_page("127.0.0.1", origin));
    }
    for origin in [
        "null",
        "vscode-file://vscode-app",
        "https://localhost:5173",
        "http://a.localhost:5173",
    ] {
        program.refuse(403, from_page("127.0.0.1", origin).as_bytes());
    }
    let null = Program::with(ServerBuilder::danger_allow_null_origin);
    null.upgrade(&from_page("127.0.0.1", "null"));
    null.refuse(403, from_page("127.0.0.1", "https://a.example").as_bytes());
}

/// Returns what a request gets over a connection to this address of a server that listens everywhere.
#[track_caller]
fn status_at(address: Ipv4Addr, server: &Server, request: &str) -> u16 {
    let port = tcp_addr(server).port();
    let stream = TcpStream::connect(SocketAddr::from((address, port))).unwrap();
    let mut peer = RawPeer::over(stream);
    peer.send_bytes(request);
    let head = peer.read_head();
    PlainReply::new(head, String::new()).status
}

/// Returns an address of this machine in a network, if it is in one. Nothing is sent to find it.
fn network_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(address) => Some(*address.ip()),
        SocketAddr::V6(_) => None,
    }
}

/// A rebound name is refused wherever the accepted socket's own address is a loopback address, also on
/// a server that listens everywhere; over a network where hosts are named.
#[test]
fn hosts_are_judged_by_the_accepted_socket() {
    let builder = || Server::builder().on_request(repeat);
    let open = TestServer::start_everywhere(builder());
    let named = TestServer::start_everywhere(builder().allow_hosts(["good.example"]));
    let page = get("GET / HTTP/1.1");
    let pages = |host: &str| page.replace("localhost", host);
    let upgrade = |host: &str| from_page(host, &format!("http://{host}"));
    let own = open.url()["ws://".len()..].to_owned();
    for server in [&open, &named] {
        for request in [pages("evil.example"), upgrade("evil.example:80")] {
            assert_eq!(status_at(Ipv4Addr::LOCALHOST, server, &request), 403);
        }
        assert_eq!(status_at(Ipv4Addr::LOCALHOST, server, &page), 200);
        // A client of this machine connects by the server's own URL.
        assert_eq!(status_at(Ipv4Addr::LOCALHOST, server, &upgrade(&own)), 101);
    }
    let good = upgrade("good.example");
    assert_eq!(status_at(Ipv4Addr::LOCALHOST, &open, &good), 403);
    assert_eq!(status_at(Ipv4Addr::LOCALHOST, &named, &good), 101);
    let Some(address) = network_address() else {
        return;
    };
    for (request, without, with) in [
        (pages("evil.example"), 200, 403),
        (upgrade("evil.example"), 101, 403),
        (good, 101, 101),
        (page.clone(), 200, 200),
    ] {
        assert_eq!(status_at(address, &open, &request), without, "{request}");
        assert_eq!(status_at(address, &named, &request), with, "{request}");
    }
}

/// A trusted proxy on the same machine passes on the names that it serves; where hosts are named, it is
/// judged by them like everybody.
#[test]
fn trusted_proxies_pass_hosts_on() {
    let trusting = Program::with(|builder| builder.trusted_proxies(["127.0.0.1"]));
    trusting.upgrade(&from_page("a.example", "http://a.example"));
    trusting.refuse(403, from_page("a.example", "http://b.example").as_bytes());
    let naming = Program::with(|builder| {
        let trusting = builder.trusted_proxies(["127.0.0.1"]);
        trusting.allow_hosts(["a.example"])
    });
    naming.upgrade(&from_page("a.example", "http://a.example"));
    naming.refuse(403, from_page("b.example", "http://b.example").as_bytes());
}

/// What the guard refuses is told at WARN with the Host and the Origin, escaped, once for each of the
/// first eight, then at DEBUG; and each bad request in one DEBUG record.
#[test]
fn refusals_are_logged() {
    alone(|| {
        let logger = Logger::install(|_| {});
        let program = Program::start();
        let logged = |level: &str| {
            let of_level = |record: &String| {
                record.starts_with(level) && record.contains("a request was refused")
            };
            logger
                .so_far()
                .into_iter()
                .filter(of_level)
                .collect::<Vec<_>>()
        };
        // As behind nginx with `proxy_set_header Host $host`: the port is missing.
        let page = from_page("localhost", "http://localhost:8080");
        for _ in 0..2 {
            program.refuse(403, page.as_bytes());
        }
        let [first] = &logged("WARN")[..] else {
            panic!("{:?}", logger.so_far());
        };
        for part in [
            "\"http://localhost:8080\"",
            "\"localhost\"",
            "Host $http_host",
        ] {
            assert!(first.contains(part), "{first}");
        }
        assert_eq!(logged("DEBUG").len(), 3);
        for number in 0..20 {
            let host = format!("{number}.example\u{9b}31m");
            let request = get("GET / HTTP/1.0").replace("localhost", &host);
            exchange(&program.server, Pace::Whole, request);
            let request = get("GET / HTTP/1.0").replace("localhost", &format!("{number}.example"));
            program.refuse(403, request.as_bytes());
        }
        let warnings = logged("WARN");
        assert_eq!(warnings.len(), 8, "{warnings:#?}");
        let all = logger.so_far();
        assert!(!all.iter().any(|record| record.contains(char::is_control)));
        let before = logged("DEBUG").len();
        let version =
            upgrade_request(program.server.local_addr()).replace("Version: 13", "Version: 8");
        for bad in [version, "GET\r\n".to_owned(), get("GET / HTTP/3")] {
            exchange(&program.server, Pace::Whole, bad);
        }
        assert_eq!(logged("DEBUG").len() - before, 3);
    });
}

/// Where no subprotocol is common, a DEBUG record says so, without the names: some are tokens.
#[test]
fn no_common_subprotocol_is_logged() {
    alone(|| {
        let logger = Logger::install(|_| {});
        let server = TestServer::start(
            Server::builder()
                .subprotocols(["chat"])
                .on_upgrade(|_, _| ()),
        );
        let told = || {
            let records = logger.so_far();
            let told = records
                .iter()
                .filter(|record| record.contains("subprotocols is spoken"));
            told.cloned().collect::<Vec<_>>()
        };
        for (offered, count) in [("chat, secret", 0), ("secret, other", 1)] {
            let field = format!("Sec-WebSocket-Protocol: {offered}");
            assert_eq!(knock(&server, "/", &[&field]).1.status, 101);
            assert_eq!(told().len(), count, "{:?}", logger.so_far());
        }
        assert!(told()[0].starts_with("DEBUG "));
        assert!(
            !logger
                .so_far()
                .iter()
                .any(|record| record.contains("secret"))
        );
    });
}
