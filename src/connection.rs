//! What one connection shares between its threads, and the record of how it ends.

use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use http::Response;

use crate::background::{Deadlines, Facts, Timed, Timer, Verdict};
use crate::callbacks::Callbacks;
use crate::close::CloseEvent;
use crate::ending::Ending;
use crate::life::Cause;
use crate::memberships::Memberships;
use crate::outbox::{Outbox, SocketWire};
use crate::process::Process;
use crate::protocol::{CloseFrame, Role};
use crate::reader::{Reader, on_connection_thread};
use crate::record::debug;
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, lock, wait};
use crate::transport::{Ready, Socket};
use crate::{Address, CloseCode, Config, Counters, Outcome, TimeLimit, Timeout, WaitError};

/// What is shared by everything that belongs to one connection: its handles, its reading end, and the
/// background.
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) role: Role,
    owner: Process,
    pub(crate) agreed: Agreed,
    pub(crate) peer_addr: Address,
    pub(crate) local_addr: Address,
    pub(crate) outbox: Arc<Outbox<SocketWire>>,
    /// Apart, and so are the deadlines: a large value that is built on a stack and then moved costs
    /// each thread pages that it never gives back.
    pub(crate) callbacks: Box<Callbacks>,
    pub(crate) memberships: Memberships,
    pub(crate) reading: Reading,
    pub(crate) config: Arc<Config>,
    pub(crate) timer: Arc<Timer>,
    /// Only to look at: a kept handle keeps no socket.
    socket: Weak<Socket>,
    deadlines: Box<Mutex<Deadlines>>,
    /// When it is cut whatever the program does, and the deadline's name.
    end_by: Mutex<Option<(Instant, Timeout)>>,
    pub(crate) ending: Mutex<Ending>,
    /// Told when the connection has ended, and when its reading end is parked.
    pub(crate) moved: Condvar,
}

/// What the handshake has brought.
#[derive(Default)]
pub(crate) struct Agreed {
    pub(crate) subprotocol: Option<String>,
    /// The server's 101, at a client. Apart: a server's connections have none.
    pub(crate) response: Option<Box<Response<()>>>,
}

/// What the reading end tells the background.
#[derive(Default)]
pub(crate) struct Reading {
    /// Whether the thread sits in `recv`, and nothing the program does keeps it from reading.
    pub(crate) asleep: AtomicBool,
    /// Bytes received so far.
    pub(crate) received: AtomicU64,
    /// Messages received whole so far.
    pub(crate) messages: AtomicU64,
    /// What is half received, by a number of its own; 0 for nothing.
    pub(crate) mid_message: AtomicU64,
    /// Bytes of payload of messages received so far, reported while one is half received.
    pub(crate) payload: AtomicU64,
    /// Goes up when a thread begins to ask for a message, and when it leaves: odd while one is
    /// inside.
    visits: AtomicU64,
    /// Whether a thread reads on to the end.
    stays: AtomicBool,
}

impl Reading {
    /// Says that this thread reads, until the value is dropped.
    pub(crate) fn visit(&self) -> Visit<'_> {
        self.count_visit();
        Visit(self)
    }

    /// Says that from now on a thread reads to the end.
    pub(crate) fn stay(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    /// Tells whether a thread reads to the end.
    pub(crate) fn stays(&self) -> bool {
        self.stays.load(Ordering::Relaxed)
    }

    fn count_visit(&self) {
        // One thread at a time has the reading end: it need not be added in one step.
        let visits = self.visits.load(Ordering::Relaxed);
        self.visits.store(visits + 1, Ordering::Relaxed);
    }
}

/// A thread's time inside the reading end.
pub(crate) struct Visit<'a>(&'a Reading);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.count_visit();
    }
}

/// Watches whether anybody reads, for somebody who waits for the end.
struct ReadingWatch {
    visits: u64,
    since: Instant,
}

impl ReadingWatch {
    /// Returns when to look again whether somebody reads, or `None` if nobody has for too long.
    fn look(&mut self, reading: &Reading, now: Instant) -> Option<Instant> {
        let visits = reading.visits.load(Ordering::Relaxed);
        let is_inside = visits % 2 == 1;
        if is_inside || visits != self.visits {
            *self = Self { visits, since: now };
        }
        let patience = self.since + UNDRIVEN;
        (now < patience).then_some(patience)
    }
}

