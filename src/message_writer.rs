//! The writing side of a message that is too large to hold.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

use crate::connection::{CloseOnDrop, Connection};
use crate::outbox::Stream;
use crate::protocol::{Fin, Opcode};
use crate::{SendError, SendErrorKind};

/// A writer of one message, piece by piece. The pieces leave in fragments meanwhile (RFC 6455,
/// section 5.4). [`text_writer`](crate::WebSocket::text_writer) and
/// [`binary_writer`](crate::WebSocket::binary_writer) return one.
///
/// ```
/// use std::io::Write;
///
/// # let server = landline::Server::builder().serve(|ws, messages, _| {
/// #     for message in messages { ws.send(message?)?; }
/// #     Ok(())
/// # }).bind("127.0.0.1:0")?;
/// let (ws, mut messages) = landline::open(server.url())?;
/// let mut writer = ws.text_writer()?;
/// for line in 1..=3 {
///     writeln!(writer, "line {line}")?;
/// }
/// writer.finish()?;
/// assert_eq!(messages.recv()?.as_text(), Some("line 1\nline 2\nline 3\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A fragment leaves when some 16 KiB have gathered, or less if
/// [`max_outgoing_frame`](crate::Config::max_outgoing_frame) is less, and at
/// [`flush`](Write::flush). While more than 64 KiB of fragments wait for a slow peer, writing
/// waits, at most [`write_timeout`](crate::Config::write_timeout). Other messages of the connection
/// queue behind the streamed one until it is [finished](Self::finish); pings and pongs go on. A
/// program that is slow between two writes holds up its other messages, so prepare first, and then
/// write.
///
/// It counts as a handle: a client's connection is not closed while a message is written to it.
///
/// A writer that is dropped before its end fails the connection with 1011, because nothing else
/// tells the peer that the message is incomplete. A close of this side before the end does so too,
/// with its own code: the Close goes into the middle of the message, which the peer then discards.
///
/// # Errors
/// Writing fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe) once the connection is closing, with
/// [`TimedOut`](io::ErrorKind::TimedOut) when the peer does not read, and with
/// [`InvalidData`](io::ErrorKind::InvalidData) for a text that is not UTF-8.
#[must_use = "dropped unfinished, it fails the connection"]
pub struct MessageWriter {
    connection: Arc<Connection>,
    /// The token that keeps a client open, as a handle does.
    _open: Option<Arc<CloseOnDrop>>,
    stream: Stream,
    is_text: bool,
    /// The number of bytes that make a fragment.
    fragment: usize,
    /// The bytes that are not a whole fragment yet.
    buffer: Vec<u8>,
    finished: bool,
}

/// The number of bytes that make a fragment, unless frames are limited to fewer.
const FRAGMENT: usize = 16 << 10;

impl MessageWriter {
    /// Begins a message. `open` is the token of the handle that it is begun by.
    pub(crate) fn begin(
        connection: &Arc<Connection>,
        open: Option<&Arc<CloseOnDrop>>,
        opcode: Opcode,
    ) -> Result<Self, SendError> {
        let outbox = &connection.outbox;
        let max_fragment = outbox.max_fragment().unwrap_or(FRAGMENT);
        let stream = outbox
            .begin_stream(opcode)
            .map_err(|kind| SendError::new(kind, None))?;
        Ok(Self {
            connection: Arc::clone(connection),
            _open: open.cloned(),
            stream,
            is_text: opcode == Opcode::Text,
            fragment: max_fragment.min(FRAGMENT),
            buffer: Vec::new(),
            finished: false,
        })
    }

    /// Ends the message. `Ok` means queued, as for [`send`](crate::WebSocket::send).
    ///
    /// # Errors
    /// Those of writing. The message has no end then, and the connection fails with 1011.
    pub fn finish(mut self) -> io::Result<()> {
        self.send_fragment(Fin::Last)?;
        self.finished = true;
        Ok(())
    }

    /// Sends the gathered bytes. An incomplete character at the end of a text stays.
    fn send_fragment(&mut self, fin: Fin) -> io::Result<()> {
        let length = self.sendable(fin)?;
        if length == 0 && fin == Fin::More {
            return Ok(());
        }
        let rest = self.buffer.split_off(length);
        let payload = Bytes::from(std::mem::replace(&mut self.buffer, rest));
        let sent = self
            .connection
            .outbox
            .send_fragment(self.stream, payload.clone(), fin);
        sent.map_err(|kind| {
            // Nothing is lost: the call may be repeated.
            let rest = std::mem::replace(&mut self.buffer, payload.into());
            self.buffer.extend(rest);
            into_io(kind)
        })
    }

    /// Returns how many of the gathered bytes may leave.
    fn sendable(&self, fin: Fin) -> io::Result<usize> {
        if !self.is_text {
            return Ok(self.buffer.len());
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(text.len()),
            Err(error) if error.error_len().is_none() && fin == Fin::More => {
                Ok(error.valid_up_to())
            }
            // RFC 6455 8.1: a text is UTF-8.
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

impl Write for MessageWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Before a fragment leaves: from now on this thread is the one that must not wait behind
        // the message.
        self.connection.outbox.take_over_stream();
        if self.buffer.len() >= self.fragment {
            self.send_fragment(Fin::More)?;
        }
        let room = self.fragment.saturating_sub(self.buffer.len());
        let length = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_fragment(Fin::More)
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        if !self.finished {
            self.connection.fail_unfinished();
            self.connection.outbox.leave_stream();
        }
    }
}

impl fmt::Debug for MessageWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter")
            .field("connection", &self.connection.id)
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

fn into_io(kind: SendErrorKind) -> io::Error {
    let io_kind = match kind {
        SendErrorKind::Timeout => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(io_kind, SendError::new(kind, None))
}
