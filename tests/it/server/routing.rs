//! Which handler answers which request, and what stands before it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use http::HeaderValue;
use landline::{BasicAuth, Client, Messages, Next, Outcome, Reply, Request, Router, WebSocket};

use crate::support::*;

fn serve(router: Router) -> TestServer {
    TestServer::start(landline::Server::builder().router(router))
}

/// Shows what parameters stand for.
fn show(request: &Request, names: &[&str]) -> String {
    let values = names.iter().map(|name| request.parameter(name));
    values
        .map(|value| value.unwrap_or("-"))
        .collect::<Vec<_>>()
        .join("|")
}

// Paths

/// A page and a socket on the same path are told apart by the Upgrade header; one of them alone
/// answers as well as it can.
#[test]
fn page_and_socket_share_a_path() {
    let server = serve(
        Router::new()
            .websocket("/both", |ws, _| ws.send("socket"))
            .get("/both", |_| "page")
            .get("/page", |_| "page")
            .serve("/socket", |ws, _messages, _| Ok(ws.send("socket")?)),
    );
    for path in ["/both", "/socket"] {
        assert_eq!(greeting(&Client::new(), &server, path), "socket");
    }
    let other_protocol = ["Connection: Upgrade", "Upgrade: h2c"];
    for (path, fields) in [
        ("/both", &[][..]),
        ("/both", &other_protocol),
        ("/page", &[]),
    ] {
        let page = fetch(&server, &format!("GET {path}"), fields);
        assert_eq!((page.status, page.body.as_str()), (200, "page"));
    }
    let head = fetch(&server, "HEAD /both", &[]);
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("4"))
    );
    let only_socket = fetch(&server, "GET /socket", &[]);
    assert_eq!(
        (only_socket.status, only_socket.field("upgrade")),
        (426, Some("websocket"))
    );
    let only_page = refusal(&Client::new(), &server, "/page");
    assert_eq!(
        (only_page.status.as_u16(), &only_page.body[..]),
        (200, &b"page"[..])
    );
}

/// Parameters stand for one segment, a tail for the rest, both percent-decoded, for pages and for
/// sockets.
#[test]
fn parameters_are_decoded() {
    let server = serve(
        Router::new()
            .get("/rooms/{room}/{seat}", |request| {
                show(request, &["room", "seat", "tail"])
            })
            .websocket("/rooms/{room}/{seat}", |ws, request| {
                ws.send(show(&request, &["room", "seat", "tail"]))
            })
            .get("/files/{*path}", |request| show(request, &["path"]))
            .websocket("/files/{*path}", |ws, request| {
                ws.send(show(&request, &["path"]))
            }),
    );
    for (path, shown) in [
        ("/rooms/7/a", "7|a|-"),
        ("/rooms/7/a?room=8", "7|a|-"),
        ("/rooms/a%20b/%c3%A4", "a b|ä|-"),
        ("/rooms/a%2Fb/100%25", "a/b|100%|-"),
        ("/rooms/a+b/%FF", "a+b|\u{FFFD}|-"),
        ("/files/a", "a"),
        ("/files/a/b%20c/", "a/b c/"),
        ("/files/a%2fb//c", "a/b//c"),
    ] {
        assert_eq!(
            fetch(&server, &format!("GET {path}"), &[]).body,
            shown,
            "{path}"
        );
        assert_eq!(greeting(&Client::new(), &server, path), shown, "{path}");
    }
    for path in [
        "/rooms/7",
        "/rooms/7/",
        "/rooms//a",
        "/rooms/7/a/",
        "/files/",
        "/files",
    ] {
        assert_eq!(
            fetch(&server, &format!("GET {path}"), &[]).status,
            404,
            "{path}"
        );
    }
}

/// The most specific route wins, whatever the order they were added in.
#[test]
fn most_specific_route_wins() {
    let mut patterns = ["/{*rest}", "/{x}", "/a", "/a/{x}", "/{x}/b", "/a/b/{*rest}"];
    for _ in 0..2 {
        patterns.reverse();
        let router = patterns.into_iter().fold(Router::new(), |router, pattern| {
            router
                .get(pattern, move |_| pattern)
                .websocket(pattern, move |ws, _| ws.send(pattern))
        });
        let server = serve(router);
        for (path, pattern) in [
            ("/a", "/a"),
            ("/b", "/{x}"),
            ("/a/b", "/a/{x}"),
            ("/c/b", "/{x}/b"),
            ("/c/c", "/{*rest}"),
            ("/a/b/c/d", "/a/b/{*rest}"),
        ] {
            assert_eq!(fetch(&server, &format!("GET {path}"), &[]).body, pattern);
            assert_eq!(greeting(&Client::new(), &server, path), pattern);
        }
    }
}

