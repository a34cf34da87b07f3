//! The reading end of a connection, for the program.

mod receiver;

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::callbacks::named;
use crate::connection::reader::Reader;
use crate::connection::thread::{as_connection_thread, on_connection_thread};
use crate::connection::{CloseOnDrop, Connection, Patience};
use crate::outbox::uncork_thread;
use crate::{
    CloseCode, CloseEvent, Failure, Message, MessageReader, Outcome, RecvError, RecvTimeoutError,
    TryRecvError, WebSocket,
};

/// The reading end of a connection: the thread that iterates it drives the connection.
///
/// [`open`](crate::open) and [`serve`](crate::ServerBuilder::serve) give one. The messages come out
/// of [`recv`](Self::recv) or of iterating; the callbacks [`on_ping`](crate::WebSocket::on_ping),
/// [`on_pong`](crate::WebSocket::on_pong), [`on_error`](crate::WebSocket::on_error) and
/// [`on_close`](crate::WebSocket::on_close) run meanwhile, on the calling thread, and `on_message`,
/// `on_text` and `on_binary` do not. Or [`dispatch`](Self::dispatch) runs all callbacks. A message
/// that is too large to hold is read by [`recv_reader`](Self::recv_reader).
///
/// Between two `recv`s no thread reads the connection and answers the peer's pings. A program that
/// computes for long, or waits for something else too, turns the messages into a channel:
/// [`into_receiver`](Self::into_receiver).
///
/// If the thread that reads panics, the connection is closed with 1011.
///
/// Iterating ends after 1000, 1001, no code, or a close that the program began and the peer
/// answered. Any other end is one `Err`, then `None`; but the messages of
/// [`Sessions`](crate::Sessions) end without an `Err` always.
pub struct Messages {
    /// The reader. Taken out by the drop.
    reader: Option<Box<Reader>>,
    connection: Arc<Connection>,
    told: bool,
    /// The flag that iterating ends without an error, however the connection ends.
    is_quiet: bool,
    /// The token that keeps a client open, or a connection that the program has taken.
    open: Option<Arc<CloseOnDrop>>,
}

impl Messages {
    pub(crate) fn new(reader: Box<Reader>, open: Option<Arc<CloseOnDrop>>) -> Self {
        let connection = Arc::clone(reader.connection());
        Self {
            reader: Some(reader),
            connection,
            told: false,
            is_quiet: false,
            open,
        }
    }

    /// Makes the messages of a client's session: iterating them ends without an error.
    pub(crate) fn ending_quietly(mut self) -> Self {
        self.is_quiet = true;
        self
    }

    /// Waits for the next message, however long the peer takes. The messages that this thread has
    /// sent leave before it sleeps.
    ///
    /// # Errors
    /// [`RecvError`] once the connection has ended, after `on_close` has returned, and from then on.
    pub fn recv(&mut self) -> Result<Message, RecvError> {
        self.reader().recv()
    }

