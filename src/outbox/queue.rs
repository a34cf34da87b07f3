//! What a connection's senders share, behind one short lock: [`Queue`]. Its rules are functions on the
//! value; what they ask to be done once it is unlocked gathers in an [`Aftermath`].

use std::io;
use std::time::Instant;

use super::Wire;
use super::aftermath::Aftermath;
use super::budget::Budget;
use super::channel::Channel;
use super::control::Control;
use super::lane::Lane;
use super::line::{Bell, Line};
use super::outgoing::Outgoing;
use super::pings::Pings;
use super::split::Split;
use super::sync::Arc;
use super::write_buffer::{LARGE, Role, Written};
use super::writer::{Fragment, Item, Writer};
use crate::life::{Cause, Life};
use crate::protocol::{CloseFrame, Fin, Opcode};
use crate::{CloseCode, Config, DeliveryError, Initiator, Overflow, SendErrorKind};

/// A connection's sending queue, and where the connection stands.
pub(super) struct Queue<W> {
    pub(super) life: Life,
    channel: Channel,
    pub(super) control: Control,
    /// Made with the first streamed message.
    pub(super) lane: Option<Box<Lane>>,
    /// Whether a streamed message is being written: what is in the channel waits for its end.
    streaming: bool,
    /// The message that leaves in fragments just now.
    split: Option<Box<Split>>,
    /// A message with more bytes than that is split.
    max_frame: usize,
    /// So many bytes are taken from the queue for one write.
    batch: u64,
    pub(super) budget: Budget,
    /// How many of the budget's places are no messages, but barriers.
    barriers: u64,
    line: Line,
    /// Made with the first ping of our own.
    pub(super) pings: Option<Box<Pings>>,
    pub(super) overflow: Overflow,
    pub(super) writer: Seat<W>,
    /// To cut it, and to wait for it. Given up with the socket: a kept handle keeps none.
    pub(super) wire: Option<std::sync::Arc<W>>,
    pub(super) stall: Option<Stall>,
    pub(super) keepers: Keepers,
    /// Whether the wire has something to say of its own accord.
    pub(super) owes: bool,
    /// Whether a cork holds it.
    pub(super) corked: bool,
    /// How many threads wait for whatever happens here.
    pub(super) observers: usize,
    /// Why what is still queued will not be written: the first reason counts.
    unsendable: Option<DeliveryError>,
    /// Whether the socket has refused bytes and taken none since.
    refused: bool,
    relieved: u64,
    taken: u64,
    delivered: u64,
    undelivered: u64,
    pub(super) dropped: u64,
}

/// Where the writer is.
pub(super) enum Seat<W> {
    /// Nobody writes. While the queue is stalled it is left to its keepers.
    Here(Box<Writer<W>>),
    /// Somebody writes, and looks under the lock before putting it back: nothing is left behind.
    Taken,
    /// The sending is over, and what the writer held is counted.
    Gone,
}

/// A time in which an unfinished write waits for its keepers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    pub(super) since: Instant,
    taken: u64,
}

/// Who waits for the socket of a stalled queue, and writes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keepers {
    /// Threads that poll it.
    pub(super) pollers: usize,
    /// The background.
    pub(super) background: bool,
    /// A sender that waits for room, and has been called to write.
    pub(super) called: bool,
    /// The reading end, as TLS writes no more before something has come.
    pub(super) input: bool,
}

impl Keepers {
    fn is_empty(self) -> bool {
        self.pollers == 0 && !self.background && !self.called && !self.input
    }
}

/// The reason a peer is told where TLS has used up its keys.
const WORN_OUT: &str = "the keys of this TLS connection are used up";
/// So much progress restarts the write deadline.
const PROGRESS: u64 = 64 << 10;
/// At most so many bytes are taken from the queue for one write, and so many messages.
const BATCH: usize = 64 << 10;
const BATCH_MESSAGES: usize = 1_024;

