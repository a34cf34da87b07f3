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
#[cfg(all(test, loom))]
mod models;
mod sync;
mod unsent;
mod wire;

use std::io::{self, IoSlice};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use log::error;

use self::budget::{Budget, Denied, Place, weight};
use self::channel::Channel;
use self::control::ControlLane;
pub(crate) use self::control::Urgency;
pub(crate) use self::cork::Cork;
use self::sync::{AtomicBool, Mutex, MutexGuard, Ordering, fence, lock, try_lock};
use self::unsent::{Released, Unsent};
pub(crate) use self::wire::{SocketWire, drive_with, uncork_thread};
use crate::protocol::{CloseFrame, Encoder, Opcode, Role};
use crate::{CloseCode, Config, Message, SendError, SendErrorKind, Timeout};

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
    /// Whether the wire has something to say of its own accord. It is handed over as a control frame
    /// is, so the models leave it out.
    owing: std::sync::atomic::AtomicBool,
    /// Whether a cork holds this outbox.
    corked: AtomicBool,
    /// Whether the pump is stalled, for those who only want to know.
    stalled: AtomicBool,
    pump: Mutex<Pump<W>>,
    write_timeout: Duration,
    close_timeout: Duration,
}

/// Is what only the holder of the lock touches.
struct Pump<W> {
    /// Given up at the seal: a kept handle keeps no socket.
    wire: Option<Arc<W>>,
    encoder: Encoder,
    unsent: Unsent,
    stall: Option<Stall>,
    /// How many threads wait for writability and will pump then.
    pollers: usize,
    /// Whether the background waits for writability.
    watched: bool,
    /// Whether our Close is encoded: nothing follows it (L5).
    closed: bool,
    taken: u64,
    close_left_at: Option<Instant>,
    seal: Option<Seal>,
}

/// Is the time in which the kernel takes too little.
#[derive(Clone, Copy)]
struct Stall {
    since: Instant,
    taken: u64,
}

/// Says why nothing leaves any more.
#[derive(Debug)]
pub(crate) enum Seal {
    /// Both Close frames were seen, or our failure was told: nothing is left to say.
    Finished,
    /// The connection was lost without a Close frame.
    Lost(Option<io::Error>),
    /// A deadline passed.
    Timeout(Timeout),
    /// The program asked for it.
    Aborted,
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

/// Says what a turn does with a stalled outbox: somebody waits for it already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stalled {
    Leave,
    Retry,
}

/// Says how far a turn at the pump came.
enum Turn {
    Idle,
    Stalled,
    Sealed,
}

/// So much progress restarts the write deadline.
const PROGRESS: u64 = 64 << 10;
/// So much beyond what was queued at its start a turn writes for others.
const FAIR_SHARE: u64 = 256 << 10;
/// With so much gathered, a cork is no longer worth it.
const CORK_FULL: u64 = 32 << 10;

impl<W: Wire> Outbox<W> {
    pub(crate) fn new(role: Role, config: &Config, wire: Arc<W>) -> Arc<Self> {
        Arc::new(Self {
            budget: Budget::new(config),
            channel: Channel::new(),
            control: ControlLane::default(),
            owing: std::sync::atomic::AtomicBool::new(false),
            corked: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            pump: Mutex::new(Pump::new(role, wire)),
            write_timeout: config.write_timeout,
            close_timeout: config.close_timeout,
        })
    }

    /// Queues a message, waiting for room at most `write_timeout`, and lets it leave.
    pub(crate) fn send(self: &Arc<Self>, message: Message) -> Result<(), SendError> {
        let queued = self.queue(message)?;
        self.depart(queued);
        Ok(())
    }

    /// Queues messages as [`send`](Self::send) does, and lets them leave together.
    pub(crate) fn send_all(
        self: &Arc<Self>,
        mut messages: impl Iterator<Item = Message>,
    ) -> Result<(), SendError> {
        // What was queued leaves also if the program's iterator panics.
        let _departing = Departing(self);
        messages.try_for_each(|message| self.queue(message).map(drop))
    }

