//! The sending side of a connection: the channel, the pump, the cork, the budget.
//!
//! Who sends, writes: a message goes into the channel, and then the sender *pumps*: if nobody else
//! is writing to this socket just now, it drains the channel into the socket itself, without
//! blocking. If somebody is, that one takes the message along, because it looks for work once more
//! after unlocking. No writer thread, no hand-over, no context switch. A message that finds nothing
//! before it is spared the way through the channel.
//!
//! A socket that takes no more leaves the outbox *stalled*. Then, and that is decided under the
//! lock, somebody waits for it: a sender that waits for room, the connection's own thread that has
//! nothing else to do, or else the background thread.
//!
//! | in | is |
//! |---|---|
//! | `posting`, `room`, `budget` | how a message gets in, or what a full queue does to it |
//! | `channel`, `parcel`, `stream`, `control` | what waits |
//! | `pump`, `filling`, `unsent` | writing it |
//! | `cork` | holding it back for the rest of a burst |
//! | `delivery`, `pings` | telling what became of it |

mod budget;
mod channel;
mod control;
mod cork;
mod delivery;
mod filling;
#[cfg(all(test, loom))]
mod models;
mod parcel;
mod pings;
mod posting;
mod pump;
mod room;
mod stream;
mod sync;
mod unsent;
mod wire;

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::budget::{Budget, Denied};
use self::channel::Channel;
use self::control::ControlLane;
pub(crate) use self::control::Urgency;
pub(crate) use self::cork::Cork;
pub use self::delivery::Delivery;
use self::pings::Pings;
pub(crate) use self::pump::Seal;
use self::pump::{Pump, Spent, Stalled, Turn};
use self::stream::Lane;
pub(crate) use self::stream::Stream;
use self::sync::{AtomicBool, Mutex, Ordering, lock};
pub(crate) use self::wire::{SocketWire, drive_with, uncork_thread};
use crate::protocol::{CloseFrame, Opcode, Role};
use crate::{CloseCode, Config, Counters, DeliveryError, SendErrorKind};

/// Is what the outbox needs of the world below: a socket, and somebody who keeps the time.
pub(crate) trait Wire: Send + Sync + Sized + 'static {
    /// Is what ends a wait for writability before its time.
    type Alarm: Alarm;
    /// Writes as much as is taken without blocking.
    fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Writes what the wire has to say of its own accord, such as TLS does, without blocking.
    fn flush(&self) -> io::Result<()>;
    /// Returns a new alarm, unless the system has none to give.
    fn alarm(&self) -> Option<Arc<Self::Alarm>>;
    /// Blocks until more may be taken, the socket is cut, the alarm rings, or the deadline has
    /// passed.
    fn wait_writable(&self, alarm: Option<&Self::Alarm>, deadline: Option<Instant>);
    /// Wakes whoever reads or waits, and lets the kernel forget what is unsent.
    fn cut(&self);
    /// Wakes them likewise, and leaves what is unsent to the kernel.
    fn hang_up(&self);
    /// Asks the background to resume this outbox when more may be taken.
    fn watch(&self, outbox: &Arc<Outbox<Self>>);
    /// Asks the background to look at this connection by then.
    fn expect(&self, by: Instant);
    /// Asks the background to empty this cork in about a millisecond.
    fn tick(cork: &Arc<Cork<Self>>);
    /// Returns the cork of the reading end that this thread drives, if it drives one.
    fn cork() -> Option<Arc<Cork<Self>>>;
    /// Lets that cork hold an outbox back. Returns false if it must leave now.
    fn hold(outbox: &Arc<Outbox<Self>>) -> bool {
        Self::cork().is_some_and(|cork| cork.hold(outbox))
    }
    /// Tells whether that cork holds back just now.
    fn is_corked() -> bool {
        Self::cork().is_some_and(|cork| cork.is_active())
    }
    /// Returns when a wait of this length ends; `None` where time does not pass.
    fn deadline(timeout: Duration) -> Option<Instant>;
}

/// Wakes the thread that waits with it, also if that begins to wait only then.
pub(crate) trait Alarm: Send + Sync + 'static {
    fn ring(&self);
}

