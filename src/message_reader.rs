//! A message that is read while it comes in.

use std::fmt;
use std::io::{self, Read};

use crate::connection::reader::Reader;
use crate::protocol::Chunk;
use crate::{CloseEvent, RecvError};

/// A reader of one message while it comes in;
/// [`Messages::recv_reader`](crate::Messages::recv_reader) returns it.
///
/// Reading waits for the peer, and drives the connection as [`recv`](crate::Messages::recv) does.
/// It returns the payload of all fragments, and 0 bytes at the message's end. A text is checked for
/// UTF-8 while it comes, but a read may end inside a character;
/// [`read_to_string`](io::Read::read_to_string) joins them.
///
/// A dropped reader leaves the unread rest, which is skipped when the next message is asked for.
///
/// # Errors
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the connection ends before the message does,
/// whatever ended it. The error inside is [`RecvError`](crate::RecvError), which tells how.
pub struct MessageReader<'a> {
    reader: &'a mut Reader,
    chunk: Chunk,
    /// The number of bytes of the chunk that have been read.
    read: usize,
}

impl<'a> MessageReader<'a> {
    /// Waits until the next message begins, or returns how the connection ended.
    pub(crate) fn begin(reader: &'a mut Reader) -> Result<Self, CloseEvent> {
        let chunk = reader.ask(Reader::first_chunk)?;
        Ok(Self {
            reader,
            chunk,
            read: 0,
        })
    }

    /// Tells whether the message is a text, and not binary.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.chunk.is_text
    }

    /// Waits for the next chunk.
    fn next_chunk(&mut self) -> io::Result<()> {
        let spent = std::mem::take(&mut self.chunk.bytes);
        self.read = 0;
        let next = self.reader.ask(|reader| reader.next_chunk(spent));
        self.chunk =
            next.map_err(|event| io::Error::new(io::ErrorKind::UnexpectedEof, RecvError(event)))?;
        Ok(())
    }
}

impl Read for MessageReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.read == self.chunk.bytes.len() && !self.chunk.is_last {
            self.next_chunk()?;
        }
        let length = (&self.chunk.bytes[self.read..]).read(buffer)?;
        self.read += length;
        Ok(length)
    }
}

impl fmt::Debug for MessageReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader")
            .field("connection", &self.reader.connection().id)
            .field("is_text", &self.is_text())
            .finish_non_exhaustive()
    }
}
