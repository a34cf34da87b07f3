//! The end of a connection: how it fails, and how the program is told.

use super::Connection;
use crate::close::CloseEvent;
use crate::outbox::EndBehindPing;
use crate::protocol::{CloseFrame, Violation};
use crate::record::{Foreign, debug, warn};
use crate::sync::lock;
use crate::{CloseCode, Error, Failure, Outcome, WebSocket};

impl Connection {
    /// Fails the connection: the Close overtakes what is queued.
    pub(crate) fn fail(&self, code: CloseCode, reason: &str, error: Error) {
        self.outbox
            .fail(CloseFrame::cut_to_fit(code, reason), error);
    }

    /// Fails the connection because the peer broke the protocol.
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

    /// Fails with 1011, unless the connection is closing already: a `send` that found it closed is
    /// not a failure.
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

    /// Records the peer's Close and answers it.
    pub(crate) fn answer_close(&self, received: Option<CloseFrame>) {
        // RFC 6455, section 7.1.5: a Close without a code counts as 1005.
        self.outbox.answer_close(received.unwrap_or(CloseFrame {
            code: CloseCode::NO_STATUS,
            reason: String::new(),
        }));
    }

    /// Ends the connection for good: groups, callbacks, slots, waiting threads. L3: this is the
    /// last step, on the thread that drives the reading end, after the socket is closed.
    pub(crate) fn finish(&self, ws: &WebSocket) -> CloseEvent {
        let mut end = lock(&self.reading_end);
        end.has_hung_up = true;
        let is_awaited = end.is_awaited;
        drop(end);
        if is_awaited {
            self.ended.notify_all();
        }
        self.timer.dismiss();
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
        // A thread that looked before this statement is waiting by now.
        if lock(&self.reading_end).is_awaited {
            self.ended.notify_all();
        }
        event
    }

    /// Tells whether our own ping may be the reason why the peer ended the connection, or broke the
    /// protocol by its answer.
    fn end_behind_ping(&self, event: &CloseEvent, error: Option<&Error>) -> Option<EndBehindPing> {
        let is_peers = matches!(error, None | Some(Error::Protocol { .. }));
        let behind = self.outbox.end_behind_ping();
        behind.filter(|_| is_peers && !event.is_ordinary())
    }

    /// Logs the failure of a callback where nothing else can report it any more.
    pub(crate) fn log_failure(&self, outcome: Outcome) {
        if let Err(failure) = outcome {
            warn!(
                "connection {}: callback failed at the end: {:?}",
                self.id, failure
            );
        }
    }
}
