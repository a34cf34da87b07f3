//! The sending side of a connection: the channel, the pump, the cork, the budget.
//!
//! Who sends, writes: a message goes into the channel, and then the sender *pumps*: if nobody else
//! is writing to this socket just now, it drains the channel into the socket itself, without
//! blocking. If somebody is, that one takes the message along, because it looks for work once more
//! after unlocking. No writer thread, no hand-over, no context switch.
//!
//! A socket that takes no more leaves the outbox *stalled*. Then, and that is decided under the
//! lock, somebody waits for it: a sender that waits for room, the connection's own thread that has
//! nothing else to do, or else the background thread.

mod budget;
mod channel;
mod control;
mod cork;
mod delivery;
#[cfg(all(test, loom))]
mod models;
mod parcel;
mod pings;
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

use self::budget::{Budget, Denied, Reserved};
use self::channel::Channel;
use self::control::ControlLane;
pub(crate) use self::control::Urgency;
pub(crate) use self::cork::Cork;
pub use self::delivery::Delivery;
use self::delivery::Promise;
use self::parcel::Parcel;
use self::pings::Pings;
pub(crate) use self::pump::Seal;
use self::pump::{Pump, Spent, Stalled, Turn};
use self::stream::Lane;
pub(crate) use self::stream::Stream;
use self::sync::{AtomicBool, Mutex, Ordering, lock};
pub(crate) use self::wire::{SocketWire, drive_with, uncork_thread};
use crate::protocol::{CloseFrame, Opcode, Role};
use crate::{
    CloseCode, Config, Counters, DeliveryError, Message, Overflow, SendError, SendErrorKind,
    WaitError,
};

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
    /// Bytes the kernel has taken so far.
    pub(crate) taken: u64,
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

    /// Queues a message and lets it leave. What a full queue means is said by `overflow`;
    /// [`Close`](Overflow::Close) is the caller's to do when the message comes back.
    pub(crate) fn send(
        self: &Arc<Self>,
        message: Message,
        overflow: Overflow,
    ) -> Result<(), SendError> {
        self.post(Parcel::Message(message), overflow)
            .map_err(into_error)
    }

    /// Queues messages as [`send`](Self::send) does, and lets them leave together.
    pub(crate) fn send_all(
        self: &Arc<Self>,
        mut messages: impl Iterator<Item = Message>,
        overflow: Overflow,
    ) -> Result<(), SendError> {
        // What was queued leaves also if the program's iterator panics.
        let _departing = Departing(self);
        messages.try_for_each(|message| {
            let admitted = self.admit(Parcel::Message(message), overflow);
            if let Some((parcel, _)) = admitted.map_err(into_error)? {
                self.channel.push(parcel);
            }
            Ok(())
        })
    }

    /// Queues a message as [`send`](Self::send) does, and tells what becomes of it.
    pub(crate) fn send_tracked(
        self: &Arc<Self>,
        message: Message,
        overflow: Overflow,
    ) -> Result<Delivery, SendError> {
        let (promise, delivery) = delivery::delivery();
        self.post(Parcel::Tracked(Box::new((message, promise))), overflow)
            .map_err(into_error)?;
        Ok(delivery)
    }

    /// Sends a ping behind what was sent before, and waits for its pong.
    pub(crate) fn confirm(self: &Arc<Self>, deadline: Option<Instant>) -> Result<(), WaitError> {
        let (promise, delivery) = delivery::delivery();
        match self.wait_for_turn(0, deadline) {
            Ok(_) => {
                self.barriers.fetch_add(1, Ordering::Release);
                self.channel.push(Parcel::Barrier(promise));
            }
            Err(SendErrorKind::Timeout) => return Err(WaitError::Timeout),
            Err(SendErrorKind::Full) => return Err(WaitError::WouldDeadlock),
            Err(_) => return Err(WaitError::Closed),
        }
        self.pump();
        match delivery.wait_until(deadline) {
            Ok(()) => Ok(()),
            Err(DeliveryError::Pending) => Err(WaitError::Timeout),
            Err(_) => Err(WaitError::Closed),
        }
    }

    /// Waits until nothing is queued any more.
    pub(crate) fn wait_drained(
        self: &Arc<Self>,
        deadline: Option<Instant>,
    ) -> Result<(), WaitError> {
        if self.is_streaming_here() {
            return Err(WaitError::WouldDeadlock);
        }
        if let Some(cork) = W::cork() {
            cork.uncork();
        }
        self.pump();
        let drained = self.budget.wait_empty(deadline);
        match self.visit(|pump| pump.undelivered) {
            0 if drained => Ok(()),
            0 => Err(WaitError::Timeout),
            _ => Err(WaitError::Closed),
        }
    }

    /// Queues a ping or a pong, which overtakes the messages, and lets it leave.
    pub(crate) fn send_control(self: &Arc<Self>, opcode: Opcode, payload: Bytes) {
        self.control.push(opcode, payload);
        self.depart(self.budget.bytes());
    }

    /// Sends a ping that keeps the connection alive and measures the way to the peer and back.
    pub(crate) fn send_keepalive(self: &Arc<Self>) {
        let payload = self.number_ping(None);
        self.send_control(Opcode::Ping, Bytes::copy_from_slice(&payload));
    }

    /// Takes note of a pong.
    pub(crate) fn note_pong(&self, payload: &[u8]) {
        if let Some(pings) = &mut *crate::sync::lock(&self.pings) {
            pings.answered(payload);
        }
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

    /// Returns what the last answered ping of our own took.
    pub(crate) fn latency(&self) -> Option<Duration> {
        crate::sync::lock(&self.pings).as_ref()?.latency()
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
            taken: pump.taken,
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

    /// Queues a parcel and lets it leave. One that nothing is before need not pass the channel.
    fn post(
        self: &Arc<Self>,
        parcel: Parcel,
        overflow: Overflow,
    ) -> Result<(), (SendErrorKind, Parcel)> {
        match self.admit(parcel, overflow)? {
            Some((parcel, room)) if room.alone && !W::is_corked() => self.write_alone(parcel),
            Some((parcel, room)) => {
                self.channel.push(parcel);
                self.depart(room.bytes);
            }
            None => {}
        }
        Ok(())
    }

    /// Reserves room for a parcel, if there is or will be some. Returns `None` if the policy has dropped
    /// it instead.
    fn admit(
        self: &Arc<Self>,
        parcel: Parcel,
        overflow: Overflow,
    ) -> Result<Option<(Parcel, Reserved)>, (SendErrorKind, Parcel)> {
        let weight = parcel.weight();
        let room = match overflow {
            Overflow::Wait => self.wait_for_turn(weight, W::deadline(self.config.write_timeout)),
            Overflow::DropOldest => self.displace(weight).map_err(Denied::into_kind),
            Overflow::HandBack | Overflow::DropNewest | Overflow::Close => self
                .reserve_now(&self.budget, weight)
                .map_err(Denied::into_kind),
        };
        match room {
            Ok(room) => Ok(Some((parcel, room))),
            Err(SendErrorKind::Full) if overflow == Overflow::DropNewest => {
                self.drop_parcel(parcel);
                Ok(None)
            }
            Err(kind) => Err((kind, parcel)),
        }
    }

    /// Drops a message, as the program's policy says.
    fn drop_parcel(&self, parcel: Parcel) {
        self.count_dropped();
        let mut spent = Spent::default();
        spent.add(parcel.give_up(DeliveryError::Dropped));
        spent.dispose();
    }

    /// Makes the payload of the next ping of our own.
    fn number_ping(&self, barrier: Option<Promise>) -> pings::Payload {
        let mut pings = crate::sync::lock(&self.pings);
        pings
            .get_or_insert_with(|| Box::new(Pings::new()))
            .next(barrier)
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

/// Lets leave what was queued, when dropped.
struct Departing<'a, W: Wire>(&'a Arc<Outbox<W>>);

impl<W: Wire> Drop for Departing<'_, W> {
    fn drop(&mut self) {
        self.0.depart(self.0.budget.bytes());
    }
}

/// Hands the message of a parcel back.
fn into_error((kind, parcel): (SendErrorKind, Parcel)) -> SendError {
    // Nobody holds the other end of what is handed back.
    SendError::new(kind, parcel.give_up(DeliveryError::Dropped))
}

impl Denied {
    fn into_kind(self) -> SendErrorKind {
        match self {
            Self::Closing => SendErrorKind::Closed,
            Self::Full => SendErrorKind::Full,
        }
    }
}
