//! The connections of a server, each from the accepted socket to the end of its thread.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::stop_report::StuckThread;
use crate::connection::Connection;
use crate::connection::handshake::Opening;
use crate::outbox::{OpenBurst, SocketWire, send_to_many};
use crate::sync::lock;
use crate::{CloseCode, Counters, Message, ServerCounters, SlowPeers, Timeout};

/// The threads, the handshakes and the connections of a server.
#[derive(Default)]
pub(super) struct Connections {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of threads with a socket, those of refused connections included.
    threads: usize,
    /// The number of these threads that count for an address.
    per_ip: HashMap<IpAddr, usize>,
    /// The handshakes, the oldest first, until their threads have ended or the connection is open.
    openings: BTreeMap<u64, Arc<Opening>>,
    /// The handshakes that waited for their peer when the limit was last checked, and all newer
    /// ones.
    reading: BTreeMap<u64, Arc<Opening>>,
    connections: BTreeMap<u64, Arc<Connection>>,
    /// The burst to all connections that is being gathered.
    burst: OpenBurst<SocketWire>,
    /// The traffic of connections that have ended.
    ended: Counters,
    opened: u64,
    refused: u64,
    /// The flag that the accept thread still holds the listener.
    accepting: bool,
    /// The deadline of the stop, once the server is stopping.
    stop_by: Option<Instant>,
}

/// One thread among the connections. Its drop ends the thread's count.
pub(super) struct Registration<'a> {
    id: u64,
    connections: &'a Connections,
    counts_for: Option<IpAddr>,
    is_opening: bool,
    connection: Option<Arc<Connection>>,
}

/// The number of handshakes that are looked at to find one to cut.
const MOST_LOOKS: usize = 64;
/// The time for which a wait for the stop goes on after its deadline, for threads whose sockets
/// have just been cut.
const GRACE: Duration = Duration::from_millis(500);

impl Connections {
    pub(super) fn list(&self) -> Vec<Arc<Connection>> {
        lock(&self.state).connections.values().cloned().collect()
    }

    /// Sends a message to all connections without waiting. Returns for how many it was queued.
    pub(super) fn send(&self, message: &Message) -> usize {
        let (open, changes) = lock(&self.state).burst.get(None);
        if let Some(queued) = open.and_then(|burst| burst.push(message)) {
            return queued;
        }
        let connections = self.list().into_iter();
        let outboxes = connections.map(|connection| Arc::clone(&connection.outbox));
        let (queued, begun) = send_to_many(outboxes, message, SlowPeers::Close);
        if let Some(burst) = begun {
            lock(&self.state).burst.set(&burst, None, changes);
        }
        queued
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.state).connections.len()
    }

    /// Counts a connection that was refused.
    pub(super) fn count_refused(&self) {
        lock(&self.state).refused += 1;
    }

    pub(super) fn counters(&self) -> ServerCounters {
        let state = lock(&self.state);
        let open: Vec<_> = state.connections.values().cloned().collect();
        let mut counters = ServerCounters {
            open: open.len(),
            opened: state.opened,
            refused: state.refused,
            traffic: state.ended,
        };
        drop(state);
        for connection in open {
            counters.traffic += connection.counters();
        }
        counters
    }

    pub(super) fn thread_count(&self) -> usize {
        lock(&self.state).threads
    }

    pub(super) fn is_stopping(&self) -> bool {
        lock(&self.state).stop_by.is_some()
    }

    /// Waits for this time, or until the server stops. It needs no descriptor.
    pub(super) fn pause(&self, length: Duration) {
        let until = Instant::now() + length;
        let mut state = lock(&self.state);
        while state.stop_by.is_none() && Instant::now() < until {
            state = crate::sync::wait(&self.changed, state, Some(until));
        }
    }

    /// Sets whether the accept thread holds the listener.
    pub(super) fn set_accepting(&self, accepting: bool) {
        lock(&self.state).accepting = accepting;
        self.changed.notify_all();
    }

    /// Returns how many threads count for an address.
    pub(super) fn threads_of(&self, address: IpAddr) -> usize {
        lock(&self.state).per_ip.get(&address).copied().unwrap_or(0)
    }

    /// Counts a thread; its [`Registration`] uncounts it.
    pub(super) fn add_thread(&self, counts_for: Option<IpAddr>) {
        let mut state = lock(&self.state);
        state.threads += 1;
        if let Some(address) = counts_for {
            *state.per_ip.entry(address).or_default() += 1;
        }
    }

    /// Takes over a counted thread, under the id that its connection has.
    pub(super) fn register(&self, id: u64, counts_for: Option<IpAddr>) -> Registration<'_> {
        Registration {
            id,
            connections: self,
            counts_for,
            is_opening: false,
            connection: None,
        }
    }

    /// Begins the stop of all connections and handshakes. The earliest deadline counts.
    pub(super) fn stop(&self, by: Instant) {
        let mut state = lock(&self.state);
        let by = state.stop_by.map_or(by, |before| before.min(by));
        state.stop_by = Some(by);
        let openings: Vec<_> = state.openings.values().cloned().collect();
        let connections: Vec<_> = state.connections.values().cloned().collect();
        drop(state);
        self.changed.notify_all();
        openings.iter().for_each(|opening| opening.interrupt(by));
        connections
            .iter()
            .for_each(|connection| go_away(connection, by));
    }

    /// Waits until the listener is closed and no thread is left, and returns the threads that are
    /// stuck.
    pub(super) fn wait_empty(&self) -> Vec<StuckThread> {
        let mut state = lock(&self.state);
        while state.accepting || state.threads > 0 || state.stop_by.is_none() {
            let deadline = state.stop_by.map(|by| by + GRACE);
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            state = crate::sync::wait(&self.changed, state, deadline);
        }
        let opening = state.openings.iter();
        let mut stuck: Vec<_> = opening
            .map(|(id, opening)| StuckThread::of_opening(*id, opening))
            .collect();
        stuck.extend(state.connections.values().map(StuckThread::of_connection));
        stuck.sort_by_key(StuckThread::id);
        stuck
    }
}

