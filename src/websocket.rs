//! The writing end and the handle of a connection.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;

use crate::connection::thread::on_connection_thread;
use crate::connection::{CloseOnDrop, Connection};
use crate::error::Unsendable;
use crate::outbox::{Leaving, uncork_thread};
use crate::protocol::Opcode;
use crate::{
    Address, AgreedCompression, CloseCode, CloseEvent, Counters, Delivery, Error, IntoOutcome,
    Message, MessageWriter, Overflow, SendError, SendErrorKind, SendOptions, Text, WaitError,
};

/// The writing end and the handle of one connection: cheap to clone, safe to share, usable from
/// any thread, in and out of callbacks.
///
/// A WebSocket is a channel into the socket. A send queues the message, and the sending thread
/// writes it, unless another thread is writing already and takes the message along.
///
/// # How it ends
/// A connection of a client lives as long as a handle that [`connect`](crate::connect) or
/// [`open`](crate::open) returned, a clone of it, or its [`Messages`](crate::Messages), but not the
/// channel that they are [turned into](crate::Messages::into_receiver). Then it
/// closes with 1000, and dropping the last of them waits for that, at most
/// [`close_timeout`](crate::Config::close_timeout). For `on_close` the drop waits no longer than a
/// quarter of a second more. While another callback runs, the peer's Close is not read: a program
/// that drops the last handle under a lock for which `on_text` waits, waits for all that time. The
/// handle that callbacks get does not count, and neither do its clones.
///
/// A connection of a server lives until it closes, or until its
/// [`serve`](crate::ServerBuilder::serve) handler returns. One that comes out of
/// [`Incoming`](crate::Incoming) lives as a client's does, but its drops do not wait.
///
/// # Callbacks
/// There is one slot of each kind. Setting a callback replaces the one before, from the next event
/// on, from any thread, also from inside itself. Callbacks run on the connection's thread, one at a
/// time, in the order of the wire. A callback may return nothing, a `Result` with any error that
/// can be shown, or never. An error or a panic closes this connection with 1011 and affects no
/// other. After `on_close` has returned, all slots are emptied.
#[derive(Clone)]
#[must_use = "a connection may close when its last handle is dropped"]
pub struct WebSocket {
    connection: Arc<Connection>,
    /// The token that keeps a client open, or a connection that the program has taken.
    open: Option<Arc<CloseOnDrop>>,
}

