//! The connections of a server, each from the accepted socket to the end of its thread.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::incoming::Intake;
use super::stop_report::{StopReport, StuckThread};
use crate::connection::Connection;
use crate::connection::handshake::Opening;
use crate::outbox::{OpenBurst, SocketWire, send_to_many};
use crate::sync::lock;
use crate::{Counters, Message, ServerCounters, SlowPeers, Timeout, WebSocket};

/// The threads, the handshakes and the connections of a server.
#[derive(Default)]
pub(super) struct Connections {
    state: Mutex<State>,
    changed: Condvar,
    /// The way to the program, if it takes the connections one by one.
    intake: Option<Intake>,
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
    /// The connections that have ended since the stop began.
    stopped: Vec<WebSocket>,
    /// The flag that the accept thread still holds the listener.
    accepting: bool,
    /// The flag that no newcomers are accepted any more.
    closed: bool,
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
/// have just been cut. It is counted in steps, of which a standstill of the process takes one.
const GRACE: Duration = Duration::from_millis(500);
const GRACE_STEPS: u32 = 10;

impl Connections {
    pub(super) fn new(intake: Option<Intake>) -> Self {
        Self {
            intake,
            ..Self::default()
        }
    }

    pub(super) fn intake(&self) -> Option<&Intake> {
        self.intake.as_ref()
    }

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

    pub(super) fn is_stopping(&self) -> bool {
        lock(&self.state).stop_by.is_some()
    }

    /// Tells whether newcomers are accepted no more.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.state).is_closed()
    }

    /// Waits for this time, or until newcomers are accepted no more. It needs no descriptor.
    pub(super) fn pause(&self, length: Duration) {
        let until = Instant::now() + length;
        let mut state = lock(&self.state);
        while !state.is_closed() && Instant::now() < until {
            state = crate::sync::wait(&self.changed, state, Some(until));
        }
    }

    /// Sets whether the accept thread holds the listener.
    pub(super) fn set_accepting(&self, accepting: bool) {
        let mut state = lock(&self.state);
        state.accepting = accepting;
        let is_drained = state.is_drained();
        drop(state);
        self.changed.notify_all();
        self.close_intake(is_drained);
    }

    /// Counts a thread, unless a limit is reached: `most` threads in all, or those that the quota
    /// grants an address. The thread's [`Registration`] uncounts it.
    ///
    /// # Errors
    /// Returns the limit.
    pub(super) fn add_thread(
        &self,
        most: usize,
        quota: Option<(IpAddr, usize)>,
    ) -> Result<(), String> {
        let mut state = lock(&self.state);
        if state.threads >= most {
            return Err(format!("{most} is the limit"));
        }
        if let Some((address, limit)) = quota {
            let threads = state.per_ip.entry(address).or_default();
            if *threads >= limit {
                // A limit of zero must not leave an entry.
                state.forget_unused(address);
                return Err(format!("{limit} for {address} is the limit"));
            }
            *threads += 1;
        }
        state.threads += 1;
        Ok(())
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

    /// Accepts no more newcomers. Everything else goes on.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let is_drained = state.is_drained();
        drop(state);
        self.changed.notify_all();
        self.close_intake(is_drained);
    }