/// Queues what a connection sends, and writes it.
pub(crate) struct Outbox<W> {
    budget: Budget,
    channel: Channel,
    control: ControlLane,
    /// What is shared by streamed messages, once there was one.
    lane: Mutex<Option<sync::Arc<Lane>>>,
    /// Whether fragments wait, or are known not to come any more.
    fragments_waiting: AtomicBool,
    /// The pings of our own, once there was one.
    pings: std::sync::Mutex<Option<Box<Pings>>>,
    /// How many of the budget's messages are none, but barriers.
    barriers: std::sync::atomic::AtomicU64,
    dropped: std::sync::atomic::AtomicU64,
    /// Whether the wire has something to say of its own accord. It is handed over as a control frame
    /// is, so the models leave it out.
    owing: std::sync::atomic::AtomicBool,
    /// Whether a cork holds this outbox.
    corked: AtomicBool,
    /// Whether the pump is stalled, for those who only want to know.
    stalled: AtomicBool,
    pump: Mutex<Pump<W>>,
    config: Arc<Config>,
}

/// Tells the background how the writing goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    /// How often the kernel has taken bytes after it had refused some: each time, the peer made room.
    pub(crate) relieved: u64,
    /// When the kernel last took 64 KiB, while it refuses more.
    pub(crate) stalled_since: Option<Instant>,
    /// When our Close went to the kernel.
    pub(crate) close_left_at: Option<Instant>,
}

/// So long the end waits for who is about to queue something.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// With so much gathered, a cork is no longer worth it.
const CORK_FULL: u64 = 32 << 10;

impl<W: Wire> Outbox<W> {
    pub(crate) fn new(role: Role, config: &Arc<Config>, wire: Arc<W>) -> Arc<Self> {
        Arc::new(Self {
            budget: Budget::new(config),
            channel: Channel::new(),
            control: ControlLane::default(),
            lane: Mutex::default(),
            fragments_waiting: AtomicBool::new(false),
            pings: std::sync::Mutex::default(),
            barriers: std::sync::atomic::AtomicU64::new(0),
            dropped: std::sync::atomic::AtomicU64::new(0),
            owing: std::sync::atomic::AtomicBool::new(false),
            corked: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            pump: Mutex::new(Pump::new(role, wire)),
            config: Arc::clone(config),
        })
    }

    /// Queues a ping or a pong, which overtakes the messages, and lets it leave.
    pub(crate) fn send_control(self: &Arc<Self>, opcode: Opcode, payload: Bytes) {
        self.control.push(opcode, payload);
        self.depart(self.budget.bytes());
    }

    /// Lets leave what the wire has to say of its own accord.
    pub(crate) fn flush_wire(self: &Arc<Self>) {
        self.owing.store(true, Ordering::Release);
        self.pump();
    }

    /// Refuses further messages and queues our Close. Returns whether this call was the first to.
    pub(crate) fn close(self: &Arc<Self>, close: CloseFrame, urgency: Urgency) -> bool {
        let first = self.budget.close();
        if first || urgency == Urgency::Overtaking {
            let code = close.code;
            self.control.close(close, urgency);
            if let Some(lane) = self.lane() {
                // A streamed message that is not finished never will be.
                lane.close();
                self.call_for_fragments();
            }
            if urgency == Urgency::Overtaking {
                self.discard_overtaken(code);
            }
        }
        self.pump();
        first
    }

    /// Throws away at once what a Close will overtake, as that may have to wait for the socket.
    fn discard_overtaken(self: &Arc<Self>, code: CloseCode) {
        let mut spent = Spent::default();
        self.visit(|pump| {
            pump.give_up(DeliveryError::Closed(code));
            self.discard_queued(pump, &mut spent);
        });
        spent.dispose();
    }

    /// Ends the sending side: records why, refuses and discards everything, wakes who waits.
    /// Returns whether this call was the one that did.
    pub(crate) fn seal(self: &Arc<Self>, seal: Seal) -> bool {
        let mut spent = Spent::default();
        let mut pump = lock(&self.pump);
        let sealed = self.seal_locked(&mut pump, seal, &mut spent);
        drop(pump);
        // L1: payloads are dropped where no lock is held.
        spent.dispose();
        self.pump();
        sealed
    }

    /// Counts a message that a policy has dropped.
    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many bytes of payload are queued and not with the kernel.
    pub(crate) fn buffered(&self) -> u64 {
        self.budget.bytes() + self.lane().map_or(0, |lane| lane.bytes())
    }