    /// Waits for the next message, at most for `timeout`, whatever other input comes. The part of a
    /// message that has come by then is kept, and the connection stays usable.
    ///
    /// # Errors
    /// [`Timeout`](RecvTimeoutError::Timeout) if no message was complete in time,
    /// [`Closed`](RecvTimeoutError::Closed) once the connection has ended.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Message, RecvTimeoutError> {
        let deadline = Instant::now().checked_add(timeout);
        let Some(deadline) = deadline else {
            return Ok(self.recv()?);
        };
        let next = self.ask(|reader| reader.next(Patience::Until(deadline)))?;
        next.ok_or(RecvTimeoutError::Timeout)
    }

    /// Returns the next message if it has come whole, and never waits for the peer: for a program
    /// with a loop of its own, such as a game. A peer that sends other input without a pause delays
    /// the return for ten milliseconds at most. Only the end of the connection, once it has come,
    /// takes as long as in [`recv`](Self::recv).
    ///
    /// No thread reads the connection between two calls, so call it often, until it returns
    /// [`Empty`](TryRecvError::Empty). As this call does not wait, keepalive does not judge the
    /// peer's silence. If that matters, use [`recv_timeout`](Self::recv_timeout) as the pause of
    /// the loop.
    ///
    /// ```
    /// # let server = landline::Server::builder().on_upgrade(|ws, _| ws.send("welcome")).bind("127.0.0.1:0")?;
    /// use landline::TryRecvError;
    ///
    /// let (ws, mut messages) = landline::open(server.url())?;
    /// loop {
    ///     match messages.try_recv() {
    ///         Ok(message) => {
    ///             println!("{message}");
    ///             ws.close();
    ///         }
    ///         Err(TryRecvError::Empty) => std::thread::yield_now(), // all else that there is to do
    ///         Err(TryRecvError::Closed(_)) => break,
    ///     }
    /// }
    /// # Ok::<(), landline::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Empty`](TryRecvError::Empty) if no message has come whole,
    /// [`Closed`](TryRecvError::Closed) once the connection has ended.
    pub fn try_recv(&mut self) -> Result<Message, TryRecvError> {
        let next = self.ask(|reader| reader.next(Patience::at_hand()))?;
        next.ok_or(TryRecvError::Empty)
    }

    /// Waits until the next message begins, however long the peer takes, and reads it as it comes:
    /// for messages that are too large to hold.
    ///
    /// Of such a message only a chunk of about 64 KiB is held, so
    /// [`max_message_size`](crate::Config::max_message_size),
    /// [`max_frame_size`](crate::Config::max_frame_size) and
    /// [`max_fragments`](crate::Config::max_fragments) do not apply to it, and it may have no end:
    /// [`io::Read::take`](std::io::Read::take) bounds what is read.
    /// [`message_timeout`](crate::Config::message_timeout) applies while a read waits.
    ///
    /// The unread rest is skipped when the next message is asked for. The different calls may
    /// alternate.
    ///
    /// ```
    /// use std::io;
    ///
    /// let server = landline::Server::builder()
    ///     .serve(|ws, mut messages, _request| {
    ///         let length = io::copy(&mut messages.recv_reader()?, &mut io::sink())?;
    ///         ws.send(format!("{length} bytes"))?;
    ///         Ok(())
    ///     })
    ///     .bind("127.0.0.1:0")?;
    ///
    /// let (ws, mut messages) = landline::open(server.url())?;
    /// ws.send(vec![0; 20 << 20])?;
    /// assert_eq!(messages.recv()?.as_text(), Some("20971520 bytes"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_reader(&mut self) -> Result<MessageReader<'_>, RecvError> {
        MessageReader::begin(self.reader()).map_err(RecvError)
    }

    /// Drives the connection on this thread, with callbacks, until it has ended, and returns how it
    /// ended.
    ///
    /// A server does nothing else with a connection after
    /// [`on_upgrade`](crate::ServerBuilder::on_upgrade).
    pub fn dispatch(mut self) -> CloseEvent {
        self.until_ended(Reader::dispatch)
    }

    /// Has the program set its callbacks, and then dispatches. `begin` runs in between, unless that
    /// failed.
    pub(crate) fn dispatch_with(
        mut self,
        set_up: impl FnOnce(&WebSocket) -> Outcome,
        begin: impl FnOnce(),
    ) -> CloseEvent {
        let reader = self.reader();
        reader.begin_driving();
        let ws = WebSocket::for_callbacks(reader.connection());
        match as_connection_thread(|| named("set_up", || set_up(&ws))) {
            Ok(()) => begin(),
            Err(failure) => reader.fail(failure),
        }
        self.dispatch()
    }

    /// Closes with 1000, discards further input, and waits for the end, at most for
    /// [`close_timeout`](crate::Config::close_timeout), and a second more for the server to hang
    /// up. Messages sent before leave first.
    ///
    /// Dropping the messages instead ends nothing while there is a handle. A thread of its own then
    /// reads a client's connection and discards the input. A server's connection is not read until
    /// its handler has returned.
    pub fn close(mut self) -> CloseEvent {
        if self.connection.event().is_none() {
            self.connection.close(CloseCode::NORMAL, "");
            self.connection.limit_closing();
        }
        self.until_ended(Reader::discard_until_closed)
    }

    fn until_ended(&mut self, drive: impl FnOnce(&mut Reader) -> CloseEvent) -> CloseEvent {
        uncork_thread();
        let reader = self.reader();
        reader.event().unwrap_or_else(|| drive(reader))
    }

    fn ask<T>(
        &mut self,
        ask: impl FnOnce(&mut Reader) -> Result<T, CloseEvent>,
    ) -> Result<T, RecvError> {
        self.reader().ask(ask).map_err(RecvError)
    }

    fn reader(&mut self) -> &mut Reader {
        match &mut self.reader {
            Some(reader) => reader,
            None => unreachable!("the reading end is taken out only when dropped"),
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
                let is_told = !self.is_quiet && !error.0.is_ordinary();
                is_told.then_some(Err(error))
            }
        }
    }
}

impl Drop for Messages {
    /// Gives the reading end on: a client's to a thread of its own, a server's to the connection's
    /// thread, after the handler if there is one. A panic of the thread that reads closes the
    /// connection, as a callback's panic does.
    fn drop(&mut self) {
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        if !self.connection.is_own() {
            return;
        }
        reader.stop_driving();
        self.connection.set_driver(None);
        if reader.event().is_some() {
            return;
        }
        // The caller of a server's handler reports the handler's panic.
        let is_handlers = self.open.is_none() && on_connection_thread();
        if thread::panicking() && !is_handlers {
            reader.fail(Failure::from("the thread that reads the messages panicked"));
        }
        if reader.has_home() {
            reader.leave();
        } else {
            // If no thread can be had, the connection is cut.
            let _ = reader.spawn(Reader::discard_until_closed);
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