    /// Queues a message if there is room, and lets it leave.
    pub(crate) fn try_send(self: &Arc<Self>, message: Message) -> Result<(), SendError> {
        let weight = weight(&message);
        let queued = match self.reserve_now(weight) {
            Ok(queued) => queued,
            Err(denied) => return Err(denied.into_error(message)),
        };
        self.channel.push(message);
        self.depart(queued);
        Ok(())
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
            self.control.close(close, urgency);
        }
        self.pump();
        first
    }

    /// Ends the sending side: records why, refuses and discards everything, wakes who waits.
    /// Returns whether this call was the one that did.
    pub(crate) fn seal(self: &Arc<Self>, seal: Seal) -> bool {
        let mut spent = Vec::new();
        let mut pump = lock(&self.pump);
        let sealed = self.seal_locked(&mut pump, seal, &mut spent);
        drop(pump);
        // L1: payloads are dropped where no lock is held.
        dispose(spent);
        self.pump();
        sealed
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
        self.look_again_after(&turn);
    }

    /// Writes until our Close has left or the connection is sealed; a peer that does not read is
    /// the write deadline's.
    pub(crate) fn flush_close(self: &Arc<Self>) {
        loop {
            let turn = self.turn(lock(&self.pump), Stalled::Leave);
            if !matches!(turn, Turn::Stalled) {
                return self.look_again_after(&turn);
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
        self.look_again_after(&turn);
    }

    /// Writes what waits to be written, unless somebody else is writing: that one takes it along.
    pub(crate) fn pump(self: &Arc<Self>) {
        // What this thread queued is visible to whoever unlocks after this, and looks again.
        fence(Ordering::SeqCst);
        while let Some(pump) = try_lock(&self.pump) {
            let turn = self.turn(pump, Stalled::Leave);
            if !self.needs_another(&turn) {
                return;
            }
        }
    }

    /// Takes the lock for something else than writing. Who came meanwhile found it taken and left
    /// its work behind.
    fn visit<R>(self: &Arc<Self>, visit: impl FnOnce(&mut Pump<W>) -> R) -> R {
        let result = visit(&mut lock(&self.pump));
        self.look_again_after(&Turn::Idle);
        result
    }

    fn look_again_after(self: &Arc<Self>, turn: &Turn) {
        if self.needs_another(turn) {
            self.pump();
        }
    }

    /// Looks for work that came while the lock was held. A stalled outbox has somebody who waits.
    fn needs_another(&self, turn: &Turn) -> bool {
        if matches!(turn, Turn::Stalled) {
            return false;
        }
        fence(Ordering::SeqCst);
        let frames = || self.control.has_work(|| self.budget.messages());
        let owing = || self.owing.load(Ordering::Acquire);
        !self.channel.is_empty() || (!self.is_sealed() && (frames() || owing()))
    }

    /// Lets what was queued leave: at once, or with the rest of the burst while this thread has
    /// more input at hand.
    fn depart(self: &Arc<Self>, queued: u64) {
        if queued >= CORK_FULL || !W::hold(self) {
            self.pump();
        }
    }

    /// Reserves room and queues, waiting if need be; returns the bytes now queued.
    fn queue(self: &Arc<Self>, message: Message) -> Result<u64, SendError> {
        let weight = weight(&message);
        let queued = match self.reserve_now(weight) {
            Err(Denied::Full) => self.wait_for_room(weight),
            other => other.map_err(Denied::into_kind),
        };
        match queued {
            Ok(queued) => {
                self.channel.push(message);
                Ok(queued)
            }
            Err(kind) => Err(SendError::new(kind, Some(message))),
        }
    }

    /// Reserves room; who finds none pumps first.
    fn reserve_now(self: &Arc<Self>, weight: u64) -> Result<u64, Denied> {
        match self.budget.reserve(weight) {
            Err(Denied::Full) => {
                if let Some(cork) = W::cork() {
                    cork.uncork();
                }
                self.pump();
                self.budget.reserve(weight)
            }
            other => other,
        }
    }

    /// Stands in line. The first in line waits for the socket itself and pumps.
    fn wait_for_room(self: &Arc<Self>, weight: u64) -> Result<u64, SendErrorKind> {
        let deadline = W::deadline(self.write_timeout);
        let place = self.budget.line_up();
        loop {
            match place.reserve(weight) {
                Err(Denied::Full) => {}
                other => return other.map_err(Denied::into_kind),
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(SendErrorKind::Timeout);
            }
            if !(place.leads() && self.wait_leading(&place, deadline)) {
                place.wait(weight, deadline);
            }
        }
    }

    /// Waits until a stalled outbox has moved or is closing; returns false at once if it is not
    /// stalled.
    fn wait_leading(self: &Arc<Self>, place: &Place<'_>, deadline: Option<Instant>) -> bool {
        let Some(wire) = self.begin_polling() else {
            return false;
        };
        let alarm = wire.alarm();
        if place.ring_when_closing(alarm.clone().map(|alarm| alarm as Arc<dyn Alarm>)) {
            wire.wait_writable(alarm.as_deref(), deadline);
        }
        self.end_polling(true);
        true
    }

    /// Writes until nothing is left or the socket takes no more, and unlocks.
    fn turn(self: &Arc<Self>, mut pump: MutexGuard<'_, Pump<W>>, stalled: Stalled) -> Turn {
        let mut spent = Vec::new();
        let turn = if pump.stall.is_some() && stalled == Stalled::Leave {
            Turn::Stalled
        } else {
            self.drain(&mut pump, &mut spent)
        };
        if matches!(turn, Turn::Stalled) {
            self.hand_over(&mut pump);
        }
        drop(pump);
        // L1: payloads are dropped where no lock is held.
        dispose(spent);
        turn
    }

    fn drain(&self, pump: &mut Pump<W>, spent: &mut Vec<Message>) -> Turn {
        let end = pump.taken + self.budget.bytes() + FAIR_SHARE;
        while let Some(wire) = pump.wire.clone() {
            if pump.unsent.is_empty() {
                self.fill(pump, spent);
            }
            let owing =
                self.owing.load(Ordering::Acquire) && self.owing.swap(false, Ordering::AcqRel);
            if pump.unsent.is_empty() && !owing {
                self.end_stall(pump);
                pump.unsent.rest();
                return Turn::Idle;
            }
            let written = if pump.unsent.is_empty() {
                wire.flush().map(|()| 0)
            } else {
                // What is owed leaves with it.
                pump.unsent.write(&*wire)
            };
            match written {
                Ok(length) => self.advance(pump, length, spent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.owing.fetch_or(owing, Ordering::AcqRel);
                    self.begin_stall(pump, &wire);
                    return Turn::Stalled;
                }
                Err(error) => drop(self.seal_locked(pump, Seal::Lost(Some(error)), spent)),
            }
            if pump.taken > end {
                // A flood of others' is not this caller's to write: handed on as if the socket
                // were full.
                self.begin_stall(pump, &wire);
                return Turn::Stalled;
            }
        }
        self.discard_queued(spent);
        Turn::Sealed
    }

    /// Encodes what may leave next: control frames, messages, and a Close behind what was reserved
    /// before it.
    fn fill(&self, pump: &mut Pump<W>, spent: &mut Vec<Message>) {
        let Pump {
            unsent, encoder, ..
        } = pump;
        self.control
            .take(|opcode, payload| unsent.push_control(encoder, opcode, &payload));
        self.fill_close(pump, |_| false);
        if pump.closed {
            // L5: nothing is written after a Close.
            self.discard_queued(spent);
            return;
        }
        while pump.unsent.has_room() {
            let Some(message) = self.channel.pop() else {
                break;
            };
            spent.extend(pump.unsent.push_message(&mut pump.encoder, message));
        }
        // A large payload is yet to follow its header: what is encoded now would stand inside it.
        if pump.unsent.has_room() {
            self.fill_close(pump, |unsent| unsent.messages() == self.budget.messages());
        }
    }

    fn fill_close(&self, pump: &mut Pump<W>, drained: impl FnOnce(&Unsent) -> bool) {
        if let Some(close) = self.control.take_close(|| drained(&pump.unsent)) {
            // RFC 6455, section 7.1.5: 1005 stands for a Close without a code, and is never sent.
            let without_code = close.code == CloseCode::NO_STATUS;
            let payload = if without_code {
                Vec::new()
            } else {
                close.to_payload()
            };
            pump.unsent
                .push_control(&mut pump.encoder, Opcode::Close, &payload);
            pump.closed = true;
        }
    }

    fn advance(&self, pump: &mut Pump<W>, length: usize, spent: &mut Vec<Message>) {
        let (mut bytes, mut messages, mut close_left) = (0, 0, false);
        pump.unsent.advance(length, |released| match released {
            Released::Message(weight) => {
                bytes += weight;
                messages += 1;
            }
            Released::Control => {}
            Released::Close => close_left = true,
        });
        spent.extend(pump.unsent.take_spent());
        pump.taken += length as u64;
        if messages > 0 {
            self.budget.release(bytes, messages);
        }
        if close_left {
            self.note_close_left(pump);
        }
        pump.note_progress();
    }

    /// L5: the time in which the peer may answer begins when our Close is with the kernel.
    fn note_close_left(&self, pump: &mut Pump<W>) {
        let now = Instant::now();
        pump.close_left_at = Some(now);
        if let Some(wire) = &pump.wire {
            wire.expect(now + self.close_timeout);
        }
    }

    fn begin_stall(&self, pump: &mut Pump<W>, wire: &W) {
        if pump.stall.is_none() {
            let now = Instant::now();
            pump.stall = Some(Stall {
                since: now,
                taken: pump.taken,
            });
            self.stalled.store(true, Ordering::Release);
            wire.expect(now + self.write_timeout);
        }
    }

    fn end_stall(&self, pump: &mut Pump<W>) {
        if pump.stall.take().is_some() {
            self.stalled.store(false, Ordering::Release);
        }
    }

    /// Leaves a stalled outbox to somebody who waits for writability: never to nobody.
    fn hand_over(self: &Arc<Self>, pump: &mut Pump<W>) {
        if pump.pollers > 0 || pump.watched {
            return;
        }
        if let Some(wire) = &pump.wire {
            wire.watch(self);
            pump.watched = true;
        }
    }

    fn seal_locked(&self, pump: &mut Pump<W>, seal: Seal, spent: &mut Vec<Message>) -> bool {
        let Some(wire) = pump.wire.take() else {
            return false;
        };
        if !matches!(seal, Seal::Finished) {
            wire.cut();
        }
        pump.seal = Some(seal);
        self.budget.seal();
        self.end_stall(pump);
        spent.extend(pump.unsent.discard(|released| {
            if let Released::Message(weight) = released {
                self.budget.release(weight, 1);
            }
        }));
        self.discard_queued(spent);
        true
    }

    /// Takes out what will not be written any more; whoever unlocks drops it.
    fn discard_queued(&self, spent: &mut Vec<Message>) {
        while let Some(message) = self.channel.pop() {
            self.budget.release(weight(&message), 1);
            spent.push(message);
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

/// Drops payloads, each by itself: what an owner's `Drop` throws must neither end this thread, which
/// may be anybody's, nor meet the next one's.
fn dispose(spent: Vec<Message>) {
    for message in spent {
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(message)));
        if let Err(panic) = dropped {
            error!("a payload panicked when it was dropped");
            mem::forget(panic);
        }
    }
}

impl<W> Pump<W> {
    fn new(role: Role, wire: Arc<W>) -> Self {
        Self {
            wire: Some(wire),
            encoder: Encoder::new(role),
            unsent: Unsent::default(),
            stall: None,
            pollers: 0,
            watched: false,
            closed: false,
            taken: 0,
            close_left_at: None,
            seal: None,
        }
    }

    /// Lets the write deadline start again after enough progress.
    fn note_progress(&mut self) {
        if let Some(stall) = &mut self.stall {
            if self.taken - stall.taken >= PROGRESS {
                *stall = Stall {
                    since: Instant::now(),
                    taken: self.taken,
                };
            }
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

    fn into_error(self, message: Message) -> SendError {
        SendError::new(self.into_kind(), Some(message))
    }
}
