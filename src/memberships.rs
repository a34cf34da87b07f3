//! Who is in which group, kept on both sides: a connection knows its groups, and leaves them all
//! when it ends; a group knows its members, to send to them.
//!
//! A connection's lock comes before a group's, and joining and leaving hold both, so that the two
//! sides agree whenever the connection's lock is free.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Weak};

use crate::connection::Connection;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// Is a connection's side.
#[derive(Default)]
pub(crate) struct Memberships(Mutex<Joined>);

#[derive(Default)]
struct Joined {
    /// A connection keeps no group alive.
    groups: BTreeMap<u64, Weak<Members>>,
    /// Whether the connection has ended, and joins nothing any more.
    retired: bool,
}

/// Is a group's side.
pub(crate) struct Members {
    id: u64,
    /// Shared with those who are sending to it just now: they hold no lock meanwhile (L1).
    list: Mutex<Arc<MemberList>>,
}

/// Holds the members by their ids, so the oldest connection first.
pub(crate) type MemberList = BTreeMap<u64, Arc<Connection>>;

impl Memberships {
    /// Leaves all groups for good.
    // Not inlined: what it needs of the stack, a connection that only sleeps would need too.
    #[inline(never)]
    pub(crate) fn retire(&self, id: u64) {
        let mut joined = lock(&self.0);
        joined.retired = true;
        let groups = mem::take(&mut joined.groups);
        let left: Vec<_> = groups
            .into_values()
            .filter_map(|group| group.upgrade())
            .map(|group| (group.strike(id), group))
            .collect();
        drop(joined);
        // One of them may have lost its last handle meanwhile: its drop takes other locks.
        drop(left);
    }
}

impl Joined {
    /// Forgets a group; tells whether it was there.
    fn forget(&mut self, group: u64) -> bool {
        let was_there = self.groups.remove(&group).is_some();
        if self.groups.is_empty() {
            // An emptied map keeps its memory, a new one has none.
            self.groups = BTreeMap::new();
        }
        was_there
    }
}

impl Members {
    pub(crate) fn new() -> Arc<Self> {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed) + 1,
            list: Mutex::default(),
        })
    }

    /// Returns who is a member just now.
    pub(crate) fn list(&self) -> Arc<MemberList> {
        Arc::clone(&lock(&self.list))
    }

    /// Adds a connection, unless it has ended; tells whether it is a member now.
    pub(crate) fn add(self: &Arc<Self>, connection: &Arc<Connection>) -> bool {
        let mut joined = lock(&connection.memberships.0);
        if joined.retired {
            return false;
        }
        let before = joined.groups.insert(self.id, Arc::downgrade(self));
        if before.is_none() {
            Arc::make_mut(&mut lock(&self.list)).insert(connection.id, Arc::clone(connection));
        }
        true
    }

    /// Removes a connection; tells whether it was a member.
    pub(crate) fn remove(&self, connection: &Connection) -> bool {
        let mut joined = lock(&connection.memberships.0);
        let was_member = joined.forget(self.id);
        let struck = if was_member {
            self.strike(connection.id)
        } else {
            None
        };
        drop(joined);
        drop(struck);
        was_member
    }

    /// Strikes a member off the list; whoever unlocks drops it.
    fn strike(&self, id: u64) -> Option<Arc<Connection>> {
        Arc::make_mut(&mut lock(&self.list)).remove(&id)
    }
}

impl Drop for Members {
    /// Leaves nothing behind in connections that live on.
    fn drop(&mut self) {
        for connection in self.list().values() {
            lock(&connection.memberships.0).forget(self.id);
        }
    }
}
