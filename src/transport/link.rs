//! The way of a connection's bytes: [`Link`].

use std::io::{self, IoSlice};
use std::sync::OnceLock;

use super::os::Stream;
use super::stream_socket::StreamSocket;
use super::tls::{self, Session};

/// The way of a connection's bytes: a stream socket, and over it TLS to a proxy, if one wants that.
/// TLS to the server goes over both.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: StreamSocket,
    /// The TLS session with a proxy. Set once its handshake is done.
    proxy_tls: OnceLock<Box<Session>>,
}

impl Link {
    pub(super) fn new(socket: StreamSocket) -> Self {
        Self {
            socket,
            proxy_tls: OnceLock::new(),
        }
    }

    #[inline]
    pub(super) fn stream(&self) -> &Stream {
        &self.socket.stream
    }

    /// Puts TLS over the socket. Everything goes through it from now on.
    pub(super) fn begin_tls(&self, session: Session) {
        // There is one handshake with a proxy.
        let _ = self.proxy_tls.set(Box::new(session));
    }

    pub(super) fn is_tls(&self) -> bool {
        self.proxy_tls.get().is_some()
    }

    /// Reads into the spare capacity of `buffer`, blocking until there is input. 0 is the end.
    /// `WouldBlock` means that TLS [has something to write](Self::needs_flush) before the next read.
    #[inline]
    pub(super) fn recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self.proxy_tls.get() {
            None => self.stream().recv(buffer),
            Some(tls) => tls.recv(buffer, |buffer| self.stream().recv(buffer)),
        }
    }

    /// Reads like [`recv`](Self::recv), or returns `WouldBlock` at once.
    #[inline]
    pub(super) fn try_recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self.proxy_tls.get() {
            None => self.stream().try_recv(buffer),
            Some(tls) => tls.recv(buffer, |buffer| self.stream().try_recv(buffer)),
        }
    }

    /// Writes as much as the kernel takes now, or returns `WouldBlock`; then the same bytes must come
    /// again.
    #[inline]
    pub(super) fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.proxy_tls.get() {
            None => self.stream().try_send(parts),
            Some(tls) => tls.try_send(parts, |bytes| self.try_send_raw(bytes)),
        }
    }

    fn try_send_raw(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream().try_send(&[IoSlice::new(bytes)])
    }

    /// Tells whether something may be received without the socket.
    pub(super) fn has_more(&self) -> bool {
        self.proxy_tls.get().is_some_and(|tls| tls.has_more())
    }

    /// Tells whether [`flush`](Self::flush) has something to write.
    pub(super) fn needs_flush(&self) -> bool {
        self.proxy_tls.get().is_some_and(|tls| tls.needs_flush())
    }

    /// Writes the records of the proxy's TLS itself, without blocking.
    pub(super) fn flush(&self) -> io::Result<()> {
        let tls = self.proxy_tls.get();
        tls.map_or(Ok(()), |tls| tls.flush(|bytes| self.try_send_raw(bytes)))
    }

    /// Sends the `close_notify` for the proxy, without blocking.
    pub(super) fn send_close_notify(&self) {
        if let Some(tls) = self.proxy_tls.get() {
            tls.send_close_notify(|bytes| self.try_send_raw(bytes));
        }
    }

    /// Tells whether the keys of TLS are nearly used up.
    pub(super) fn nears_key_limit(&self) -> bool {
        let tls = self.proxy_tls.get();
        tls.is_some_and(|tls| tls.nears_key_limit())
    }

    /// Returns how many bytes of ciphertext have been received, if it is TLS.
    pub(super) fn ciphertext_received(&self) -> Option<u64> {
        self.proxy_tls.get().map(|tls| tls.received())
    }

    /// Returns the most bytes that were received and not yet handed out.
    pub(super) fn most_held(&self) -> u64 {
        self.proxy_tls.get().map_or(0, |_| tls::MOST_HELD)
    }
}
