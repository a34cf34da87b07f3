//! What becomes of the members of a group that fall behind: [`SlowPeers`].

/// The treatment of a connection whose queue is full when a message is sent to many: by a
/// [`Group`](crate::Group) or by [`Server::broadcast`](crate::Server::broadcast).
///
/// A group never waits, so there is no variant for that: one slow peer would delay all others. The
/// messages of one connection alone have another policy, [`Overflow`](crate::Overflow).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowPeers {
    /// The connection is closed with 1008 and the reason "too slow", which overtakes its queue. Its
    /// [`on_error`](crate::WebSocket::on_error) gets [`Error::TooSlow`](crate::Error::TooSlow).
    #[default]
    Close,
    /// The connection misses the message: for data of which each message stands for itself.
    DropNewest,
    /// The oldest message that waits for the connection makes room: for data of which only the
    /// newest counts, such as positions, prices or the figures of a dashboard. A message that is
    /// being written stays.
    DropOldest,
}