/// # Sending
impl WebSocket {
    /// Queues a message and lets it leave (RFC 6455, section 6.1). Messages of one thread leave in
    /// the order of its sends.
    ///
    /// While the queue is full this waits for room, at most
    /// [`write_timeout`](crate::Config::write_timeout), or does as another
    /// [`overflow`](crate::Config::overflow) policy says. Otherwise it does not block. `Ok` means
    /// queued: in all but the busiest moments the kernel has the message already. Messages that are
    /// still queued when the connection ends are discarded. [`CloseEvent::undelivered`] counts
    /// them, and [`send_tracked`](Self::send_tracked) reports it for one message. From a callback
    /// it works as from anywhere, but while it waits there, this connection is not read. A program
    /// that pushes to many uses a [`Group`](crate::Group).
    ///
    /// # Errors
    /// [`Closed`](SendErrorKind::Closed) once the connection is closing, also if that begins during
    /// the wait, [`Timeout`](SendErrorKind::Timeout), and [`Full`](SendErrorKind::Full) under a
    /// policy that does not wait; all hand the message back.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.send_message(message.into(), None)
    }

    /// Queues a message like [`send`](Self::send), but never waits.
    ///
    /// # Errors
    /// [`Full`](SendErrorKind::Full) and [`Closed`](SendErrorKind::Closed) hand the message back.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.send_with(Overflow::HandBack, message)
    }

    /// Queues a message like [`send`](Self::send), with options of its own: an [`Overflow`] policy, or
    /// [`SendOptions`].
    ///
    /// # Errors
    /// Those of `send`.
    pub fn send_with(
        &self,
        options: impl Into<SendOptions>,
        message: impl Into<Message>,
    ) -> Result<(), SendError> {
        self.send_message_with(options.into(), message.into())
    }

    /// Queues several messages like [`send`](Self::send), and lets them leave together, in one
    /// write where they fit one.
    ///
    /// # Errors
    /// Those of `send`, with the message that was not queued; the messages before it are queued,
    /// those behind it are not. Each message may wait as long as one `send`.
    pub fn send_all<M: Into<Message>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<(), SendError> {
        // Queued messages leave also if the program's iterator panics.
        let _leaving = Leaving;
        messages
            .into_iter()
            .try_for_each(|message| self.send_with_next(message.into()))
    }

    // These functions are compiled here, and not in each program.

    fn send_message(&self, message: Message, overflow: Option<Overflow>) -> Result<(), SendError> {
        self.connection.outbox.send_message(message, overflow)
    }

    fn send_message_with(&self, options: SendOptions, message: Message) -> Result<(), SendError> {
        if options.plain && self.compression().is_some() {
            return self.connection.outbox.send_plain(message, options.overflow);
        }
        self.send_message(message, options.overflow)
    }

    fn send_with_next(&self, message: Message) -> Result<(), SendError> {
        self.connection.outbox.send_with_next(message)
    }

    /// Queues a message like [`send`](Self::send), and tracks its delivery.
    ///
    /// # Errors
    /// Those of `send`: then there is nothing to track.
    pub fn send_tracked(&self, message: impl Into<Message>) -> Result<Delivery, SendError> {
        self.connection.outbox.send_tracked(message.into())
    }

    /// Waits until the peer's endpoint has taken everything that was sent before, at most for
    /// `timeout`: a ping follows it, and its pong comes back (RFC 6455, section 5.5.3). Whether the
    /// program at the other end has understood it, only its own answer can tell.
    ///
    /// # Errors
    /// [`Timeout`](WaitError::Timeout), [`Closed`](WaitError::Closed) if the connection closes
    /// first, and [`WouldDeadlock`](WaitError::WouldDeadlock) where the pong could not be read
    /// meanwhile: at once in a callback or handler of this connection, or while this thread has a
    /// [`MessageWriter`] of it and the queue is full; after the timeout, if it is the calling thread
    /// that reads the [`Messages`](crate::Messages).
    pub fn confirm(&self, timeout: Duration) -> Result<(), WaitError> {
        self.connection.confirm(Instant::now().checked_add(timeout))
    }

    /// Begins a text that leaves in fragments while it is written (RFC 6455, section 5.4): for a
    /// text that is too large to hold, or whose end is not known yet. See [`MessageWriter`].
    ///
    /// Messages sent before go first: while the queue is full this waits like [`send`](Self::send).
    ///
    /// # Errors
    /// [`Streaming`](SendErrorKind::Streaming) while another streamed message of this connection is
    /// not finished, [`Closed`](SendErrorKind::Closed), [`Timeout`](SendErrorKind::Timeout).
    pub fn text_writer(&self) -> Result<MessageWriter, SendError> {
        MessageWriter::begin(&self.connection, self.open.as_ref(), Opcode::Text)
    }

    /// Begins a binary message like [`text_writer`](Self::text_writer).
    ///
    /// # Errors
    /// Those of `text_writer`.
    pub fn binary_writer(&self) -> Result<MessageWriter, SendError> {
        MessageWriter::begin(&self.connection, self.open.as_ref(), Opcode::Binary)
    }

    /// Sends a ping of at most 125 bytes (RFC 6455, section 5.5.2). It overtakes queued messages
    /// and never waits. [`on_pong`](Self::on_pong) gets the peer's pong.
    ///
    /// Pings that keep the connection alive are sent without this.
    ///
    /// # Errors
    /// [`Invalid`](SendErrorKind::Invalid) for a longer payload, [`Closed`](SendErrorKind::Closed)
    /// once the connection is closing.
    pub fn ping(&self, payload: impl AsRef<[u8]>) -> Result<(), SendError> {
        let payload = payload.as_ref();
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(SendError::invalid(Unsendable::Ping(length(payload.len()))));
        }
        if self.connection.outbox.is_closing() {
            return Err(SendError::new(SendErrorKind::Closed, None));
        }
        self.connection
            .outbox
            .send_control(Opcode::Ping, Bytes::copy_from_slice(payload));
        Ok(())
    }
}

