//! Where a connection stands: [`Life`], from its opening to its [`CloseEvent`].
//!
//! An end that the reading end finds goes one way: `Reader::end_*` -> `Connection::fail_violated` or
//! `answer_close` -> `Outbox` -> `Queue` -> [`Life`]. A loss and a cut go straight to the `Outbox`, and
//! what the program or a deadline does begins at `Connection` or there.
//!
//! | code | is chosen in | for |
//! |---|---|---|
//! | 1002, 1007, 1009 | `protocol`, as a `Violation` | what the peer may not send, or what is too large |
//! | 1009 | `connection/reader`, as `Violation::NO_ROOM` | a message that there is no memory for |
//! | 1011 | `connection/closing` | what fails in the program, or a message that it leaves unfinished |
//! | 1011 | `outbox/ending` | a silence after a ping, before the cut |
//! | 1008 | `outbox/ending` | a peer that reads too slowly |
//! | 1001 | `outbox/queue/ending` | a TLS connection whose keys are used up |
//! | 1001 | `server/connections`, `time_limit` | a server that stops; a limit of the program's, if it names no other |
//! | 1000 | `websocket`, `messages`, `server/session`, `connection/waiting` | an ordinary end |
//! | 1005 | `connection/closing` | a Close of the peer's without a code |
//!
//! Which of them the program is told, or else 1006, is chosen here, in `End::code`.

use std::io;
use std::thread::{self, ThreadId};
use std::time::Instant;

use crate::close::{CloseEvent, Ending};
use crate::protocol::CloseFrame;
use crate::{CloseCode, DeliveryError, Error, Initiator, Timeout};

/// The state of a connection. Sending and reading end separately: after a failed write, input that
/// has arrived is still read, and after the peer's end of input, the queue still leaves.
///
/// Its functions are the only transitions. They are called under the queue's lock.
#[derive(Debug)]
pub(crate) struct Life {
    sending: Sending,
    reading: Reading,
    /// The facts of the end. Boxed, as an open connection has none.
    end: Option<Box<End>>,
}

/// The progress of the sending side's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Open,
    /// No message is admitted any more. Admitted messages leave.
    Closing,
    /// Our Close is encoded: nothing follows it (L5).
    Closed,
    /// Nothing leaves any more.
    Over,
}

/// The progress of the reading side's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Open,
    /// The peer's Close or its end of input has come.
    Over,
    /// Input that has not been read is thrown away.
    Cut,
    /// The program has been told.
    Finished,
}

/// The facts of the end, from all who take part in it.
#[derive(Debug, Default)]
struct End {
    initiator: Option<Initiator>,
    sent: Option<CloseFrame>,
    /// The time when our Close went to the kernel.
    sent_at: Option<Instant>,
    received: Option<CloseFrame>,
    failure: Option<Failed>,
    cause: Option<CloseCause>,
    /// The program's limit that closed the connection.
    limit: Option<Timeout>,
    /// The flag that the sending ended by a failed write.
    write_failed: bool,
    event: Option<CloseEvent>,
    /// The time when the program had been told.
    finished_at: Option<Instant>,
}

/// The failure of a connection.
#[derive(Debug)]
struct Failed {
    error: Error,
    /// The thread that found it.
    on: ThreadId,
    /// The flag that the peer could still be told, because our Close had not been encoded.
    tellable: bool,
}

