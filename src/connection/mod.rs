//! A connection: what its handles, its reading end and the background share.
//!
//! Its files, from the top down: each names only those behind it.
//!
//! - `waiting`: waiting for the end of a connection, and for sent messages to arrive
//! - `reader`: the loop that reads, decodes and calls back; its parts are its `input`, its `calls` of
//!   callbacks and its `ending`
//! - `closing`: how a connection fails and ends
//! - `thread`: the threads that drive connections
//! - `mod`, this file: the connection itself
//! - `data`: the values that the program has given it
//! - `callbacks`: the slots that hold callbacks
//! - `handshake`: the opening handshake under its deadlines, before there is a connection
//! - `answer_deadline`: the deadline of a server's answer
//! - `recv_patience`: how long a read waits for a message

pub(crate) mod answer_deadline;
pub(crate) mod callbacks;
mod closing;
mod data;
pub(crate) mod handshake;
pub(crate) mod reader;
mod recv_patience;
pub(crate) mod thread;
mod waiting;

use std::sync::{Arc, OnceLock, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use self::callbacks::Callbacks;
use self::data::Data;
pub(crate) use self::recv_patience::Patience;
pub(crate) use self::waiting::CloseOnDrop;
use crate::background::{Deadlines, Facts, Timed, Timer, Verdict};
use crate::close::CloseEvent;
use crate::handshake::Negotiated;
use crate::life::CloseCause;
use crate::outbox::{Compressor, Outbox, SocketWire};
use crate::process::Process;
use crate::protocol::{CloseFrame, Role};
use crate::record::debug;
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, lock};
use crate::transport::{Ready, Socket};
use crate::{Address, CloseCode, Config, Counters, TimeLimit, Timeout};

/// The state of one connection that its handles, its reading end and the background share.
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) role: Role,
    owner: Process,
    pub(crate) negotiated: Negotiated,
    pub(crate) peer_addr: Address,
    pub(crate) local_addr: Address,
    pub(crate) outbox: Arc<Outbox<SocketWire>>,
    /// Boxed, and so are the deadlines: a large value that is built on a stack and then moved
    /// touches stack pages that the thread never gives back.
    pub(crate) callbacks: Box<Callbacks>,
    pub(crate) data: Data,
    pub(crate) reading: ReadingFacts,
    pub(crate) config: Arc<Config>,
    pub(crate) timer: Arc<Timer>,
    /// A weak reference, for looks: a handle that the program keeps does not keep the socket.
    socket: Weak<Socket>,
    deadlines: Box<Mutex<Deadlines>>,
    /// The time of a cut that no activity of the program delays, and the deadline's name.
    end_by: Mutex<Option<(Instant, Timeout)>>,
    reading_end: Mutex<ReadingEnd>,
    /// Notified when the socket is given up, and again when `on_close` has returned.
    ended: Condvar,
}

/// The progress of the reading end, for threads that wait for the connection's end.
#[derive(Default)]
struct ReadingEnd {
    /// The thread that drives it, or drove it last.
    driver: Option<ThreadId>,
    /// The flag that the socket is given up, and only callbacks are to come. From then on the
    /// connection is in no group.
    has_hung_up: bool,
    /// The flag that a thread has waited for the end. Without it no thread is woken.
    is_awaited: bool,
}

/// The facts that the reading end tells the background.
#[derive(Default)]
pub(crate) struct ReadingFacts {
    /// The flag that the thread sleeps in `recv`, and nothing in the program keeps it from reading.
    pub(crate) asleep: AtomicBool,
    /// The number of bytes received.
    pub(crate) received: AtomicU64,
    /// The number of messages received whole.
    pub(crate) messages: AtomicU64,
    /// The number of the message or frame that is half received; 0 for none.
    pub(crate) mid_message: AtomicU64,
    /// The number of bytes of payload received, reported while a message is half received.
    pub(crate) payload: AtomicU64,
    /// A count that goes up when a thread begins to ask for a message, and when it leaves: odd
    /// while a thread is inside.
    visits: AtomicU64,
    /// The flag that a thread reads to the end.
    stays: AtomicBool,
    /// The flag that the program reads a connection that is no client's by itself: one that a server
    /// has given it, or an end of a pair.
    handed_over: AtomicBool,
}

impl ReadingFacts {
    /// Notes that a thread begins to ask for a message, or leaves again.
    pub(crate) fn count_visit(&self) {
        // One thread at a time has the reading end, so no atomic addition is needed.
        let visits = self.visits.load(Ordering::Relaxed);
        self.visits.store(visits + 1, Ordering::Relaxed);
    }

    /// Notes that a thread has asked for a message and left again.
    #[inline]
    pub(crate) fn count_short_visit(&self) {
        let visits = self.visits.load(Ordering::Relaxed);
        self.visits.store(visits + 2, Ordering::Relaxed);
    }

    /// Notes that from now on a thread reads to the end.
    pub(crate) fn stay(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    /// Leaves the reading to the program.
    pub(crate) fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Relaxed);
    }

    /// Tells whether the reading was left to the program.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Relaxed)
    }

    /// Tells whether a thread reads to the end.
    pub(crate) fn stays(&self) -> bool {
        self.stays.load(Ordering::Relaxed)
    }
}

