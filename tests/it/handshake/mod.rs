//! Plain HTTP and upgrade requests over sockets, whole and byte by byte: what a server takes, what
//! it refuses before any code of the program runs, and how each reply looks.

mod bodies;
mod decisions;
mod heads;
mod mutations;
mod origins;
mod replies;
mod responses;
mod subprotocols;
mod unfinished;
mod upgrade_requests;

use landline::{Reply, Request, Server, ServerBuilder, Upgrade, WebSocket};

use crate::support::*;

/// A server whose program tells of every request that it is asked about, and answers with it.
struct Program {
    server: TestServer,
    calls: Recorder<String>,
}

impl Program {
    #[track_caller]
    fn start() -> Self {
        Self::with(|builder| builder)
    }

    #[track_caller]
    fn with(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let calls = Recorder::new();
        let sender = calls.sender();
        let builder = Server::builder().on_request(move |request| {
            let _ = sender.send(told(request));
            repeat(request)
        });
        let server = TestServer::start(settings(builder));
        Self { server, calls }
    }

    /// Has a request refused: the program never hears of it.
    #[track_caller]
    fn refuse(&self, status: u16, request: &[u8]) {
        for pace in PACES {
            let reply = exchange(&self.server, pace, request);
            let shown = request[..request.len().min(200)].escape_ascii();
            assert_eq!(reply.status, status, "{pace:?} \"{shown}\": {reply:?}");
            reply.assert_whole();
            assert_eq!(self.calls.so_far(), [""; 0], "{pace:?} \"{shown}\"");
        }
    }

    /// Has a plain request answered by the program, which is asked once.
    #[track_caller]
    fn answer(&self, request: &str, expected: &str) {
        for pace in PACES {
            let reply = exchange(&self.server, pace, request);
            assert_eq!(reply.body, expected, "{pace:?} {request:?}");
            assert_eq!(reply.status, 200, "{pace:?} {request:?}");
            reply.assert_whole();
            assert_eq!(self.calls.so_far(), [expected], "{pace:?} {request:?}");
        }
    }

    /// Has an upgrade accepted, and returns the head of the 101.
    #[track_caller]
    fn upgrade(&self, request: &str) -> String {
        let mut head = String::new();
        for pace in PACES {
            let mut peer = RawPeer::dial(&self.server);
            peer.send_at(pace, request.as_bytes());
            head = peer.read_head();
            assert!(head.starts_with("HTTP/1.1 101 "), "{request:?}: {head}");
            peer.send_text("hello");
            assert_eq!(peer.read_frame(), Frame::text("hello"), "{request:?}");
            assert_eq!(self.calls.so_far().len(), 1, "{request:?}");
        }
        head
    }
}

/// Returns method, path and body.
fn told(request: &Request) -> String {
    let body = String::from_utf8_lossy(request.body());
    format!("{} {} {body}", request.method(), request.path())
}

/// Answers with the request itself, or with an echo of messages.
fn repeat(request: &mut Request) -> Reply {
    if request.is_upgrade() {
        return Upgrade::new().on_upgrade(|ws, _| echo(ws)).into();
    }
    Reply::text(told(request))
}

fn echo(ws: &WebSocket) {
    ws.on_message(|ws, message| ws.send(message));
}

/// Returns a request whose only field is Host.
fn get(line: &str) -> String {
    with(line, "")
}

/// Returns a request with these lines behind its Host.
fn with(line: &str, lines: &str) -> String {
    format!("{line}\r\nHost: localhost\r\n{lines}\r\n")
}

/// Returns a POST with these lines behind its Host, and with this body.
fn post(lines: &str, body: &str) -> String {
    with("POST /a HTTP/1.1", lines) + body
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

#[track_caller]
fn refuse_all<T: AsRef<[u8]>>(table: impl IntoIterator<Item = (u16, T)>) {
    let program = Program::start();
    for (status, request) in table {
        program.refuse(status, request.as_ref());
    }
}

#[track_caller]
fn answer_all<T: AsRef<str>>(table: impl IntoIterator<Item = (T, &'static str)>) {
    let program = Program::start();
    for (request, expected) in table {
        program.answer(request.as_ref(), expected);
    }
}