impl<W: Wire> Queue<W> {
    pub(super) fn new(config: &Config, writer: Writer<W>, wire: std::sync::Arc<W>) -> Self {
        let max_frame = config.max_outgoing_frame.unwrap_or(usize::MAX);
        Self {
            life: Life::new(),
            channel: Channel::default(),
            control: Control::default(),
            lane: None,
            streaming: false,
            split: None,
            max_frame,
            // Whoever wants short frames wants the control frames soon.
            batch: max_frame.clamp(LARGE, BATCH) as u64,
            budget: Budget::new(config),
            barriers: 0,
            line: Line::default(),
            pings: None,
            overflow: config.overflow,
            writer: Seat::Here(Box::new(writer)),
            wire: Some(wire),
            stall: None,
            keepers: Keepers::default(),
            owes: false,
            corked: false,
            observers: 0,
            unsendable: None,
            refused: false,
            relieved: 0,
            taken: 0,
            delivered: 0,
            undelivered: 0,
            dropped: 0,
        }
    }
}

/// # Getting in
impl<W: Wire> Queue<W> {
    /// Tells whether a message of this weight gets in. One that would wait for room stands behind
    /// those who do; one that never waits is judged by the limits alone.
    pub(super) fn admits(&self, weight: u64, waits: bool) -> Result<(), SendErrorKind> {
        if !self.life.is_open() {
            return Err(SendErrorKind::Closed);
        }
        let fits = self.budget.fits(weight) && (!waits || self.line.is_empty());
        if fits {
            Ok(())
        } else {
            Err(SendErrorKind::Full)
        }
    }

    /// Queues something, whether it fits or not.
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.budget.take(outgoing.weight());
        self.barriers += u64::from(!outgoing.is_message());
        self.channel.push(outgoing);
    }

    /// Gets in line with something that does not fit.
    pub(super) fn join_line(&mut self, outgoing: Outgoing, bell: Bell) -> u64 {
        self.line.join(outgoing, bell)
    }

    pub(super) fn is_in_line(&self, ticket: u64) -> bool {
        self.line.contains(ticket)
    }

    /// Leaves the line, and lets those behind move up. Returns what stood there, or `None` if it was
    /// granted room.
    pub(super) fn leave_line(&mut self, ticket: u64, after: &mut Aftermath<W>) -> Option<Outgoing> {
        let left = self.line.leave(ticket);
        self.grant(after);
        left
    }

    /// Lets in those who wait for room, as many as fit, from a half-empty queue on: nobody is woken for
    /// each message that leaves. And the first one, beyond the limits, that has waited for a whole
    /// queue's worth of writing.
    fn grant(&mut self, after: &mut Aftermath<W>) {
        if self.line.is_empty() || !self.life.is_open() {
            return;
        }
        if self.budget.is_low() || self.line.is_overdue(&self.budget) {
            self.grant_room(after);
        }
    }

    fn grant_room(&mut self, after: &mut Aftermath<W>) {
        while let Some((outgoing, bell)) = self.line.grant(&self.budget) {
            self.push(outgoing);
            after.ring(bell);
        }
    }

    /// Takes out the oldest message that waits, to make room for a newer one.
    pub(super) fn drop_oldest(&mut self) -> Option<Outgoing> {
        let oldest = self.channel.pop_droppable()?;
        self.budget.release(oldest.weight(), 1);
        self.dropped += 1;
        Some(oldest)
    }
}

/// # Getting out
impl<W: Wire> Queue<W> {
    /// Takes the writer, unless somebody has it or waits for the socket.
    pub(super) fn take_writer(&mut self) -> Option<Box<Writer<W>>> {
        if self.stall.is_some() {
            return None;
        }
        self.take_any_writer()
    }

    /// Takes the writer for a socket that may be writable again.
    pub(super) fn take_any_writer(&mut self) -> Option<Box<Writer<W>>> {
        match std::mem::replace(&mut self.writer, Seat::Taken) {
            Seat::Here(writer) => Some(writer),
            other => {
                self.writer = other;
                None
            }
        }
    }

    /// Takes the writer with what waits, if it is there and something does.
    pub(super) fn take_to_write(&mut self, after: &mut Aftermath<W>) -> Option<Box<Writer<W>>> {
        let mut writer = self.take_writer()?;
        if self.refill(&mut writer, after) {
            return Some(writer);
        }
        self.writer = Seat::Here(writer);
        None
    }

