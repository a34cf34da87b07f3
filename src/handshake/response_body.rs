//! The body of the answer to a refused upgrade.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode};

use super::chunked::Chunked;
use super::fields::{self, Occurrence, occurrence};
use super::framing;

/// The number of bytes of a body that are kept.
const MAX_BODY: usize = 16 << 10;
/// The number of bytes that are read for them: chunks may have any overhead. A chunk of one byte
/// takes six, so even such a body is read as far as it is kept.
const MAX_CODED: usize = 8 * MAX_BODY;

/// A body while it comes in: its first 16 KiB.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    bytes: Vec<u8>,
    coding: Coding,
}

/// The part of the body that is still to come.
#[derive(Debug)]
enum Coding {
    /// No bytes, or none that are kept.
    Over,
    /// This many bytes.
    Length(u64),
    /// All up to the last chunk. The number counts the bytes read.
    Chunked(Chunked, usize),
    /// All until the connection ends.
    ToTheEnd,
}

impl ResponseBody {
    /// Begins the body that the head of a response announces.
    pub(crate) fn announced_by(response: &Response<()>) -> Self {
        Self {
            bytes: Vec::new(),
            coding: Coding::of(response),
        }
    }

    /// Takes bytes that have come behind the head, or behind the bytes before.
    pub(crate) fn take(&mut self, received: &[u8]) {
        let wanted = match &mut self.coding {
            Coding::Over => 0,
            Coding::Length(left) => usize::try_from(*left).unwrap_or(MAX_BODY),
            Coding::ToTheEnd => MAX_BODY,
            Coding::Chunked(chunked, looked_at) => {
                *looked_at += received.len();
                // A malformed chunk ends the body.
                let broken = chunked.decode(received, &mut self.bytes).is_err();
                if broken || chunked.has_all_data() || *looked_at >= MAX_CODED {
                    self.coding = Coding::Over;
                }
                0
            }
        };
        let taken = received.len().min(wanted);
        self.bytes.extend_from_slice(&received[..taken]);
        if let Coding::Length(left) = &mut self.coding {
            *left -= taken as u64;
        }
        if self.bytes.len() >= MAX_BODY || matches!(self.coding, Coding::Length(0)) {
            self.bytes.truncate(MAX_BODY);
            self.coding = Coding::Over;
        }
    }

    /// Tells whether the body has ended, or no more of it is kept.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.coding, Coding::Over | Coding::Length(0))
    }

    /// Tells whether the head says where the body ends. Otherwise it ends with the connection.
    pub(crate) fn has_known_end(&self) -> bool {
        !matches!(self.coding, Coding::ToTheEnd)
    }

    /// Returns the bytes that were kept.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}

impl Coding {
    /// Reads how the body ends. RFC 9112 6.3, in the order of its rules: by status, chunked,
    /// Content-Length, to the end of the connection.
    fn of(response: &Response<()>) -> Self {
        if has_none(response.status()) {
            return Self::Over;
        }
        if fields::has_token(response.headers(), TRANSFER_ENCODING, "chunked") {
            return Self::Chunked(Chunked::new(u64::MAX), 0);
        }
        let length = match occurrence(response.headers(), CONTENT_LENGTH) {
            Occurrence::Once(value) => framing::content_length(value.as_bytes()),
            _ => None,
        };
        length.map_or(Self::ToTheEnd, Self::Length)
    }
}

/// Tells whether a status has no body (RFC 9112, section 6.3).
fn has_none(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
