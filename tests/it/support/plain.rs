//! Plain requests by hand, and upgrades that may be refused.

use landline::{Client, Error, Refusal, Server};

use super::{End, RawPeer, upgrade_request};

/// Is an answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    head: String,
}

impl Answer {
    #[track_caller]
    fn new(head: String, body: String) -> Self {
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head}"));
        Self { status, body, head }
    }

    /// Returns the first value of a header.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }

    /// Returns all values of a header, in their order.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }
}

/// Asks for something such as `GET /`, and reads the whole answer: as long as it says, and then the
/// end of the connection.
#[track_caller]
pub(crate) fn fetch(server: &Server, what: &str, fields: &[&str]) -> Answer {
    let host = server.local_addr();
    let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let mut peer = RawPeer::dial(server);
    peer.send_bytes(format!("{what} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"));
    let answer = read_answer(&mut peer);
    let length = answer.field("content-length").expect("no length");
    let expected = if what.starts_with("HEAD ") {
        "0"
    } else {
        length
    };
    assert_eq!(answer.body.len().to_string(), expected, "{answer:?}");
    answer
}

/// Asks for the upgrade at a path. The answer is whole, but for a 101, which the peer can go on from.
#[track_caller]
pub(crate) fn knock(server: &Server, path: &str, fields: &[&str]) -> (RawPeer, Answer) {
    let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let request = upgrade_request(server.local_addr())
        .replacen("GET / ", &format!("GET {path} "), 1)
        .replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1);
    let mut peer = RawPeer::dial(server);
    peer.send_bytes(request);
    let answer = read_answer(&mut peer);
    (peer, answer)
}

#[track_caller]
fn read_answer(peer: &mut RawPeer) -> Answer {
    let head = peer.read_head();
    if head.starts_with("HTTP/1.1 101 ") {
        return Answer::new(head, String::new());
    }
    let (body, end) = peer.read_to_end();
    assert_eq!(end, End::Eof, "{head}");
    Answer::new(head, String::from_utf8(body).unwrap())
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
