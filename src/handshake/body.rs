//! The body of the answer to a refused upgrade.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode};

use super::fields::{self, Occurrence, occurrence};
use super::framing;

/// How many bytes of a body are kept.
const MAX_BODY: usize = 16 << 10;
/// How many bytes are looked at for them: chunks have overhead, as much as the server likes.
const MAX_CODED: usize = 4 * MAX_BODY;

/// Holds as much of a body as has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// The first 16 KiB at most.
    pub(crate) bytes: Bytes,
    /// Whether it is known to end here, or no more of it is wanted. Otherwise it ends with the
    /// connection.
    pub(crate) complete: bool,
}

impl Body {
    /// Reads the body from the bytes behind the head of the response. To be called again as more
    /// of them come, until it is complete or the connection has ended.
    pub(crate) fn of(response: &Response<()>, received: &[u8]) -> Self {
        // RFC 9112 6.3: the rules in their order: by status, chunked, Content-Length, to the end.
        if has_none(response.status()) {
            return Self::take(&[], 0);
        }
        if fields::has_token(response.headers(), TRANSFER_ENCODING, "chunked") {
            return Self::from_chunks(received);
        }
        let length = match occurrence(response.headers(), CONTENT_LENGTH) {
            Occurrence::Once(value) => framing::content_length(value.as_bytes()),
            _ => None,
        };
        Self::take(received, length.unwrap_or(u64::MAX))
    }

    fn take(received: &[u8], length: u64) -> Self {
        let wanted = usize::try_from(length).unwrap_or(MAX_BODY).min(MAX_BODY);
        let taken = received.len().min(wanted);
        Self {
            bytes: Bytes::copy_from_slice(&received[..taken]),
            complete: taken == wanted,
        }
    }

    /// Decodes chunks (RFC 9112, section 7.1). What cannot be decoded ends the body.
    fn from_chunks(received: &[u8]) -> Self {
        let mut bytes = Vec::new();
        let mut rest = received;
        let complete = loop {
            match next_chunk(rest, &mut bytes) {
                Chunk::Whole(behind) if bytes.len() < MAX_BODY => rest = behind,
                Chunk::Whole(_) | Chunk::Last => break true,
                Chunk::Partial => break bytes.len() >= MAX_BODY || received.len() >= MAX_CODED,
            }
        };
        bytes.truncate(MAX_BODY);
        Self {
            bytes: bytes.into(),
            complete,
        }
    }
}

/// RFC 9112 6.3: responses with these statuses have no body.
fn has_none(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Tells how far a chunk has come.
enum Chunk<'a> {
    Whole(&'a [u8]),
    Partial,
    Last,
}

/// Appends the first chunk's data, and tells what stands behind it.
fn next_chunk<'a>(received: &'a [u8], bytes: &mut Vec<u8>) -> Chunk<'a> {
    let (start, size) = match httparse::parse_chunk_size(received) {
        Ok(httparse::Status::Complete((_, 0))) | Err(_) => return Chunk::Last,
        Ok(httparse::Status::Complete(found)) => found,
        Ok(httparse::Status::Partial) => return Chunk::Partial,
    };
    let data = &received[start..];
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    bytes.extend_from_slice(&data[..data.len().min(size)]);
    match data.get(size..) {
        Some([b'\r', b'\n', behind @ ..]) => Chunk::Whole(behind),
        None | Some([] | [b'\r']) => Chunk::Partial,
        Some(_) => Chunk::Last,
    }
}
