//! One message to many connections: [`Group`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::connection::Connection;
use crate::outbox::{OpenBurst, Outbox, SocketWire, send_to_many, upgrade_each};
use crate::sync::{Mutex, lock};
use crate::{Message, SlowPeers, WebSocket};

/// A set of connections that get the same messages, such as the people in a room: cheap to
/// clone, safe to share, usable from any thread and any callback. Clones are the same group.
///
/// A connection may be in any number of groups, and leaves them all when it ends, before its
/// [`on_error`](WebSocket::on_error) and [`on_close`](WebSocket::on_close) run: a message that is
/// sent from there goes to the others. A group keeps no connection open, and a connection keeps no
/// group. A group is only memory, without a thread or a descriptor.
///
/// # Who falls behind
/// A group never waits. A member whose queue is full has fallen behind, and [`SlowPeers`] says what
/// happens then: a group from [`new`](Self::new) closes that connection, one from
/// [`with_slow_peers`](Self::with_slow_peers) may leave the message out or drop the oldest instead.
/// So a member that does not read delays no other. How late this is noticed depends on how much the
/// kernel holds for the member: see [`send_buffer`](crate::Config::send_buffer).
///
/// # Cost
/// A message is framed once. The connections of a server get the same bytes, as servers send without
/// a mask. Members that are clients' handles mask it each for itself (RFC 6455, section 5.3). From
/// 16 KiB on the payload is not copied at all for servers' connections. A message is compressed once for
/// all connections that have agreed on the same [`Compression`](crate::Compression) without context
/// takeover; those with takeover compress it each for itself.
///
/// While a callback's input holds more messages, what it sends to the group is gathered once for all
/// members, and leaves as one write to each: at the end of the burst, when 32 KiB have gathered, or
/// within about two milliseconds. Then a further message costs each member nothing but its bytes. A
/// member whose queue has no room for 48 KiB and 256 messages more gets each message by itself
/// meanwhile. Joining, leaving and a message to other members begin a new burst.
///
/// # Order
/// The messages of one thread reach each member in the order of its sends, those to the group and
/// those to the member alone. The messages that several threads send at the same time may reach one
/// member in one order and another member in another. If all members must see the same order, as in
/// a chat with a history, send under a lock of your own: nothing waits here, so the lock is held only
/// while messages are queued.
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
    /// The burst that is being gathered.
    burst: OpenBurst<SocketWire>,
}

type MemberList = BTreeMap<u64, Member>;

#[derive(Clone)]
struct Member {
    connection: Weak<Connection>,
    /// The connection's sending side: a send needs nothing else.
    outbox: Weak<Outbox<SocketWire>>,
}

impl Group {
    /// Makes an empty group that closes members which fall behind, as [`SlowPeers::Close`] says.
    #[must_use]
    pub fn new() -> Self {
        Self::with_slow_peers(SlowPeers::default())
    }

    /// Makes an empty group, and sets what happens to members that fall behind.
    ///
    /// ```
    /// use landline::{Group, SlowPeers};
    ///
    /// let prices = Group::with_slow_peers(SlowPeers::DropOldest);
    /// prices.send("EUR 1.0824");
    /// ```
    #[must_use]
    pub fn with_slow_peers(slow_peers: SlowPeers) -> Self {
        Self {
            members: Arc::default(),
            slow_peers,
        }
    }

    /// Adds a connection, of either role. Returns whether it is a member now, also if it was one
    /// before. A connection that has ended is not added.
    pub fn join(&self, ws: &WebSocket) -> bool {
        self.join_up_to(ws, usize::MAX)
    }

    /// Adds a connection likewise, unless the group has `most` members already: however many threads
    /// add connections at the same time, there are never more. A member that is closing counts until it
    /// has ended.
    ///
    /// ```
    /// # let server = landline::Server::builder().on_upgrade(|_, _| {}).bind("127.0.0.1:0")?;
    /// # let players = [(); 3].map(|()| landline::open(server.url()).unwrap());
    /// let table = landline::Group::new();
    /// let seated = players.each_ref().map(|(ws, _)| table.join_up_to(ws, 2));
    /// assert_eq!(seated, [true, true, false]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_up_to(&self, ws: &WebSocket, most: usize) -> bool {
        let connection = ws.connection();
        if connection.has_hung_up() {
            return false;
        }
        let (is_member, counted) = lock(&self.members).add(connection, most);
        // Not under the lock: they may be the last references (L1).
        drop(counted);
        // It may have ended meanwhile.
        is_member && !connection.has_hung_up()
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
        self.send_to(None, &message.into())
    }

    /// Sends a message to all members except one, such as its author.
    pub fn send_except(&self, ws: &WebSocket, message: impl Into<Message>) -> usize {
        self.send_to(Some(ws.id()), &message.into())
    }

    fn send_to(&self, except: Option<u64>, message: &Message) -> usize {
        let members = lock(&self.members);
        let list = Arc::clone(&members.list);
        let (open, changes) = members.burst.get(except);
        drop(members);
        if let Some(queued) = open.and_then(|burst| burst.push(message)) {
            return queued;
        }
        let others = list.iter().filter(|(id, _)| Some(**id) != except);
        let outboxes = upgrade_each(others.map(|(_, member)| &member.outbox));
        let (queued, begun) = send_to_many(outboxes, message, self.slow_peers);
        if let Some(burst) = begun {
            lock(&self.members).burst.set(&burst, except, changes);
        }
        queued
    }

    fn list(&self) -> Arc<MemberList> {
        Arc::clone(&lock(&self.members).list)
    }
}

impl Members {
    /// Adds a connection unless there are `most` members. Returns whether it is listed now, and the
    /// members that were counted.
    fn add(&mut self, connection: &Arc<Connection>, most: usize) -> (bool, Vec<Arc<Connection>>) {
        if self.list.contains_key(&connection.id) {
            return (true, Vec::new());
        }
        let mut counted = Vec::new();
        if self.list.len() >= most {
            counted.extend(current(&self.list));
        }
        let is_full = most == 0 || counted.len() >= most;
        if !is_full {
            self.insert(connection);
        }
        (!is_full, counted)
    }

    fn insert(&mut self, connection: &Arc<Connection>) {
        self.burst.end();
        let list = Arc::make_mut(&mut self.list);
        if list.len() >= self.prune_at {
            list.retain(|_, member| member.connection.strong_count() > 0);
            self.prune_at = 2 * list.len() + 16;
        }
        let member = Member {
            connection: Arc::downgrade(connection),
            outbox: Arc::downgrade(&connection.outbox),
        };
        list.insert(connection.id, member);
    }

    /// Removes a member. Returns whether it was in the list.
    fn remove(&mut self, id: u64) -> bool {
        if !self.list.contains_key(&id) {
            return false;
        }
        self.burst.end();
        Arc::make_mut(&mut self.list).remove(&id).is_some()
    }
}

/// Returns the members that have not ended. A connection leaves its groups when it gives up its socket.
fn current(list: &MemberList) -> impl Iterator<Item = Arc<Connection>> {
    let connections = list
        .values()
        .filter_map(|member| member.connection.upgrade());
    connections.filter(|connection| !connection.has_hung_up())
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
            .field("slow_peers", &self.slow_peers)
            .finish_non_exhaustive()
    }
}
