//! Replies, of the program and of the library.

use landline::{Reply, Router, Server};

use super::{chunked, echo, get, post, told, with};
use crate::support::*;

/// The reply to HEAD is that to GET without its body, refusals too (RFC 9110, section 9.3.2).
#[test]
fn head_is_get_without_the_body() {
    let router = Router::new()
        .get("/", |_| "hello")
        .websocket("/ws", |ws, _| echo(ws));
    let server = TestServer::start(Server::builder().router(router));
    for (status, request) in [
        (200, get("GET / HTTP/1.1")),
        (404, get("GET /b HTTP/1.1")),
        (426, get("GET /ws HTTP/1.1")),
        (400, with("GET / HTTP/1.1", "Host: localhost\r\n")),
        (400, with("GET / HTTP/1.1", "Content-Length: x\r\n")),
        (403, get("GET / HTTP/1.1").replace("localhost", "a.example")),
        (413, with("GET / HTTP/1.1", "Content-Length: 65537\r\n")),
        (417, with("GET / HTTP/1.1", "Expect: x\r\n")),
        (431, with("GET / HTTP/1.1", &"X: a\r\n".repeat(100))),
        (505, get("GET / HTTP/2.0")),
    ] {
        for pace in PACES {
            let whole = exchange(&server, pace, &request);
            whole.assert_whole();
            let head = exchange(&server, pace, request.replace("GET ", "HEAD "));
            head.assert_head();
            assert_eq!((whole.status, head.status), (status, status), "{request:?}");
            assert_eq!(
                (head.length(), &*head.body),
                (Some(whole.body.len()), ""),
                "{request:?}"
            );
        }
    }
}

/// A router's handlers get their bodies; what nothing is for gets 404, or 405 with what would do.
#[test]
fn routers_answer_by_path_and_method() {
    let router = Router::new()
        .get("/", |_| "page")
        .post("/{room}", |request| {
            format!("{:?} {}", request.parameter("room"), told(request))
        })
        .serve("/ws", |_, _, _| Ok(()));
    let server = TestServer::start(Server::builder().router(router));
    for (status, request, body, allow) in [
        (200, get("GET / HTTP/1.1"), "page", None),
        (
            200,
            post("Content-Length: 3\r\n", "abc"),
            "Some(\"a\") POST /a abc",
            None,
        ),
        (
            200,
            chunked("3\r\nabc\r\n0\r\n\r\n"),
            "Some(\"a\") POST /a abc",
            None,
        ),
        (
            200,
            get("POST /%2F%61 HTTP/1.1"),
            "Some(\"/a\") POST /%2F%61 ",
            None,
        ),
        (404, get("GET /a/b HTTP/1.1"), "Not Found\n", None),
        (404, get("OPTIONS * HTTP/1.1"), "Not Found\n", None),
        (
            405,
            get("DELETE / HTTP/1.1"),
            "Method Not Allowed\n",
            Some("GET, HEAD"),
        ),
        (
            405,
            get("GET /a HTTP/1.1"),
            "Method Not Allowed\n",
            Some("POST"),
        ),
        (
            426,
            get("GET /ws HTTP/1.1"),
            "this is a WebSocket server\n",
            None,
        ),
    ] {
        for pace in PACES {
            let reply = exchange(&server, pace, &request);
            reply.assert_whole();
            assert_eq!((reply.status, &*reply.body), (status, body), "{request:?}");
            assert_eq!(reply.field("allow"), allow, "{request:?}");
        }
    }
}

/// When the reply was made, how long it is and that it is the last is for the library to say; and
/// statuses without content have none (RFC 9110, sections 6.4.1 and 8.6).
#[test]
fn programs_cannot_break_their_replies() {
    let server = TestServer::start(Server::builder().on_request(|request| {
        let status: u16 = request.path()[1..].parse().unwrap();
        let reply = Reply::text("hello").with_status(status);
        reply
            .header("Connection", "keep-alive")
            .header("Content-Length", "3")
            .header("Transfer-Encoding", "chunked")
            .header("Date", "today")
    }));
    for (status, body, length) in [
        (200, "hello", Some(5)),
        (204, "", None),
        (205, "", Some(0)),
        (304, "", None),
        (401, "hello", Some(5)),
        (599, "hello", Some(5)),
        (101, "Internal Server Error\n", Some(22)),
    ] {
        let request = get(&format!("GET /{status} HTTP/1.1"));
        let reply = exchange(&server, Pace::Whole, request);
        reply.assert_head();
        let expected = if status == 101 { 500 } else { status };
        assert_eq!((reply.status, &*reply.body), (expected, body));
        assert_eq!(
            (reply.length(), reply.field("transfer-encoding")),
            (length, None)
        );
    }
}