impl Connection {
    /// Returns a number that no other connection of this process has.
    pub(crate) fn next_id() -> u64 {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        LAST_ID.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes a connection of a socket whose handshake is done. The timer that kept the handshake's
    /// deadline keeps the connection's from now on.
    pub(crate) fn open(
        id: u64,
        role: Role,
        socket: &Arc<Socket>,
        config: &Arc<Config>,
        agreed: Agreed,
        timer: Arc<Timer>,
    ) -> Arc<Self> {
        let wire = SocketWire {
            id,
            socket: Arc::clone(socket),
            timer: Arc::clone(&timer),
        };
        let now = Instant::now();
        let deadlines = Deadlines::new(config, now);
        let by = deadlines.first_look(now).unwrap_or(now + FAR);
        let connection = Arc::new(Self {
            id,
            role,
            owner: Process::this(),
            agreed,
            peer_addr: socket.peer_addr().clone(),
            local_addr: socket.local_addr().clone(),
            outbox: Outbox::new(role, config, Arc::new(wire)),
            callbacks: Box::default(),
            memberships: Memberships::default(),
            reading: Reading::default(),
            config: Arc::clone(config),
            timer,
            socket: Arc::downgrade(socket),
            deadlines: Box::new(Mutex::new(deadlines)),
            end_by: Mutex::new(None),
            ending: Mutex::new(Ending::default()),
            moved: Condvar::new(),
        });
        let timed = Arc::clone(&connection) as Arc<dyn Timed>;
        connection.timer.hand_over(timed, by);
        debug!(
            "connection {} open: {role:?}, peer {}",
            connection.id, connection.peer_addr
        );
        connection
    }

    /// Tells whether it is this process's own: a forked child leaves those of its parent alone.
    pub(crate) fn is_own(&self) -> bool {
        self.owner.is_this()
    }

    /// Waits for the peer to say that it has taken what was sent before.
    pub(crate) fn confirm(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        if self.is_driven_here() && on_connection_thread() {
            return Err(WaitError::WouldDeadlock);
        }
        match self.outbox.confirm(deadline) {
            // Who reads the answer is this very thread.
            Err(WaitError::Timeout) if self.is_driven_here() => Err(WaitError::WouldDeadlock),
            other => other,
        }
    }

    fn is_driven_here(&self) -> bool {
        lock(&self.ending).driver == Some(thread::current().id())
    }

    /// Begins the closing handshake, if nobody has; what was sent before goes first.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> bool {
        self.outbox.close(CloseFrame::cut_to_fit(code, reason))
    }

    /// Begins the closing handshake at a limit that the program has set.
    fn close_at(&self, limit: Timeout) {
        let set = match limit {
            Timeout::Idle => &self.config.idle_timeout,
            _ => &self.config.max_lifetime,
        };
        if let Some(TimeLimit { code, reason, .. }) = set {
            let close = CloseFrame::cut_to_fit(*code, reason);
            self.outbox.close_at_limit(limit, close);
        }
    }

    /// Cuts the connection at once.
    pub(crate) fn abort(&self) {
        self.outbox.cut(Cause::Aborted);
    }

    /// Cuts the connection at `by`, whatever the program does.
    pub(crate) fn end_by(&self, by: Instant, timeout: Timeout) {
        let mut end_by = lock(&self.end_by);
        if end_by.is_none_or(|(before, _)| by < before) {
            *end_by = Some((by, timeout));
        }
        drop(end_by);
        self.timer.expect(by);
    }

    /// Returns how the connection ended, once `on_close` has returned.
    pub(crate) fn event(&self) -> Option<CloseEvent> {
        self.outbox.event()
    }

    /// Leaves the reading end to the server's thread, which drives it to its end; gives it back if
    /// that has left.
    pub(crate) fn park(&self, reader: Box<Reader>) -> Option<Box<Reader>> {
        let mut ending = lock(&self.ending);
        if ending.deserted {
            return Some(reader);
        }
        ending.driver = None;
        ending.parked = Some(reader);
        self.moved.notify_all();
        None
    }

    /// Ends after a server's handler: with 1000, or with its failure. A reading end that the handler
    /// has given to another thread is driven to its end there, or here once that has dropped it.
    pub(crate) fn end(&self, outcome: Outcome) {
        match outcome {
            Ok(()) => drop(self.close(CloseCode::NORMAL, "")),
            Err(failure) => self.fail_callback(failure),
        }
        let by = Instant::now() + self.config.close_timeout;
        self.end_by(by, Timeout::Close);
        if let Some(mut reader) = self.collect(by + Duration::from_secs(1)) {
            reader.run_out();
        }
    }

    /// Waits for the reading end to be parked, or for the end.
    fn collect(&self, deadline: Instant) -> Option<Box<Reader>> {
        let mut ending = lock(&self.ending);
        ending.awaits_end = true;
        while ending.parked.is_none() && self.event().is_none() && Instant::now() < deadline {
            ending = wait(&self.moved, ending, Some(deadline));
        }
        ending.deserted = true;
        ending.parked.take()
    }

    /// Says which thread drives the reading end from now on.
    pub(crate) fn driven_by(&self, thread: ThreadId) {
        lock(&self.ending).driver = Some(thread);
    }

