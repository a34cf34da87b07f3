//! The results of a write, and the choice of who waits for the socket after it.

use std::io;
use std::time::Instant;

use super::{Queue, SLOW, Seat, Stall};
use crate::background::PROGRESS;
use crate::outbox::Wire;
use crate::outbox::after_unlock::AfterUnlock;
use crate::outbox::frame::Written;
use crate::outbox::writer::Writer;
use crate::transport::wants_input;

impl<W: Wire> Queue<W> {
    /// Counts the results of a write, and gives the writer the next frames, or puts it back.
    /// Returns the writer if the turn, which has `turn_left` bytes left, goes on.
    #[inline]
    pub(in crate::outbox) fn settle(
        &mut self,
        mut writer: Box<Writer<W>>,
        result: io::Result<()>,
        written: Written,
        turn_left: &mut u64,
        after: &mut AfterUnlock<W>,
    ) -> Option<Box<Writer<W>>> {
        if result.is_ok() {
            *turn_left = turn_left.saturating_sub(written.length);
            self.account(written, after);
            if writer.nears_key_limit() {
                self.retire(after);
            }
        }
        match result.err() {
            _ if self.life.is_sending_over() => self.discard_writer(writer, after),
            Some(error) if error.kind() == io::ErrorKind::WouldBlock => self.refuse(writer, after),
            Some(error) if wants_input(&error) => return self.await_input(writer, after),
            Some(error) => {
                self.lose(error, after);
                self.discard_writer(writer, after);
            }
            None if *turn_left == 0 && !(writer.is_done() && self.has_nothing_before()) => {
                self.stall(writer, after);
            }
            None if writer.is_done()
                && (self.has_nothing_before() || !self.refill(&mut writer, after)) =>
            {
                self.put_back(writer);
            }
            None => return Some(writer),
        }
        None
    }

    /// Counts a message that has left in one write, or a piece of many, and puts the writer back, which
    /// rests. Returns the writer if there is anything else to do.
    #[inline]
    pub(in crate::outbox) fn settle_alone(
        &mut self,
        writer: Box<Writer<W>>,
        length: u64,
        weight: u64,
        messages: u64,
    ) -> Option<Box<Writer<W>>> {
        if self.budget.places() > messages || !self.is_quiet() || writer.nears_key_limit() {
            return Some(writer);
        }
        self.note_taken(length);
        self.delivered += messages;
        self.budget.release(weight, messages);
        self.seat(writer);
        None
    }

    /// Counts bytes that the socket has taken.
    #[inline]
    fn note_taken(&mut self, length: u64) {
        if length > 0 {
            self.taken += length;
            self.relieved += u64::from(std::mem::take(&mut self.refused));
        }
    }

    /// Counts the bytes and frames that have left.
    #[inline]
    pub(in crate::outbox) fn account(&mut self, written: Written, after: &mut AfterUnlock<W>) {
        self.note_taken(written.length);
        self.delivered += written.messages;
        self.release(&written, after);
        if !written.promises.is_empty() {
            let resolve = |promise| after.resolve(promise, Ok(()));
            written.promises.into_iter().for_each(resolve);
        }
        if written.close {
            // L5: the time in which the peer may answer begins when our Close is with the kernel.
            let now = Instant::now();
            self.life.send_close(now);
            after.expect_close(now, &self.wire);
        }
        if let Some(stall) = &mut self.stall {
            if self.taken - stall.taken >= PROGRESS {
                let now = Instant::now();
                self.is_slow = now - stall.since > SLOW;
                stall.since = now;
                stall.taken = self.taken;
            }
        }
        self.grant(after);
    }

    pub(in crate::outbox) fn release(&mut self, written: &Written, after: &mut AfterUnlock<W>) {
        if written.places > 0 {
            self.budget.release(written.bytes, written.places);
            self.barriers -= written.barriers();
            self.line.note_left(written.bytes, written.places);
        }
        if written.fragments > 0 {
            let lane = self.lane.as_mut();
            let bell =
                lane.and_then(|lane| lane.release(written.fragment_bytes, written.fragments));
            after.ring_all(bell);
        }
    }

