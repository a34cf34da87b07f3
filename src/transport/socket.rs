//! One connected stream socket, with or without TLS.

use std::io::{self, IoSlice};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::link::Link;
use super::os::{OwnedFd, Stream};
use super::stream_socket::StreamSocket;
use super::tls::{self, Acceptor, Connector, Session};
use super::{Interest, Ready};
use crate::process::Process;
use crate::{Address, Error};

/// A connection's socket. One thread reads it, and the holder of the outbox's writer writes it
/// (L2).
#[derive(Debug)]
pub(crate) struct Socket {
    link: Link,
    /// The process that made it. A forked child has a copy of the descriptor, but the connection is
    /// its parent's.
    owner: Process,
    /// The TLS session. Set once its handshake is done.
    tls: OnceLock<Box<Session>>,
}

impl Socket {
    /// Takes over a connected stream socket in blocking mode, or one that was accepted.
    ///
    /// # Errors
    /// The system's error; `Unsupported` for a socket that is neither TCP nor a Unix socket.
    pub(crate) fn new(fd: impl Into<OwnedFd>) -> io::Result<Self> {
        StreamSocket::new(fd.into()).map(Self::over)
    }

    /// Takes over a descriptor that the program has made, whatever its mode and its timeouts.
    ///
    /// # Errors
    /// `InvalidInput` for one that is no connected stream socket.
    pub(crate) fn given(fd: OwnedFd) -> io::Result<Self> {
        StreamSocket::given(fd).map(Self::over)
    }

    fn over(socket: StreamSocket) -> Self {
        Self {
            link: Link::new(socket),
            owner: Process::this(),
            tls: OnceLock::new(),
        }
    }

