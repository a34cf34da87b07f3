//! The sending side of a connection.
//!
//! An [`Outbox`] has two parts. Its *queue* lies behind one short lock: the connection's state, the
//! waiting messages, the senders that wait for room, and the writer while no thread has it. The
//! *writer* is a value: an encoder, a write buffer and a wire. A sender takes the lock, is
//! admitted, queues its message, takes the writer if it is there, and unlocks. It writes without
//! blocking. It takes the lock again, counts what has left, and takes more or puts the writer back.
//! If the writer is not there, another thread is writing, and looks into the queue under the same
//! lock before putting the writer back, so no message is left behind. There is no writer thread, no
//! hand-over and no context switch.
//!
//! A message that finds nothing before it, and that no cork is to hold, never enters the queue:
//! `send_message` -> `take_writer_for` -> `write_message` -> `Writer::write_whole` -> `settle_alone`.
//! All others go `admit_or_wait` -> `drive` -> `Writer::write` -> `settle`.
//!
//! An unfinished write leaves the queue *stalled*: the socket takes no more, or the turn of the writing
//! thread is over. One thread then waits for the socket and writes on. Which one is decided under the
//! lock: the connection's own thread if it has nothing else to do, a sender that waits for room, or
//! else the background.
//!
//! | files | about |
//! |---|---|
//! | `send`, `stream` | how a message is admitted, and what a full queue does to it |
//! | `queue`, of `budget`, `channel`, `control`, `stream_lane`, `waiting_senders`, `outgoing`, `pings`, `split` | the waiting messages and frames, and the rules for them |
//! | `drive`, `writer`, `frame` | writing them |
//! | `compressor` | compressing them, by the thread that writes |
//! | `after_unlock` | the tasks of a rule for after the lock |
//! | `cork` | holding messages back for the rest of a burst |
//! | `burst`, of `gathered`, `framing`, `frames`, `look_ahead` | messages to many: framed and compressed once, and gathered once for all |
//! | `delivery` | the outcome of a message |
//! | `ending` | the end of the sending |

mod after_unlock;
mod budget;
mod burst;
mod channel;
mod compressor;
mod control;
mod cork;
mod delivery;
mod disposal;
mod drive;
mod ending;
mod frame;
mod frames;
mod framing;
mod gathered;
mod look_ahead;
#[cfg(all(test, loom))]
mod models;
mod outgoing;
mod pings;
mod queue;
mod send;
mod split;
mod stream;
mod stream_lane;
mod sync;
mod unsent;
mod waiting_senders;
mod wire;
mod writer;

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub(crate) use self::burst::{Burst, OpenBurst, send_to_many};
pub(crate) use self::compressor::Compressor;
use self::control::Urgency;
pub(crate) use self::cork::Cork;
pub use self::delivery::Delivery;
use self::drive::{CLOSING, CUT, STALLED};
pub(crate) use self::ending::Rest;
use self::framing::Framing;
pub(crate) use self::look_ahead::upgrade_each;
pub(crate) use self::pings::EndBehindPing;
use self::queue::{Queue, Seat};
pub(crate) use self::stream_lane::Stream;
use self::sync::{AtomicU8, Condvar, Mutex, MutexGuard, Ordering, has_passed, lock};
pub(crate) use self::wire::{Leaving, SocketWire, drive_with, uncork_thread};
use self::writer::{COMPRESSOR_REST, Writer};
use crate::background::Writing;
use crate::protocol::{Encoder, Opcode, Role};
use crate::{Config, Counters, Overflow, WaitError};

/// The part of a wire that takes bytes. Without blocking, all of it.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Writes as many bytes as are taken without blocking.
    fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Writes the wire's own bytes, such as TLS's records, without blocking.
    fn flush(&self) -> io::Result<()>;
    /// Tells whether the wire will soon take no more, as TLS at the end of its keys.
    fn nears_key_limit(&self) -> bool {
        false
    }
    /// Tells whether it belongs to this process, which may be a child that was forked while it was
    /// open.
    fn is_own(&self) -> bool {
        true
    }
}

/// The outbox's view of the world below: a socket, and the background.
pub(crate) trait Wire: Send + Sync + Sized + 'static {
    type Sink: Sink;

    /// Returns the part that takes bytes. Writers keep it beside the wire: one that writes to many
    /// connections in turn finds nothing of them in the processor's cache, and each reference costs it
    /// a wait for memory.
    fn sink(self: &Arc<Self>) -> Arc<Self::Sink>;
    /// Blocks until more may be taken, or the socket is cut.
    fn wait_writable(&self);
    /// Waits likewise, but for a moment at most. Returns whether the wire takes bytes.
    fn wait_a_moment(&self) -> bool {
        false
    }
    /// Cuts the wire, and wakes the threads that read or wait for the socket.
    fn cut(&self, rest: Rest);
    /// Asks the background to resume this outbox when more may be taken.
    fn watch(&self, outbox: &Arc<Outbox<Self>>);
    /// Asks the background to look at this connection by this time.
    fn wake_by(&self, by: Instant);
    /// Asks the background to empty this cork in about a millisecond.
    fn tick(cork: &Arc<Cork<Self>>);
    /// Tells whether the reading end that this thread drives has more input at hand, so that
    /// messages may wait for those that it leads to.
    fn is_gathering() -> bool;
    /// Holds an outbox back by a cork of this thread: that of the reading end if it is active, or
    /// else one for the messages that the program is about to give.
    fn hold(outbox: &Arc<Outbox<Self>>);
    /// Holds a burst to many back by the cork of this thread.
    fn hold_burst(burst: &Arc<Burst<Self>>);
    /// Lets all messages leave that this thread's corks hold.
    fn uncork();
    /// Returns when a wait of this length ends; `None` if time does not pass.
    fn deadline(timeout: Duration) -> Option<Instant>;
}