/// The reason why nothing leaves any more.
#[derive(Debug)]
pub(crate) enum CloseCause {
    /// Nothing is left to send: both Close frames were seen, or our failure was told.
    Finished,
    /// The peer is gone: its input ended without a Close, or reading or writing failed.
    Lost(Option<io::Error>),
    /// A deadline passed.
    Timeout(Timeout),
    /// The program asked for it.
    Aborted,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self {
            sending: Sending::Open,
            reading: Reading::Open,
            end: None,
        }
    }

    /// Tells whether messages are admitted.
    pub(crate) fn is_open(&self) -> bool {
        self.sending == Sending::Open
    }

    /// Tells whether our Close is encoded, or nothing leaves for another reason.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.sending, Sending::Closed | Sending::Over)
    }

    /// Tells whether nothing leaves any more.
    pub(crate) fn is_sending_over(&self) -> bool {
        self.sending == Sending::Over
    }

    /// Tells whether input is not read any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.reading == Reading::Cut
    }

    /// Returns when our Close went to the kernel.
    pub(crate) fn close_left_at(&self) -> Option<Instant> {
        self.end.as_ref()?.sent_at
    }

    /// Tells whether the sending ended by a failed write.
    pub(crate) fn has_write_failed(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.write_failed)
    }

    /// Returns how the connection ended, once the program has been told.
    pub(crate) fn event(&self) -> Option<&CloseEvent> {
        self.end.as_ref()?.event.as_ref()
    }

    /// Returns when the program had been told how the connection ended.
    pub(crate) fn finished_at(&self) -> Option<Instant> {
        self.end.as_ref()?.finished_at
    }

    /// Admits no more messages. Returns whether this call began the end.
    pub(crate) fn close(&mut self, by: Initiator) -> bool {
        let first = self.is_open();
        if first {
            self.sending = Sending::Closing;
            self.end().initiator.get_or_insert(by);
        }
        first
    }

    /// Records the program's limit at which the end has begun, if there was one.
    pub(crate) fn note_limit(&mut self, limit: Option<Timeout>) {
        self.end().limit = limit;
    }

    /// Records a failure of the peer or the program. The first one counts.
    pub(crate) fn fail(&mut self, error: Error) {
        let failed = Failed {
            error,
            on: thread::current().id(),
            tellable: !self.is_closed(),
        };
        self.close(Initiator::Local);
        self.end().failure.get_or_insert(failed);
    }

    /// Replaces the failure of a message that this thread has left unfinished by the failure of its
    /// callback, if there is one. Returns whether it did.
    pub(crate) fn explain_unfinished(&mut self, text: &str) -> bool {
        let here = thread::current().id();
        let failed = self.end.as_mut().and_then(|end| end.failure.as_mut());
        let unfinished = failed
            .filter(|failed| matches!(failed.error, Error::Unfinished) && failed.on == here)
            .map(|failed| failed.error = Error::Callback(text.to_owned()));
        unfinished.is_some()
    }

    /// Records the peer's Close. The input behind it is not read (RFC 6455, section 5.5.1).
    pub(crate) fn receive_close(&mut self, close: CloseFrame) {
        self.close(Initiator::Remote);
        if self.reading == Reading::Open {
            self.reading = Reading::Over;
        }
        self.end().received.get_or_insert(close);
    }

    /// Records the end of the peer's input without a Close. Admitted messages still leave.
    pub(crate) fn end_input(&mut self) {
        self.close(Initiator::Remote);
        if self.reading == Reading::Open {
            self.reading = Reading::Over;
        }
    }

    /// Records that our Close is encoded.
    pub(crate) fn encode_close(&mut self, close: CloseFrame) {
        if !self.is_closed() {
            self.sending = Sending::Closed;
            self.end().sent = Some(close);
        }
    }

    /// Records that our Close is with the kernel: from now on the peer may answer.
    pub(crate) fn send_close(&mut self, now: Instant) {
        self.end().sent_at = Some(now);
    }

    /// Ends the sending. Input that has arrived is still read. Returns whether this call ended it.
    pub(crate) fn end_sending(&mut self, cause: CloseCause) -> bool {
        if self.is_sending_over() {
            return false;
        }
        self.sending = Sending::Over;
        self.end().cause = Some(cause);
        true
    }

    /// Records that a write has failed, which ended the sending. Input that has arrived is still
    /// read.
    pub(crate) fn fail_sending(&mut self) {
        self.end().write_failed = true;
    }

    /// Ends the sending and the reading. Returns whether this call ended either.
    pub(crate) fn cut(&mut self, cause: CloseCause) -> bool {
        let over = self.is_sending_over();
        let ended = match cause {
            // Both Closes were seen, so nothing is left to wait for, and a deadline came too late.
            _ if self.is_clean() => self.end_sending(CloseCause::Finished),
            // The deadline that ends the reading after a failed write is reported.
            CloseCause::Timeout(_) if over && self.reading == Reading::Open => {
                self.end().cause = Some(cause);
                false
            }
            cause => self.end_sending(cause),
        };
        let reading = !matches!(self.reading, Reading::Cut | Reading::Finished);
        if reading {
            self.reading = Reading::Cut;
        }
        ended || reading
    }

    /// Makes the close event, and the error if something failed.
    pub(crate) fn tell(&mut self, undelivered: u64) -> (CloseEvent, Option<Error>) {
        let clean = self.is_clean();
        let end = self.end();
        let sent = end.sent.clone().filter(|_| end.sent_at.is_some());
        let cut = match end.cause {
            Some(CloseCause::Timeout(timeout)) => Some(timeout),
            _ => None,
        };
        let (code, reason) = end.code(sent.as_ref());
        let event = CloseEvent::from(Ending {
            code,
            reason,
            initiator: end.initiator(),
            clean,
            sent: sent.map(|close| close.code),
            received: end.received.as_ref().map(|close| close.code),
            timeout: cut.or(end.limit),
            failed: end.failure.is_some() || cut.is_some(),
            aborted: matches!(end.cause, Some(CloseCause::Aborted)),
            undelivered,
        });
        let failure = end.failure.take().map(|failed| failed.error);
        (event, failure.or(cut.map(Error::Timeout)))
    }

    /// Records that the program has been told, by this event.
    pub(crate) fn finish(&mut self, event: CloseEvent, now: Instant) {
        self.reading = Reading::Finished;
        self.end().event = Some(event);
        self.end().finished_at = Some(now);
    }

    /// Takes the system's error that ended the connection, if there was one.
    pub(crate) fn take_loss(&mut self) -> Option<io::Error> {
        match &mut self.end().cause {
            Some(CloseCause::Lost(error)) => error.take(),
            _ => None,
        }
    }

    /// Tells whether both Closes have been seen (RFC 6455, section 7.1.4).
    fn is_clean(&self) -> bool {
        let end = self.end.as_ref();
        end.is_some_and(|end| end.sent_at.is_some() && end.received.is_some())
    }

    fn end(&mut self) -> &mut End {
        self.end.get_or_insert_default()
    }
}

