//! Waiting for a connection: for its end, and for the peer to take what was sent.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::thread::on_connection_thread;
use super::{Connection, ReadingFacts};
use crate::protocol::Role;
use crate::sync::{Ordering, lock, wait};
use crate::{CloseCode, CloseEvent, WaitError};

impl Connection {
    /// Waits until the peer has confirmed everything that was sent before.
    pub(crate) fn confirm(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        if self.is_driven_here() && on_connection_thread() {
            return Err(WaitError::WouldDeadlock);
        }
        match self.outbox.confirm(deadline) {
            // This thread is the one that would read the answer.
            Err(WaitError::Timeout) if self.is_driven_here() => Err(WaitError::WouldDeadlock),
            other => other,
        }
    }

    /// Tells whether the program reads, unless a thread of the connection has taken over.
    fn is_read_by_program(&self) -> bool {
        let handed_over = &self.reading.handed_over;
        self.role == Role::Client || handed_over.load(Ordering::Relaxed)
    }

    fn is_driven_here(&self) -> bool {
        lock(&self.reading_end).driver == Some(thread::current().id())
    }

    /// Waits for the end, after `on_close` has returned.
    pub(crate) fn wait_finished(&self, deadline: Option<Instant>) -> Result<CloseEvent, WaitError> {
        if !self.is_own() {
            // The connection ends in another process.
            return Err(WaitError::WouldDeadlock);
        }
        let this = thread::current().id();
        let mut watch = ReadingWatch {
            visits: 0,
            since: Instant::now(),
        };
        let mut end = lock(&self.reading_end);
        end.is_awaited = true;
        loop {
            if let Some(event) = self.event() {
                return Ok(event);
            }
            let now = Instant::now();
            let ours = end.driver == Some(this);
            if ours && on_connection_thread() {
                return Err(WaitError::WouldDeadlock);
            }
            let mut until = deadline;
            // A server's own thread drives its connection after the handler.
            let may_be_left = ours || self.is_read_by_program();
            if may_be_left && !self.reading.stays() {
                let Some(next_look) = watch.look(&self.reading, now) else {
                    return Err(WaitError::WouldDeadlock);
                };
                until = Some(deadline.map_or(next_look, |deadline| deadline.min(next_look)));
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Err(WaitError::Timeout);
            }
            end = wait(&self.ended, end, until);
        }
    }

    /// Waits until the socket is given up. `on_error` and `on_close` may be still to come.
    fn wait_hung_up(&self, deadline: Instant) {
        let mut end = lock(&self.reading_end);
        end.is_awaited = true;
        while !end.has_hung_up && Instant::now() < deadline {
            end = wait(&self.ended, end, Some(deadline));
        }
    }
}

/// The time for which a wait for the end goes on while no thread reads: the thread that will read
/// may not have begun.
const UNDRIVEN: Duration = Duration::from_secs(5);

/// A watch that a thread keeps while it waits for the end, to see whether any thread reads.
struct ReadingWatch {
    visits: u64,
    since: Instant,
}

impl ReadingWatch {
    /// Returns when to look again, or `None` if no thread has read for too long.
    fn look(&mut self, reading: &ReadingFacts, now: Instant) -> Option<Instant> {
        let visits = reading.visits.load(Ordering::Relaxed);
        let is_inside = visits % 2 == 1;
        if is_inside || visits != self.visits {
            *self = Self { visits, since: now };
        }
        let patience = self.since + UNDRIVEN;
        (now < patience).then_some(patience)
    }
}

/// The token that the handles of a client's connection share, or of one that a server's program has
/// taken: when the last of them is dropped, the connection closes.
pub(crate) struct CloseOnDrop(Arc<Connection>);

impl CloseOnDrop {
    pub(crate) fn new(connection: &Arc<Connection>) -> Arc<Self> {
        Arc::new(Self(Arc::clone(connection)))
    }
}

impl Drop for CloseOnDrop {
    /// Closes with 1000. At a client it waits for the closing handshake, at most `close_timeout`:
    /// otherwise a script that ends would lose the messages it has sent. A server's connection has a
    /// thread that ends it.
    fn drop(&mut self) {
        let connection = &self.0;
        if !connection.is_own() {
            return;
        }
        if connection.event().is_none() && !connection.outbox.is_cut() {
            connection.close(CloseCode::NORMAL, "");
            connection.limit_closing();
        }
        let is_servers = connection.role == Role::Server;
        let may_wait = !is_servers && !thread::panicking() && !on_connection_thread();
        if !may_wait || connection.outbox.is_cut() {
            return;
        }
        let patience = connection.config.close_timeout + Duration::from_secs(1);
        connection.wait_hung_up(Instant::now() + patience);
        // An `on_close` that waits for this very thread, such as for a lock that it holds, is not
        // waited for any longer.
        let _ = connection.wait_finished(Some(Instant::now() + ON_CLOSE_GRACE));
    }
}

/// The time for which the drop of the last handle waits for `on_close` beyond the closing handshake.
const ON_CLOSE_GRACE: Duration = Duration::from_millis(250);
