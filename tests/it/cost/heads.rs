//! What heads cost that are made to cost much: CPU before the program hears of them and while it asks
//! for all that is in them, and memory of requests that it keeps.

use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landline::{BasicAuth, Reply, Request, Router, Server, Upgrade};

use crate::support::*;

/// The CPU time that a head of 16 KiB may take more than a small one. Code that is not optimized takes
/// some twenty times as much as code that is.
const MOST: Duration = if cfg!(debug_assertions) {
    ms(20)
} else {
    ms(1)
};
/// How often each is measured; the median counts.
const RUNS: usize = 25;
/// How large a head may be.
const HEAD: usize = 16 << 10;

/// Asks for all that a request holds.
fn look_into(request: &Request) {
    let _ = (request.subprotocols().len(), request.client_addr());
    let _ = (request.query("no"), request.query_pairs().count());
    let _ = (request.header("x-raw"), request.origin());
}

/// Repeats a text up to so many bytes.
fn filled(text: &str, bytes: usize) -> String {
    text.repeat(bytes / text.len())
}

/// Heads of nearly 16 KiB: the line and fields of an upgrade request, with what makes each costly.
fn costly_heads(host: impl Display) -> Vec<(&'static str, String)> {
    let good = upgrade_request(&host);
    let with = |lines: String| good.replacen("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"), 1);
    let long = HEAD - 400;
    let tokens: Vec<_> = (0..5_325).map(|number| format!("{number:02x}")).collect();
    let tokens = tokens.join(",");
    let target = |target: &str| good.replacen("GET / ", &format!("GET /{target} "), 1);
    let punycode = format!("xn--{}", filled("a9", 14_000));
    let names: String = (0..94)
        .map(|n| format!("{}{n}: a\r\n", filled("x", 160)))
        .collect();
    vec![
        (
            "subprotocols",
            with(format!("Sec-WebSocket-Protocol: {}", &tokens[..long])),
        ),
        (
            "a hundred subprotocols",
            with(format!(
                "Sec-WebSocket-Protocol: {}",
                (0..100)
                    .map(|n| format!("{}{n:03}", filled("p", 150)))
                    .collect::<Vec<_>>()
                    .join(",")
            )),
        ),
        (
            "an Origin of punycode",
            with(format!("Origin: https://{punycode}")),
        ),
        (
            "an Origin of labels",
            with(format!("Origin: https://{}a", filled("xn--a.", 14_000))),
        ),
        (
            "a Host of punycode",
            good.replace(&host.to_string(), &punycode),
        ),
        (
            "a Host of labels",
            good.replace(&host.to_string(), &filled("xn--a9.", 14_000)),
        ),
        (
            "a chain of proxies",
            with(format!("Forwarded: {}", filled("for=127.0.0.1,", long))),
        ),
        (
            "quotes",
            with(format!("Forwarded: {}", filled("\"\\\";\",", long))),
        ),
        (
            "pairs",
            with(format!("Forwarded: {}", filled("for=_a;", long))),
        ),
        (
            "a query of names",
            target(&format!("?{}", filled("a&", 8_000))),
        ),
        (
            "an encoded query",
            target(&format!("?{}", filled("%FF=%FF&", 8_000))),
        ),
        ("a path of slashes", target(&filled("a/", 8_000))),
        ("Upgrade", with(format!("Upgrade: {}", filled("a,", long)))),
        (
            "Connection",
            with(format!("Connection: {}", filled(" ,", long))),
        ),
        (
            "Expect",
            with(format!("Expect: {}", filled("100-continue,", long))),
        ),
        (
            "codings",
            with(format!("Transfer-Encoding: {}", filled("a,", long))),
        ),
        (
            "extensions",
            with(format!(
                "Sec-WebSocket-Extensions: {}",
                filled("a;b,", long)
            )),
        ),
        (
            "credentials",
            with(format!("Authorization: Basic {}", filled("YTph", long))),
        ),
        (
            "raw bytes",
            with(format!("X-Raw: {}", filled("\u{e9}", long))),
        ),
        ("names", with(names.trim_end().to_owned())),
        (
            "one name",
            with(
                filled(&format!("X: {}\r\n", filled("a", 160)), 14_000)
                    .trim_end()
                    .to_owned(),
            ),
        ),
        ("blank lines", format!("{}{good}", filled("\n", long))),
    ]
}