impl Connection {
    /// Returns a number that no other connection of this process has.
    pub(crate) fn next_id() -> u64 {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        LAST_ID.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes a connection from a socket whose handshake is done. The timer of the handshake's
    /// deadline keeps the connection's deadlines from now on.
    pub(crate) fn open(
        id: u64,
        role: Role,
        socket: &Arc<Socket>,
        config: &Arc<Config>,
        negotiated: Negotiated,
        timer: Arc<Timer>,
    ) -> Arc<Self> {
        let wire = SocketWire {
            id,
            socket: Arc::clone(socket),
            timer: Arc::clone(&timer),
            on_cut: OnceLock::new(),
        };
        let settings = config.compression.as_ref().zip(negotiated.compression);
        let compressor = settings.and_then(|(set, agreed)| Compressor::new(set, &agreed));
        let now = Instant::now();
        let deadlines = Deadlines::new(config, now);
        let by = deadlines.first_look(now).unwrap_or(now + FAR);
        let connection = Arc::new(Self {
            id,
            role,
            owner: Process::this(),
            negotiated,
            peer_addr: socket.peer_addr().clone(),
            local_addr: socket.local_addr().clone(),
            outbox: Outbox::new(role, config, compressor, Arc::new(wire)),
            callbacks: Box::default(),
            data: Data::default(),
            reading: ReadingFacts::default(),
            config: Arc::clone(config),
            timer,
            socket: Arc::downgrade(socket),
            deadlines: Box::new(Mutex::new(deadlines)),
            end_by: Mutex::new(None),
            reading_end: Mutex::default(),
            ended: Condvar::new(),
        });
        let timed = Arc::clone(&connection) as Arc<dyn Timed>;
        connection.timer.hand_over(timed, by);
        debug!(
            "connection {} open: {role:?}, peer {}",
            connection.id, connection.peer_addr
        );
        connection
    }

    /// Tells whether the connection is this process's own. A forked child leaves its parent's
    /// connections alone.
    pub(crate) fn is_own(&self) -> bool {
        self.owner.is_this()
    }

    /// Begins the closing handshake, unless it has begun. What was sent before goes first.
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
        self.outbox.cut(CloseCause::Aborted);
    }

    /// Cuts the connection at `by`, whatever the program does.
    pub(crate) fn end_by(&self, by: Instant, timeout: Timeout) {
        let mut end_by = lock(&self.end_by);
        if end_by.is_none_or(|(before, _)| by < before) {
            *end_by = Some((by, timeout));
        }
        drop(end_by);
        self.timer.wake_by(by);
    }

    /// Bounds the closing handshake by `close_timeout`, whatever the program does. Returns the
    /// deadline.
    pub(crate) fn limit_closing(&self) -> Instant {
        let by = Instant::now() + self.config.close_timeout;
        self.end_by(by, Timeout::Close);
        by
    }

    /// Returns how the connection ended, once `on_close` has returned.
    pub(crate) fn event(&self) -> Option<CloseEvent> {
        self.outbox.event()
    }

    /// Sets the thread that drives the reading end from now on, if there is one.
    pub(crate) fn set_driver(&self, driver: Option<ThreadId>) {
        lock(&self.reading_end).driver = driver;
    }

    /// Tells whether the socket is given up, and only callbacks are to come. The connection is in
    /// no group any more.
    pub(crate) fn has_hung_up(&self) -> bool {
        lock(&self.reading_end).has_hung_up
    }

    /// Returns the counters of both directions.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            messages_in: self.reading.messages.load(Ordering::Relaxed),
            bytes_in: self.reading.received.load(Ordering::Acquire),
            ..self.outbox.counters()
        }
    }

    /// Returns what the socket is ready for: nothing, once it is given up.
    fn look(&self) -> Ready {
        let socket = self.socket.upgrade();
        socket.map_or_else(Ready::default, |socket| socket.look())
    }

    /// Returns the number of bytes received from the peer, with those of TLS itself.
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

/// A time later than any deadline.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

impl Timed for Connection {
    fn check(&self, now: Instant) -> Option<Instant> {
        self.outbox.retry();
        let next = [self.check_deadlines(now), self.outbox.rest_compressor(now)];
        next.into_iter().flatten().min()
    }
}

impl Connection {
    /// Does what is due, and returns when something is due next.
    fn check_deadlines(&self, now: Instant) -> Option<Instant> {
        let mut ready = None;
        while !self.outbox.is_cut() {
            let facts = self.facts(now, ready);
            let verdict = lock(&self.deadlines).check(&facts);
            match verdict {
                Verdict::Wait(next) => return next,
                Verdict::Look => ready = Some(self.look()),
                Verdict::Ping => self.outbox.send_keepalive(),
                Verdict::Close(limit) => self.close_at(limit),
                Verdict::Cut(timeout) => {
                    self.cut_at(timeout, facts.writing.has_failed);
                    // Nothing is due behind it, also where the connection had ended by itself meanwhile
                    // and is not cut any more.
                    return None;
                }
            }
        }
        None
    }

    fn cut_at(&self, timeout: Timeout, has_failed: bool) {
        match timeout {
            Timeout::Pong => self.outbox.cut_silent(),
            // No Close was sent or received: the peer was lost with the failed write.
            Timeout::Close if has_failed => drop(self.outbox.cut(CloseCause::Lost(None))),
            timeout => drop(self.outbox.cut(CloseCause::Timeout(timeout))),
        }
    }
}