/// The routes of a scope stand behind its prefix, and behind those of the scopes around it.
#[test]
fn scopes_put_their_prefix_before() {
    let server = serve(Router::new().scope("/{tenant}", |scope| {
        scope
            .get("", |request| show(request, &["tenant"]))
            .scope("/v1", |scope| {
                scope
                    .get("/", |_| "with slash")
                    .websocket("/events/{id}", |ws, request| {
                        ws.send(show(&request, &["tenant", "id"]))
                    })
            })
    }));
    assert_eq!(fetch(&server, "GET /acme", &[]).body, "acme");
    assert_eq!(fetch(&server, "GET /acme/v1/", &[]).body, "with slash");
    assert_eq!(
        greeting(&Client::new(), &server, "/acme/v1/events/7"),
        "acme|7"
    );
    for path in ["/", "/acme/", "/acme/v1", "/v1/events/7", "/acme/events/7"] {
        assert_eq!(
            fetch(&server, &format!("GET {path}"), &[]).status,
            404,
            "{path}"
        );
    }
}

/// An unknown path gets 404; a method that nothing at the path is for gets 405, which names those
/// that are allowed (RFC 9110, section 15.5.6).
#[test]
fn unknown_paths_and_methods_are_refused() {
    let server = serve(
        Router::new()
            .get("/page", |_| "page")
            .delete("/page", |_| Reply::new(204))
            .post("/form", |_| "form")
            .route("PURGE", "/form", |_| "purged")
            .websocket("/socket", |ws, _| ws.send("socket")),
    );
    for (what, allowed) in [
        ("POST /page", "DELETE, GET, HEAD"),
        ("OPTIONS /page", "DELETE, GET, HEAD"),
        ("GET /form", "POST, PURGE"),
        ("HEAD /form", "POST, PURGE"),
        ("purge /form", "POST, PURGE"),
        ("POST /socket", "GET, HEAD"),
    ] {
        let answer = fetch(&server, what, &[]);
        assert_eq!(
            (answer.status, answer.field("allow")),
            (405, Some(allowed)),
            "{what}"
        );
    }
    for what in ["GET /", "POST /pages", "GET /page/", "OPTIONS *"] {
        let answer = fetch(&server, what, &[]);
        assert_eq!(
            (answer.status, answer.field("allow")),
            (404, None),
            "{what}"
        );
    }
    assert_eq!(fetch(&server, "PURGE /form", &[]).body, "purged");
    assert_eq!(refusal(&Client::new(), &server, "/nowhere").status, 404);
    assert_eq!(refusal(&Client::new(), &server, "/form").status, 405);
}

/// A fallback answers where no path matches, pages and sockets alike, but no 405.
#[test]
fn fallback_answers_unknown_paths() {
    let server = serve(Router::new().get("/page", |_| "page").fallback(|request| {
        if request.is_upgrade() {
            let upgrade = landline::Upgrade::new();
            return Reply::from(upgrade.on_upgrade(|ws, _| ws.send("lost?")));
        }
        Reply::text(format!("no {}", request.path())).with_status(404)
    }));
    let lost = fetch(&server, "POST /nowhere", &[]);
    assert_eq!((lost.status, lost.body.as_str()), (404, "no /nowhere"));
    assert_eq!(greeting(&Client::new(), &server, "/nowhere"), "lost?");
    assert_eq!(fetch(&server, "POST /page", &[]).status, 405);
}