    /// Ends the way to the program, if no handshake can lead there any more.
    fn close_intake(&self, is_drained: bool) {
        if let Some(intake) = self.intake.as_ref().filter(|_| is_drained) {
            intake.close();
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
        self.close_intake(true);
        openings.iter().for_each(|opening| opening.interrupt(by));
        connections
            .iter()
            .for_each(|connection| go_away(connection, by));
    }

    /// Waits until the listener is closed and no thread is left, and returns what has become of the
    /// connections.
    pub(super) fn wait_empty(&self) -> StopReport {
        let mut state = lock(&self.state);
        let (mut step_end, mut steps) = (None, 0);
        while state.accepting || state.threads > 0 || !state.is_closed() {
            let now = Instant::now();
            if step_end.or(state.stop_by).is_some_and(|end| now >= end) {
                if steps == GRACE_STEPS {
                    break;
                }
                steps += 1;
                step_end = Some(now + GRACE / GRACE_STEPS);
            }
            let until = step_end.or(state.stop_by);
            state = crate::sync::wait(&self.changed, state, until);
        }
        let opening = state.openings.iter();
        let mut stuck: Vec<_> = opening
            .map(|(id, opening)| StuckThread::of_opening(*id, opening))
            .collect();
        stuck.extend(state.connections.values().map(StuckThread::of_connection));
        stuck.sort_by_key(StuckThread::id);
        let stopped = state.stopped.clone();
        drop(state);
        StopReport::new(stopped, stuck)
    }
}

impl State {
    fn is_closed(&self) -> bool {
        self.closed || self.stop_by.is_some()
    }

    /// Tells whether no handshake is under way, and none can begin.
    fn is_drained(&self) -> bool {
        self.is_closed() && !self.accepting && self.threads == self.connections.len()
    }

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

    /// Counts down for an address.
    fn uncount(&mut self, address: IpAddr) {
        if let Some(threads) = self.per_ip.get_mut(&address) {
            *threads -= 1;
        }
        self.forget_unused(address);
    }

    /// Removes an address without threads, so that the map does not grow.
    fn forget_unused(&mut self, address: IpAddr) {
        if self.per_ip.get(&address) == Some(&0) {
            self.per_ip.remove(&address);
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
        let (stop_by, is_drained) = (state.stop_by, state.is_drained());
        drop(state);
        self.connections.close_intake(is_drained);
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
        if state.stop_by.is_some() {
            let stopped = entered.as_ref().map(WebSocket::for_callbacks);
            state.stopped.extend(stopped);
        }
        state.ended += counted.unwrap_or_default();
        state.threads -= 1;
        if let Some(address) = self.counts_for {
            state.uncount(address);
        }
        // A waiting thread needs only the end of the last thread, and only once nobody comes.
        let is_last = state.threads == 0 && state.is_closed();
        let is_drained = state.is_drained();
        drop(state);
        self.connections.close_intake(is_drained);
        drop(entered);
        if is_last {
            self.connections.changed.notify_all();
        }
    }
}

fn go_away(connection: &Connection, by: Instant) {
    let config = &connection.config;
    connection.close(config.stop_code, &config.stop_reason);
    connection.end_by(by, Timeout::Stop);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads count for their address until they end; an address with none is forgotten. A limit that
    /// is reached counts nobody.
    #[test]
    fn threads_are_counted_for_their_address() {
        let connections = Connections::default();
        let [one, other] = ["192.0.2.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let counts = || {
            let state = lock(&connections.state);
            let of = |address| state.per_ip.get(&address).copied();
            (state.threads, of(one), of(other))
        };
        let registrations = [Some(one), Some(other), Some(one), None].map(|counts_for| {
            let quota = counts_for.map(|address| (address, 2));
            connections.add_thread(4, quota).unwrap();
            connections.register(0, counts_for)
        });
        assert_eq!(counts(), (4, Some(2), Some(1)));
        assert_eq!(
            connections.add_thread(4, None).unwrap_err(),
            "4 is the limit"
        );
        let limit = connections.add_thread(5, Some((one, 2))).unwrap_err();
        assert_eq!(limit, "2 for 192.0.2.1 is the limit");
        let limit = connections.add_thread(5, Some((IpAddr::from([9; 4]), 0)));
        assert_eq!(limit.unwrap_err(), "0 for 9.9.9.9 is the limit");
        assert_eq!(counts(), (4, Some(2), Some(1)));
        drop(registrations);
        assert_eq!(counts(), (0, None, None));
        assert!(lock(&connections.state).per_ip.is_empty());
    }
}
