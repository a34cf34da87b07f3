//! TLS as a codec: an engine turns bytes from a wire in memory into plain ones and back. What it
//! does under its lock is arithmetic; the socket is read and written outside.
#![cfg_attr(
    not(all(feature = "tls", feature = "rustls")),
    allow(dead_code, reason = "an engine that is off does not look at it")
)]

#[cfg_attr(not(feature = "tls"), path = "native_off.rs")]
mod native;
#[cfg_attr(not(feature = "rustls"), path = "rustls_off.rs")]
mod rustls;

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

pub(crate) use self::native::{NativeAcceptor, NativeConnector};
use crate::handshake::is_tls_record;
use crate::sync::{Mutex, lock};
use crate::{Error, ServerTls, TlsEngine, TlsOptions};

/// Connects as one set of options says.
pub(crate) enum Connector {
    Native(native::Connector),
    Rustls(rustls::Connector),
}

impl Connector {
    /// # Errors
    /// Returns [`Error::Tls`] for what the engine cannot do or cannot read.
    pub(crate) fn new(options: &TlsOptions) -> Result<Self, Error> {
        match engine(options.engine) {
            TlsEngine::Native => native::Connector::new(options).map(Self::Native),
            TlsEngine::Rustls => rustls::Connector::new(options).map(Self::Rustls),
        }
    }

    /// Begins a handshake over a wire with a server of this name or address.
    pub(super) fn begin(&self, host: &str, wire: Wire) -> Result<Step, Error> {
        match self {
            Self::Native(connector) => connector.begin(host, wire),
            Self::Rustls(connector) => connector.begin(host, wire),
        }
    }
}

/// Accepts as one server's settings say.
pub(crate) enum Acceptor {
    Native(native::Acceptor),
    Rustls(rustls::Acceptor),
}

impl Acceptor {
    /// # Errors
    /// Returns [`Error::Tls`] for what the engine cannot do or cannot read.
    pub(crate) fn new(options: &ServerTls) -> Result<Self, Error> {
        match engine(options.engine) {
            TlsEngine::Native => native::Acceptor::new(options).map(Self::Native),
            TlsEngine::Rustls => rustls::Acceptor::new(options).map(Self::Rustls),
        }
    }

    /// Begins a handshake over a wire with whoever has connected.
    pub(super) fn begin(&self, wire: Wire) -> Result<Step, Error> {
        match self {
            Self::Native(acceptor) => acceptor.begin(wire),
            Self::Rustls(acceptor) => acceptor.begin(wire),
        }
    }
}

/// Without either feature native-tls's stand-in says what is missing.
fn engine(chosen: Option<TlsEngine>) -> TlsEngine {
    let rustls_alone = cfg!(feature = "rustls") && !cfg!(feature = "tls");
    chosen.unwrap_or(if rustls_alone {
        TlsEngine::Rustls
    } else {
        TlsEngine::Native
    })
}

/// Is how far a handshake has come.
pub(super) enum Step {
    Done(Box<dyn Engine>),
    /// It waits for more from the peer.
    More(Box<dyn Handshake>),
}

/// Is a handshake under way.
pub(super) trait Handshake {
    /// Goes on with what has come onto the wire.
    fn advance(self: Box<Self>) -> Result<Step, Error>;
}

/// Is a TLS stream over a [`Wire`], past its handshake.
pub(super) trait Engine: Read + Write + Send {
    /// Tells whether plain bytes may be left that were taken from the wire already.
    fn has_buffered(&self) -> bool;
    /// Puts `close_notify` onto the wire.
    fn end(&mut self);
}

/// Is the wire in memory that an engine reads and writes; clones are the same wire.
#[derive(Clone, Default)]
pub(super) struct Wire(Arc<Mutex<Buffers>>);

#[derive(Default)]
struct Buffers {
    incoming: Vec<u8>,
    /// How much of it was read.
    read: usize,
    outgoing: Vec<u8>,
}

impl Wire {
    /// Puts onto it what has come from the peer.
    pub(super) fn feed(&self, bytes: &[u8]) {
        lock(&self.0).incoming.extend_from_slice(bytes);
    }

