//! One message to many connections: [`Group`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::connection::Connection;
use crate::sync::{Mutex, lock};
use crate::{Message, Overflow, SendErrorKind, WebSocket};

/// A set of connections that get the same messages, such as the people in a room: cheap to
/// clone, safe to share, usable from any thread and any callback. Clones are the same group.
///
/// A connection may be in any number of groups, and leaves them all when it ends, before its
/// [`on_error`](WebSocket::on_error) and [`on_close`](WebSocket::on_close) run: a message that is
/// sent from there goes to the others. A group keeps no connection open, and a connection keeps no
/// group. A group is only memory, without a thread or a descriptor.
///
/// # Who falls behind
/// A group never waits. A member whose queue is full has fallen behind, and a group from
/// [`new`](Self::new) closes that connection. A group from [`lossy`](Self::lossy) leaves the
/// message out. So a member that does not read delays no other. How late this is noticed depends on
/// how much the kernel holds for the member: see [`send_buffer`](crate::Config::send_buffer).
///
/// # Order
/// The messages of one thread reach each member in the order of its sends. The messages that
/// several threads send at the same time may reach one member in one order and another member in
/// another. If all members must see the same order, as in a chat with a history, send under a lock
/// of your own: nothing waits here, so the lock is held only while messages are queued.
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
    members: Arc<Mutex<Members>>,
    slow_peers: SlowPeers,
}

/// The members, and connections that were members and have ended since: a connection does not know
/// its groups.
#[derive(Default)]
struct Members {
    /// The members by their ids, so the oldest first. Threads that are sending share the list, and
    /// hold no lock meanwhile (L1).
    list: Arc<MemberList>,
    /// The length at which ended members are removed, so that they stay fewer than the others.
    prune_at: usize,
}

type MemberList = BTreeMap<u64, Weak<Connection>>;

/// The treatment of a connection whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlowPeers {
    /// The connection is closed with 1008.
    Close,
    /// The connection misses the message.
    Skip,
}

impl Group {
    /// Makes an empty group that closes members which fall behind: with 1008 and the reason "too
    /// slow", which overtakes the queue. The member's [`on_error`](WebSocket::on_error) gets
    /// [`Error::TooSlow`](crate::Error::TooSlow).
    #[must_use]
    pub fn new() -> Self {
        Self::with(SlowPeers::Close)
    }

    /// Makes an empty group in which members that fall behind miss messages and stay: for data that
    /// is soon outdated, such as positions or prices.
    #[must_use]
    pub fn lossy() -> Self {
        Self::with(SlowPeers::Skip)
    }

    fn with(slow_peers: SlowPeers) -> Self {
        Self {
            members: Arc::default(),
            slow_peers,
        }
    }

    /// Adds a connection, of either role. Returns whether it is a member now, also if it was one
    /// before. A connection that has ended is not added.
    pub fn join(&self, ws: &WebSocket) -> bool {
        let connection = ws.connection();
        if connection.has_hung_up() {
            return false;
        }
        lock(&self.members).add(connection);
        // It may have ended meanwhile.
        !connection.has_hung_up()
    }

    /// Removes a connection. Returns whether it was a member. Messages sent to it before still
    /// leave.
    pub fn leave(&self, ws: &WebSocket) -> bool {
        let was_listed = lock(&self.members).remove(ws.id());
        was_listed && !ws.connection().has_hung_up()
    }

    /// Tells whether a connection is a member.
    #[must_use]
    pub fn contains(&self, ws: &WebSocket) -> bool {
        lock(&self.members).list.contains_key(&ws.id()) && !ws.connection().has_hung_up()
    }

    /// Returns the number of members. A member that is closing counts until it has ended.
    #[must_use]
    pub fn len(&self) -> usize {
        current(&self.list()).count()
    }

    /// Tells whether the group has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the members, the oldest connection first. These handles keep no connection open.
    #[must_use]
    pub fn members(&self) -> Vec<WebSocket> {
        current(&self.list())
            .map(|connection| WebSocket::for_callbacks(&connection))
            .collect()
    }

    /// Sends a message to all members. Returns for how many it was queued: not for one that has
    /// fallen behind or is closing. It never waits. The payload is shared, not copied.
    pub fn send(&self, message: impl Into<Message>) -> usize {
        let message = message.into();
        let list = self.list();
        send_to_each(
            list.values().filter_map(Weak::upgrade),
            &message,
            self.slow_peers,
        )
    }

    /// Sends a message to all members except one, such as its author.
    pub fn send_except(&self, ws: &WebSocket, message: impl Into<Message>) -> usize {
        let message = message.into();
        let list = self.list();
        let others = list.iter().filter(|(id, _)| **id != ws.id());
        let others = others.filter_map(|(_, member)| member.upgrade());
        send_to_each(others, &message, self.slow_peers)
    }

    fn list(&self) -> Arc<MemberList> {
        Arc::clone(&lock(&self.members).list)
    }
}

impl Members {
    fn add(&mut self, connection: &Arc<Connection>) {
        let list = Arc::make_mut(&mut self.list);
        if list.len() >= self.prune_at {
            list.retain(|_, member| member.strong_count() > 0);
            self.prune_at = 2 * list.len() + 16;
        }
        list.insert(connection.id, Arc::downgrade(connection));
    }

    /// Removes a member. Returns whether it was in the list.
    fn remove(&mut self, id: u64) -> bool {
        Arc::make_mut(&mut self.list).remove(&id).is_some()
    }
}

/// Returns the members that have not ended. A connection leaves its groups when it gives up its socket.
fn current(list: &MemberList) -> impl Iterator<Item = Arc<Connection>> {
    let connections = list.values().filter_map(Weak::upgrade);
    connections.filter(|connection| !connection.has_hung_up())
}

/// Sends one message to many without waiting, and returns for how many it was queued.
pub(crate) fn send_to_each(
    connections: impl Iterator<Item = Arc<Connection>>,
    message: &Message,
    slow_peers: SlowPeers,
) -> usize {
    connections
        .filter(|connection| send_to(connection, message.clone(), slow_peers))
        .count()
}

fn send_to(connection: &Connection, message: Message, slow_peers: SlowPeers) -> bool {
    match connection
        .outbox
        .send_message(message, Some(Overflow::HandBack))
    {
        Ok(()) => return true,
        Err(error) if error.kind() != SendErrorKind::Full => {}
        Err(_) if slow_peers == SlowPeers::Close => connection.outbox.fail_slow(),
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
            .field("lossy", &(self.slow_peers == SlowPeers::Skip))
            .finish_non_exhaustive()
    }
}
