//! How a connection ends: what is known of it, gathered from those who take part, and the story that
//! the program is told.

use std::thread::{self, ThreadId};

use log::{debug, warn};

use crate::close::CloseEvent;
use crate::connection::Connection;
use crate::outbox::{Seal, Urgency};
use crate::protocol::CloseFrame;
use crate::reader::Reader;
use crate::sync::lock;
use crate::{CloseCode, Error, Failure, Initiator, Outcome, Timeout, WebSocket};

/// Is what is known of the end, gathered from those who take part in it.
#[derive(Default)]
pub(crate) struct Ending {
    /// The thread that drives the reading end, or drove it last.
    pub(crate) driver: Option<ThreadId>,
    /// The reading end, while it waits for the server's thread.
    pub(crate) parked: Option<Box<Reader>>,
    /// Whether the server's thread has left, and nobody will come for what is parked.
    pub(crate) deserted: bool,
    pub(crate) initiator: Option<Initiator>,
    pub(crate) received: Option<CloseFrame>,
    /// Boxed, as the event is: an open connection has neither.
    pub(crate) failure: Option<Box<Failed>>,
    pub(crate) event: Option<Box<CloseEvent>>,
}

/// Is what made a connection fail.
pub(crate) struct Failed {
    error: Error,
    /// The thread that found it.
    on: ThreadId,
}

impl Connection {
    /// Fails the connection: the Close overtakes what is queued.
    pub(crate) fn fail(&self, code: CloseCode, reason: &str, error: Error) {
        let on = thread::current().id();
        let failure = Box::new(Failed { error, on });
        lock(&self.ending).failure.get_or_insert(failure);
        self.begin_close(CloseFrame::cut_to_fit(code, reason), Urgency::Overtaking);
    }

    /// Fails with 1008, as the peer reads too slowly; not what is closing anyway.
    pub(crate) fn fail_laggard(&self) {
        let mut ending = lock(&self.ending);
        if ending.initiator.is_some() {
            return;
        }
        ending.initiator = Some(Initiator::Local);
        drop(ending);
        self.fail(CloseCode::POLICY_VIOLATION, TOO_SLOW, Error::TooSlow);
    }

    /// Fails a connection whose streamed message will not come to its end.
    pub(crate) fn fail_unfinished(&self) {
        if !self.outbox.is_closing() {
            let reason = "a message was not finished";
            self.fail(CloseCode::INTERNAL_ERROR, reason, Error::Unfinished);
        }
    }

    /// Fails with 1011, unless the connection is closing anyway: a `send` that found it closed is
    /// no failure.
    pub(crate) fn fail_callback(&self, failure: Failure) {
        let text = failure.into_text();
        if self.outbox.is_closing() && !self.explain_unfinished(&text) {
            debug!(
                "connection {}: callback failed while closing: {text:?}",
                self.id
            );
            return;
        }
        warn!("connection {}: callback failed: {text:?}", self.id);
        self.fail(CloseCode::INTERNAL_ERROR, "", Error::Callback(text));
    }

    /// Puts the failure of a callback in the place of that of a message which it has left unfinished,
    /// if it has: that one came first, but of this.
    fn explain_unfinished(&self, text: &str) -> bool {
        let mut ending = lock(&self.ending);
        let here = thread::current().id();
        let failure = ending.failure.as_deref_mut();
        let left =
            failure.filter(|failed| matches!(failed.error, Error::Unfinished) && failed.on == here);
        left.map(|failed| failed.error = Error::Callback(text.to_owned()))
            .is_some()
    }

    /// Cuts the connection, as a deadline has passed. A peer that is silent is told why, where its
    /// socket takes that at once.
    pub(crate) fn cut(&self, timeout: Timeout) {
        if timeout == Timeout::Pong && self.outbox.writing().stalled_since.is_none() {
            let close = CloseFrame::cut_to_fit(CloseCode::INTERNAL_ERROR, TOO_SILENT);
            self.begin_close(close, Urgency::Overtaking);
        }
        self.outbox.seal(Seal::Timeout(timeout));
    }

