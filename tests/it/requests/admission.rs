//! Whom a server lets in: the pages of which origins, under which names.

use landline::ServerBuilder;

use super::{Program, get};
use crate::support::*;

/// Returns an upgrade request to this host, from a page of this origin.
fn from_page(host: &str, origin: &str) -> String {
    let request = upgrade_request(([127, 0, 0, 1], 80).into());
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
