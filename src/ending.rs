//! How a connection ends: who drives it there, and how the program is told.

use std::thread::ThreadId;

use crate::close::CloseEvent;
use crate::connection::Connection;
use crate::outbox::EndBehindPing;
use crate::protocol::{CloseFrame, Violation};
use crate::reader::Reader;
use crate::record::{Foreign, debug, warn};
use crate::sync::lock;
use crate::{CloseCode, Error, Failure, Outcome, WebSocket};

/// The thread that drives the reading end, and what becomes of that end.
#[derive(Default)]
pub(crate) struct Ending {
    /// The thread that drives the reading end, or drove it last.
    pub(crate) driver: Option<ThreadId>,
    /// The reading end, while it waits for the server's thread.
    pub(crate) parked: Option<Box<Reader>>,
    /// Whether the server's thread has left, and nobody will come for what is parked.
    pub(crate) deserted: bool,
    /// Whether the socket is given up, and only callbacks are to come.
    pub(crate) hung_up: bool,
    /// Whether anybody has waited for the socket to be given up.
    pub(crate) awaits_hang_up: bool,
    /// Whether anybody has waited for the end: nobody else is woken for it.
    pub(crate) awaits_end: bool,
}

impl Connection {
    /// Fails the connection: the Close overtakes what is queued.
    pub(crate) fn fail(&self, code: CloseCode, reason: &str, error: Error) {
        self.outbox
            .fail(CloseFrame::cut_to_fit(code, reason), error);
    }

    /// Fails as the peer broke the protocol.
    pub(crate) fn fail_violated(&self, Violation { code, what }: Violation) {
        let close = CloseFrame::cut_to_fit(code, &what);
        let what = what.into_owned();
        self.outbox.fail(close, Error::Protocol { code, what });
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
        if self.outbox.is_closing() && !self.outbox.explain_unfinished(&text) {
            debug!(
                "connection {}: callback failed while closing: {:?}",
                self.id,
                Foreign(&text)
            );
            return;
        }
        warn!(
            "connection {}: callback failed: {:?}",
            self.id,
            Foreign(&text)
        );
        self.fail(CloseCode::INTERNAL_ERROR, "", Error::Callback(text));
    }

    /// Takes note of the peer's Close and answers it.
    pub(crate) fn answer_close(&self, received: Option<CloseFrame>) {
        // RFC 6455, section 7.1.5: a Close without a code counts as 1005.
        self.outbox.answer_close(received.unwrap_or(CloseFrame {
            code: CloseCode::NO_STATUS,
            reason: String::new(),
        }));
    }

    /// Ends the connection for good: groups, callbacks, slots, waiters. L3: the last thing that happens,
    /// on the thread that drives the reading end, after the socket is closed.
    pub(crate) fn finish(&self, ws: &WebSocket) -> CloseEvent {
        let mut ending = lock(&self.ending);
        ending.hung_up = true;
        let is_awaited = ending.awaits_hang_up;
        drop(ending);
        if is_awaited {
            self.moved.notify_all();
        }
        self.timer.dismiss();
        self.memberships.retire(self.id);
        let (event, error) = self.outbox.tell();
        if let Some(loss) = self.outbox.take_loss() {
            debug!("connection {} lost: {loss}", self.id);
        }
        match self.end_behind_ping(&event, error.as_ref()) {
            Some(ping) => debug!("connection {} {event}, {ping}", self.id),
            None => debug!("connection {} {event}", self.id),
        }
        if let Some(error) = error {
            self.log_failure(self.callbacks.error.run_once("on_error", ws, error));
        }
        self.log_failure(self.callbacks.close.run(ws, event.clone()));
        self.callbacks.retire();
        self.outbox.finish(event.clone());
        // Whoever has looked before that waits by now.
        if lock(&self.ending).awaits_end {
            self.moved.notify_all();
        }
        event
    }

    /// Tells whether a ping of our own may have been what the peer ended the connection for, or broke
    /// the protocol by its answer.
    fn end_behind_ping(&self, event: &CloseEvent, error: Option<&Error>) -> Option<EndBehindPing> {
        let is_peers = matches!(error, None | Some(Error::Protocol { .. }));
        let behind = self.outbox.end_behind_ping();
        behind.filter(|_| is_peers && !event.is_ordinary())
    }

    /// Tells the log of a callback that failed when nothing else could be told any more.
    pub(crate) fn log_failure(&self, outcome: Outcome) {
        if let Err(failure) = outcome {
            warn!(
                "connection {}: callback failed at the end: {:?}",
                self.id, failure
            );
        }
    }
}
