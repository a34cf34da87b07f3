//! One connection's TLS, past its handshake.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use super::pipe::Tally;
use super::sending::{Record, Records, Sending};
use super::{Engine, Pipe};
use crate::sync::{AtomicU64, Mutex, lock};
use crate::tls::MAX_RECORD_SIZE;

/// One connection's TLS, past its handshake.
pub(in crate::transport) struct Session {
    engine: Mutex<Box<dyn Engine>>,
    pipe: Pipe,
    /// The most plain bytes in a record.
    max_record: usize,
    /// The flag that the engine may give more without more input from the socket.
    has_more: AtomicBool,
    /// The number of bytes to ask the socket for next.
    read_size: AtomicUsize,
    /// The number of bytes of ciphertext received since the handshake.
    received: AtomicU64,
    /// The state of a write that waits for input: one of the constants below.
    awaiting: AtomicU8,
    /// The number of records that may leave before the keys are used up.
    records_left: AtomicU64,
    /// The ciphertext on its way out. Only the holder of the writing side touches it (L2).
    sending: Mutex<Sending>,
}

/// No write waits for input.
const NOTHING: u8 = 0;
/// A write has met a handshake that the peer began anew.
const INPUT: u8 = 1;
/// Input has come since that write.
const RETRY: u8 = 2;

/// The number of plain bytes that are encrypted ahead of the socket.
const AHEAD: usize = 64 << 10;
/// The most bytes that TLS itself may have for a peer that does not read them. An honest peer asks
/// for a few.
const MAX_OUTGOING: usize = 64 << 10;
/// The fewest and the most bytes to ask the socket for at once.
pub(super) const READ_SIZES: std::ops::RangeInclusive<usize> = 2 << 10..=64 << 10;

/// The most bytes that were received from the socket and are not plain bytes yet: one read, and a
/// record that was not whole before it.
pub(in crate::transport) const MOST_HELD: u64 = (*READ_SIZES.end() + 2 * MAX_RECORD_SIZE) as u64;

/// The least room for what a record holds.
const SMALL_RECORD: usize = 256;

/// The error of a write that met a handshake which the peer began anew (RFC 5246, section 7.4.1.1).
/// The write continues once more input has been received, and does not wait for room.
#[derive(Debug)]
struct InputWanted;

impl fmt::Display for InputWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer does its TLS handshake anew, what is sent waits for it")
    }
}

impl Error for InputWanted {}

/// Tells whether a write waits for input.
pub(in crate::transport) fn wants_input(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|error| error.is::<InputWanted>())
}

/// Makes the error for bytes that an engine took and discarded, as Rustls does once its keys are
/// used up.
fn discarded_bytes() -> io::Error {
    io::Error::other("TLS has used up its keys and sends nothing more")
}

impl Session {
    pub(super) fn new(engine: Box<dyn Engine>, pipe: Pipe, max_record: usize) -> Self {
        let limit = engine.record_limit();
        Self {
            engine: Mutex::new(engine),
            pipe,
            max_record,
            has_more: AtomicBool::new(true),
            read_size: AtomicUsize::new(*READ_SIZES.start()),
            received: AtomicU64::new(0),
            awaiting: AtomicU8::new(NOTHING),
            // The reserve is enough for an orderly close behind the queue.
            records_left: AtomicU64::new(limit.map_or(u64::MAX, |limit| limit - limit / 64)),
            sending: Mutex::default(),
        }
    }

    /// Tells whether something may be received without reading the socket.
    pub(in crate::transport) fn has_more(&self) -> bool {
        self.has_more.load(Ordering::Relaxed)
    }

    /// Returns how many bytes have come from the socket. A record may take long until it is whole.
    #[allow(dead_code, reason = "the keepalive asks it next")]
    pub(in crate::transport) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// Tells whether [`flush`](Self::flush) has something to write, or a write that waits for input
    /// may be tried again.
    pub(in crate::transport) fn needs_flush(&self) -> bool {
        self.pipe.outgoing_len() > 0 || self.awaiting.load(Ordering::Acquire) == RETRY
    }