/// Any head of 16 KiB costs less than a millisecond of CPU more than a small one: to read it, to judge
/// it, and for the program to ask for all of it.
#[test]
fn heads_cost_less_than_a_millisecond() {
    alone(|| {
        let auth = BasicAuth::new("r").user("a", "b");
        let answer = move |request: &mut Request| -> Reply {
            look_into(request);
            let _ = auth.check(request);
            Upgrade::new().into()
        };
        let router = Router::new()
            .websocket("/{a}/{*rest}", |_, _| ())
            .fallback(answer);
        let server = TestServer::start(
            Server::builder()
                .router(router)
                .allow_origins(["https://*.example", "http://localhost:*"])
                .allow_hosts(["*.example"])
                .trusted_proxies(["127.0.0.0/8", "::/0"])
                .client_addr_header("Forwarded")
                .subprotocols(["b"]),
        );
        let small = upgrade_request(server.local_addr());
        median_cost(&server, &small);
        let control = median_cost(&server, &small);
        let mut dear = Vec::new();
        for (what, head) in costly_heads(server.local_addr()) {
            assert!(head.len() <= HEAD + 200, "{what}: {}", head.len());
            let cost = median_cost(&server, &head).saturating_sub(control);
            println!("{what}: {cost:?}");
            if cost > MOST {
                dear.push(format!("{what}: {cost:?}"));
            }
        }
        assert!(dear.is_empty(), "more than {MOST:?}: {dear:#?}");
    });
}

/// Measures what one exchange costs this process, the peer's part included.
fn median_cost(server: &Server, request: &str) -> Duration {
    let mut costs: Vec<_> = (0..RUNS)
        .map(|_| {
            let before = cpu_time();
            let mut peer = RawPeer::dial(server);
            let _ = peer.try_send_bytes(request);
            peer.read_head();
            peer.send_fin();
            peer.read_end();
            cpu_time() - before
        })
        .collect();
    costs.sort_unstable();
    costs[RUNS / 2]
}

/// A request that is kept costs about its head, whatever is in it and was asked for.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes long: .ci/run cost")]
fn kept_requests_cost_their_heads() {
    const KEPT: usize = 50;
    alone(|| {
        let kept: Arc<Mutex<Vec<Request>>> = Arc::default();
        let keeping = Arc::clone(&kept);
        let server = TestServer::start(
            Server::builder()
                .allow_origins(["https://*.example"])
                .on_upgrade(move |ws, request| {
                    look_into(&request);
                    keeping.lock().unwrap().push(request);
                    ws.close();
                }),
        );
        for (what, head) in costly_heads(server.local_addr()) {
            // The first shows whether it is kept at all, and warms up.
            if !is_upgraded(&server, &head) {
                continue;
            }
            let (before, first) = (resident_kib(), kept.lock().unwrap().len());
            (0..KEPT).for_each(|_| assert!(is_upgraded(&server, &head)));
            assert_eq!(kept.lock().unwrap().len() - first, KEPT);
            let each = resident_kib().saturating_sub(before) * 1024 / KEPT as u64;
            println!("{what}: {each} bytes for {}", head.len());
            assert!(each < 4 * HEAD as u64, "{what}: {each}");
        }
    });
}

/// Asks for an upgrade, and tells whether it was granted; the connection has ended in order then.
fn is_upgraded(server: &Server, request: &str) -> bool {
    let mut peer = RawPeer::dial(server);
    let _ = peer.try_send_bytes(request);
    let upgraded = peer.read_head().starts_with("HTTP/1.1 101 ");
    if upgraded {
        assert_eq!(peer.read_close(), Some(1000));
        peer.send_close(1000, "");
    }
    peer.read_end();
    upgraded
}