    /// Takes the writer for a message of one frame that nothing is to be written before, and which so
    /// need not pass the channel. Hands back what has to.
    pub(super) fn take_writer_for(
        &mut self,
        outgoing: Outgoing,
    ) -> Result<(Box<Writer<W>>, Item), Outgoing> {
        if !self.has_nothing_before() || outgoing.weight() > self.max_frame as u64 {
            return Err(outgoing);
        }
        let Some(writer) = self.take_writer() else {
            return Err(outgoing);
        };
        let weight = outgoing.weight();
        match outgoing.into_message() {
            Ok((message, promise)) => {
                self.budget.take(weight);
                Ok((writer, Item::Message(message, promise)))
            }
            Err(other) => {
                self.writer = Seat::Here(writer);
                Err(other)
            }
        }
    }

    /// Tells whether the writer is there and does not wait for the socket.
    pub(super) fn has_idle_writer(&self) -> bool {
        self.stall.is_none() && matches!(self.writer, Seat::Here(_))
    }

    /// Tells whether nothing is to be written before what comes now.
    pub(super) fn has_nothing_before(&self) -> bool {
        let no_message = self.channel.is_empty() && self.split.is_none() && !self.streaming;
        no_message && self.control.is_empty() && !self.owes
    }

    /// Gives the writer what leaves next, at a frame boundary. Returns false if there is nothing.
    pub(super) fn refill(&mut self, writer: &mut Writer<W>, after: &mut Aftermath<W>) -> bool {
        if std::mem::take(&mut self.owes) {
            writer.flush_wire();
        }
        if self.life.is_closed() {
            // L5: nothing is written after a Close.
            return !writer.is_done();
        }
        if !self.control.is_empty() {
            for (opcode, payload) in self.control.take_frames() {
                writer.push(Item::Control(opcode, payload));
            }
            self.refill_close(writer, false, after);
        }
        if !self.life.is_closed() {
            self.refill_messages(writer, after);
        }
        !writer.is_done()
    }

    fn refill_messages(&mut self, writer: &mut Writer<W>, after: &mut Aftermath<W>) {
        let (mut bytes, mut messages) = (0, 0);
        writer.expect(self.channel.len().min(BATCH_MESSAGES));
        while bytes < self.batch && messages < BATCH_MESSAGES {
            let Some((item, weight)) = self.next_item(writer, after) else {
                // All that was admitted before our Close has left, or never will.
                let drained = !self.streaming && self.channel.is_empty();
                return self.refill_close(writer, drained, after);
            };
            writer.push(item);
            bytes += weight;
            messages += 1;
            if weight >= LARGE as u64 {
                // It leaves from where it lies: what is encoded now would stand inside it.
                return;
            }
        }
    }

    fn next_item(
        &mut self,
        writer: &mut Writer<W>,
        after: &mut Aftermath<W>,
    ) -> Option<(Item, u64)> {
        loop {
            if self.streaming {
                if let Some((opcode, fin, payload)) = self.lane.as_mut()?.take() {
                    self.streaming = fin == Fin::More;
                    let weight = payload.len() as u64;
                    let role = Role::Fragment { weight, fin };
                    let fragment = Fragment {
                        opcode,
                        fin,
                        payload,
                        role,
                    };
                    return Some((Item::Fragment(Box::new(fragment)), weight));
                }
                self.abandon_stream(writer, after)?;
                continue;
            }
            if let Some(split) = &mut self.split {
                let fragment = split.take(self.max_frame);
                let weight = fragment.payload.len() as u64;
                if fragment.fin == Fin::Last {
                    self.split = None;
                }
                return Some((Item::Fragment(Box::new(fragment)), weight));
            }
            let outgoing = self.channel.pop()?;
            let weight = outgoing.weight();
            match outgoing.into_message() {
                Ok((message, promise)) if message.len() > self.max_frame => {
                    self.split = Some(Box::new(Split::new(message, promise)));
                }
                Ok((message, promise)) => return Some((Item::Message(message, promise), weight)),
                // Whoever confirms has begun the numbers.
                Err(Outgoing::Barrier(promise)) => {
                    let payload = self.pings.as_mut()?.next(Some(promise));
                    return Some((Item::Barrier(payload), weight));
                }
                Err(_) => self.streaming = true,
            }
        }
    }

