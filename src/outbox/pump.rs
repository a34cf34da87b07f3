//! What one thread at a time does for all: encode and write. It holds the lock of the [`Pump`] (L2),
//! and never blocks in that.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use log::error;

use super::channel::Channel;
use super::parcel::Parcel;
use super::stream::Stream;
use super::sync::{MutexGuard, Ordering, fence, lock, try_lock};
use super::unsent::{Released, Unsent};
use super::{Outbox, Wire};
use crate::protocol::{Encoder, Fin, Role};
use crate::{DeliveryError, Message, Timeout};

/// Is what only the holder of the lock touches.
pub(super) struct Pump<W> {
    /// Given up at the seal: a kept handle keeps no socket.
    pub(super) wire: Option<Arc<W>>,
    pub(super) encoder: Encoder,
    pub(super) unsent: Unsent,
    /// What was taken from the channel and has its turn before all that is in there.
    pub(super) ahead: VecDeque<Parcel>,
    /// The streamed message that is being written: what is in the channel waits for its end.
    pub(super) stream: Option<Stream>,
    pub(super) stall: Option<Stall>,
    /// How many threads wait for writability and will pump then.
    pub(super) pollers: usize,
    /// Whether the background waits for writability.
    pub(super) watched: bool,
    /// Whether our Close is encoded: nothing follows it (L5).
    pub(super) closed: bool,
    /// Why what is still queued will not be written.
    unsendable: Option<DeliveryError>,
    /// Whether the kernel has refused bytes and taken none since.
    refused: bool,
    pub(super) relieved: u64,
    pub(super) taken: u64,
    pub(super) delivered: u64,
    pub(super) undelivered: u64,
    pub(super) close_left_at: Option<Instant>,
    pub(super) seal: Option<Seal>,
}

/// Is the time in which the kernel takes too little.
#[derive(Clone, Copy)]
pub(super) struct Stall {
    pub(super) since: Instant,
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

/// Says what a turn does with a stalled outbox: somebody waits for it already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stalled {
    Leave,
    Retry,
}

/// Says how far a turn at the pump came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Idle,
    /// In a streamed message, with no fragment at hand.
    Streaming,
    Stalled,
    Sealed,
}

/// So much progress restarts the write deadline.
const PROGRESS: u64 = 64 << 10;
/// So much beyond what was queued at its start a turn writes for others.
const FAIR_SHARE: u64 = 256 << 10;

impl<W: Wire> Outbox<W> {
    /// Writes what waits to be written, unless somebody else is writing: that one takes it along.
    pub(crate) fn pump(self: &Arc<Self>) {
        // What this thread queued is visible to whoever unlocks after this, and looks again.
        fence(Ordering::SeqCst);
        while let Some(pump) = try_lock(&self.pump) {
            let turn = self.turn(pump, Stalled::Leave);
            if !self.needs_another(turn) {
                return;
            }
        }
    }

    /// Writes a parcel that nothing is before, if nobody is writing; else it takes the common way.
    pub(super) fn write_alone(self: &Arc<Self>, parcel: Parcel) {
        match try_lock(&self.pump) {
            // Control frames go first.
            Some(mut pump) if pump.is_idle() && !self.control.is_waiting() => {
                let mut spent = Spent::default();
                self.encode(&mut pump, parcel, &mut spent);
                let turn = self.turn(pump, Stalled::Leave);
                spent.dispose();
                self.look_again_after(turn);
            }
            busy => {
                drop(busy);
                self.channel.push(parcel);
                self.pump();
            }
        }
    }

    /// Takes the lock for something else than writing. Who came meanwhile found it taken and left
    /// its work behind.
    pub(super) fn visit<R>(self: &Arc<Self>, visit: impl FnOnce(&mut Pump<W>) -> R) -> R {
        let mut pump = lock(&self.pump);
        let result = visit(&mut pump);
        let turn = pump.rest_turn();
        drop(pump);
        self.look_again_after(turn);
        result
    }

    pub(super) fn look_again_after(self: &Arc<Self>, turn: Turn) {
        if self.needs_another(turn) {
            self.pump();
        }
    }

