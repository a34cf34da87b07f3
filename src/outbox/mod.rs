//! The sending side of a connection.
//!
//! An [`Outbox`] is two things. Its *queue* lies behind one short lock: where the connection stands,
//! what waits, who waits for room, and the writer while nobody has it. The *writer* is a value:
//! encoder, write buffer and wire. Whoever sends locks, is admitted, queues, takes the writer if it
//! is there and unlocks; writes without blocking; locks, counts what has left, and takes more or puts
//! the writer back. A message that is alone is not queued on its way to the writer. If the writer is
//! not there, somebody is writing, and looks under the same lock before putting it back: nothing is
//! left behind. There is no writer thread, no hand-over and no context switch.
//!
//! A socket that takes no more leaves the queue *stalled*. Then somebody waits for it, and that is
//! decided under the lock: the connection's own thread that has nothing else to do, a sender that waits
//! for room, or else the background.
//!
//! | in | is |
//! |---|---|
//! | `send`, `stream` | how a message gets in, or what a full queue does to it |
//! | `queue`, of `budget`, `channel`, `control`, `lane`, `line`, `outgoing`, `pings`, `split` | what waits, and its rules |
//! | `drive`, `writer`, `frame` | writing it |
//! | `aftermath` | what a rule asks to be done after unlocking |
//! | `cork` | holding it back for the rest of a burst |
//! | `delivery` | telling what became of it |
//! | `ending` | how it ends |

mod aftermath;
mod budget;
mod channel;
mod control;
mod cork;
mod delivery;
mod drive;
mod ending;
mod frame;
mod lane;
mod line;
#[cfg(all(test, loom))]
mod models;
mod outgoing;
mod pings;
mod queue;
mod send;
mod split;
mod stream;
mod sync;
mod wire;
mod writer;

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::control::Urgency;
pub(crate) use self::cork::Cork;
pub use self::delivery::Delivery;
use self::drive::{CLOSING, CUT, STALLED};
pub(crate) use self::ending::Rest;
pub(crate) use self::lane::Stream;
pub(crate) use self::pings::EndBehindPing;
use self::queue::Queue;
use self::sync::{AtomicU8, Condvar, Mutex, Ordering, has_passed, lock};
pub(crate) use self::wire::{Leaving, SocketWire, drive_with, uncork_thread};
use self::writer::Writer;
use crate::background::Writing;
use crate::protocol::{Encoder, Opcode, Role};
use crate::{Config, Counters, Overflow, WaitError};

/// The world below, as the outbox needs it: a socket, and somebody who keeps the time.
pub(crate) trait Wire: Send + Sync + Sized + 'static {
    /// Writes as much as is taken without blocking.
    fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Writes what the wire has to say of its own accord, such as TLS does, without blocking.
    fn flush(&self) -> io::Result<()>;
    /// Tells whether it will soon take no more, as TLS does at the end of its keys.
    fn is_worn_out(&self) -> bool {
        false
    }
    /// Tells whether it belongs to this process, which may be a child that was forked with it open.
    fn is_own(&self) -> bool {
        true
    }
    /// Blocks until more may be taken, or the socket is cut.
    fn wait_writable(&self);
    /// Wakes whoever reads or waits for the socket.
    fn cut(&self, rest: Rest);
    /// Asks the background to resume this outbox when more may be taken.
    fn watch(&self, outbox: &Arc<Outbox<Self>>);
    /// Asks the background to look at this connection by then.
    fn expect(&self, by: Instant);
    /// Asks the background to empty this cork in about a millisecond.
    fn tick(cork: &Arc<Cork<Self>>);
    /// Tells whether the reading end that this thread drives has more input at hand, so that what is
    /// sent may wait for what that leads to.
    fn is_corked() -> bool;
    /// Has a cork of this thread hold an outbox back: that of the reading end if it is active, or else
    /// one for what the program is about to give.
    fn hold(outbox: &Arc<Outbox<Self>>);
    /// Lets leave all that this thread's corks hold.
    fn uncork();
    /// Returns when a wait of this length ends; `None` where time does not pass.
    fn deadline(timeout: Duration) -> Option<Instant>;
}

/// A connection's sending side.
pub(crate) struct Outbox<W> {
    queue: Mutex<Queue<W>>,
    /// Told of whatever happens to the queue, while somebody observes it.
    moved: Condvar,
    /// What is asked for too often to lock for it.
    hints: AtomicU8,
    config: Arc<Config>,
}

impl<W: Wire> Outbox<W> {
    pub(crate) fn new(role: Role, config: &Arc<Config>, wire: Arc<W>) -> Arc<Self> {
        let writer = Writer::new(Encoder::new(role), Arc::clone(&wire));
        Arc::new(Self {
            queue: Mutex::new(Queue::new(config, writer, wire)),
            moved: Condvar::new(),
            hints: AtomicU8::new(0),
            config: Arc::clone(config),
        })
    }

    /// Queues a ping or a pong, which overtakes the messages, and lets it leave.
    pub(crate) fn send_control(self: &Arc<Self>, opcode: Opcode, payload: Bytes) {
        let corked = W::is_corked();
        let mut queue = lock(&self.queue);
        queue.push_control(opcode, payload);
        if corked {
            return self.hold(queue);
        }
        drop(queue);
        self.write_waiting();
    }

    /// Lets leave what the wire has to say of its own accord, and what has waited for its input.
    pub(crate) fn flush_wire(self: &Arc<Self>) {
        self.write_by(Queue::owe);
    }

    /// Sets what sends do from now on when the queue is full.
    pub(crate) fn set_overflow(&self, overflow: Overflow) {
        lock(&self.queue).overflow = overflow;
    }

    /// Counts a message that a policy has dropped.
    pub(crate) fn count_dropped(&self) {
        lock(&self.queue).dropped += 1;
    }

    /// Returns how many bytes of payload are queued and not with the kernel.
    pub(crate) fn buffered(&self) -> u64 {
        lock(&self.queue).buffered()
    }

    /// Waits until nothing is queued any more.
    pub(crate) fn wait_drained(
        self: &Arc<Self>,
        deadline: Option<Instant>,
    ) -> Result<(), WaitError> {
        self.let_all_leave();
        let mut queue = lock(&self.queue);
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

    /// Counts what became of the messages that were sent.
    pub(crate) fn counters(&self) -> Counters {
        let queue = lock(&self.queue);
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
        let queue = lock(&self.queue);
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

    /// Tells whether what has arrived is not to be read any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.has(CUT)
    }

    /// Tells whether the socket takes no more just now; a hint for who is about to sleep.
    pub(crate) fn is_stalled(&self) -> bool {
        self.has(STALLED)
    }

    fn has(&self, hint: u8) -> bool {
        self.hints.load(Ordering::Acquire) & hint != 0
    }
}