/// # Backpressure
impl WebSocket {
    /// Sets the policy of `send`, `send_all` and `send_tracked` for a full queue from now on,
    /// instead of [`Config::overflow`](crate::Config::overflow).
    pub fn set_overflow(&self, overflow: Overflow) {
        self.connection.outbox.set_overflow(overflow);
    }

    /// Returns how many bytes of payload are queued and not with the kernel yet. Bytes that the
    /// kernel holds for the peer do not count; [`send_buffer`](crate::Config::send_buffer) bounds
    /// them.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        usize::try_from(self.connection.outbox.buffered()).unwrap_or(usize::MAX)
    }

    /// Waits until nothing is queued any more, by any thread: until the kernel has all of it. At
    /// most for `timeout`. It may be called in any callback.
    ///
    /// # Errors
    /// [`Timeout`](WaitError::Timeout), [`Closed`](WaitError::Closed) if something was discarded
    /// because the connection ended, and [`WouldDeadlock`](WaitError::WouldDeadlock) at once while
    /// this thread has a [`MessageWriter`] that is not finished.
    pub fn wait_drained(&self, timeout: Duration) -> Result<(), WaitError> {
        self.connection
            .outbox
            .wait_drained(Instant::now().checked_add(timeout))
    }

    /// Returns what this connection has counted so far. It is cheap, and counting is always on.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.connection.counters()
    }

    /// Returns the latest round-trip time to the peer, measured by this side's own pings: one each
    /// [`ping_interval`](crate::Config::ping_interval), and one for each
    /// [`confirm`](Self::confirm). `None` until the first was answered. Time in which the program
    /// kept the connection from reading counts.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.connection.outbox.latency()
    }
}

/// # Ending
impl WebSocket {
    /// Begins the closing handshake with 1000 (RFC 6455, section 7.1.2). Messages sent before go
    /// first. Never waits; closing twice changes nothing. Messages that the peer sends before its
    /// own Close still arrive.
    pub fn close(&self) {
        self.connection.close(CloseCode::NORMAL, "");
    }

    /// Begins the closing handshake like [`close`](Self::close), with a code and a reason of at
    /// most 123 bytes (RFC 6455, section 7.4).
    ///
    /// # Errors
    /// [`Invalid`](SendErrorKind::Invalid) for a longer reason or a code that may not be sent,
    /// [`Closed`](SendErrorKind::Closed) if the connection is closing already.
    pub fn close_with(&self, code: impl Into<CloseCode>, reason: &str) -> Result<(), SendError> {
        let code = code.into();
        Unsendable::check_close(code, reason).map_err(SendError::invalid)?;
        if self.connection.close(code, reason) {
            return Ok(());
        }
        Err(SendError::new(SendErrorKind::Closed, None))
    }

    /// Cuts the connection at once, without a Close frame, and never waits. The queue is discarded;
    /// the connection ends with 1006, not clean.
    pub fn abort(&self) {
        self.connection.abort();
    }