    /// Waits for the end, after `on_close` has returned.
    pub(crate) fn wait_finished(&self, deadline: Option<Instant>) -> Result<CloseEvent, WaitError> {
        if !self.is_own() {
            // Who ends it is in another process.
            return Err(WaitError::WouldDeadlock);
        }
        let this = thread::current().id();
        let mut watch = ReadingWatch {
            visits: 0,
            since: Instant::now(),
        };
        let mut ending = lock(&self.ending);
        ending.awaits_end = true;
        loop {
            if let Some(event) = self.event() {
                return Ok(event);
            }
            let now = Instant::now();
            let ours = ending.driver == Some(this);
            if ours && on_connection_thread() {
                return Err(WaitError::WouldDeadlock);
            }
            let mut until = deadline;
            // A server's thread comes back for its connection.
            let may_be_left = ours || self.role == Role::Client;
            if may_be_left && !self.reading.stays() {
                let Some(next_look) = watch.look(&self.reading, now) else {
                    return Err(WaitError::WouldDeadlock);
                };
                until = Some(deadline.map_or(next_look, |deadline| deadline.min(next_look)));
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Err(WaitError::Timeout);
            }
            ending = wait(&self.moved, ending, until);
        }
    }

    /// Waits until the socket is given up; `on_error` and `on_close` may be to come.
    fn wait_hung_up(&self, deadline: Instant) {
        let mut ending = lock(&self.ending);
        ending.awaits_hang_up = true;
        while !ending.hung_up && Instant::now() < deadline {
            ending = wait(&self.moved, ending, Some(deadline));
        }
    }

    /// Counts what has gone in and out.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            messages_in: self.reading.messages.load(Ordering::Relaxed),
            bytes_in: self.reading.received.load(Ordering::Acquire),
            ..self.outbox.counters()
        }
    }

    /// Tells for what the socket is ready; nothing, once it is given up.
    fn look(&self) -> Ready {
        let socket = self.socket.upgrade();
        socket.map_or_else(Ready::default, |socket| socket.look())
    }

    /// Counts all that the peer has let us hear, with TLS in its own bytes too.
    fn heard(&self) -> u64 {
        let socket = self.socket.upgrade();
        let ciphertext = socket.map_or(0, |socket| socket.ciphertext_received());
        self.reading.received.load(Ordering::Acquire) + ciphertext
    }

    fn facts(&self, now: Instant, ready: Option<Ready>) -> Facts {
        let mid_message = self.reading.mid_message.load(Ordering::Acquire);
        Facts {
            now,
            ready,
            asleep: self.reading.asleep.load(Ordering::Acquire),
            received: self.heard(),
            messages: self.reading.messages.load(Ordering::Relaxed),
            mid_message: Some(mid_message).filter(|number| *number != 0),
            payload: self.reading.payload.load(Ordering::Acquire),
            writing: self.outbox.writing(),
            is_closing: self.outbox.is_closing(),
            end_by: *lock(&self.end_by),
        }
    }
}

/// The time for which a wait for the end goes on while nobody reads: the thread that will may not have begun.
const UNDRIVEN: Duration = Duration::from_secs(5);
/// The time for which the drop of the last handle waits for `on_close` beyond the closing handshake.
const LAST_CALL: Duration = Duration::from_millis(250);
/// A time later than anything that is due.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

impl Timed for Connection {
    fn check(&self, now: Instant) -> Option<Instant> {
        self.outbox.retry();
        let mut ready = None;
        while !self.outbox.is_cut() {
            let facts = self.facts(now, ready);
            let verdict = lock(&self.deadlines).check(&facts);
            match verdict {
                Verdict::Wait(next) => return next,
                Verdict::Look => ready = Some(self.look()),
                Verdict::Ping => self.outbox.send_keepalive(),
                Verdict::Close(limit) => self.close_at(limit),
                Verdict::Cut(Timeout::Pong) => self.outbox.cut_silent(),
                // Nobody has closed: the peer was lost with the write that failed.
                Verdict::Cut(Timeout::Close) if facts.writing.has_failed => {
                    self.outbox.cut(Cause::Lost(None));
                }
                Verdict::Cut(timeout) => {
                    self.outbox.cut(Cause::Timeout(timeout));
                }
            }
        }
        None
    }
}

/// The token that handles of a client share: when the last is gone, the connection closes.
pub(crate) struct Life(pub(crate) Arc<Connection>);

impl Drop for Life {
    /// Closes with 1000 and waits for the closing handshake, at most `close_timeout`: a script
    /// that ends would otherwise lose what it has sent.
    fn drop(&mut self) {
        let connection = &self.0;
        if !connection.is_own() {
            return;
        }
        if connection.event().is_none() && !connection.outbox.is_cut() {
            connection.close(CloseCode::NORMAL, "");
            connection.end_by(
                Instant::now() + connection.config.close_timeout,
                Timeout::Close,
            );
        }
        if thread::panicking() || on_connection_thread() || connection.outbox.is_cut() {
            return;
        }
        let patience = connection.config.close_timeout + Duration::from_secs(1);
        connection.wait_hung_up(Instant::now() + patience);
        // An `on_close` that waits for this very thread, as for a lock that it holds, is not waited
        // for any longer.
        let _ = connection.wait_finished(Some(Instant::now() + LAST_CALL));
    }
}