    /// Takes note of the peer's Close and answers it, unless our own has left (RFC 6455, section
    /// 5.5.1).
    pub(crate) fn answer_close(&self, received: Option<CloseFrame>) {
        let received = received.unwrap_or(CloseFrame {
            code: CloseCode::NO_STATUS,
            reason: String::new(),
        });
        let mut ending = lock(&self.ending);
        ending.initiator.get_or_insert(Initiator::Remote);
        ending.received = Some(received.clone());
        drop(ending);
        self.outbox.close(received, Urgency::Overtaking);
    }

    /// Ends the connection for good: groups, callbacks, slots, waiters. L3: the last thing that happens,
    /// on the thread that drives the reading end, after the socket is closed.
    pub(crate) fn finish(&self, ws: &WebSocket) -> CloseEvent {
        self.timer.dismiss();
        self.memberships.retire(self.id);
        let (event, error) = self.story();
        debug!("connection {} {event}", self.id);
        if let Some(error) = error {
            self.log_failure(self.callbacks.error.run(ws, error));
        }
        self.log_failure(self.callbacks.close.run(ws, event.clone()));
        self.callbacks.retire();
        lock(&self.ending).event = Some(Box::new(event.clone()));
        self.moved.notify_all();
        event
    }

    fn log_failure(&self, outcome: Outcome) {
        if let Err(failure) = outcome {
            warn!(
                "connection {}: callback failed at the end: {:?}",
                self.id, failure
            );
        }
    }

    /// Puts together how it ended.
    fn story(&self) -> (CloseEvent, Option<Error>) {
        let seal = self.outbox.take_seal();
        if let Some(Seal::Lost(Some(error))) = &seal {
            debug!("connection {} lost: {error}", self.id);
        }
        let sent = self
            .outbox
            .closed_with()
            .filter(|_| self.outbox.writing().close_left_at.is_some());
        self.outbox.wait_deserted();
        let left = self.outbox.counters();
        // A send that has yet to use the place that it took before the seal comes to nothing as well.
        let undelivered = left.undelivered + left.queued_messages;
        let mut ending = lock(&self.ending);
        let failure = ending.failure.take().map(|failure| failure.error);
        let timeout = match seal {
            Some(Seal::Timeout(timeout)) => Some(timeout),
            _ => None,
        };
        let received = ending.received.clone();
        let cut = matches!(seal, Some(Seal::Timeout(_) | Seal::Aborted));
        let began = ending.initiator.unwrap_or(if cut {
            Initiator::Local
        } else {
            Initiator::Remote
        });
        let clean = sent.is_some() && received.is_some();
        let (sent, own) = sent.map(|close| (close.code, close.reason)).unzip();
        let own = own.unwrap_or_default();
        let (code, reason) = match (&failure, began, &received) {
            (Some(Error::Protocol { code, what }), ..) => (*code, (*what).to_owned()),
            (Some(Error::TooSlow), ..) => (CloseCode::POLICY_VIOLATION, TOO_SLOW.to_owned()),
            (Some(_), ..) => (CloseCode::INTERNAL_ERROR, own),
            (None, Initiator::Local, Some(_)) if clean => {
                (sent.unwrap_or(CloseCode::ABNORMAL), own)
            }
            (None, Initiator::Remote, Some(frame)) if clean => (frame.code, frame.reason.clone()),
            _ => (CloseCode::ABNORMAL, String::new()),
        };
        let event = CloseEvent {
            code,
            reason,
            initiator: began,
            clean,
            sent,
            received: received.map(|frame| frame.code),
            timeout,
            failed: failure.is_some() || timeout.is_some(),
            undelivered,
        };
        (event, failure.or(timeout.map(Error::Timeout)))
    }
}

/// The reason a peer is told that does not answer pings.
const TOO_SILENT: &str = "keepalive ping timeout";
/// Is the reason a peer is told that reads too slowly.
const TOO_SLOW: &str = "too slow";