    /// Tells whether messages can still be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.connection.outbox.is_closing()
    }

    /// Returns the code that the connection has ended with, or `None` until `on_close` has
    /// returned: inside it, ask its [`CloseEvent`].
    #[must_use]
    pub fn close_code(&self) -> Option<CloseCode> {
        self.connection.event().map(|event| event.code())
    }

    /// Returns how the connection has ended, or `None` until `on_close` has returned.
    #[must_use]
    pub fn close_event(&self) -> Option<CloseEvent> {
        self.connection.event()
    }

    /// Waits until the connection has ended and `on_close` has returned, and returns how it ended.
    /// The wait has no limit, and does not begin the end.
    ///
    /// # Errors
    /// [`WouldDeadlock`](WaitError::WouldDeadlock) if the wait could never end: at once on any
    /// connection's own thread (in a callback or handler), and after five seconds in which no other
    /// thread has read this connection's [`Messages`](crate::Messages).
    pub fn wait_closed(&self) -> Result<CloseEvent, WaitError> {
        if on_connection_thread() && self.connection.event().is_none() {
            return Err(WaitError::WouldDeadlock);
        }
        uncork_thread();
        self.connection.wait_finished(None)
    }

    /// Waits like [`wait_closed`](Self::wait_closed), at most for `timeout`. A callback, too, may
    /// wait like this for the end of another connection.
    ///
    /// # Errors
    /// [`Timeout`](WaitError::Timeout), and [`WouldDeadlock`](WaitError::WouldDeadlock) as in
    /// `wait_closed`.
    pub fn wait_closed_timeout(&self, timeout: Duration) -> Result<CloseEvent, WaitError> {
        uncork_thread();
        self.connection
            .wait_finished(Instant::now().checked_add(timeout))
    }
}

/// # Callbacks
impl WebSocket {
    /// Sets the callback for messages of either kind. It gets the messages for which no
    /// [`on_text`](Self::on_text) or [`on_binary`](Self::on_binary) callback is set. Messages
    /// without a callback are dropped, with a WARN record at the first.
    ///
    /// Like those two, it does not run for messages that are read from
    /// [`Messages`](crate::Messages).
    pub fn on_message<R: IntoOutcome>(
        &self,
        callback: impl FnMut(&WebSocket, Message) -> R + Send + 'static,
    ) {
        self.connection.callbacks.message.set(callback);
    }

    /// Sets the callback for text messages.
    pub fn on_text<R: IntoOutcome>(
        &self,
        callback: impl FnMut(&WebSocket, Text) -> R + Send + 'static,
    ) {
        self.connection.callbacks.text.set(callback);
    }

    /// Sets the callback for binary messages.
    pub fn on_binary<R: IntoOutcome>(
        &self,
        callback: impl FnMut(&WebSocket, Bytes) -> R + Send + 'static,
    ) {
        self.connection.callbacks.binary.set(callback);
    }

    /// Sets the callback for pings. They are answered without it (RFC 6455, section 5.5.2).
    pub fn on_ping<R: IntoOutcome>(
        &self,
        callback: impl FnMut(&WebSocket, Bytes) -> R + Send + 'static,
    ) {
        self.connection.callbacks.ping.set(callback);
    }

    /// Sets the callback for pongs, those that answer keepalive pings included.
    pub fn on_pong<R: IntoOutcome>(
        &self,
        callback: impl FnMut(&WebSocket, Bytes) -> R + Send + 'static,
    ) {
        self.connection.callbacks.pong.set(callback);
    }

    /// Sets the callback for failures of the connection: a protocol violation, a deadline, a failed
    /// callback. `on_close` follows. A connection that is just lost has not failed.
    pub fn on_error<R: IntoOutcome>(
        &self,
        callback: impl FnMut(&WebSocket, Error) -> R + Send + 'static,
    ) {
        self.connection.callbacks.error.set(callback);
    }

    /// Sets the callback for the end. It runs exactly once and last, when the socket is closed.
    ///
    /// If the end has come already, even in another `on_close` that is running now, the callback
    /// runs at once, on the calling thread, before this returns, and is not kept. So it runs
    /// however late it is set. Its failure is a WARN record then.
    pub fn on_close<R: IntoOutcome>(
        &self,
        callback: impl FnMut(&WebSocket, CloseEvent) -> R + Send + 'static,
    ) {
        let ws = Self::for_callbacks(&self.connection);
        let outcome = self.connection.callbacks.close.set(&ws, callback);
        self.connection.log_failure(outcome);
    }
}

/// # Identity
impl WebSocket {
    /// Returns a number that no other connection of this process has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.connection.id
    }

    /// Returns the address of the peer's end of the socket. Behind a proxy it is the proxy's.
    #[must_use]
    pub fn peer_addr(&self) -> Address {
        self.connection.peer_addr.clone()
    }

    /// Returns the address of our end of the socket.
    #[must_use]
    pub fn local_addr(&self) -> Address {
        self.connection.local_addr.clone()
    }
}

