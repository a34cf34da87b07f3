//! The body of a plain request, as it comes in.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{Request, StatusCode, Version};

use super::chunked::{ChunkError, Chunked};
use super::reply::BadRequest;
use super::{fields, framing};

/// The interim response that a client may wait for before it sends the body (RFC 9110, section
/// 10.1.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The body of a request while it comes in.
#[derive(Debug)]
pub(crate) struct RequestBody {
    coding: Coding,
    expects_continue: bool,
}

/// The way in which a body ends.
#[derive(Debug)]
enum Coding {
    /// After this many bytes.
    Length(usize),
    /// With its last chunk. The `Vec` holds the decoded bytes.
    Chunked(Chunked, Vec<u8>),
}

impl RequestBody {
    /// Reads from the head which body will come: one of `limit` bytes at most.
    ///
    /// # Errors
    /// Returns 413 where the announced length is larger, and 417 for an unknown expectation.
    pub(crate) fn announced_by(head: &Request<()>, limit: usize) -> Result<Self, BadRequest> {
        let coding = Coding::of(head, limit)?;
        // After the length, so that a client that waits gets the 413 instead of a 100.
        let expects_continue = expects_continue(head)?;
        Ok(Self {
            coding,
            expects_continue,
        })
    }

    /// Tells whether the client waits for a 100 before it sends the body.
    ///
    /// RFC 9110 10.1.1: no 100 is needed if some of the body has come, or if there is none.
    pub(crate) fn is_awaiting_continue(&self, received: &[u8]) -> bool {
        let comes = !matches!(self.coding, Coding::Length(0));
        self.expects_continue && comes && received.is_empty()
    }

    /// Returns how many bytes of memory the body takes, without the buffer that it is taken from.
    pub(crate) fn capacity(&self) -> usize {
        match &self.coding {
            Coding::Length(_) => 0,
            Coding::Chunked(_, data) => data.capacity(),
        }
    }

    /// Takes the bytes of the body out of `received`, the bytes behind the head, and returns the
    /// body once it is whole. The bytes left in `received` then are not of the body. To be called
    /// until then, with the same buffer.
    ///
    /// # Errors
    /// Returns 413 as soon as the body turns out to be too large, 400 if it is malformed, and 503
    /// if there is no memory for it.
    pub(crate) fn take_from(
        &mut self,
        received: &mut Vec<u8>,
    ) -> Result<Option<Bytes>, BadRequest> {
        match &mut self.coding {
            Coding::Length(length) if received.len() < *length => Ok(None),
            Coding::Length(length) => {
                // The bytes behind the body are few, and the body may be large.
                let behind = received.split_off(*length);
                let mut body = std::mem::replace(received, behind);
                body.shrink_to_fit();
                Ok(Some(body.into()))
            }
            Coding::Chunked(chunked, data) => {
                let room = data.try_reserve(received.len());
                room.map_err(|_| BadRequest::NO_MEMORY)?;
                let taken = chunked.decode(received, data).map_err(bad_chunk)?;
                received.drain(..taken);
                Ok(chunked.has_ended().then(|| std::mem::take(data).into()))
            }
        }
    }
}

impl Coding {
    /// Reads how the body ends. RFC 9112 6.3: chunked, or by Content-Length, or no body. The head
    /// has been checked for both.
    fn of(head: &Request<()>, limit: usize) -> Result<Self, BadRequest> {
        if head.headers().contains_key(TRANSFER_ENCODING) {
            return Ok(Self::Chunked(Chunked::new(limit as u64), Vec::new()));
        }
        let length = head.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|value| framing::content_length(value.as_bytes()));
        match usize::try_from(length.unwrap_or(0)) {
            Ok(length) if length <= limit => Ok(Self::Length(length)),
            _ => Err(TOO_LARGE),
        }
    }
}

const TOO_LARGE: BadRequest =
    BadRequest::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");

fn bad_chunk(error: ChunkError) -> BadRequest {
    match error {
        ChunkError::TooLarge => TOO_LARGE,
        ChunkError::Malformed => BadRequest::malformed("the chunks of the body are malformed"),
    }
}

/// Tells whether the client waits for a 100.
///
/// # Errors
/// RFC 9110 10.1.1: 417 for an expectation that cannot be met; HTTP/1.0 has none.
pub(super) fn expects_continue<B>(head: &Request<B>) -> Result<bool, BadRequest> {
    if head.version() < Version::HTTP_11 {
        return Ok(false);
    }
    let known = |element: &[u8]| element.eq_ignore_ascii_case(b"100-continue");
    let mut expectations = fields::elements(head.headers(), EXPECT).map(known);
    let Some(first) = expectations.next() else {
        return Ok(false);
    };
    if !first || !expectations.all(|known| known) {
        return Err(BadRequest::new(
            StatusCode::EXPECTATION_FAILED,
            "the expectation is not known",
        ));
    }
    Ok(true)
}