    /// Gives up a streamed message whose end will not come, as the connection is closing. Of one that
    /// has begun nothing may come behind: the Close goes in its middle (RFC 6455, section 5.4).
    /// Returns `None` if nothing is to be written behind it for now.
    fn abandon_stream(&mut self, writer: &mut Writer<W>, after: &mut Aftermath<W>) -> Option<()> {
        if self.life.is_open() {
            return None;
        }
        let lane = self.lane.as_mut()?;
        if lane.has_begun() {
            self.refill_close(writer, true, after);
            self.discard(DeliveryError::Lost, after);
            return None;
        }
        lane.discard();
        self.streaming = false;
        self.undelivered += 1;
        self.budget.release(0, 1);
        Some(())
    }

    /// Gives the writer our Close, if it may leave now.
    fn refill_close(&mut self, writer: &mut Writer<W>, drained: bool, after: &mut Aftermath<W>) {
        if self.life.is_closed() {
            return;
        }
        if let Some(close) = self.control.take_close(drained) {
            let code = close.code;
            self.life.encode_close(close.clone());
            writer.push(Item::Close(close));
            self.discard(DeliveryError::Closed(code), after);
        }
    }

    /// Tells whether nothing is left to be written: our Close has left, or there is none and all else
    /// has.
    pub(super) fn is_flushed(&self) -> bool {
        if self.life.is_sending_over() || self.life.close_left_at().is_some() {
            return true;
        }
        self.has_idle_writer()
            && self.channel.is_empty()
            && self.control.is_empty()
            && !self.has_fragment()
    }

    fn has_fragment(&self) -> bool {
        let streamed = self.streaming && self.lane.as_ref().is_some_and(|lane| lane.has_next());
        streamed || self.split.is_some()
    }
}

/// # What a write has brought
impl<W: Wire> Queue<W> {
    /// Counts what has left.
    pub(super) fn account(&mut self, written: Written, after: &mut Aftermath<W>) {
        if written.length > 0 {
            self.taken += written.length;
            self.relieved += u64::from(std::mem::take(&mut self.refused));
        }
        self.delivered += written.messages;
        self.release(&written, after);
        for promise in written.promises {
            after.resolve(promise, Ok(()));
        }
        if written.close {
            // L5: the time in which the peer may answer begins when our Close is with the kernel.
            let now = Instant::now();
            self.life.send_close(now);
            after.expect_close(now, &self.wire);
        }
        if let Some(stall) = &mut self.stall {
            if self.taken - stall.taken >= PROGRESS {
                stall.since = Instant::now();
                stall.taken = self.taken;
            }
        }
        self.grant(after);
    }

    fn release(&mut self, written: &Written, after: &mut Aftermath<W>) {
        if written.places > 0 {
            self.budget.release(written.bytes, written.places);
            self.barriers -= written.barriers;
            self.line.note_left(written.bytes, written.places);
        }
        if written.fragments > 0 {
            let lane = self.lane.as_mut();
            let bell =
                lane.and_then(|lane| lane.release(written.fragment_bytes, written.fragments));
            after.ring_all(bell);
        }
    }

    /// Puts the writer back with what the socket has refused.
    pub(super) fn refuse(&mut self, writer: Box<Writer<W>>, after: &mut Aftermath<W>) {
        self.refused = true;
        self.stall(writer, after);
        if self.life.is_open() {
            // At the pace of a slow peer it may take longer than anybody waits until half is empty.
            self.grant_room(after);
        }
    }

    /// Puts the writer back with what TLS does not take before something has come: the reading end has it
    /// written on then.
    pub(super) fn await_input(&mut self, writer: Box<Writer<W>>, after: &mut Aftermath<W>) {
        self.keepers.input = true;
        self.stall(writer, after);
    }

