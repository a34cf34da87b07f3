//! The counters of connections and servers, which are always on.

use std::ops::AddAssign;

/// The counters of one connection, or of all connections of a server.
///
/// [`WebSocket::counters`](crate::WebSocket::counters) and
/// [`Server::counters`](crate::Server::counters) return it as of just then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages received whole.
    pub messages_in: u64,
    /// Messages that the kernel has taken to their end.
    pub messages_out: u64,
    /// Bytes received: frames of every kind with their headers, before TLS.
    pub bytes_in: u64,
    /// Bytes that the kernel has taken, counted likewise.
    pub bytes_out: u64,
    /// Messages that wait to be written, or are being written.
    pub queued_messages: u64,
    /// Bytes of payload in these messages.
    pub queued_bytes: u64,
    /// Messages that an [`Overflow`](crate::Overflow) policy has dropped.
    pub dropped: u64,
    /// Messages that were discarded because the connection ended.
    pub undelivered: u64,
}

/// The counters of a server: its connections, and the traffic of those that are open or have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Connections that are open.
    pub open: usize,
    /// Connections that were opened, ever.
    pub opened: u64,
    /// Connections that were refused: at a limit, or by an answer with a status of 400 or more.
    pub refused: u64,
    /// The traffic of all connections, those that have ended included.
    pub traffic: Counters,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.queued_messages += other.queued_messages;
        self.queued_bytes += other.queued_bytes;
        self.dropped += other.dropped;
        self.undelivered += other.undelivered;
    }
}