    /// Looks for work that came while the lock was held. A stalled outbox has somebody who waits.
    fn needs_another(&self, turn: Turn) -> bool {
        if turn == Turn::Stalled {
            return false;
        }
        fence(Ordering::SeqCst);
        let messages = match turn {
            Turn::Streaming => self.fragments_waiting.load(Ordering::Acquire),
            _ => self.budget.messages() > 0 && !self.channel.is_empty(),
        };
        let frames = || self.control.has_work(|| self.budget.messages());
        let owing = || self.owing.load(Ordering::Acquire);
        messages || (!self.is_sealed() && (frames() || owing()))
    }

    /// Writes until nothing is left or the socket takes no more, and unlocks.
    pub(super) fn turn(
        self: &Arc<Self>,
        mut pump: MutexGuard<'_, Pump<W>>,
        stalled: Stalled,
    ) -> Turn {
        let mut spent = Spent::default();
        let turn = if pump.stall.is_some() && stalled == Stalled::Leave {
            Turn::Stalled
        } else {
            self.drain(&mut pump, &mut spent)
        };
        if turn == Turn::Stalled {
            self.hand_over(&mut pump);
        }
        drop(pump);
        // L1: payloads are dropped where no lock is held.
        spent.dispose();
        turn
    }

    fn drain(&self, pump: &mut Pump<W>, spent: &mut Spent) -> Turn {
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
                return pump.rest_turn();
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
                    pump.refused = true;
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
        self.discard_queued(pump, spent);
        Turn::Sealed
    }

    fn advance(&self, pump: &mut Pump<W>, length: usize, spent: &mut Spent) {
        let mut freed = Freed::default();
        pump.unsent
            .advance(length, |released| freed.add(released, Ok(())));
        spent.add(pump.unsent.take_spent());
        pump.taken += length as u64;
        pump.relieved += u64::from(mem::take(&mut pump.refused));
        pump.delivered += freed.messages;
        if freed.reservations > 0 {
            self.release(&freed);
        }
        if freed.close {
            self.note_close_left(pump);
        }
        pump.note_progress();
    }

    /// L5: the time in which the peer may answer begins when our Close is with the kernel.
    fn note_close_left(&self, pump: &mut Pump<W>) {
        let now = Instant::now();
        pump.close_left_at = Some(now);
        if let Some(wire) = &pump.wire {
            wire.expect(now + self.config.close_timeout);
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
            wire.expect(now + self.config.write_timeout);
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

    pub(super) fn seal_locked(&self, pump: &mut Pump<W>, seal: Seal, spent: &mut Spent) -> bool {
        let Some(wire) = pump.wire.take() else {
            return false;
        };
        match seal {
            Seal::Finished => {}
            // The peer has been told, and a reset would destroy that.
            Seal::Timeout(Timeout::Pong) if pump.close_left_at.is_some() => wire.hang_up(),
            _ => wire.cut(),
        }
        let why = seal.undelivered();
        pump.give_up(why);
        pump.seal = Some(seal);
        self.budget.seal();
        self.give_up_waiting(why);
        self.end_stall(pump);
        let mut freed = Freed::default();
        spent.add(
            pump.unsent
                .discard(|released| freed.add(released, Err(why))),
        );
        pump.undelivered += freed.messages;
        self.release(&freed);
        self.discard_queued(pump, spent);
        true
    }

    /// Takes out what will not be written any more; whoever unlocks drops it.
    pub(super) fn discard_queued(&self, pump: &mut Pump<W>, spent: &mut Spent) {
        let why = pump.unsendable.unwrap_or(DeliveryError::Lost);
        while let Some(parcel) = pump.take_any(&self.channel) {
            let is_message = parcel.is_message();
            self.release(&Freed {
                bytes: parcel.weight(),
                reservations: 1,
                barriers: u64::from(!is_message),
                ..Freed::default()
            });
            pump.undelivered += u64::from(is_message);
            spent.add(parcel.give_up(why));
        }
    }

    fn release(&self, freed: &Freed) {
        if freed.barriers > 0 {
            self.barriers.fetch_sub(freed.barriers, Ordering::Release);
        }
        self.budget.release(freed.bytes, freed.reservations);
    }
}

/// Is what the ends of frames have freed.
#[derive(Default)]
struct Freed {
    bytes: u64,
    reservations: u64,
    messages: u64,
    barriers: u64,
    close: bool,
}

impl Freed {
    fn add(&mut self, released: Released, outcome: Result<(), DeliveryError>) {
        self.reservations += u64::from(released.ends_reservation());
        match released {
            Released::Message { weight, promise } => {
                self.bytes += weight;
                self.messages += 1;
                if let Some(promise) = promise {
                    promise.resolve(outcome);
                }
            }
            Released::Fragment { weight, lane, fin } => {
                lane.release(weight);
                self.messages += u64::from(fin == Fin::Last);
            }
            Released::Barrier => self.barriers += 1,
            Released::Close => self.close = true,
            Released::Control => {}
        }
    }
}

/// Holds payloads until no lock is held. The first, often the only one, needs no memory of its own.
#[derive(Default)]
pub(super) struct Spent {
    first: Option<Message>,
    more: Vec<Message>,
}

impl Spent {
    pub(super) fn add(&mut self, message: Option<Message>) {
        if self.first.is_none() {
            self.first = message;
        } else {
            self.more.extend(message);
        }
    }

    /// Drops them, each by itself: what an owner's `Drop` throws must neither end this thread, which
    /// may be anybody's, nor meet the next one's.
    pub(super) fn dispose(self) {
        for message in self.first.into_iter().chain(self.more) {
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(message)));
            if let Err(panic) = dropped {
                error!("a payload panicked when it was dropped");
                mem::forget(panic);
            }
        }
    }
}