    /// Takes note that the wire has something to say of its own accord, or that input has come which a
    /// write waits for. Returns the writer if there is something to be written.
    pub(super) fn owe(&mut self, after: &mut Aftermath<W>) -> Option<Box<Writer<W>>> {
        self.owes = !self.life.is_sending_over();
        if std::mem::take(&mut self.keepers.input) {
            return self.take_any_writer();
        }
        self.take_to_write(after)
    }

    /// Tells whether an unfinished write waits for room in the socket.
    pub(super) fn is_stalled(&self) -> bool {
        let waits = self.stall.is_some() && matches!(self.writer, Seat::Here(_));
        waits && !self.keepers.input
    }

    /// Takes the writer to try a full socket again; not once the connection is closing, as our Close
    /// would stand in the kernel of a peer that reads nothing as if it had been told.
    pub(super) fn take_stalled_writer(&mut self) -> Option<Box<Writer<W>>> {
        if self.is_stalled() && self.life.is_open() {
            return self.take_any_writer();
        }
        None
    }

    /// Puts the writer back with what it has left, and leaves it to whoever waits for the socket: never
    /// to nobody.
    pub(super) fn stall(&mut self, writer: Box<Writer<W>>, after: &mut Aftermath<W>) {
        self.writer = Seat::Here(writer);
        let (taken, wire) = (self.taken, &self.wire);
        self.stall.get_or_insert_with(|| {
            let since = Instant::now();
            after.expect_progress(since, wire);
            Stall { since, taken }
        });
        self.find_keeper(after);
    }

    /// Has the background wait for the socket, if nobody does.
    pub(super) fn find_keeper(&mut self, after: &mut Aftermath<W>) {
        if self.is_stalled() && self.keepers.is_empty() {
            if let Some(wire) = &self.wire {
                self.keepers.background = true;
                after.watch(wire);
            }
        }
    }

    /// Puts the writer back with nothing to do.
    pub(super) fn put_back(&mut self, mut writer: Box<Writer<W>>) {
        writer.rest();
        self.stall = None;
        self.writer = Seat::Here(writer);
    }

    /// Calls a sender that waits for room to write on, as the socket takes more. Returns false if
    /// nobody waits.
    pub(super) fn call_sender(&mut self, after: &mut Aftermath<W>) -> bool {
        let lane = self.lane.as_ref();
        let bell = self.line.first_bell();
        let bell = bell.or_else(|| lane.and_then(|lane| lane.bell()));
        self.keepers.called = bell.is_some();
        after.ring_all(bell);
        self.keepers.called
    }

    /// Takes the writer if this sender has been called to write on.
    pub(super) fn answer_call(&mut self) -> Option<Box<Writer<W>>> {
        if !std::mem::take(&mut self.keepers.called) {
            return None;
        }
        self.take_any_writer()
    }
}

/// # Ending
impl<W: Wire> Queue<W> {
    /// Admits nothing more, and wakes all who wait for room. Returns whether this call did.
    pub(super) fn close(&mut self, by: Initiator, after: &mut Aftermath<W>) -> bool {
        let first = self.life.close(by);
        if first {
            self.wake_waiting(after);
        }
        first
    }

    /// Begins the closing handshake before the wire takes no more.
    pub(super) fn retire(&mut self, after: &mut Aftermath<W>) {
        if self.close(Initiator::Local, after) {
            let close = CloseFrame::cut_to_fit(CloseCode::GOING_AWAY, WORN_OUT);
            self.push_close(close, super::Urgency::AfterMessages);
        }
    }

    pub(super) fn wake_waiting(&self, after: &mut Aftermath<W>) {
        after.ring_all(self.line.bells());
        after.ring_all(self.lane.as_ref().and_then(|lane| lane.bell()));
    }

