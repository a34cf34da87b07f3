//! How a connection ends, as far as it concerns what is sent.

use std::io;
use std::sync::Arc;

use super::after_unlock::AfterUnlock;
use super::queue::Seat;
use super::sync::lock;
use super::{Outbox, Urgency, Wire};
use crate::life::{CloseCause, TOO_SLOW};
use crate::protocol::CloseFrame;
use crate::{CloseCode, CloseEvent, Error, Initiator, Timeout};

/// What a keepalive cut tells the peer.
const SILENT: &str = "keepalive ping timeout";

impl<W: Wire> Outbox<W> {
    /// Begins the closing handshake, if nobody has; what was sent before goes first. Returns whether
    /// this call did.
    pub(crate) fn close(self: &Arc<Self>, close: CloseFrame) -> bool {
        self.close_for(None, close)
    }

    /// Closes likewise, as a limit of the program's has passed.
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

    /// Fails with 1008, as the peer reads too slowly; not what is closing anyway.
    pub(crate) fn fail_slow(self: &Arc<Self>) {
        self.with_queue(|queue, after| {
            if queue.life.is_open() {
                let close = CloseFrame::cut_to_fit(CloseCode::POLICY_VIOLATION, TOO_SLOW);
                queue.fail(close, Error::TooSlow, after);
            }
        });
        self.write_waiting();
    }

    /// Puts the failure of a callback in the place of that of a message which it has left unfinished.
    /// Returns whether it has left one.
    pub(crate) fn explain_unfinished(&self, text: &str) -> bool {
        lock(&self.queue).life.explain_unfinished(text)
    }

    /// Takes note of the peer's Close and answers it, unless our own has left (RFC 6455, section
    /// 5.5.1).
    pub(crate) fn answer_close(self: &Arc<Self>, received: CloseFrame) {
        self.with_queue(|queue, after| {
            queue.close(Initiator::Remote, after);
            queue.life.receive_close(received.clone());
            queue.overtake(received, after);
        });
        self.write_waiting();
    }

    /// Takes note of the end of the peer's input without a Close. What was queued still leaves.
    pub(crate) fn end_input(self: &Arc<Self>) {
        self.with_queue(|queue, after| {
            queue.close(Initiator::Remote, after);
            queue.life.end_input();
        });
        self.flush();
        self.end(CloseCause::Lost(None));
    }

    /// Takes note of an error in reading: the socket is of no use any more.
    pub(crate) fn lose(self: &Arc<Self>, error: io::Error) {
        self.end(CloseCause::Lost(Some(error)));
    }

    /// Ends the sending: nothing leaves any more, what is queued is discarded, and who waits is woken.
    /// What has arrived is still read. Returns whether this call did.
    pub(crate) fn end(self: &Arc<Self>, cause: CloseCause) -> bool {
        self.with_queue(|queue, after| queue.end(cause, after))
    }

    /// Ends the sending and the reading, and cuts the socket. Returns whether this call did.
    pub(crate) fn cut(self: &Arc<Self>, cause: CloseCause) -> bool {
        let mut after = AfterUnlock::new();
        let mut queue = lock(&self.queue);
        // A Close that is with the kernel is the last thing there: it may still arrive.
        let said_all = queue.life.close_left_at().is_some() && !queue.life.is_sending_over();
        let said_all = said_all && matches!(cause, CloseCause::Timeout(Timeout::Pong));
        let cut = queue.cut(cause, &mut after);
        let wire = queue.wire.clone().filter(|_| cut);
        self.unlock(queue, after);
        if let Some(wire) = wire {
            wire.cut(if said_all {
                Rest::Sent
            } else {
                Rest::Discarded
            });
        }
        cut
    }

    /// Cuts the connection of a peer that is silent: it is told, where its socket takes that at once.
    pub(crate) fn cut_silent(self: &Arc<Self>) {
        let close = CloseFrame::cut_to_fit(CloseCode::INTERNAL_ERROR, SILENT);
        self.with_queue(|queue, after| {
            queue.close(Initiator::Local, after);
            queue.overtake(close, after);
        });
        self.write_waiting();
        self.cut(CloseCause::Timeout(Timeout::Pong));
    }

    /// Gives up the socket, waits for whoever still writes, and puts together how the connection ended.
    /// No more is to be read.
    pub(crate) fn tell(self: &Arc<Self>) -> (CloseEvent, Option<Error>) {
        let mut after = AfterUnlock::new();
        let mut queue = lock(&self.queue);
        queue.end(CloseCause::Finished, &mut after);
        let wire = queue.wire.take();
        self.unlock(queue, after);
        drop(wire);
        let mut queue = lock(&self.queue);
        while matches!(queue.writer, Seat::Taken) {
            queue = self.observe(queue, None);
        }
        let undelivered = queue.undelivered;
        queue.life.tell(undelivered)
    }

    /// Takes the system's error that ended the connection, if it was one.
    pub(crate) fn take_loss(&self) -> Option<io::Error> {
        lock(&self.queue).life.take_loss()
    }

    /// Records that the program has been told.
    pub(crate) fn finish(&self, event: CloseEvent) {
        lock(&self.queue).life.finish(event);
    }

    /// Returns how the connection ended, once the program has been told.
    pub(crate) fn event(&self) -> Option<CloseEvent> {
        lock(&self.queue).life.event().cloned()
    }
}

/// What becomes of what the kernel still holds when a socket is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It is sent, if the peer takes it.
    Sent,
    /// It is thrown away, so that the kernel keeps nothing for a peer that does not read.
    Discarded,
}
