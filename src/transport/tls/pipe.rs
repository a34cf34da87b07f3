//! The pipe in memory between an engine and the socket: [`Pipe`].

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::sync::{Mutex, lock};

/// A pipe in memory, which an engine reads and writes as if it were a socket. A clone is another
/// handle of the same pipe.
#[derive(Clone, Default)]
pub(super) struct Pipe(Arc<Mutex<Buffers>>);

#[derive(Default)]
struct Buffers {
    incoming: Vec<u8>,
    /// The number of bytes that the engine has read of `incoming`.
    read: usize,
    /// The flag that reads find nothing.
    is_hidden: bool,
    outgoing: Vec<u8>,
}

/// The records that a write has put into the pipe.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) records: u64,
    /// The number of bytes in records of application data, their overhead included.
    pub(super) payload: usize,
    /// The end of the write among the bytes for the peer.
    pub(super) end: usize,
}

impl Pipe {
    /// Puts in bytes from the peer.
    pub(super) fn feed(&self, bytes: &[u8]) {
        lock(&self.0).incoming.extend_from_slice(bytes);
    }

    /// Puts in likewise what was read from the socket, without a copy if it is the next.
    pub(super) fn feed_read(&self, bytes: Vec<u8>) {
        let mut buffers = lock(&self.0);
        let is_mostly_full = bytes.capacity() <= 2 * bytes.len();
        if buffers.incoming.is_empty() && is_mostly_full {
            buffers.incoming = bytes;
        } else {
            buffers.incoming.extend_from_slice(&bytes);
        }
    }

    /// Returns the length of the next record if the engine has read all of the one before, and
    /// otherwise any number.
    pub(super) fn next_record(&self) -> usize {
        let buffers = lock(&self.0);
        match buffers.incoming[buffers.read..] {
            [_, _, _, high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
            _ => 0,
        }
    }

    /// Takes out the bytes for the peer.
    pub(super) fn take_outgoing(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.0).outgoing)
    }

    /// Returns how many bytes wait for the peer.
    pub(super) fn outgoing_len(&self) -> usize {
        lock(&self.0).outgoing.len()
    }

    pub(super) fn has_incoming(&self) -> bool {
        !lock(&self.0).incoming.is_empty()
    }

    /// Runs a write of the engine, during which it finds nothing to read, and counts the records it
    /// writes.
    pub(super) fn run_write<R>(&self, write: impl FnOnce() -> R) -> (R, Tally) {
        let start = {
            let mut buffers = lock(&self.0);
            buffers.is_hidden = true;
            buffers.outgoing.len()
        };
        let written = write();
        let mut buffers = lock(&self.0);
        buffers.is_hidden = false;
        (written, Tally::of(&buffers.outgoing, start))
    }
}

impl Tally {
    /// Counts whole records from a position on (RFC 8446, section 5.1: a type, a version, a length).
    fn of(outgoing: &[u8], start: usize) -> Self {
        const APPLICATION_DATA: u8 = 23;
        let mut tally = Self {
            end: outgoing.len(),
            ..Self::default()
        };
        let mut ciphertext = outgoing.get(start..).unwrap_or_default();
        while let &[kind, _, _, high, low, ref rest @ ..] = ciphertext {
            let length = usize::from(u16::from_be_bytes([high, low]));
            tally.records += 1;
            if kind == APPLICATION_DATA {
                tally.payload += length;
            }
            ciphertext = rest.get(length..).unwrap_or_default();
        }
        tally
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffers = lock(&self.0);
        let unread = &buffers.incoming[buffers.read..];
        if unread.is_empty() || buffers.is_hidden {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = unread.len().min(buffer.len());
        buffer[..length].copy_from_slice(&unread[..length]);
        buffers.read += length;
        if buffers.read == buffers.incoming.len() {
            // The memory is freed, because an idle connection keeps none.
            buffers.incoming = Vec::new();
            buffers.read = 0;
        }
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records are counted whole, and only those of application data as payload.
    #[test]
    fn records_are_tallied() {
        let alert = [21, 3, 3, 0, 2, 1, 0];
        let data = [&[23, 3, 3, 1, 0][..], &[7; 256]].concat();
        let mut pipe = Pipe::default();
        pipe.write_all(&alert).unwrap();
        let write = |bytes: &[u8]| pipe.clone().write_all(bytes).unwrap();
        let ((), tally) =
            pipe.run_write(|| [&data[..], &alert, &data].map(write).into_iter().collect());
        let (records, payload, end) = (3, 512, 7 + 261 + 7 + 261);
        assert_eq!(
            tally,
            Tally {
                records,
                payload,
                end
            }
        );
        let (records, payload) = (0, 0);
        assert_eq!(
            pipe.run_write(|| ()).1,
            Tally {
                records,
                payload,
                end
            }
        );
    }

    /// A write finds nothing to read in the pipe, and the next read finds all of it.
    #[test]
    fn writes_see_nothing_of_what_has_come() {
        let mut pipe = Pipe::default();
        pipe.feed(b"come");
        let mut buffer = [0; 8];
        let (read, _) = pipe.run_write(|| pipe.clone().read(&mut buffer));
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(pipe.read(&mut buffer).unwrap(), 4);
    }
}