/// A handler that panics, fails, or makes what cannot be sent answers 500, with none of it on the
/// wire, and the server goes on.
#[test]
fn failing_handlers_answer_500() {
    fn fail(_: &mut Request) -> Outcome<Reply> {
        let number: i32 = "secret".parse()?;
        Ok(Reply::text(number.to_string()))
    }
    let server = serve(
        Router::new()
            .get("/panics", |_| -> Reply { panic!("secret") })
            .get("/fails", fail)
            .get("/splits", |_| {
                Reply::text("secret").header("X", "a\r\nsecret: b")
            })
            .get("/switches", |_| Reply::new(101))
            .get("/works", |_| "works"),
    );
    for path in ["/panics", "/fails", "/splits", "/switches"] {
        let answer = fetch(&server, &format!("GET {path}"), &[]);
        assert_eq!(answer.status, 500, "{path}");
        assert!(!format!("{answer:?}").contains("secret"), "{answer:?}");
        assert_eq!(refusal(&Client::new(), &server, path).status, 500, "{path}");
    }
    assert_eq!(fetch(&server, "GET /works", &[]).body, "works");
}

// Middleware

/// What middleware leaves for those behind it.
#[derive(Clone, Default)]
struct Trail(Vec<&'static str>);

/// Makes middleware that leaves its name on the way in, and in the reply on the way out.
fn leave(name: &'static str) -> impl Fn(&mut Request, Next<'_>) -> Reply + Send + Sync {
    move |request, next| {
        request
            .extensions_mut()
            .get_or_insert_default::<Trail>()
            .0
            .push(name);
        let mut reply = next.run(request);
        reply
            .headers_mut()
            .append("X-Out", HeaderValue::from_static(name));
        reply
    }
}

fn trail(request: &Request) -> String {
    let trail = request.extensions().get::<Trail>();
    trail.cloned().unwrap_or_default().0.join(" ")
}

/// The first added is the outermost, that of a scope stands behind that of those around it, whether
/// it was added before the routes or after; each sees the request before and the reply behind,
/// the 101 too, and what it leaves the upgrade's closure can read.
#[test]
fn middleware_stands_in_order() {
    let server = serve(
        Router::new()
            .get("/", |request| trail(request))
            .middleware(leave("a"))
            .scope("/scope", |scope| {
                scope
                    .middleware(leave("c"))
                    .get("/", |request| trail(request))
                    .scope("/inner", |scope| {
                        scope
                            .websocket("", |ws, request| ws.send(trail(&request)))
                            .middleware(leave("d"))
                    })
            })
            .middleware(leave("b")),
    );
    for (path, shown) in [("/", "a b"), ("/scope/", "a b c")] {
        let page = fetch(&server, &format!("GET {path}"), &[]);
        assert_eq!(page.body, shown);
        assert_eq!(
            page.fields("x-out"),
            shown.split(' ').rev().collect::<Vec<_>>()
        );
    }
    let (mut peer, answer) = knock(&server, "/scope/inner", &[]);
    assert_eq!(
        (answer.status, answer.fields("x-out")),
        (101, vec!["d", "c", "b", "a"])
    );
    assert_eq!(peer.read_frame(), Frame::text("a b c d"));
    // Those of a scope are for its routes, those of the router for unknown paths too.
    for what in ["GET /scope/nowhere", "POST /scope/"] {
        assert_eq!(
            fetch(&server, what, &[]).fields("x-out"),
            ["b", "a"],
            "{what}"
        );
    }
}

/// Middleware that answers by itself keeps a request from all that is behind it: a socket is refused
/// before the 101, and no handler hears of it.
#[test]
fn middleware_answers_by_itself() {
    let heard = Recorder::new();
    let (page, socket) = (heard.sender(), heard.sender());
    let server = serve(
        Router::new()
            .get("/", |_| "open to all")
            .scope("/api", |scope| {
                scope
                    .middleware(|request, next| match request.header("X-Token") {
                        Some("right") => next.run(request),
                        _ => Reply::text("no token").with_status(401),
                    })
                    .get("/status", move |_| {
                        let _ = page.send("page");
                        Reply::json("{}")
                    })
                    .websocket("/events", move |ws, _| -> Outcome {
                        socket.send("socket")?;
                        Ok(ws.send("event")?)
                    })
            }),
    );
    for fields in [&[][..], &["X-Token: wrong"]] {
        let page = fetch(&server, "GET /api/status", fields);
        assert_eq!((page.status, page.body.as_str()), (401, "no token"));
        let (_, socket) = knock(&server, "/api/events", fields);
        assert_eq!((socket.status, socket.body.as_str()), (401, "no token"));
    }
    assert_eq!(heard.so_far(), Vec::<&str>::new());
    assert_eq!(fetch(&server, "GET /", &[]).body, "open to all");
    let page = fetch(&server, "GET /api/status", &["X-Token: right"]);
    assert_eq!(
        (page.body.as_str(), page.field("content-type")),
        ("{}", Some("application/json"))
    );
    let with_token = Client::new().header("X-Token", "right");
    assert_eq!(greeting(&with_token, &server, "/api/events"), "event");
    assert_eq!(heard.so_far(), ["page", "socket"]);
}

/// Basic credentials let in if they are right; otherwise the answer asks for them (RFC 7617,
/// section 2), before the 101.
#[test]
fn basic_credentials_let_in() {
    let staff = BasicAuth::new("staff only").user("ada", "correct:horse");
    let server = serve(Router::new().scope("/staff", |scope| {
        scope
            .middleware(staff.into_middleware())
            .get("/", |_| "page")
            .websocket("/log", |ws, _| ws.send("log"))
    }));
    let challenge = "Basic realm=\"staff only\", charset=\"UTF-8\"";
    // ada:wrong, eve:correct:horse, and the right ones cut short.
    for fields in [
        &[][..],
        &["Authorization: Basic YWRhOndyb25n"],
        &["Authorization: Basic ZXZlOmNvcnJlY3Q6aG9yc2U="],
        &["Authorization: Basic YWRhOmNvcnJlY3Q="],
        &["Authorization: Bearer YWRhOmNvcnJlY3Q6aG9yc2U="],
    ] {
        let page = fetch(&server, "GET /staff/", fields);
        let asked = page.field("www-authenticate");
        assert_eq!((page.status, asked), (401, Some(challenge)), "{fields:?}");
        let (_, socket) = knock(&server, "/staff/log", fields);
        let asked = socket.field("www-authenticate");
        assert_eq!((socket.status, asked), (401, Some(challenge)), "{fields:?}");
    }
    let right = ["Authorization: Basic YWRhOmNvcnJlY3Q6aG9yc2U="];
    assert_eq!(fetch(&server, "GET /staff/", &right).body, "page");
    let url = server.url().replace("ws://", "ws://ada:correct%3Ahorse@") + "/staff/log";
    let (_ws, mut messages) = landline::open(url).unwrap();
    assert_eq!(messages.recv().unwrap().as_text(), Some("log"));
}

// Side by side

/// A hundred WebSockets echo while plain pages are fetched on the same port; each page comes whole,
/// each echo comes back.
#[test]
fn sockets_echo_while_pages_are_fetched() {
    let page = "<p>All of the page.</p>\n".repeat(10_000);
    let served = page.clone();
    let server = serve(
        Router::new()
            .get("/", move |_| Reply::html(served.clone()))
            .websocket("/", |ws, _| ws.on_message(|ws, message| ws.send(message))),
    );
    let mut sockets: Vec<_> = (0..100)
        .map(|_| landline::open(server.url()).unwrap())
        .collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let echoing: Vec<_> = sockets
            .chunks_mut(25)
            .map(|sockets| scope.spawn(|| echo_until(&over, sockets)))
            .collect();
        let fetching = scope.spawn(|| {
            for number in 0..40 {
                let answer = fetch(&server, "GET /", &[]);
                assert_eq!(answer.status, 200, "page {number}");
                assert!(answer.body == page, "page {number} is another");
            }
        });
        let fetched = fetching.join();
        // Whatever became of the pages, or the others would never end.
        over.store(true, Ordering::Relaxed);
        let rounds = echoing.into_iter().map(|thread| thread.join().unwrap());
        println!(
            "rounds of echoes meanwhile: {:?}",
            rounds.collect::<Vec<_>>()
        );
        fetched.unwrap();
    });
    assert_eq!(server.connection_count(), 100);
}

/// Has each of the sockets echo, round after round, at least once; returns how many rounds it were.
fn echo_until(over: &AtomicBool, sockets: &mut [(WebSocket, Messages)]) -> usize {
    for round in 1.. {
        for (ws, _) in &*sockets {
            ws.send(format!("{round} of {}", ws.id())).unwrap();
        }
        for (ws, messages) in &mut *sockets {
            let echo = messages.recv().unwrap();
            assert_eq!(echo.as_text(), Some(&*format!("{round} of {}", ws.id())));
        }
        if over.load(Ordering::Relaxed) {
            return round;
        }
    }
    unreachable!("it is over before the numbers are")
}
