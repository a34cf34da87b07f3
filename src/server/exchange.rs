//! A request and its answer over a socket: [`Exchange`].

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::Config;
use crate::connection::answer_deadline::AnswerDeadline;
use crate::connection::handshake::{Opening, READ_STEP};
use crate::handshake::{BadRequest, CONTINUE, RequestBody, RequestHead, wants_upgrade};
use crate::held::{self, Share};
use crate::record::debug;
use crate::transport::Interest;

/// One request and its answer, over the socket of a handshake.
pub(super) struct Exchange<'a>(pub(super) &'a Opening);

/// The reason why there is no request.
pub(super) enum RequestError {
    /// The peer left or was cut, or the server stops.
    Lost,
    Bad(BadRequest),
}

/// The memory that the body of a request may take without being counted, in bytes: that of the
/// buffers for a body of 64 KiB, which double.
const FREE_BODY: usize = 2 * held::FREE + (16 << 10);

impl Exchange<'_> {
    /// Reads a request with its body, and the bytes behind it. The body of an upgrade request is
    /// not read, even if it announces one, for which it will be refused: frames follow it.
    pub(super) fn read_request(
        &self,
        max_body: usize,
    ) -> Result<(Box<http::Request<Bytes>>, Vec<u8>), RequestError> {
        let mut received = Vec::new();
        let head = self.read_head(&mut received)?;
        let body = if wants_upgrade(&head) {
            Bytes::new()
        } else {
            self.read_body(&head, &mut received, max_body)?
        };
        Ok((with_body(head, body), received))
    }

    // Not inlined, like the functions below: see `session::run`.
    #[inline(never)]
    fn read_head(&self, received: &mut Vec<u8>) -> Result<Box<http::Request<()>>, RequestError> {
        let mut coming = RequestHead::default();
        loop {
            self.recv_some(received)?;
            if let Some((head, length)) = coming.parse(received).map_err(RequestError::Bad)? {
                received.drain(..length);
                return Ok(head);
            }
        }
    }

    /// Takes the body of a plain request out of what has been received and what still comes.
    #[inline(never)]
    fn read_body(
        &self,
        head: &http::Request<()>,
        received: &mut Vec<u8>,
        max_body: usize,
    ) -> Result<Bytes, RequestError> {
        let refuse = |bad: BadRequest| RequestError::Bad(bad.answering(head.method()));
        let mut body = RequestBody::announced_by(head, max_body).map_err(refuse)?;
        let mut share = Share::new(0);
        if body.is_awaiting_continue(received) {
            self.0
                .socket()
                .send_all(CONTINUE)
                .map_err(|_| RequestError::Lost)?;
        }
        loop {
            if let Some(bytes) = body.take_from(received).map_err(refuse)? {
                return Ok(bytes);
            }
            let held = received.capacity() + body.capacity();
            if held > FREE_BODY && !share.try_grow(held) {
                return Err(refuse(BadRequest::NO_MEMORY));
            }
            self.recv_some(received)?;
            share.settle();
        }
    }

    /// Receives some bytes of the request. A handshake whose request has come is never marked as
    /// waiting, so [`cut_waiting`](Opening::cut_waiting) does not cut it.
    fn recv_some(&self, received: &mut Vec<u8>) -> Result<(), RequestError> {
        let room = received.try_reserve(READ_STEP);
        room.map_err(|_| RequestError::Bad(BadRequest::NO_MEMORY))?;
        loop {
            // The mark is removed before the bytes are taken from the socket. So there is no moment
            // in which a whole request has come and the handshake is marked as waiting.
            self.0.set_waiting(false);
            match self.0.socket().try_recv_answering(received) {
                // No bytes have come, or over TLS half a record.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(1..) => return Ok(()),
                _ => return Err(RequestError::Lost),
            }
            self.0.set_waiting(true);
            self.0.socket().wait(Interest::Read, None);
        }
    }

    /// Writes a whole answer, blocking, under the write deadline: a peer that reads slowly gets all of
    /// it, however long that takes.
    pub(super) fn answer(&self, bytes: &[u8], config: &Arc<Config>) -> io::Result<()> {
        self.0.begin_writing();
        let mut left = bytes;
        let written = self.write_answer(&mut left, config);
        self.0.note(AnswerDeadline::note_end);
        if let Err(error) = &written {
            let (id, peer) = (self.0.id(), self.0.peer_addr());
            let status = bytes
                .split(|byte| *byte == b'\r')
                .next()
                .unwrap_or_default();
            let why = self
                .0
                .cut_by()
                .map_or(error.to_string(), |cut| cut.to_string());
            debug!(
                "connection {id}: the answer {:?} to {peer} was not written: {why}, {} of {} bytes left",
                status.escape_ascii().to_string(),
                left.len(),
                bytes.len()
            );
        }
        written
    }

    fn write_answer(&self, left: &mut &[u8], config: &Arc<Config>) -> io::Result<()> {
        let opening = &self.0;
        while !left.is_empty() {
            match opening.socket().try_send(&[IoSlice::new(left)]) {
                Ok(length) => {
                    *left = &left[length..];
                    opening.note(|answering| answering.note_taken(length, Instant::now()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    opening.wait_for_room(config);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[inline(never)]
fn with_body(head: Box<http::Request<()>>, body: Bytes) -> Box<http::Request<Bytes>> {
    Box::new(head.map(|()| body))
}
