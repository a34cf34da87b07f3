//! One connection's state above the pipe.

use std::io::{self, Read, Write};

use rustls::{Connection, SupportedCipherSuite};

use super::error_words::{describe, tls};
use crate::Error;
use crate::transport::tls::handshake::{Handshake, Step};
use crate::transport::tls::{Engine, Pipe};

/// One connection's state and its pipe, from its first byte on.
pub(super) struct Stream {
    connection: Connection,
    pipe: Pipe,
    /// The flag that a read finds bytes, the end or an error without more from the pipe.
    has_buffered: bool,
    /// The error that broke the connection, reported behind the bytes that came before.
    broken: Option<rustls::Error>,
}

pub(super) fn step(mut stream: Stream) -> Result<Step, Error> {
    stream.put_records().map_err(Error::Io)?;
    while stream.connection.is_handshaking() {
        match stream.take_some() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Step::More(Box::new(stream)));
            }
            Err(error) => return Err(Error::Tls(error.to_string())),
            Ok(()) => {}
        }
        if let Some(error) = stream.broken {
            return Err(tls(error));
        }
    }
    Ok(Step::Done(Box::new(stream)))
}

impl Stream {
    pub(super) fn new(connection: impl Into<Connection>, pipe: Pipe) -> Self {
        let mut connection = connection.into();
        // All its records are put into the pipe at once, so nothing waits inside.
        connection.set_buffer_limit(None);
        Self {
            connection,
            pipe,
            has_buffered: false,
            broken: None,
        }
    }

    /// Takes bytes out of the pipe, and puts in the answers to them. Returns `WouldBlock` if there
    /// are none.
    fn take_some(&mut self) -> io::Result<()> {
        if self.connection.read_tls(&mut self.pipe)? == 0 {
            // Otherwise a handshake would wait for it forever.
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer ended TLS with close_notify",
            ));
        }
        if let Err(error) = self.connection.process_new_packets() {
            self.broken = Some(error);
        }
        self.look();
        // After an error too: the alert tells the peer the reason.
        self.put_records()
    }

    fn look(&mut self) {
        let found = self.connection.reader().into_first_chunk().is_ok();
        self.has_buffered = found || self.broken.is_some();
    }

    /// Puts all pending records into the pipe.
    fn put_records(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.pipe)?;
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        match &self.broken {
            None => Ok(()),
            Some(error) => Err(io::Error::new(io::ErrorKind::InvalidData, describe(error))),
        }
    }
}

impl Handshake for Stream {
    fn resume(self: Box<Self>) -> Result<Step, Error> {
        step(*self)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    self.look();
                    return done;
                }
            }
            self.check()?;
            self.take_some()?;
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let length = self.connection.writer().write(bytes)?;
        if length == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.put_records()?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.put_records()
    }
}

impl Engine for Stream {
    fn has_buffered(&self) -> bool {
        self.has_buffered
    }

    fn close_notify(&mut self) {
        self.connection.send_close_notify();
        // Writing to memory cannot fail.
        let _ = self.put_records();
    }

    fn peer_certificates(&self) -> Vec<Vec<u8>> {
        let shown = self.connection.peer_certificates().unwrap_or_default();
        shown.iter().map(|shown| shown.to_vec()).collect()
    }

    /// Returns the limit of TLS 1.2's suite, which has one key for each connection. With TLS 1.3
    /// rustls renews the key by itself.
    fn record_limit(&self) -> Option<u64> {
        match self.connection.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls12(suite)) => Some(suite.common.confidentiality_limit),
            _ => None,
        }
        .filter(|limit| *limit < u64::MAX)
    }
}
