//! The end of a connection's sending side.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::after_unlock::AfterUnlock;
use super::queue::Seat;
use super::{Outbox, Urgency, Wire};
use crate::life::{CloseCause, TOO_SLOW};
use crate::protocol::CloseFrame;
use crate::{CloseCode, CloseEvent, Error, Initiator, Timeout};

/// The close reason after a keepalive timeout.
const PING_TIMEOUT: &str = "keepalive ping timeout";

impl<W: Wire> Outbox<W> {
    /// Begins the closing handshake, unless it has begun. Messages sent before go first. Returns
    /// whether this call began it.
    pub(crate) fn close(self: &Arc<Self>, close: CloseFrame) -> bool {
        self.close_for(None, close)
    }

    /// Closes likewise, because a limit of the program has passed.
    pub(crate) fn close_at_limit(self: &Arc<Self>, limit: Timeout, close: CloseFrame) {
        self.close_for(Some(limit), close);
    }

    fn close_for(self: &Arc<Self>, limit: Option<Timeout>, close: CloseFrame) -> bool {
        let first = self.with_queue(|queue, after| {
            let first = queue.close(Initiator::Local, after);
            if first {
                queue.life.note_limit(limit);
                queue.control.close(close, Urgency::AfterMessages);
            }
            first
        });
        self.write_waiting();
        first
    }

    /// Fails the connection: the Close overtakes what is queued.
    pub(crate) fn fail(self: &Arc<Self>, close: CloseFrame, error: Error) {
        self.with_queue(|queue, after| queue.fail(close, error, after));
        self.write_waiting();
    }

    /// Fails with 1008 because the peer reads too slowly, unless the connection is closing already.
    pub(crate) fn fail_slow(self: &Arc<Self>) {
        self.with_queue(|queue, after| {
            if queue.life.is_open() {
                let close = CloseFrame::cut_to_fit(CloseCode::POLICY_VIOLATION, TOO_SLOW);
                queue.fail(close, Error::TooSlow, after);
            }
        });
        self.write_waiting();
    }

    /// Replaces the failure of a message that a callback has left unfinished by the callback's own.
    /// Returns whether there is such a message.
    pub(crate) fn explain_unfinished(&self, text: &str) -> bool {
        self.lock_queue().life.explain_unfinished(text)
    }

    /// Records the peer's Close and answers it, unless our own has left (RFC 6455, section 5.5.1).
    pub(crate) fn answer_close(self: &Arc<Self>, received: CloseFrame) {
        self.with_queue(|queue, after| {
            queue.close(Initiator::Remote, after);
            queue.life.receive_close(received.clone());
            queue.overtake(received, after);
        });
        self.write_waiting();
    }

    /// Records the end of the peer's input without a Close. What was queued still leaves.
    pub(crate) fn end_input(self: &Arc<Self>) {
        self.with_queue(|queue, after| {
            queue.close(Initiator::Remote, after);
            queue.life.end_input();
        });
        self.flush();
        self.end(CloseCause::Lost(None));
    }

    /// Records an error in reading, after which the socket cannot be used.
    pub(crate) fn lose(self: &Arc<Self>, error: io::Error) {
        self.end(CloseCause::Lost(Some(error)));
    }

    /// Ends the sending: nothing leaves any more, the queue is discarded, and waiting threads are
    /// woken. Input that has arrived is still read. Returns whether this call ended it.
    pub(crate) fn end(self: &Arc<Self>, cause: CloseCause) -> bool {
        self.with_queue(|queue, after| queue.end(cause, after))
    }

    /// Ends the sending and the reading, and cuts the socket. Returns whether this call ended them.
    pub(crate) fn cut(self: &Arc<Self>, cause: CloseCause) -> bool {
        let mut after = AfterUnlock::new();
        let mut queue = self.lock_queue();
        // A Close that is with the kernel is the last frame there, and may still arrive.
        let all_sent = queue.life.close_left_at().is_some() && !queue.life.is_sending_over();
        let all_sent = all_sent && matches!(cause, CloseCause::Timeout(Timeout::Pong));
        let cut = queue.cut(cause, &mut after);
        let wire = queue.wire.clone().filter(|_| cut);
        self.unlock(queue, after);
        if let Some(wire) = wire {
            wire.cut(if all_sent {
                Rest::Sent
            } else {
                Rest::Discarded
            });
        }
        cut
    }

    /// Cuts the connection of a silent peer. The peer gets a Close if its socket takes that at
    /// once.
    pub(crate) fn cut_silent(self: &Arc<Self>) {
        let close = CloseFrame::cut_to_fit(CloseCode::INTERNAL_ERROR, PING_TIMEOUT);
        self.with_queue(|queue, after| {
            queue.close(Initiator::Local, after);
            queue.overtake(close, after);
        });
        self.write_waiting();
        self.cut(CloseCause::Timeout(Timeout::Pong));
    }

    /// Gives up the socket, waits for a thread that still writes, and makes the close event.
    /// Nothing may be read afterwards.
    pub(crate) fn tell(self: &Arc<Self>) -> (CloseEvent, Option<Error>) {
        let mut after = AfterUnlock::new();
        let mut queue = self.lock_queue();
        queue.end(CloseCause::Finished, &mut after);
        let wire = queue.wire.take();
        self.unlock(queue, after);
        drop(wire);
        let mut queue = self.lock_queue();
        while matches!(queue.writer, Seat::Taken) {
            queue = self.observe(queue, None);
        }
        let undelivered = queue.undelivered;
        queue.life.tell(undelivered)
    }

    /// Takes the system's error that ended the connection, if there was one.
    pub(crate) fn take_loss(&self) -> Option<io::Error> {
        self.lock_queue().life.take_loss()
    }

    /// Records that the program has been told.
    pub(crate) fn finish(&self, event: CloseEvent) {
        self.lock_queue().life.finish(event, Instant::now());
    }

    /// Returns how the connection ended, once the program has been told.
    pub(crate) fn event(&self) -> Option<CloseEvent> {
        self.lock_queue().life.event().cloned()
    }

    /// Returns the wire, until the socket is given up.
    pub(super) fn wire(&self) -> Option<Arc<W>> {
        self.lock_queue().wire.clone()
    }

    /// Returns when the program had been told how the connection ended.
    pub(crate) fn finished_at(&self) -> Option<Instant> {
        self.lock_queue().life.finished_at()
    }
}

/// The treatment of the bytes that the kernel still holds when a socket is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// They are sent, if the peer takes them.
    Sent,
    /// They are thrown away, so that the kernel keeps nothing for a peer that does not read.
    Discarded,
}
