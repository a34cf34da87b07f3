//! Messages that leave in fragments while they are written: their way into the queue.

use std::sync::Arc;

use bytes::Bytes;

use super::outgoing::Outgoing;
use super::queue::{Queue, max_fragment};
use super::stream_lane::{Stream, StreamLane};
use super::sync::{has_passed, wait};
use super::{Outbox, Wire};
use crate::protocol::{Fin, Opcode};
use crate::{Overflow, SendErrorKind};

impl<W: Wire> Outbox<W> {
    /// Gives a streamed message its place behind the messages sent before, waiting for one at most
    /// `write_timeout`. There is one streamed message at a time.
    pub(crate) fn begin_stream(self: &Arc<Self>, opcode: Opcode) -> Result<Stream, SendErrorKind> {
        let begun = self.with_queue(|queue, _| {
            let lane = queue
                .lane
                .get_or_insert_with(|| Box::new(StreamLane::new()));
            // A message that is unfinished now may never end: a caller that tries again must learn
            // of the connection's end.
            lane.begin(opcode).ok_or(if queue.life.is_open() {
                SendErrorKind::Streaming
            } else {
                SendErrorKind::Closed
            })
        });
        let stream = begun?;
        match self.send_outgoing(Outgoing::Stream, Some(Overflow::Wait)) {
            Ok(()) => {
                self.with_lane(StreamLane::take_over);
                Ok(stream)
            }
            Err(error) => {
                self.with_lane(|lane| lane.withdraw(stream));
                Err(error.kind())
            }
        }
    }

    /// Returns how many bytes of a message a frame may have.
    pub(crate) fn max_fragment(&self) -> Option<usize> {
        max_fragment(&self.config)
    }

    /// Records that this thread writes the streamed message from now on.
    pub(crate) fn take_over_stream(&self) {
        self.with_lane(StreamLane::take_over);
    }

    /// Records that no thread writes the streamed message any more.
    pub(crate) fn leave_stream(&self) {
        self.with_lane(StreamLane::clear_author);
    }

    fn with_lane(&self, change: impl FnOnce(&mut StreamLane)) {
        if let Some(lane) = &mut self.lock_queue().lane {
            change(lane);
        }
    }

    /// Queues a fragment, waiting for room in the lane at most `write_timeout`, and lets it leave.
    pub(crate) fn send_fragment(
        self: &Arc<Self>,
        stream: Stream,
        payload: Bytes,
        fin: Fin,
    ) -> Result<(), SendErrorKind> {
        if !self.has_room_for_fragment(&payload) {
            self.write_all_held();
            self.wait_for_lane(&payload)?;
        }
        let gathering = W::is_gathering();
        let mut queue = self.lock_queue();
        let is_open = queue.life.is_open();
        let lane = queue.lane.as_mut().filter(|_| is_open);
        if !lane.is_some_and(|lane| lane.push(stream, payload, fin)) {
            return Err(SendErrorKind::Closed);
        }
        if gathering && queue.buffered() < super::send::CORK_FULL {
            self.hold(queue);
        } else {
            drop(queue);
            self.write_waiting();
        }
        Ok(())
    }

    fn has_room_for_fragment(&self, payload: &Bytes) -> bool {
        let queue = self.lock_queue();
        let lane = queue.lane.as_ref();
        lane.is_none_or(|lane| lane.fits(payload.len() as u64))
    }

    /// Waits until a fragment fits. There is one author, so there is no line.
    fn wait_for_lane(self: &Arc<Self>, payload: &Bytes) -> Result<(), SendErrorKind> {
        let deadline = W::deadline(self.config.write_timeout);
        let bell = Queue::<W>::new_bell();
        let mut queue = self.lock_queue();
        let outcome = loop {
            queue = self.answer_call(queue);
            let is_open = queue.life.is_open();
            let Some(lane) = queue.lane.as_mut().filter(|_| is_open) else {
                break Err(SendErrorKind::Closed);
            };
            if lane.fits(payload.len() as u64) {
                break Ok(());
            }
            if has_passed(deadline) {
                break Err(SendErrorKind::Timeout);
            }
            lane.set_bell(Some(bell.clone()));
            queue = wait(&bell, queue, deadline);
        };
        if let Some(lane) = &mut queue.lane {
            lane.set_bell(None);
        }
        outcome
    }
}
