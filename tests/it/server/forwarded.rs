//! Who is behind a trusted proxy.

use landline::{Client, Error, Request, Router, Server, ServerBuilder};

use crate::support::*;

/// Echoes at `/`, and says who asks, on a page and on a socket.
fn builder() -> ServerBuilder {
    Server::builder().router(
        Router::new()
            .websocket("/", |ws, _| ws.on_message(|ws, message| ws.send(message)))
            .get("/who", |request| who(request))
            .websocket("/who", |ws, request| ws.send(who(&request))),
    )
}

/// Says who asks; "nobody" where nobody can say.
fn who(request: &Request) -> String {
    let client = request.client_addr();
    client.map_or("nobody".to_owned(), |client| client.to_string())
}

/// The client behind a trusted proxy is told by the one header that the program has named, on pages and
/// on sockets; anybody else's headers say nothing, and what contradicts or cannot be read names
/// nobody.
#[test]
fn proxies_say_who_asks() {
    let trusting = || builder().trusted_proxies(["127.0.0.1", "10.0.0.0/8"]);
    let by_x = TestServer::start(trusting().client_addr_header("X-Forwarded-For"));
    let by_forwarded = TestServer::start(trusting().client_addr_header("Forwarded"));
    let by_none = TestServer::start(trusting());
    let wary = TestServer::start(builder().client_addr_header("X-Forwarded-For"));
    for (server, field, client) in [
        (&by_x, ("X-Forwarded-For", "198.51.100.7"), "198.51.100.7"),
        (
            &by_x,
            ("X-Forwarded-For", "192.0.2.1, 198.51.100.7, 10.1.2.3"),
            "198.51.100.7",
        ),
        (&by_x, ("X-Forwarded-For", "10.1.2.3"), "nobody"),
        (&by_x, ("X-Forwarded-For", "192.0.2.1, somebody"), "nobody"),
        (&by_x, ("Forwarded", "for=198.51.100.7"), "nobody"),
        (
            &by_forwarded,
            (
                "Forwarded",
                "for=192.0.2.1, for=\"[2001:db8::7]:4711\";proto=https",
            ),
            "2001:db8::7",
        ),
        (&by_forwarded, ("Forwarded", "for=unknown"), "nobody"),
        (&by_forwarded, ("X-Forwarded-For", "198.51.100.7"), "nobody"),
        (&by_none, ("X-Forwarded-For", "198.51.100.7"), "nobody"),
        (&wary, ("X-Forwarded-For", "198.51.100.7"), "127.0.0.1"),
    ] {
        let line = format!("{}: {}", field.0, field.1);
        let page = fetch(server, "GET /who", &[line.as_str()]);
        assert_eq!(page.body, client, "{line}");
        let through_proxy = Client::new().header(field.0, field.1);
        assert_eq!(greeting(&through_proxy, server, "/who"), client, "{line}");
    }
    // A client adds its own Forwarded beside the proxy's X-Forwarded-For, and the reverse.
    let both = ["Forwarded: for=192.0.2.66", "X-Forwarded-For: 192.0.2.2"];
    assert_eq!(fetch(&by_x, "GET /who", &both).body, "192.0.2.2");
    assert_eq!(fetch(&by_forwarded, "GET /who", &both).body, "192.0.2.66");
}

/// A header's name that is none is told when binding.
#[test]
fn header_names_that_cannot_be() {
    let bound = builder()
        .client_addr_header("X Forwarded")
        .bind("127.0.0.1:0");
    let Err(Error::Invalid(what)) = bound else {
        panic!("{bound:?}");
    };
    assert!(what.starts_with("client_addr_header: "), "{what}");
}
