//! Who is connected to a server, from the accepted socket to the end of its thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::opening::Opening;
use crate::sync::lock;
use crate::{CloseCode, WebSocket};

/// Counts the threads, and knows the handshakes and the connections.
#[derive(Default)]
pub(super) struct Roster {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Threads with a socket, the refused ones included.
    threads: usize,
    /// The handshakes under way, the oldest first.
    openings: VecDeque<Arc<Opening>>,
    connections: BTreeMap<u64, Arc<Connection>>,
    /// Whether the accept thread still holds the listener.
    accepting: bool,
    /// When the patience ends, once the server is stopping.
    stop_by: Option<Instant>,
}

/// Is one thread's place on the roster, until dropped.
pub(super) struct Place<'a> {
    roster: &'a Roster,
    opening: Option<Arc<Opening>>,
    connection: Option<u64>,
}

/// So much longer than the stop's deadline its waiter waits, for those who have just been cut.
const GRACE: Duration = Duration::from_millis(500);

impl Roster {
    pub(super) fn connections(&self) -> Vec<WebSocket> {
        let state = lock(&self.state);
        state
            .connections
            .values()
            .map(WebSocket::for_callbacks)
            .collect()
    }

    pub(super) fn connection_count(&self) -> usize {
        lock(&self.state).connections.len()
    }

    pub(super) fn thread_count(&self) -> usize {
        lock(&self.state).threads
    }

    pub(super) fn is_stopping(&self) -> bool {
        lock(&self.state).stop_by.is_some()
    }

    /// Says that the accept thread holds the listener, or has closed it.
    pub(super) fn set_accepting(&self, accepting: bool) {
        lock(&self.state).accepting = accepting;
        self.changed.notify_all();
    }

    /// Counts a thread; its [`Place`] uncounts it.
    pub(super) fn add_thread(&self) {
        lock(&self.state).threads += 1;
    }

    /// Takes over a counted thread.
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            roster: self,
            opening: None,
            connection: None,
        }
    }

    /// Begins the end of everything; the earliest deadline counts.
    pub(super) fn stop(&self, by: Instant) {
        let mut state = lock(&self.state);
        let by = state.stop_by.map_or(by, |before| before.min(by));
        state.stop_by = Some(by);
        let openings: Vec<_> = state.openings.iter().cloned().collect();
        let connections: Vec<_> = state.connections.values().cloned().collect();
        drop(state);
        self.changed.notify_all();
        openings.iter().for_each(|opening| opening.interrupt());
        connections
            .iter()
            .for_each(|connection| go_away(connection, by));
    }

    /// Waits until the listener is closed and no thread is left, and returns who is stuck.
    pub(super) fn wait_empty(&self) -> Vec<WebSocket> {
        let mut state = lock(&self.state);
        while state.accepting || state.threads > 0 || state.stop_by.is_none() {
            let deadline = state.stop_by.map(|by| by + GRACE);
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            state = crate::sync::wait(&self.changed, state, deadline);
        }
        state
            .connections
            .values()
            .map(WebSocket::for_callbacks)
            .collect()
    }
}

impl Place<'_> {
    /// Enters a handshake. At the limit, the oldest one under way is cut.
    pub(super) fn enter_opening(&mut self, opening: &Arc<Opening>, limit: usize) {
        let mut state = lock(&self.roster.state);
        let oldest = if state.openings.len() >= limit {
            state.openings.pop_front()
        } else {
            None
        };
        state.openings.push_back(Arc::clone(opening));
        let stopping = state.stop_by.is_some();
        drop(state);
        self.opening = Some(Arc::clone(opening));
        if let Some(oldest) = oldest {
            oldest.cut();
        }
        if stopping {
            opening.interrupt();
        }
    }

    /// Ends the handshake.
    pub(super) fn leave_opening(&mut self) {
        if let Some(opening) = self.opening.take() {
            let mut state = lock(&self.roster.state);
            state
                .openings
                .retain(|entered| !Arc::ptr_eq(entered, &opening));
        }
    }

    /// Enters a connection.
    pub(super) fn enter_connection(&mut self, connection: &Arc<Connection>) {
        self.connection = Some(connection.id);
        let mut state = lock(&self.roster.state);
        state
            .connections
            .insert(connection.id, Arc::clone(connection));
        let stop_by = state.stop_by;
        drop(state);
        if let Some(by) = stop_by {
            go_away(connection, by);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave_opening();
        let mut state = lock(&self.roster.state);
        let left = self.connection.and_then(|id| state.connections.remove(&id));
        state.threads -= 1;
        drop(state);
        drop(left);
        self.roster.changed.notify_all();
    }
}

fn go_away(connection: &Connection, by: Instant) {
    connection.close(CloseCode::GOING_AWAY, "");
    connection.end_by(by);
}