/// A connection's sending side.
pub(crate) struct Outbox<W: Wire> {
    framing: Framing,
    queue: Mutex<Queue<W>>,
    /// Notified of each change of the queue, while a thread observes it.
    moved: Condvar,
    /// The facts that are asked for too often to lock for them.
    hints: AtomicU8,
    config: Arc<Config>,
}

impl<W: Wire> Outbox<W> {
    pub(crate) fn new(
        role: Role,
        config: &Arc<Config>,
        compressor: Option<Box<Compressor>>,
        wire: Arc<W>,
    ) -> Arc<Self> {
        let framing = Framing::of(role, compressor.as_deref());
        let mut writer = Writer::new(Encoder::new(role), Arc::clone(&wire));
        if let Some(compressor) = compressor {
            writer.compress_with(compressor);
        }
        Arc::new(Self {
            framing,
            queue: Mutex::new(Queue::new(config, writer, wire)),
            moved: Condvar::new(),
            hints: AtomicU8::new(0),
            config: Arc::clone(config),
        })
    }

    /// Takes the lock, and queues first what has been gathered for this connection and others.
    #[inline]
    fn lock_queue(&self) -> MutexGuard<'_, Queue<W>> {
        let mut queue = lock(&self.queue);
        if queue.following.is_some() {
            queue.catch_up();
        }
        queue
    }

    /// Queues a ping or a pong, which overtakes the messages, and lets it leave.
    pub(crate) fn send_control(self: &Arc<Self>, opcode: Opcode, payload: Bytes) {
        let gathering = W::is_gathering();
        let mut queue = self.lock_queue();
        queue.push_control(opcode, payload);
        if gathering {
            return self.hold(queue);
        }
        drop(queue);
        self.write_waiting();
    }

    /// Lets the wire's own bytes leave, and those that have waited for its input.
    pub(crate) fn flush_wire(self: &Arc<Self>) {
        self.write_by(Queue::request_flush);
    }

    /// Gives up the compressor if no message has needed it for some time. Returns when to look again.
    pub(crate) fn rest_compressor(&self, now: Instant) -> Option<Instant> {
        let mut queue = lock(&self.queue);
        let (given_up, next) = match &mut queue.writer {
            Seat::Here(writer) => writer.rest_compressor(now),
            // It is in use. The thread that has it may have loaded a compressor just now.
            Seat::Taken if self.config.compression.is_some() => (None, Some(now + COMPRESSOR_REST)),
            _ => (None, None),
        };
        drop(queue);
        drop(given_up);
        next
    }

    /// Sets the policy of sends for a full queue from now on.
    pub(crate) fn set_overflow(&self, overflow: Overflow) {
        self.lock_queue().overflow = overflow;
    }

    /// Counts a message that a policy has dropped.
    pub(crate) fn count_dropped(&self) {
        self.lock_queue().dropped += 1;
    }

    /// Returns how many bytes of payload are queued and not with the kernel.
    pub(crate) fn buffered(&self) -> u64 {
        self.lock_queue().buffered()
    }

    /// Waits until nothing is queued any more.
    pub(crate) fn wait_drained(
        self: &Arc<Self>,
        deadline: Option<Instant>,
    ) -> Result<(), WaitError> {
        self.write_all_held();
        let mut queue = self.lock_queue();
        if queue.is_streaming_here() {
            return Err(WaitError::WouldDeadlock);
        }
        while queue.budget.places() > 0 {
            if has_passed(deadline) {
                return Err(WaitError::Timeout);
            }
            queue = self.observe(queue, deadline);
        }
        if queue.undelivered > 0 {
            return Err(WaitError::Closed);
        }
        Ok(())
    }

    /// Returns the counters of the sent messages.
    pub(crate) fn counters(&self) -> Counters {
        let queue = self.lock_queue();
        Counters {
            messages_out: queue.delivered,
            bytes_out: queue.taken,
            queued_messages: queue.messages(),
            queued_bytes: queue.buffered(),
            dropped: queue.dropped,
            undelivered: queue.undelivered,
            ..Counters::default()
        }
    }

    pub(crate) fn writing(&self) -> Writing {
        let queue = self.lock_queue();
        Writing {
            relieved: queue.relieved,
            stalled_since: queue.stall.map(|stall| stall.since),
            close_left_at: queue.life.close_left_at(),
            has_failed: queue.life.has_write_failed(),
            delivered: queue.delivered,
            unfinished: queue.messages(),
        }
    }

    /// Tells whether no more messages are admitted.
    pub(crate) fn is_closing(&self) -> bool {
        self.has(CLOSING)
    }

    /// Tells whether input that has arrived is not to be read any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.has(CUT)
    }

    /// Tells whether an unfinished write waits, as the socket takes no more or a turn is over. It is a
    /// hint for a thread that is about to sleep, and then has to write on.
    pub(crate) fn is_stalled(&self) -> bool {
        self.has(STALLED)
    }

    fn has(&self, hint: u8) -> bool {
        self.hints.load(Ordering::Acquire) & hint != 0
    }
}
