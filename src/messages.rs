//! The reading end as a program sees it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::{Connection, Life};
use crate::outbox::uncork_thread;
use crate::reader::{Next, Reader};
use crate::sync::lock;
use crate::{CloseCode, CloseEvent, Message, RecvError};

/// Is the reading end of a connection: whoever iterates it drives the connection.
///
/// [`open`](crate::open) and [`serve`](crate::ServerBuilder::serve) give one. The messages come out
/// of [`recv`](Self::recv) or of iterating; the callbacks [`on_ping`](crate::WebSocket::on_ping),
/// [`on_pong`](crate::WebSocket::on_pong), [`on_error`](crate::WebSocket::on_error) and
/// [`on_close`](crate::WebSocket::on_close) run meanwhile, on the calling thread, and `on_message`,
/// `on_text` and `on_binary` do not. Or [`dispatch`](Self::dispatch) runs all callbacks.
///
/// Between two `recv`s nobody reads the connection and nobody answers the peer's pings. Who
/// computes for long uses [`connect`](crate::connect), and a channel that a callback fills.
///
/// Iterating ends after 1000, 1001, no code, or a close that we began and the peer answered. Any
/// other end is one `Err`, then `None`.
pub struct Messages {
    /// Taken out when dropped.
    reader: Option<Box<Reader>>,
    connection: Arc<Connection>,
    ended: Option<CloseEvent>,
    told: bool,
    /// Keeps a client open.
    _life: Option<Arc<Life>>,
}

impl Messages {
    pub(crate) fn new(reader: Box<Reader>, life: Option<Arc<Life>>) -> Self {
        let connection = Arc::clone(reader.connection());
        Self {
            reader: Some(reader),
            connection,
            ended: None,
            told: false,
            _life: life,
        }
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the connection has ended, after `on_close` has returned, and from
    /// then on; [`RecvError::Timeout`] never.
    pub fn recv(&mut self) -> Result<Message, RecvError> {
        self.next_until(None)
    }

    /// Waits for the next message, at most for `timeout`. What has come of a message by then is
    /// kept, and the connection stays usable.
    ///
    /// # Errors
    /// [`RecvError::Timeout`] if no message was complete in time, otherwise as
    /// [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Message, RecvError> {
        self.next_until(Instant::now().checked_add(timeout))
    }

    /// Drives the connection with callbacks until it has ended, and tells how.
    ///
    /// A server does nothing else with a connection after
    /// [`on_upgrade`](crate::ServerBuilder::on_upgrade).
    pub fn dispatch(mut self) -> CloseEvent {
        self.until_ended(Reader::dispatch)
    }

    /// Closes with 1000, discards what still comes, and waits for the end, at most for
    /// [`close_timeout`](crate::Config::close_timeout): the polite end.
    pub fn close(mut self) -> CloseEvent {
        if self.ended.is_none() {
            self.connection.close(CloseCode::NORMAL, "");
            self.connection
                .end_by(Instant::now() + self.connection.close_timeout);
        }
        self.until_ended(Reader::run_out)
    }

    /// Ends after the program's handler: with 1000, or with its failure.
    pub(crate) fn end(mut self, outcome: crate::Outcome) {
        if let (Err(failure), Some(reader)) = (outcome, &mut self.reader) {
            reader.fail(failure);
        }
        self.close();
    }

    fn until_ended(&mut self, drive: impl FnOnce(&mut Reader) -> CloseEvent) -> CloseEvent {
        uncork_thread();
        match (&self.ended, &mut self.reader) {
            (None, Some(reader)) => {
                let event = drive(reader);
                self.ended = Some(event.clone());
                event
            }
            (Some(event), _) => event.clone(),
            (None, None) => unreachable!("the reading end is taken out only when dropped"),
        }
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Result<Message, RecvError> {
        if let Some(event) = &self.ended {
            return Err(RecvError::Closed(event.clone()));
        }
        let Some(reader) = &mut self.reader else {
            return Err(RecvError::Timeout);
        };
        match reader.next(deadline) {
            Next::Message(message) => Ok(message),
            Next::Timeout => Err(RecvError::Timeout),
            Next::Ended(event) => {
                self.ended = Some(event.clone());
                Err(RecvError::Closed(event))
            }
        }
    }
}

impl Iterator for Messages {
    type Item = Result<Message, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.told {
            return None;
        }
        match self.recv() {
            Ok(message) => Some(Ok(message)),
            Err(error) => {
                self.told = true;
                let ordinary = matches!(&error, RecvError::Closed(event) if event.is_ordinary());
                (!ordinary).then_some(Err(error))
            }
        }
    }
}

impl Drop for Messages {
    /// Parks the reading end with the connection: the last handle, or the server, drives it to its
    /// end.
    fn drop(&mut self) {
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        reader.let_go();
        if self.ended.is_none() {
            *lock(&self.connection.parked) = Some(reader);
        }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages")
            .field("connection", &self.connection.id)
            .finish_non_exhaustive()
    }
}