impl End {
    /// Returns the code and the reason that the connection ended with: those of a failure that the
    /// peer could be told, else those of the peer's Close, whichever side began (RFC 6455, sections
    /// 7.1.5 and 7.1.6), else 1006.
    fn code(&self, sent: Option<&CloseFrame>) -> (CloseCode, String) {
        match (&self.failure, &self.received) {
            (Some(failed), _) if failed.tellable => failed.code(sent),
            (_, Some(close)) => (close.code, close.reason.clone()),
            _ => (CloseCode::ABNORMAL, String::new()),
        }
    }

    fn initiator(&self) -> Initiator {
        let cut = matches!(
            self.cause,
            Some(CloseCause::Timeout(_) | CloseCause::Aborted)
        );
        self.initiator.unwrap_or(if cut {
            Initiator::Local
        } else {
            Initiator::Remote
        })
    }
}

impl Failed {
    fn code(&self, sent: Option<&CloseFrame>) -> (CloseCode, String) {
        match &self.error {
            Error::Protocol { code, what } => (*code, what.clone()),
            Error::TooSlow => (CloseCode::POLICY_VIOLATION, TOO_SLOW.to_owned()),
            _ => {
                let reason = sent.map(|close| close.reason.clone());
                (CloseCode::INTERNAL_ERROR, reason.unwrap_or_default())
            }
        }
    }
}

/// The close reason for a peer that reads too slowly.
pub(crate) const TOO_SLOW: &str = "too slow";

impl CloseCause {
    /// Returns the delivery error of messages that were not written.
    pub(crate) fn undelivered(&self) -> DeliveryError {
        match self {
            Self::Finished | Self::Lost(_) => DeliveryError::Lost,
            Self::Timeout(timeout) => DeliveryError::Cut(*timeout),
            Self::Aborted => DeliveryError::Aborted,
        }
    }
}

#[cfg(test)]
mod tests;
