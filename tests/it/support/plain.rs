//! Plain requests by hand, and upgrades that may be refused.

use landline::{Client, Error, Refusal, Server};

use super::{Pace, Peer, PlainReply, RawPeer, exchange, upgrade_request};

/// Asks for something such as `GET /`, and reads the whole answer: as long as it says, and then the
/// end of the connection.
#[track_caller]
pub(crate) fn fetch(server: &Server, what: &str, fields: &[&str]) -> PlainReply {
    let host = server.local_addr();
    let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let request = format!("{what} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
    let reply = exchange(server, Pace::Whole, request);
    if what.starts_with("HEAD ") {
        assert_eq!(reply.body, "", "{reply:?}");
    } else {
        assert_eq!(reply.length(), Some(reply.body.len()), "{reply:?}");
    }
    reply
}

/// Asks for the upgrade at a path. The answer is whole, but for a 101, which the peer can go on from.
#[track_caller]
pub(crate) fn knock(server: &Server, path: &str, fields: &[&str]) -> (RawPeer, PlainReply) {
    let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let request = upgrade_request(server.local_addr())
        .replacen("GET / ", &format!("GET {path} "), 1)
        .replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1);
    let mut peer = RawPeer::dial(server);
    peer.send_bytes(request);
    let head = peer.read_head();
    let answer = if head.starts_with("HTTP/1.1 101 ") {
        PlainReply::new(head, String::new())
    } else {
        peer.read_reply_behind(head)
    };
    (peer, answer)
}

/// Opens a WebSocket at a path, and returns the first text that comes.
#[track_caller]
pub(crate) fn greeting(client: &Client, server: &Server, path: &str) -> String {
    let (_ws, mut messages) = client.open(format!("{}{path}", server.url())).unwrap();
    let message = messages.recv().unwrap();
    message.as_text().expect("no text").to_owned()
}

/// Asks for a WebSocket at a path, and expects to be refused.
#[track_caller]
pub(crate) fn refusal(client: &Client, server: &Server, path: &str) -> Refusal {
    match client.open(format!("{}{path}", server.url())) {
        Err(Error::Refused(refusal)) => *refusal,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("{path} was not refused"),
    }
}