    /// Counts what became of the messages that were sent.
    pub(crate) fn counters(self: &Arc<Self>) -> Counters {
        let mut counters = self.visit(|pump| {
            // In this order: a barrier is reserved before it is counted.
            let barriers = self.barriers.load(Ordering::Acquire);
            Counters {
                messages_out: pump.delivered,
                bytes_out: pump.taken,
                queued_messages: self.budget.messages().saturating_sub(barriers),
                undelivered: pump.undelivered,
                ..Counters::default()
            }
        });
        counters.queued_bytes = self.buffered();
        counters.dropped = self.dropped.load(Ordering::Relaxed);
        counters
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.budget.is_closing()
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.budget.is_sealed()
    }

    /// Returns our Close once it is on its way.
    pub(crate) fn closed_with(&self) -> Option<CloseFrame> {
        self.control.closed_with()
    }

    /// Waits, once it is sealed, for those who took their place before that and have not used it yet:
    /// what they queue comes to nothing as well. They wait for nobody; only the system may have kept
    /// them from running.
    pub(crate) fn wait_deserted(self: &Arc<Self>) {
        if self.budget.messages() > 0 {
            self.pump();
            self.budget.wait_empty(W::deadline(STRAGGLERS));
        }
    }

    /// Takes the record of why it was sealed.
    pub(crate) fn take_seal(self: &Arc<Self>) -> Option<Seal> {
        self.visit(|pump| pump.seal.replace(Seal::Finished))
    }

    pub(crate) fn writing(self: &Arc<Self>) -> Writing {
        self.visit(|pump| Writing {
            relieved: pump.relieved,
            stalled_since: pump.stall.map(|stall| stall.since),
            close_left_at: pump.close_left_at,
        })
    }

    /// Tells whether the socket takes no more just now; a hint for who is about to sleep.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Acquire)
    }

    /// Promises to wait for writability, if the outbox is stalled, and to
    /// [end polling](Self::end_polling) then.
    pub(crate) fn begin_polling(self: &Arc<Self>) -> Option<Arc<W>> {
        self.visit(|pump| {
            pump.stall?;
            pump.pollers += 1;
            pump.wire.clone()
        })
    }

    /// Pumps after a wait for writability, or hands the wait on if that is not `writable`.
    pub(crate) fn end_polling(self: &Arc<Self>, writable: bool) {
        let mut pump = lock(&self.pump);
        pump.pollers -= 1;
        let turn = self.turn(
            pump,
            if writable {
                Stalled::Retry
            } else {
                Stalled::Leave
            },
        );
        self.look_again_after(turn);
    }

    /// Writes until our Close has left or the connection is sealed; a peer that does not read is
    /// the write deadline's.
    pub(crate) fn flush_close(self: &Arc<Self>) {
        loop {
            let turn = self.turn(lock(&self.pump), Stalled::Leave);
            if !matches!(turn, Turn::Stalled) {
                return self.look_again_after(turn);
            }
            if let Some(wire) = self.begin_polling() {
                wire.wait_writable(None, None);
                self.end_polling(true);
            }
        }
    }

    /// Pumps for the background after its wait for writability, which ends by that; a still
    /// stalled outbox asks for a new one.
    pub(crate) fn resume(self: &Arc<Self>) {
        let mut pump = lock(&self.pump);
        pump.watched = false;
        if pump.pollers > 0 {
            return;
        }
        let turn = self.turn(pump, Stalled::Retry);
        self.look_again_after(turn);
    }

    /// Lets what was queued leave: at once, or with the rest of the burst while this thread has
    /// more input at hand.
    fn depart(self: &Arc<Self>, queued: u64) {
        if queued >= CORK_FULL || !W::hold(self) {
            self.pump();
        }
    }

    fn lane(&self) -> Option<sync::Arc<Lane>> {
        lock(&self.lane).clone()
    }

    /// Tells whether this thread is writing a streamed message, behind which nothing else moves.
    fn is_streaming_here(&self) -> bool {
        self.lane()
            .is_some_and(|lane| lane.is_written_by_this_thread())
    }

    /// Tells those who wait for anything but room in the queue that it will not come.
    fn give_up_waiting(&self, why: DeliveryError) {
        if let Some(pings) = &mut *crate::sync::lock(&self.pings) {
            pings.give_up(why);
        }
        if let Some(lane) = self.lane() {
            lane.seal();
        }
    }
}

impl Denied {
    fn into_kind(self) -> SendErrorKind {
        match self {
            Self::Closing => SendErrorKind::Closed,
            Self::Full => SendErrorKind::Full,
        }
    }
}
