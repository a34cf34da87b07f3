//! [`Group`]: one message to many.

use std::fmt;
use std::sync::Arc;

use crate::connection::Connection;
use crate::memberships::Members;
use crate::outbox::Leave;
use crate::{Message, Overflow, SendErrorKind, WebSocket};

/// Is a set of connections that get the same messages, such as the people in a room: cheap to
/// clone, safe to share, usable from any thread and any callback. Clones are the same group.
///
/// A connection may be in any number of groups, and leaves them all when it ends, before its
/// [`on_error`](WebSocket::on_error) and [`on_close`](WebSocket::on_close) run: a goodbye that is
/// sent from there goes to the rest. A group keeps no connection open, and a connection keeps no
/// group. A group is memory and nothing else, no thread and no descriptor.
///
/// # Who falls behind
/// A group never waits. A member whose queue is full has fallen behind, and a group from
/// [`new`](Self::new) closes that connection; one from [`lossy`](Self::lossy) leaves the message
/// out. So a member that does not read delays nobody. How late it is found out depends on how much
/// the kernel holds for it: see [`send_buffer`](crate::Config::send_buffer).
///
/// # Order
/// What one thread sends reaches each member in that order. What several threads send at the same
/// time may reach one member in this order and another in that. Where all are to see the same, as
/// in a chat with a history, send under a lock of your own: as nothing waits here, it is held for
/// as long as queueing takes.
///
/// ```
/// use landline::{Group, Server};
///
/// let everybody = Group::new();
/// let server = Server::builder()
///     .on_upgrade(move |ws, _request| {
///         everybody.join(ws);
///         let all = everybody.clone();
///         ws.on_text(move |_, text| {
///             all.send(text);
///         });
///         let rest = everybody.clone();
///         ws.on_close(move |_, _| {
///             rest.send("somebody has left");
///         });
///     })
///     .bind("127.0.0.1:0")?;
///
/// let (one, mut heard) = landline::open(server.url())?;
/// one.send("hello")?;
/// assert_eq!(heard.recv()?.as_text(), Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Group {
    members: Arc<Members>,
    laggards: Laggards,
}

/// Says what happens to a connection whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Laggards {
    /// It is closed with 1008.
    Close,
    /// It misses the message.
    Skip,
}

impl Group {
    /// Makes an empty group that closes who falls behind: with 1008 and the reason "too slow", which
    /// overtakes what is queued. Its [`on_error`](WebSocket::on_error) gets
    /// [`Error::TooSlow`](crate::Error::TooSlow).
    #[must_use]
    pub fn new() -> Self {
        Self::with(Laggards::Close)
    }

    /// Makes an empty group in which who falls behind misses messages and stays: for what is soon
    /// outdated, such as positions or prices.
    #[must_use]
    pub fn lossy() -> Self {
        Self::with(Laggards::Skip)
    }

    fn with(laggards: Laggards) -> Self {
        Self {
            members: Members::new(),
            laggards,
        }
    }

    /// Adds a connection, of either role. Returns whether it is a member now, as it also is if it
    /// was one before; a connection that has ended is not taken.
    pub fn join(&self, ws: &WebSocket) -> bool {
        self.members.add(ws.connection())
    }

    /// Removes a connection; returns whether it was a member. What was sent to it before still
    /// leaves.
    pub fn leave(&self, ws: &WebSocket) -> bool {
        self.members.remove(ws.connection())
    }

    /// Tells whether a connection is a member.
    #[must_use]
    pub fn contains(&self, ws: &WebSocket) -> bool {
        self.members.list().contains_key(&ws.id())
    }

    /// Returns how many members there are. One that is closing counts until it has ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.list().len()
    }

    /// Tells whether nobody is a member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.list().is_empty()
    }

    /// Returns the members, the oldest connection first. These handles keep nothing open.
    #[must_use]
    pub fn members(&self) -> Vec<WebSocket> {
        let list = self.members.list();
        list.values().map(WebSocket::for_callbacks).collect()
    }

    /// Sends a message to all members, and returns for how many it was queued: not for one that has
    /// fallen behind or is closing. It never waits. The payload is shared, not copied.
    pub fn send(&self, message: impl Into<Message>) -> usize {
        let message = message.into();
        let list = self.members.list();
        send_to_each(list.values(), &message, self.laggards)
    }

    /// Sends a message to all members but one, such as the one that it came from.
    pub fn send_except(&self, ws: &WebSocket, message: impl Into<Message>) -> usize {
        let message = message.into();
        let list = self.members.list();
        let others = list.values().filter(|member| member.id != ws.id());
        send_to_each(others, &message, self.laggards)
    }
}

/// Sends one message to many without waiting, and returns for how many it was queued.
pub(crate) fn send_to_each<'a>(
    connections: impl Iterator<Item = &'a Arc<Connection>>,
    message: &Message,
    laggards: Laggards,
) -> usize {
    connections
        .filter(|connection| offer(connection, message.clone(), laggards))
        .count()
}

fn offer(connection: &Connection, message: Message, laggards: Laggards) -> bool {
    match connection
        .outbox
        .send(message, Some(Overflow::HandBack), Leave::Now)
    {
        Ok(()) => return true,
        Err(error) if error.kind() != SendErrorKind::Full => {}
        Err(_) if laggards == Laggards::Close => connection.outbox.fail_slow(),
        Err(_) => connection.outbox.count_dropped(),
    }
    false
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("len", &self.len())
            .field("lossy", &(self.laggards == Laggards::Skip))
            .finish_non_exhaustive()
    }
}
