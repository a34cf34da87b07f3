//! One request by hand, and the plain reply to it.

use landline::Server;

use super::{End, Peer, RawPeer};

/// How the bytes of a request leave: no verdict may depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    Whole,
    ByteByByte,
}

pub(crate) const PACES: [Pace; 2] = [Pace::Whole, Pace::ByteByByte];

/// More than a server reads of any head: what is behind leaves in one piece at either pace.
const SLOWLY: usize = 17 << 10;

impl RawPeer {
    /// Writes a request of which not all need be taken: a server may answer at its first wrong byte.
    pub(crate) fn send_at(&mut self, pace: Pace, request: &[u8]) {
        let slowly = match pace {
            Pace::Whole => 0,
            Pace::ByteByByte => request.len().min(SLOWLY),
        };
        let (bytes, rest) = request.split_at(slowly);
        let mut pieces = bytes.chunks(1).chain([rest]);
        let _ = pieces.try_for_each(|piece| self.try_send_bytes(piece));
    }

    /// Reads a reply, the last thing there is: the connection ends in order behind it.
    #[track_caller]
    pub(crate) fn read_reply(&mut self) -> PlainReply {
        let mut head = self.read_head();
        while head.starts_with("HTTP/1.1 100 ") {
            head = self.read_head();
        }
        self.read_reply_behind(head)
    }

    /// Reads what is left of a reply, and the end.
    #[track_caller]
    pub(crate) fn read_reply_behind(&mut self, head: String) -> PlainReply {
        let (body, end) = self.read_to_end();
        assert_eq!(end, End::Eof, "{head}");
        PlainReply::new(head, String::from_utf8(body).unwrap())
    }
}

/// Has a server answer a request with a plain reply.
#[track_caller]
pub(crate) fn exchange(server: &Server, pace: Pace, request: impl AsRef<[u8]>) -> PlainReply {
    let mut peer = RawPeer::dial(server);
    peer.send_at(pace, request.as_ref());
    peer.read_reply()
}

/// What a server answers over plain HTTP.
#[derive(Debug)]
pub(crate) struct PlainReply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl PlainReply {
    /// Reads the status, a number of three digits.
    #[track_caller]
    pub(crate) fn new(head: String, body: String) -> Self {
        let code = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = code.and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head}"));
        Self { status, head, body }
    }

    /// Returns all values of a field, in their order.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// Returns the value of a field that is there once at most.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let values = self.fields(name);
        assert!(values.len() <= 1, "{name}: {self:?}");
        values.first().copied()
    }

    /// Asserts what is true of every reply but those to HEAD: it says when it was made, how long it
    /// is, that the connection ends, and what its status wants said.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        assert_eq!(self.length(), Some(self.body.len()), "{self:?}");
        self.assert_head();
    }

    /// Asserts the same of a reply to HEAD, which has the fields alone (RFC 9110, section 9.3.2).
    #[track_caller]
    pub(crate) fn assert_head(&self) {
        let date = self.field("date").expect("no date");
        let time = httpdate::parse_http_date(date).unwrap();
        assert_eq!(httpdate::fmt_http_date(time), date, "{self:?}");
        let upgrades = self.field("upgrade").is_some();
        let connection = if upgrades { "close, Upgrade" } else { "close" };
        assert_eq!(self.field("connection"), Some(connection), "{self:?}");
        self.assert_fields_of_status();
    }

    /// RFC 9110 15.5.6: a 405 names the methods. 15.5.22 and RFC 6455 4.4: a 426 names what to ask
    /// for instead.
    #[track_caller]
    fn assert_fields_of_status(&self) {
        match self.status {
            405 => assert!(self.field("allow").is_some(), "{self:?}"),
            426 => {
                assert_eq!(self.field("upgrade"), Some("websocket"), "{self:?}");
                assert_eq!(self.field("sec-websocket-version"), Some("13"), "{self:?}");
            }
            _ => {}
        }
    }

    /// Returns the Content-Length, if there is one.
    #[track_caller]
    pub(crate) fn length(&self) -> Option<usize> {
        self.field("content-length")
            .map(|length| length.parse().unwrap())
    }
}
