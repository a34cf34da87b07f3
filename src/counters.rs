//! What connections and servers count, always.

use std::ops::AddAssign;

/// Counts what has gone over one connection, or over all connections of a server, and what has not.
///
/// [`WebSocket::counters`](crate::WebSocket::counters) and
/// [`Server::counters`](crate::Server::counters) return it as of just then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages received whole.
    pub messages_in: u64,
    /// Messages that are wholly with the kernel.
    pub messages_out: u64,
    /// Bytes received: frames of every kind with their headers, before TLS.
    pub bytes_in: u64,
    /// Bytes that the kernel has taken, likewise.
    pub bytes_out: u64,
    /// Messages that wait to be written, or are being written.
    pub queued_messages: u64,
    /// Their bytes of payload.
    pub queued_bytes: u64,
    /// Messages that an [`Overflow`](crate::Overflow) policy has dropped.
    pub dropped: u64,
    /// Messages that were discarded because the connection ended.
    pub undelivered: u64,
}

/// Counts for a server: who came, and what has gone over the connections that are open or have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Connections that are open.
    pub open: usize,
    /// Connections that were opened, ever.
    pub opened: u64,
    /// Newcomers that were turned away: at a limit, or by an answer with a status of 400 or more.
    pub refused: u64,
    /// What has gone over them, those that have ended included.
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