/// # The program's data
impl WebSocket {
    /// Stores a value of the program's with the connection, one of each type: who is at the other
    /// end, say. It replaces the value of that type. Every handle of the connection
    /// [gives it back](Self::data), those of [`Server::connections`](crate::Server::connections)
    /// too.
    ///
    /// It is kept until the last handle is dropped, also after the connection has ended. A value
    /// that holds a handle of its own connection is therefore never dropped, nor the handle.
    ///
    /// ```
    /// use landline::Server;
    ///
    /// struct Player {
    ///     name: String,
    /// }
    ///
    /// let server = Server::builder()
    ///     .on_upgrade(|ws, request| {
    ///         let name = request.query("name").unwrap_or("nobody").to_owned();
    ///         ws.set_data(Player { name });
    ///         ws.send("welcome")
    ///     })
    ///     .bind("127.0.0.1:0")?;
    ///
    /// let (_ws, mut messages) = landline::open(server.url() + "/?name=Ada")?;
    /// messages.recv()?;
    /// for ws in server.connections() {
    ///     assert_eq!(ws.data::<Player>().ok_or("no player")?.name, "Ada");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_data<T: Any + Send + Sync>(&self, data: T) {
        self.connection.data.set(data);
    }

    /// Returns the [stored](Self::set_data) value of a type. At a server this is at first the value
    /// that middleware or [`should_upgrade`](crate::ServerBuilder::should_upgrade) has put into the
    /// request's [`extensions`](crate::Request::extensions_mut).
    #[must_use]
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.connection.data.get()
    }
}

impl WebSocket {
    /// Returns the path of the request that the connection began with, as it was sent, without the
    /// query, which may hold credentials. The `Debug` of a handle shows it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.connection.negotiated.path
    }

    /// Returns the subprotocol that both sides agreed on (RFC 6455, section 1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.connection.negotiated.subprotocol.as_deref()
    }

    /// Returns the parameters of compression that both sides agreed on, or `None` if messages go plain
    /// (RFC 7692). [`Config::compression`](crate::Config::compression) asks for it.
    #[must_use]
    pub fn compression(&self) -> Option<AgreedCompression> {
        self.connection.negotiated.compression
    }

    /// Returns the server's answer to a client's request, its 101: for example with a cookie, or
    /// with the headers that a load balancer reads again when the client comes back. `None` at a
    /// server.
    ///
    /// ```
    /// # use landline::{Server, Upgrade};
    /// # let server = Server::builder()
    /// #     .should_upgrade(|_| Ok(Upgrade::new().header("X-Instance", "b7")))
    /// #     .on_upgrade(|_, _| ())
    /// #     .bind("127.0.0.1:0")?;
    /// let ws = landline::connect(server.url(), |_| {})?;
    /// let response = ws.response().ok_or("this is a server's")?;
    /// assert_eq!(response.status(), 101);
    /// assert_eq!(response.headers()["x-instance"], "b7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn response(&self) -> Option<&Response<()>> {
        self.connection.negotiated.response.as_deref()
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The most bytes in a control frame (RFC 6455, section 5.5).
const MAX_CONTROL_PAYLOAD: usize = 125;

impl WebSocket {
    /// Makes the handle that callbacks get, which does not keep a client open.
    pub(crate) fn for_callbacks(connection: &Arc<Connection>) -> Self {
        Self {
            connection: Arc::clone(connection),
            open: None,
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Makes a handle that keeps the connection open, and the token that its clones share.
    pub(crate) fn counted(connection: &Arc<Connection>) -> (Self, Arc<CloseOnDrop>) {
        let open = CloseOnDrop::new(connection);
        let ws = Self {
            connection: Arc::clone(connection),
            open: Some(Arc::clone(&open)),
        };
        (ws, open)
    }
}

/// Handles are equal if they are of the same connection.
impl PartialEq for WebSocket {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for WebSocket {}

impl std::hash::Hash for WebSocket {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("id", &self.id())
            .field("peer_addr", &self.peer_addr())
            .field("path", &self.path())
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}