    /// Tells whether its keys are nearly used up, so that the connection must be closed.
    #[allow(dead_code, reason = "see Socket::nears_key_limit")]
    pub(in crate::transport) fn nears_key_limit(&self) -> bool {
        self.records_left.load(Ordering::Relaxed) == 0
    }

    /// Returns the certificates that the peer has shown, in DER, its own first.
    pub(in crate::transport) fn peer_certificates(&self) -> Vec<Vec<u8>> {
        lock(&self.engine).peer_certificates()
    }

    /// Reads into the spare capacity of `buffer`. `receive` reads the socket. It also returns
    /// `WouldBlock` when TLS itself has something for the peer, so that this leaves before the
    /// caller sleeps.
    pub(in crate::transport) fn recv(
        &self,
        buffer: &mut Vec<u8>,
        receive: impl Fn(&mut Vec<u8>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut has_fed = false;
        loop {
            match self.decrypt(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if has_fed && self.needs_flush() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if self.pipe.outgoing_len() > MAX_OUTGOING {
                return Err(io::Error::other(
                    "the peer has TLS answer it and does not read the answers",
                ));
            }
            let read_size = self.read_size.load(Ordering::Relaxed);
            let mut ciphertext = Vec::with_capacity(read_size);
            // L1: no lock is held while this blocks.
            let length = receive(&mut ciphertext)?;
            if length == 0 {
                return Ok(0);
            }
            self.received.fetch_add(length as u64, Ordering::Release);
            self.adapt(read_size, length);
            self.pipe.feed_read(ciphertext);
            self.has_more.store(true, Ordering::Relaxed);
            has_fed = true;
        }
    }

    /// Sets how many bytes to ask for next: more after a read that was filled, otherwise about as
    /// many as came.
    fn adapt(&self, read_size: usize, length: usize) {
        let next = if length == read_size {
            read_size * 2
        } else {
            length.next_power_of_two()
        };
        let next = next.clamp(*READ_SIZES.start(), *READ_SIZES.end());
        self.read_size.store(next, Ordering::Relaxed);
    }

    fn decrypt(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        if !self.has_more() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let start = buffer.len();
        let mut engine = lock(&self.engine);
        let mut last = Err(io::ErrorKind::WouldBlock.into());
        let mut more = true;
        while more && buffer.len() < buffer.capacity() {
            let room = if engine.has_buffered() {
                MAX_RECORD_SIZE
            } else {
                self.pipe.next_record().clamp(SMALL_RECORD, MAX_RECORD_SIZE)
            };
            last = read_spare(&mut **engine, buffer, room);
            more = matches!(last, Ok(1..)) && (self.pipe.has_incoming() || engine.has_buffered());
        }
        // The engine's lock makes this one step with the read.
        let _ = self
            .awaiting
            .compare_exchange(INPUT, RETRY, Ordering::AcqRel, Ordering::Relaxed);
        drop(engine);
        // The next call finds the end or the error behind these bytes without the socket.
        self.has_more
            .store(more || is_final_read(&last), Ordering::Relaxed);
        match buffer.len() - start {
            0 => last,
            length => Ok(length),
        }
    }

    /// Writes as much of the ciphertext as the socket takes, and encrypts more once all of it has
    /// left. Returns how many plain bytes have left in whole records. The bytes behind those must
    /// come again, and more may follow them. TLS's own records leave with them. An error that
    /// [`wants_input`] means that reading must go on first.
    pub(in crate::transport) fn try_send(
        &self,
        parts: &[IoSlice<'_>],
        send: impl Fn(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut sending = lock(&self.sending);
        let mut encrypted = None;
        loop {
            let sent = sending.send_by(&send);
            // After an error the rest comes again with the next call.
            match sending.take_left() {
                0 => sent?,
                plain => return Ok(plain),
            }
            if let Some(encrypted) = encrypted {
                return encrypted;
            }
            encrypted = Some(self.encrypt(parts, &mut sending).map(|()| 0));
        }
    }

    /// Writes the rest of an earlier write, and then TLS's own records. The next
    /// [`try_send`](Self::try_send) reports the former.
    pub(in crate::transport) fn flush(
        &self,
        send: impl Fn(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut sending = lock(&self.sending);
        let _ = self
            .awaiting
            .compare_exchange(RETRY, NOTHING, Ordering::AcqRel, Ordering::Relaxed);
        sending.send_by(&send)?;
        sending.load(VecDeque::new(), self.pipe.take_outgoing());
        sending.send_by(&send)
    }

    /// Loads TLS's own records, and as many of the parts as are encrypted ahead.
    fn encrypt(&self, parts: &[IoSlice<'_>], sending: &mut Sending) -> io::Result<()> {
        let mut engine = lock(&self.engine);
        let mut records = VecDeque::new();
        let mut written = Ok(());
        for record in Records::new(parts, AHEAD, self.max_record) {
            written = self.encrypt_record(&mut **engine, &record, &mut records);
            if written.is_err() {
                break;
            }
        }
        let written = written.and_then(|()| self.write(|| engine.flush()).map(drop));
        let awaiting = match &written {
            Err(error) if wants_input(error) => INPUT,
            _ => NOTHING,
        };
        self.awaiting.store(awaiting, Ordering::Release);
        sending.load(records, self.pipe.take_outgoing());
        written
    }

    fn encrypt_record(
        &self,
        engine: &mut dyn Engine,
        mut rest: &[u8],
        records: &mut VecDeque<Record>,
    ) -> io::Result<()> {
        while !rest.is_empty() {
            let (plain, tally) = self.write(|| engine.write(rest))?;
            if plain == 0 || tally.payload < plain {
                return Err(discarded_bytes());
            }
            self.count_records(tally.records);
            rest = &rest[plain..];
            let end = tally.end;
            records.push_back(Record { end, plain });
        }
        Ok(())
    }

    /// Makes the engine write, while it finds nothing to read. Only reads continue a handshake that
    /// the peer has begun anew: OpenSSL fails when it meets data in the middle of one while it
    /// writes.
    fn write<R>(&self, write: impl FnOnce() -> io::Result<R>) -> io::Result<(R, Tally)> {
        let (written, tally) = self.pipe.run_write(write);
        match written {
            Ok(written) => Ok((written, tally)),
            // A write to memory blocks only in such a handshake.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::Error::other(InputWanted))
            }
            Err(error) => Err(error),
        }
    }

    /// Subtracts sent records from those that are left. Only the writing side calls it.
    fn count_records(&self, records: u64) {
        let left = self.records_left.load(Ordering::Relaxed);
        let left = left.saturating_sub(records);
        self.records_left.store(left, Ordering::Relaxed);
    }

    /// Sends `close_notify`, unless a part of an earlier write has not left, because it must not
    /// follow that.
    pub(in crate::transport) fn send_close_notify(
        &self,
        send: impl Fn(&[u8]) -> io::Result<usize>,
    ) {
        let sending = lock(&self.sending);
        if !sending.is_empty() {
            return;
        }
        lock(&self.engine).close_notify();
        // Best effort: no thread waits for it.
        let _ = send(&self.pipe.take_outgoing());
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Reads into the spare capacity of `buffer`: at most `room` bytes, because these are zeroed first. What
/// a record has beyond them is left for the next read.
fn read_spare(engine: &mut dyn Engine, buffer: &mut Vec<u8>, room: usize) -> io::Result<usize> {
    let start = buffer.len();
    buffer.resize(buffer.capacity().min(start + room), 0);
    let read = engine.read(&mut buffer[start..]);
    buffer.truncate(start + read.as_ref().copied().unwrap_or(0));
    read
}

/// Tells whether nothing can follow: `close_notify` (RFC 8446, section 6.1) or an error.
fn is_final_read(read: &io::Result<usize>) -> bool {
    match read {
        Ok(length) => *length == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests;