    /// Bounds the data to send that the kernel holds.
    pub(crate) fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        self.link.socket.set_send_buffer(bytes)
    }

    /// Bounds the data that TCP takes before it has sent what it holds. Other sockets have no such
    /// bound.
    pub(crate) fn set_notsent_lowat(&self, bytes: usize) -> io::Result<()> {
        self.link.socket.set_notsent_lowat(bytes)
    }

    pub(crate) fn peer_addr(&self) -> &Address {
        self.link.socket.peer_addr()
    }

    pub(crate) fn local_addr(&self) -> &Address {
        self.link.socket.local_addr()
    }

    /// Reads into the spare capacity of `buffer`, blocking until there is input. 0 is the end.
    /// `WouldBlock` means that TLS [has something to write](Self::needs_flush) before the next read.
    pub(crate) fn recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.recv_by(buffer, |buffer| self.link.recv(buffer))
    }

    /// Reads like [`recv`](Self::recv), or returns `WouldBlock` at once.
    pub(crate) fn try_recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.recv_by(buffer, |buffer| self.link.try_recv(buffer))
    }

    /// Reads at most so many bytes, blocking, before there is TLS. 0 is the end.
    pub(crate) fn recv_at_most(&self, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        self.stream().recv_at_most(buffer, most)
    }

    /// Reads by a call of the system's, and decrypts the bytes.
    fn recv_by(
        &self,
        buffer: &mut Vec<u8>,
        recv: impl Fn(&mut Vec<u8>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self.tls.get() {
            None => recv(buffer),
            Some(tls) => tls.recv(buffer, recv),
        }
    }

    /// Reads like [`recv`](Self::recv), and meanwhile writes TLS's own answers, blocking.
    pub(crate) fn recv_answering(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            match self.answer(self.recv(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }

    /// Reads like [`try_recv`](Self::try_recv), and writes TLS's own answers, blocking.
    pub(crate) fn try_recv_answering(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.answer(self.try_recv(buffer))
    }

    fn answer(&self, received: io::Result<usize>) -> io::Result<usize> {
        match (received, self.flush_all()) {
            (Err(error), flushed) if error.kind() == io::ErrorKind::WouldBlock => {
                flushed?;
                Err(error)
            }
            // Received bytes count, whether or not the peer still takes anything.
            (received, _) => received,
        }
    }

    fn flush_all(&self) -> io::Result<()> {
        while let Err(error) = self.flush() {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            self.stream().wait(Interest::Write, None);
        }
        Ok(())
    }

    /// Writes as much as the kernel takes now, or returns `WouldBlock`; then the same bytes must
    /// come again. After an error that [`wants_input`], they must come again once more input has
    /// been received. With TLS, bytes count as written when their ciphertext has left. At least one
    /// byte is written unless there is none.
    #[inline]
    pub(crate) fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.tls.get() {
            None => self.try_send_raw(parts),
            Some(tls) => tls.try_send(parts, |bytes| self.try_send_bytes(bytes)),
        }
    }

    #[inline]
    fn try_send_raw(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.link.try_send(parts)
    }

    /// Writes everything, blocking. A cut of the socket ends the wait with an error.
    pub(crate) fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_all_by(bytes, |parts| self.try_send(parts))
    }

    fn send_all_by(
        &self,
        mut bytes: &[u8],
        try_send: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            match try_send(&[IoSlice::new(bytes)]) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(Interest::Write, None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the socket is ready, cut or broken, at most until the deadline.
    pub(crate) fn wait(&self, interest: Interest, deadline: Option<Instant>) -> Ready {
        if interest.reads() && self.may_hold_input() {
            return Ready {
                readable: true,
                writable: false,
            };
        }
        self.stream().wait(interest, deadline)
    }

    /// Tells whether something may be received without the system's socket.
    fn may_hold_input(&self) -> bool {
        self.tls.get().is_some_and(|tls| tls.has_more()) || self.link.has_more()
    }

    /// Tells what the socket is ready for, without waiting.
    pub(crate) fn look(&self) -> Ready {
        let now = Some(Instant::now());
        self.stream().wait(Interest::ReadOrWrite, now)
    }

    /// Tells, without reading, whether the peer's input has ended before so many more bytes, which will
    /// never come then. Bytes that TLS holds or adds count as such bytes: over TLS an end that comes
    /// a little too early may not be noticed here.
    pub(crate) fn ends_before(&self, bytes: usize) -> bool {
        let held = self.tls.get().map_or(0, |_| tls::MOST_HELD);
        let held = held + self.link.most_held();
        let left = self.stream().left_at_end();
        left.is_some_and(|left| left.saturating_add(held) < bytes as u64)
    }

    /// Sends the `close_notify` of TLS (RFC 8446, section 6.1), without blocking. Without TLS it
    /// does nothing.
    pub(crate) fn send_close_notify(&self) {
        let has_tls = self.is_tls() || self.link.is_tls();
        if !has_tls || !self.is_own() {
            return;
        }
        if let Some(tls) = self.tls.get() {
            tls.send_close_notify(|bytes| self.try_send_bytes(bytes));
        }
        self.link.send_close_notify();
    }

    /// Ends our direction. The peer finds the end behind the bytes already written.
    pub(crate) fn finish_writing(&self) {
        self.send_close_notify();
        if self.is_own() {
            self.stream().finish_writing();
        }
    }

    /// Ends the peer's direction here. A thread that reads wakes and finds the end.
    pub(crate) fn stop_reading(&self) {
        if self.is_own() {
            self.stream().stop_reading();
        }
    }

    /// Ends both directions and wakes the threads that read or wait. Unsent data is thrown away
    /// with the socket, so that the kernel keeps nothing for a peer that does not read.
    pub(crate) fn cut(&self) {
        if self.is_own() {
            self.stream().cut();
        }
    }

    #[inline]
    pub(super) fn stream(&self) -> &Stream {
        self.link.stream()
    }

    /// Tells whether this process made the socket, and is not a forked child with a copy, which must
    /// not end the connection. The
    /// answer costs a system call: callers ask before they write the end of a connection, not for
    /// each message.
    pub(crate) fn is_own(&self) -> bool {
        self.owner.is_this()
    }

    /// Ends both directions like [`cut`](Self::cut), but leaves unsent data to the kernel.
    pub(crate) fn hang_up(&self) {
        self.finish_writing();
        self.stop_reading();
    }

    /// Ends our direction and discards input for a moment, so that the last bytes sent arrive. A
    /// socket that is closed over unread input resets the connection, and destroys those bytes.
    pub(crate) fn finish_and_linger(&self) {
        self.finish_writing();
        self.discard_input(SILENCE, LINGER);
    }

    /// Reads and discards input until the peer's end, a silence of `silence`, or `total` in all.
    /// Returns whether the end has come.
    pub(crate) fn discard_input(&self, silence: Duration, total: Duration) -> bool {
        let end = Instant::now() + total;
        let mut scratch = Vec::with_capacity(16 << 10);
        loop {
            scratch.clear();
            let received = self.stream().try_recv(&mut scratch);
            let now = Instant::now();
            match received {
                Ok(1..) if now <= end => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let patience = end.min(now + silence);
                    let stream = self.stream();
                    if patience <= now || !stream.wait(Interest::Read, Some(patience)).readable {
                        return false;
                    }
                }
                ended => return !matches!(ended, Ok(1..)),
            }
        }
    }
}

/// The time for which the peer may be silent while we wait for the end of its side.
pub(crate) const SILENCE: Duration = Duration::from_secs(1);
/// The whole time for which input is discarded.
const LINGER: Duration = Duration::from_secs(5);

/// # TLS
impl Socket {
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.get().is_some()
    }

    /// Returns how many bytes of ciphertext have been received since the handshake. A record may
    /// take long until it is whole, and is a sign of life before that.
    pub(crate) fn ciphertext_received(&self) -> u64 {
        let tls = || self.tls.get().map_or(0, |tls| tls.received());
        self.link.ciphertext_received().unwrap_or_else(tls)
    }

    /// Tells whether [`flush`](Self::flush) has something to write, or a write that waits for input
    /// may be tried again. The caller asks after every read.
    pub(crate) fn needs_flush(&self) -> bool {
        self.tls.get().is_some_and(|tls| tls.needs_flush()) || self.link.needs_flush()
    }

    /// Writes TLS's own records, such as answers to key updates, without blocking. The rest of an
    /// earlier write goes first.
    pub(crate) fn flush(&self) -> io::Result<()> {
        if let Some(tls) = self.tls.get() {
            tls.flush(|bytes| self.try_send_bytes(bytes))?;
        }
        self.link.flush()
    }

    /// Tells whether the keys of TLS are nearly used up, so that the connection must be closed.
    pub(crate) fn nears_key_limit(&self) -> bool {
        let tls = self.tls.get();
        tls.is_some_and(|tls| tls.nears_key_limit()) || self.link.nears_key_limit()
    }

    /// Returns the certificates that the peer has shown, in DER, its own first.
    pub(crate) fn peer_certificates(&self) -> Vec<Vec<u8>> {
        self.tls
            .get()
            .map_or_else(Vec::new, |tls| tls.peer_certificates())
    }

    /// Does the TLS handshake with a server of this name or address, blocking.
    pub(crate) fn connect_tls(&self, connector: &Connector, host: &str) -> Result<(), Error> {
        self.begin_tls(connector.connect(host, self)?);
        Ok(())
    }

    /// Does the TLS handshake with a proxy of this name or address, blocking. All that follows, TLS
    /// with the server too, goes through it.
    pub(crate) fn connect_proxy_tls(&self, connector: &Connector, host: &str) -> Result<(), Error> {
        self.link.begin_tls(connector.connect(host, self)?);
        Ok(())
    }

    /// Does the TLS handshake with a client, blocking.
    pub(crate) fn accept_tls(&self, acceptor: &Acceptor) -> Result<(), Error> {
        self.begin_tls(acceptor.accept(self)?);
        Ok(())
    }

    fn begin_tls(&self, session: Session) {
        // There is one handshake for each socket.
        let _ = self.tls.set(Box::new(session));
    }

    fn try_send_bytes(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_send_raw(&[IoSlice::new(bytes)])
    }
}

impl tls::BlockingIo for Socket {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_all_by(bytes, |parts| self.try_send_raw(parts))
    }

    fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            match self.answer(self.link.recv(buffer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }
}

/// Tells whether a write waits for more input, and not for room in the socket: a TLS peer does its
/// handshake anew. Reading goes on as usual, and [`Socket::needs_flush`] tells when to try again.
pub(crate) fn wants_input(error: &io::Error) -> bool {
    tls::wants_input(error)
}

#[cfg(test)]
mod tests;