impl State {
    /// Returns how many handshakes must be cut to make room for one more, and the oldest ones.
    fn find_excess(&mut self, limit: usize) -> (usize, Vec<Arc<Opening>>) {
        if self.reading.len() < limit {
            return (0, Vec::new());
        }
        self.reading.retain(|_, opening| opening.is_awaited());
        let excess = (self.reading.len() + 1).saturating_sub(limit);
        let looks = if excess == 0 { 0 } else { MOST_LOOKS };
        (excess, self.reading.values().take(looks).cloned().collect())
    }

    /// Counts down for an address, and removes one without threads, so that the map does not grow.
    fn uncount(&mut self, address: IpAddr) {
        if let Entry::Occupied(mut threads) = self.per_ip.entry(address) {
            *threads.get_mut() -= 1;
            if *threads.get() == 0 {
                threads.remove();
            }
        }
    }
}

impl Registration<'_> {
    /// Adds a handshake. At the limit of handshakes whose request has not come, the oldest that
    /// waits for its peer is cut.
    pub(super) fn enter_opening(&mut self, opening: &Arc<Opening>, limit: usize) {
        let mut state = lock(&self.connections.state);
        let (excess, oldest) = state.find_excess(limit);
        state.openings.insert(self.id, Arc::clone(opening));
        state.reading.insert(self.id, Arc::clone(opening));
        let stop_by = state.stop_by;
        drop(state);
        self.is_opening = true;
        let cut = oldest.iter().filter(|opening| opening.cut_waiting());
        cut.take(excess).for_each(drop);
        if let Some(by) = stop_by {
            opening.interrupt(by);
        }
    }

    /// Ends the handshake.
    pub(super) fn leave_opening(&mut self) {
        if mem::take(&mut self.is_opening) {
            let mut state = lock(&self.connections.state);
            let left = state.openings.remove(&self.id);
            let read = state.reading.remove(&self.id);
            drop(state);
            drop((left, read));
        }
    }

    /// Adds a connection.
    pub(super) fn enter_connection(&mut self, connection: &Arc<Connection>) {
        self.connection = Some(Arc::clone(connection));
        let mut state = lock(&self.connections.state);
        state.burst.end();
        state
            .connections
            .insert(connection.id, Arc::clone(connection));
        state.opened += 1;
        let stop_by = state.stop_by;
        drop(state);
        if let Some(by) = stop_by {
            go_away(connection, by);
        }
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.leave_opening();
        let left = self.connection.take();
        let counted = left.as_ref().map(|connection| connection.counters());
        let mut state = lock(&self.connections.state);
        if left.is_some() {
            state.burst.end();
        }
        let entered = left.and_then(|connection| state.connections.remove(&connection.id));
        state.ended += counted.unwrap_or_default();
        state.threads -= 1;
        if let Some(address) = self.counts_for {
            state.uncount(address);
        }
        // A waiting thread needs only the end of the last thread, and only once the server stops.
        let is_last = state.threads == 0 && state.stop_by.is_some();
        drop(state);
        drop(entered);
        if is_last {
            self.connections.changed.notify_all();
        }
    }
}

fn go_away(connection: &Connection, by: Instant) {
    connection.close(CloseCode::GOING_AWAY, "");
    connection.end_by(by, Timeout::Stop);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads count for their address until they end; an address with none is forgotten.
    #[test]
    fn threads_are_counted_for_their_address() {
        let connections = Connections::default();
        let [one, other] = ["192.0.2.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let registrations = [Some(one), Some(other), Some(one), None].map(|counts_for| {
            connections.add_thread(counts_for);
            connections.register(0, counts_for)
        });
        assert_eq!(
            (connections.threads_of(one), connections.threads_of(other)),
            (2, 1)
        );
        assert_eq!(connections.thread_count(), 4);
        drop(registrations);
        assert_eq!(
            (connections.threads_of(one), connections.threads_of(other)),
            (0, 0)
        );
        assert_eq!(connections.thread_count(), 0);
        assert!(lock(&connections.state).per_ip.is_empty());
    }
}