impl<W> Pump<W> {
    pub(super) fn new(role: Role, wire: Arc<W>) -> Self {
        Self {
            wire: Some(wire),
            encoder: Encoder::new(role),
            unsent: Unsent::default(),
            ahead: VecDeque::new(),
            stream: None,
            stall: None,
            pollers: 0,
            watched: false,
            closed: false,
            unsendable: None,
            refused: false,
            relieved: 0,
            taken: 0,
            delivered: 0,
            undelivered: 0,
            close_left_at: None,
            seal: None,
        }
    }

    /// Tells whether it could write at once, and has nothing else to.
    fn is_idle(&self) -> bool {
        let open = self.wire.is_some() && !self.closed && self.stall.is_none();
        open && self.unsent.is_empty() && self.stream.is_none() && self.ahead.is_empty()
    }

    pub(super) fn next_parcel(&mut self, channel: &Channel) -> Option<Parcel> {
        self.ahead.pop_front().or_else(|| channel.pop())
    }

    /// Takes what waits, the message that is being written included.
    fn take_any(&mut self, channel: &Channel) -> Option<Parcel> {
        let current = self.stream.take().map(Parcel::Stream);
        current.or_else(|| self.next_parcel(channel))
    }

    /// Takes out the oldest message that an overflow policy may drop. What it may not keeps its turn.
    pub(super) fn take_oldest(&mut self, channel: &Channel) -> Option<Parcel> {
        if let Some(position) = self.ahead.iter().position(Parcel::is_droppable) {
            return self.ahead.remove(position);
        }
        while let Some(parcel) = channel.pop() {
            if parcel.is_droppable() {
                return Some(parcel);
            }
            self.ahead.push_back(parcel);
        }
        None
    }

    /// Says what to look for, once there is nothing at hand.
    fn rest_turn(&self) -> Turn {
        if self.stream.is_some() {
            Turn::Streaming
        } else {
            Turn::Idle
        }
    }

    /// Says why what is still queued will not be written; the first reason counts.
    pub(super) fn give_up(&mut self, why: DeliveryError) {
        self.unsendable.get_or_insert(why);
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

impl Seal {
    /// Says what becomes of what was not written.
    fn undelivered(&self) -> DeliveryError {
        match self {
            Self::Finished | Self::Lost(_) => DeliveryError::Lost,
            Self::Timeout(timeout) => DeliveryError::Cut(*timeout),
            Self::Aborted => DeliveryError::Aborted,
        }
    }
}