    /// Takes from it what is for the peer.
    pub(super) fn take_outgoing(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.0).outgoing)
    }

    fn outgoing_len(&self) -> usize {
        lock(&self.0).outgoing.len()
    }

    fn has_incoming(&self) -> bool {
        !lock(&self.0).incoming.is_empty()
    }

    fn has_outgoing(&self) -> bool {
        !lock(&self.0).outgoing.is_empty()
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffers = lock(&self.0);
        let unread = &buffers.incoming[buffers.read..];
        if unread.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = unread.len().min(buffer.len());
        buffer[..length].copy_from_slice(&unread[..length]);
        buffers.read += length;
        if buffers.read == buffers.incoming.len() {
            // Given back, as an idle connection keeps nothing.
            buffers.incoming = Vec::new();
            buffers.read = 0;
        }
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Is a connection's TLS, past its handshake.
pub(super) struct Session {
    engine: Mutex<Box<dyn Engine>>,
    wire: Wire,
    /// Whether the engine may have more to give without more from the socket.
    has_more: AtomicBool,
    /// How much to ask the socket for at once.
    appetite: AtomicUsize,
    /// Bytes of ciphertext received since the handshake.
    received: AtomicU64,
    /// Only the holder of the outbox's lock touches it (L2).
    sending: Mutex<Sending>,
}

/// Is what was encrypted and has not wholly left yet.
#[derive(Default)]
struct Sending {
    ciphertext: Vec<u8>,
    sent: usize,
    /// The records that have not left, the first first.
    records: VecDeque<Record>,
}

struct Record {
    /// Where it ends in the ciphertext.
    end: usize,
    /// How many plain bytes it stands for.
    plain: usize,
}

impl Sending {
    fn new(mut records: VecDeque<Record>, ciphertext: Vec<u8>) -> Self {
        if let Some(last) = records.back_mut() {
            // What the engine had to say behind it leaves before the caller may think all has.
            last.end = ciphertext.len();
        }
        Self {
            ciphertext,
            sent: 0,
            records,
        }
    }

    /// Returns how many plain bytes have wholly left since the last time: the peer can read them.
    fn take_left(&mut self) -> usize {
        let left = self
            .records
            .partition_point(|record| record.end <= self.sent);
        self.records.drain(..left).map(|record| record.plain).sum()
    }
}

/// So much is encrypted ahead of the socket.
const AHEAD: usize = 64 << 10;
/// A record holds at most so much (RFC 8446, section 5.1).
const MAX_RECORD: usize = 16 << 10;
/// What is asked of the socket at rest, and at most.
const APPETITE: std::ops::RangeInclusive<usize> = 2 << 10..=64 << 10;

impl Session {
    pub(super) fn new(engine: Box<dyn Engine>, wire: Wire) -> Self {
        Self {
            engine: Mutex::new(engine),
            wire,
            has_more: AtomicBool::new(true),
            appetite: AtomicUsize::new(*APPETITE.start()),
            received: AtomicU64::new(0),
            sending: Mutex::default(),
        }
    }

    /// Tells whether something can be received without the socket.
    pub(super) fn has_more(&self) -> bool {
        self.has_more.load(Ordering::Relaxed)
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// Tells whether the engine has something to say of its own accord.
    pub(super) fn has_outgoing(&self) -> bool {
        self.wire.has_outgoing()
    }

    /// Reads into the spare capacity of `buffer`; `receive` asks the socket.
    pub(super) fn recv(
        &self,
        buffer: &mut Vec<u8>,
        receive: impl Fn(&mut Vec<u8>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match self.decrypt(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            let appetite = self.appetite.load(Ordering::Relaxed);
            let mut ciphertext = Vec::with_capacity(appetite);
            // L1: no lock is held while this blocks.
            let length = receive(&mut ciphertext)?;
            if length == 0 {
                return Ok(0);
            }
            self.received.fetch_add(length as u64, Ordering::Release);
            self.adapt(appetite, length);
            self.wire.feed(&ciphertext);
            self.has_more.store(true, Ordering::Relaxed);
        }
    }

    /// Asks for more after a socket that had more than asked for, and for little after one that had
    /// little.
    fn adapt(&self, appetite: usize, length: usize) {
        let next = if length == appetite {
            appetite * 2
        } else {
            length.next_power_of_two()
        };
        let next = next.clamp(*APPETITE.start(), *APPETITE.end());
        self.appetite.store(next, Ordering::Relaxed);
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
            last = read_spare(&mut **engine, buffer);
            more = matches!(last, Ok(1..)) && (self.wire.has_incoming() || engine.has_buffered());
        }
        drop(engine);
        // The next call finds the end or the error behind these bytes; the socket has no more to say.
        self.has_more
            .store(more || is_last_word(&last), Ordering::Relaxed);
        match buffer.len() - start {
            0 => last,
            length => Ok(length),
        }
    }

    /// Writes as much as the socket takes of what was encrypted, and encrypts more once all of it
    /// has left. Returns how many plain bytes have left in whole records: the same bytes but those
    /// must come again, with more behind them if need be.
    pub(super) fn try_send(
        &self,
        parts: &[IoSlice<'_>],
        send: impl Fn(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut sending = lock(&self.sending);
        if sending.ciphertext.is_empty() {
            let records = self.encrypt(parts)?;
            *sending = Sending::new(records, self.wire.take_outgoing());
        }
        while sending.sent < sending.ciphertext.len() {
            match send(&sending.ciphertext[sending.sent..]) {
                Ok(length) => sending.sent += length,
                Err(error) => {
                    // It comes again with the next call.
                    let plain = sending.take_left();
                    return if plain > 0 { Ok(plain) } else { Err(error) };
                }
            }
        }
        Ok(std::mem::take(&mut *sending).take_left())
    }

    fn encrypt(&self, parts: &[IoSlice<'_>]) -> io::Result<VecDeque<Record>> {
        let mut engine = lock(&self.engine);
        let mut records = VecDeque::new();
        let mut room = AHEAD;
        for part in parts {
            let mut rest = &part[..part.len().min(room)];
            room -= rest.len();
            while !rest.is_empty() {
                let record = &rest[..rest.len().min(MAX_RECORD)];
                let plain = engine.write(record).map_err(renegotiation)?;
                rest = &rest[plain..];
                let end = self.wire.outgoing_len();
                records.push_back(Record { end, plain });
            }
        }
        engine.flush().map_err(renegotiation)?;
        Ok(records)
    }

    /// Says that nothing follows, as the last thing; not behind what has not left.
    pub(super) fn end(&self, send: impl Fn(&[u8]) -> io::Result<usize>) {
        let sending = lock(&self.sending);
        if !sending.ciphertext.is_empty() {
            return;
        }
        lock(&self.engine).end();
        // Best effort: nobody waits for it.
        let _ = send(&self.wire.take_outgoing());
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Reads into the spare capacity of `buffer`, at most a record's worth, as that is zeroed first.
fn read_spare(engine: &mut dyn Engine, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let start = buffer.len();
    buffer.resize(buffer.capacity().min(start + MAX_RECORD), 0);
    let read = engine.read(&mut buffer[start..]);
    buffer.truncate(start + read.as_ref().copied().unwrap_or(0));
    read
}

/// Tells whether nothing can follow: `close_notify` (RFC 8446, section 6.1) or an error.
fn is_last_word(read: &io::Result<usize>) -> bool {
    match read {
        Ok(length) => *length == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

/// A write to memory blocks only where the peer wants the handshake anew.
fn renegotiation(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return io::Error::other("the peer wants to renegotiate TLS, which is not spoken here");
    }
    error
}

/// Says what to make of a peer whose first byte is no TLS.
pub(super) struct Mistake {
    /// What to answer, in plain.
    pub(super) reply: &'static [u8],
    pub(super) error: &'static str,
}

/// Does a handshake; `send` writes all, `receive` reads some, and both block.
pub(super) fn shake_hands(
    mut step: Step,
    wire: Wire,
    mistake: &Mistake,
    mut send: impl FnMut(&[u8]) -> io::Result<()>,
    mut receive: impl FnMut(&mut Vec<u8>) -> io::Result<usize>,
) -> Result<Session, Error> {
    let mut is_first = true;
    loop {
        send(&wire.take_outgoing()).map_err(Error::Io)?;
        let handshake = match step {
            Step::Done(engine) => return Ok(Session::new(engine, wire)),
            Step::More(handshake) => handshake,
        };
        let mut ciphertext = Vec::with_capacity(*APPETITE.start());
        if receive(&mut ciphertext).map_err(Error::Io)? == 0 {
            return Err(Error::Tls("the peer hung up during the handshake".into()));
        }
        if std::mem::take(&mut is_first) && !is_tls_record(ciphertext[0]) {
            let _ = send(mistake.reply);
            return Err(Error::Tls(mistake.error.into()));
        }
        wire.feed(&ciphertext);
        step = handshake.advance().inspect_err(|_| {
            // The alert that says why.
            let _ = send(&wire.take_outgoing());
        })?;
    }
}
