//! The body of the answer to a refused upgrade.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode};

use super::chunked::Chunked;
use super::fields::{self, Occurrence, occurrence};
use super::framing;

/// How many bytes of a body are kept.
const MAX_BODY: usize = 16 << 10;
/// How many bytes are looked at for them: chunks have overhead, as much as the server likes. Those of
/// one byte take six, so theirs are all found, however they are cut.
const MAX_CODED: usize = 8 * MAX_BODY;

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

    /// Decodes chunks. What cannot be decoded ends the body.
    fn from_chunks(received: &[u8]) -> Self {
        let mut bytes = Vec::new();
        let mut chunked = Chunked::new(u64::MAX);
        let broken = chunked.decode(received, &mut bytes).is_err();
        let enough = bytes.len() >= MAX_BODY || received.len() >= MAX_CODED;
        bytes.truncate(MAX_BODY);
        Self {
            bytes: bytes.into(),
            complete: broken || enough || chunked.has_all_data(),
        }
    }
}

/// RFC 9112 6.3: responses with these statuses have no body.
fn has_none(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