    /// Throws away what waits, and counts it.
    pub(super) fn discard(&mut self, why: DeliveryError, after: &mut Aftermath<W>) {
        let why = *self.unsendable.get_or_insert(why);
        if std::mem::take(&mut self.streaming) {
            self.discard_one(Outgoing::Stream, why, after);
        }
        if let Some(split) = self.split.take() {
            self.budget.release(split.weight(), 1);
            self.undelivered += 1;
            after.give_up(split.into_rest(), why);
        }
        while let Some(outgoing) = self.channel.pop() {
            self.discard_one(outgoing, why, after);
        }
    }

    fn discard_one(&mut self, outgoing: Outgoing, why: DeliveryError, after: &mut Aftermath<W>) {
        self.budget.release(outgoing.weight(), 1);
        if outgoing.is_message() {
            self.undelivered += 1;
        } else {
            self.barriers -= 1;
        }
        if let (Outgoing::Stream, Some(lane)) = (&outgoing, &mut self.lane) {
            lane.discard();
        }
        after.give_up(outgoing, why);
    }

    /// Ends the sending, if that is not over. Returns whether this call did.
    pub(super) fn end(&mut self, cause: Cause, after: &mut Aftermath<W>) -> bool {
        let why = cause.undelivered();
        let ended = self.life.end_sending(cause);
        if ended {
            self.end_unsent(why, after);
        }
        ended
    }

    /// Throws away all that was not sent, and wakes all who wait.
    pub(super) fn end_unsent(&mut self, why: DeliveryError, after: &mut Aftermath<W>) {
        self.discard(why, after);
        self.control.clear();
        self.stall = None;
        self.owes = false;
        self.wake_waiting(after);
        for promise in self.pings.iter_mut().flat_map(|pings| pings.give_up()) {
            after.resolve(promise, Err(why));
        }
        if let Some(writer) = self.take_any_writer() {
            self.bury(writer, after);
        }
    }

    /// Counts what the writer held when the sending ended, and keeps it no longer.
    pub(super) fn bury(&mut self, mut writer: Box<Writer<W>>, after: &mut Aftermath<W>) {
        let why = self.unsendable.unwrap_or(DeliveryError::Lost);
        let mut discarded = writer.discard();
        self.undelivered += discarded.messages;
        for promise in std::mem::take(&mut discarded.promises) {
            after.resolve(promise, Err(why));
        }
        self.release(&discarded, after);
        self.writer = Seat::Gone;
        after.bury(writer);
    }

    /// Ends the sending after a failed write. What has arrived is still read.
    pub(super) fn lose(&mut self, error: io::Error, after: &mut Aftermath<W>) {
        if self.end(Cause::Lost(Some(error)), after) {
            self.life.fail_sending();
            // From now on silence counts.
            after.expect_look(&self.wire);
        }
    }
}

/// # Telling
impl<W: Wire> Queue<W> {
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns how often the socket has taken bytes after it had refused some.
    pub(super) fn relieved(&self) -> u64 {
        self.relieved
    }

    /// Returns how many messages are queued or being written.
    pub(super) fn messages(&self) -> u64 {
        self.budget.places() - self.barriers
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) fn undelivered(&self) -> u64 {
        self.undelivered
    }

    /// Returns how many bytes of payload are queued and not with the kernel.
    pub(super) fn buffered(&self) -> u64 {
        self.budget.bytes() + self.lane.as_ref().map_or(0, |lane| lane.bytes())
    }

    /// Queues a ping or a pong.
    pub(super) fn push_control(&mut self, opcode: Opcode, payload: bytes::Bytes) {
        if !self.life.is_closed() {
            self.control.push(opcode, payload);
        }
    }

    /// Queues our Close, or has it overtake one that waits.
    pub(super) fn push_close(&mut self, close: CloseFrame, urgency: super::Urgency) {
        if !self.life.is_closed() {
            self.control.close(close, urgency);
        }
    }

    /// Returns whether a thread of this process writes a streamed message here, and is the caller.
    pub(super) fn is_streaming_here(&self) -> bool {
        let lane = self.lane.as_ref();
        lane.is_some_and(|lane| lane.is_written_by_this_thread())
    }

    /// Keeps the kind of reference that loom's threads may share.
    pub(super) fn new_bell() -> Bell {
        Arc::default()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