    /// Puts the writer back with the bytes that the socket has refused.
    pub(in crate::outbox) fn refuse(&mut self, writer: Box<Writer<W>>, after: &mut AfterUnlock<W>) {
        self.refused = true;
        self.stall(writer, after);
        if self.life.is_open() {
            // At the pace of a slow peer it may take longer until half is empty than any sender
            // waits.
            self.grant_room(after);
        }
    }

    /// Puts the writer back with bytes that TLS takes only after more input. The reading end then
    /// continues the write. Returns the writer if input has come meanwhile.
    pub(in crate::outbox) fn await_input(
        &mut self,
        mut writer: Box<Writer<W>>,
        after: &mut AfterUnlock<W>,
    ) -> Option<Box<Writer<W>>> {
        if std::mem::take(&mut self.needs_flush) {
            writer.flush_wire();
            return Some(writer);
        }
        self.keepers.input = true;
        self.stall(writer, after);
        None
    }

    /// Records that the wire has bytes of its own, or that input has come for which a write waits.
    /// Returns the writer if there is something to be written.
    pub(in crate::outbox) fn request_flush(
        &mut self,
        after: &mut AfterUnlock<W>,
    ) -> Option<Box<Writer<W>>> {
        self.needs_flush = !self.life.is_sending_over();
        if std::mem::take(&mut self.keepers.input) {
            return self.take_any_writer();
        }
        self.take_to_write(after)
    }

    /// Tells whether an unfinished write waits: for room in the socket, or, as a turn is over, for whoever
    /// waits for the socket to write on.
    pub(in crate::outbox) fn is_stalled(&self) -> bool {
        let waits = self.stall.is_some() && matches!(self.writer, Seat::Here(_));
        waits && !self.keepers.input
    }

    /// Tells whether an unfinished write waits for the socket, and no thread polls it.
    pub(in crate::outbox) fn has_no_poller(&self) -> bool {
        self.is_stalled() && self.keepers.pollers == 0
    }

    /// Takes the writer to try a full socket again. It does not once the connection is closing: our
    /// Close would then lie in the kernel of a peer that reads nothing, and count as sent.
    pub(in crate::outbox) fn take_stalled_writer(&mut self) -> Option<Box<Writer<W>>> {
        if self.is_stalled() && self.life.is_open() {
            return self.take_any_writer();
        }
        None
    }

    /// Puts the writer back with its unwritten bytes. There is always a keeper that waits for the
    /// socket.
    pub(in crate::outbox) fn stall(&mut self, writer: Box<Writer<W>>, after: &mut AfterUnlock<W>) {
        self.writer = Seat::Here(writer);
        let (taken, wire) = (self.taken, &self.wire);
        self.stall.get_or_insert_with(|| {
            let since = Instant::now();
            after.expect_progress(since, wire);
            Stall { since, taken }
        });
        self.find_keeper(after);
    }

    /// Makes the background wait for the socket, if no thread does.
    pub(in crate::outbox) fn find_keeper(&mut self, after: &mut AfterUnlock<W>) {
        if self.is_stalled() && self.keepers.is_empty() {
            if let Some(wire) = &self.wire {
                self.keepers.background = true;
                after.watch(wire);
            }
        }
    }

    /// Puts the writer back with nothing to do.
    #[inline]
    pub(in crate::outbox) fn put_back(&mut self, mut writer: Box<Writer<W>>) {
        writer.rest();
        self.seat(writer);
    }

    /// Puts a writer back that rests.
    #[inline]
    fn seat(&mut self, writer: Box<Writer<W>>) {
        self.stall = None;
        self.writer = Seat::Here(writer);
    }

    /// Calls a sender that waits for room to write on, because the socket takes more. Returns false
    /// if none waits.
    pub(in crate::outbox) fn call_sender(&mut self, after: &mut AfterUnlock<W>) -> bool {
        let lane = self.lane.as_ref();
        let bell = self.line.first_bell();
        let bell = bell.or_else(|| lane.and_then(|lane| lane.bell()));
        self.keepers.called = bell.is_some();
        after.ring_all(bell);
        self.keepers.called
    }

    /// Takes the writer if this sender has been called to write on.
    pub(in crate::outbox) fn answer_call(&mut self) -> Option<Box<Writer<W>>> {
        if !std::mem::take(&mut self.keepers.called) {
            return None;
        }
        self.take_any_writer()
    }
}
