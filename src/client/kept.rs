//! Staying connected, for callbacks: [`Kept`].

use std::fmt;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::Client;
use super::keeping::keep;
use super::session_state::SessionState;
use super::sessions::Sessions;
use super::state_board::StateBoard;
use crate::canceller::Canceller;
use crate::connection::thread::on_connection_thread;
use crate::error::about;
use crate::outbox::uncork_thread;
use crate::process::Process;
use crate::{Error, IntoOutcome, Message, SendError, SendErrorKind, WaitError, WebSocket};

/// A client that stays connected, with callbacks: a handle that outlives its connections.
///
/// [`Client::keep`] makes one. A thread of its own connects, sets the callbacks by the program's
/// closure, reads, and when the connection has ended connects again as [`Sessions`] do, with the
/// same settings:
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = landline::Client::new();
/// let feed = client.keep("wss://feed.example.com", |ws| {
///     ws.on_text(|_, text| println!("{text}"));
///     ws.send(r#"{"subscribe": "EURUSD"}"#)
/// })?;
/// feed.send("hello")?; // fails while there is no connection
/// eprintln!("{}", feed.wait()?); // until it will not come back
/// # Ok(())
/// # }
/// ```
///
/// The closure runs for each connection, on that thread, before anything is read, and before
/// [`send`](Self::send) from elsewhere reaches the connection: what it sends comes first. If it fails
/// or panics, or a callback does, that connection closes with 1011, and another follows. The handle
/// that it gets does not keep the connection open.
///
/// To wait for several things at once, have a callback send into a channel, and receive where the
/// client stands from [`states`](Self::states):
///
/// ```no_run
/// # use crossbeam_channel::{bounded, select};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = landline::Client::new();
/// let (sender, messages) = bounded(64);
/// let feed = client.keep("wss://feed.example.com", move |ws| {
///     let sender = sender.clone();
///     ws.on_message(move |_, message| sender.send(message));
/// })?;
/// let states = feed.states();
/// loop {
///     select! {
///         recv(messages) -> message => println!("{}", message?),
///         recv(states) -> state => eprintln!("{}", state?),
///     }
/// }
/// # }
/// ```
///
/// Clones are handles of the same. **Dropping the last of them ends it**, as [`stop`](Self::stop)
/// does, and waits for the closing handshake, at most
/// [`close_timeout`](crate::Config::close_timeout), but not on a connection's thread.
#[derive(Clone)]
#[must_use = "dropping it ends the connection"]
pub struct Kept {
    inner: Arc<Inner>,
}

struct Inner {
    board: Arc<StateBoard>,
    canceller: Canceller,
    thread: ThreadId,
    patience: Duration,
    owner: Process,
}

impl Client {
    /// Stays connected with callbacks: `set_up` sets them for each connection. Returns at once, and
    /// connects on a thread of its own. Short for
    /// [`sessions(url).keep(set_up)`](Sessions::keep), where the settings are.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL or a setting that cannot be used, and [`Error::Io`] if no thread
    /// can be started.
    pub fn keep<R: IntoOutcome>(
        &self,
        url: impl AsRef<str>,
        set_up: impl FnMut(&WebSocket) -> R + Send + 'static,
    ) -> Result<Kept, Error> {
        self.sessions(url).keep(set_up)
    }
}

impl Sessions {
    /// Stays connected with callbacks, with these settings. See [`Kept`].
    ///
    /// ```no_run
    /// # let client = landline::Client::new();
    /// let feed = client
    ///     .sessions("wss://feed.example.com")
    ///     .on_state(|state| eprintln!("{state}"))
    ///     .keep(|ws| ws.on_text(|_, text| println!("{text}")))?;
    /// # Ok::<(), landline::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Client::keep`].
    pub fn keep<R: IntoOutcome>(
        mut self,
        mut set_up: impl FnMut(&WebSocket) -> R + Send + 'static,
    ) -> Result<Kept, Error> {
        self.check()?;
        let board = Arc::new(StateBoard::new());
        let canceller = self.be_kept(&board);
        let patience = self.close_timeout() + GRACE;
        let told = Arc::clone(&board);
        let keeping = move || keep(self, &told, move |ws| set_up(ws).into_outcome());
        let thread = thread::Builder::new().name("landline-keep".into());
        let thread = thread
            .spawn(keeping)
            .map_err(|error| Error::Io(about("starting the client's thread", error)))?;
        Ok(Kept {
            inner: Arc::new(Inner {
                board,
                canceller,
                thread: thread.thread().id(),
                patience,
                owner: Process::this(),
            }),
        })
    }
}

/// # Sending
impl Kept {
    /// Sends a message by the connection that is there now, as [`WebSocket::send`] does.
    ///
    /// # Errors
    /// [`NotConnected`](SendErrorKind::NotConnected) at once while there is none,
    /// [`Closed`](SendErrorKind::Closed) once it has stopped, and those of [`WebSocket::send`]; all
    /// hand the message back.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.try_send(message.into()).map_err(|(error, _)| error)
    }

    /// Sends a message like [`send`](Self::send), and waits for a connection while there is none, at
    /// most for `timeout`. Nothing is queued meanwhile: the message is sent when the wait is over.
    ///
    /// # Errors
    /// Those of `send`, and `NotConnected` after the timeout, or at once on the client's own thread,
    /// in its callbacks.
    pub fn send_timeout(
        &self,
        message: impl Into<Message>,
        timeout: Duration,
    ) -> Result<(), SendError> {
        uncork_thread();
        let deadline = Instant::now().checked_add(timeout);
        let mut message = message.into();
        loop {
            let (mut error, seen) = match self.try_send(message) {
                Err((error, seen)) if error.kind() == SendErrorKind::NotConnected => (error, seen),
                sent => return sent.map_err(|(error, _)| error),
            };
            if self.inner.is_here() || !self.inner.board.wait_for_change(seen, deadline) {
                return Err(error);
            }
            match error.message.take() {
                Some(back) => message = back,
                None => return Err(error),
            }
        }
    }

    /// Sends by the connection that is there. An error comes with the change of state that it belongs
    /// to.
    fn try_send(&self, message: Message) -> Result<(), (SendError, u64)> {
        let (state, seen) = self.inner.board.read();
        let error = match state {
            SessionState::Connected(ws) => match ws.send(message) {
                // It is lost or closing, and another will follow.
                Err(error) if error.kind() == SendErrorKind::Closed => {
                    SendError::new(SendErrorKind::NotConnected, error.message)
                }
                sent => return sent.map_err(|error| (error, seen)),
            },
            SessionState::Stopped(_) => SendError::new(SendErrorKind::Closed, Some(message)),
            _ => SendError::new(SendErrorKind::NotConnected, Some(message)),
        };
        Err((error, seen))
    }
}

/// # Where it stands
impl Kept {
    /// Returns where the client stands.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.inner.board.read().0
    }

    /// Returns the channel of where the client stands, for `select!`: it holds the newest change that
    /// was not received yet, and nothing older, so a program that is slow to receive delays nothing.
    /// Behind [`Stopped`](SessionState::Stopped) it is disconnected. Each call returns the same
    /// channel, and each state is received once.
    #[must_use]
    pub fn states(&self) -> Receiver<SessionState> {
        self.inner.board.states()
    }

    /// Waits for a connection, at most for `timeout`, and returns its handle, which does not keep it
    /// open.
    ///
    /// # Errors
    /// [`Timeout`](WaitError::Timeout), [`Closed`](WaitError::Closed) once the client has stopped,
    /// and [`WouldDeadlock`](WaitError::WouldDeadlock) at once on the client's own thread, if there
    /// is no connection.
    pub fn wait_connected(&self, timeout: Duration) -> Result<WebSocket, WaitError> {
        uncork_thread();
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let (state, seen) = self.inner.board.read();
            match state {
                SessionState::Connected(ws) => return Ok(ws),
                SessionState::Stopped(_) => return Err(WaitError::Closed),
                _ if self.inner.is_here() => return Err(WaitError::WouldDeadlock),
                _ => {}
            }
            if !self.inner.board.wait_for_change(seen, deadline) {
                return Err(WaitError::Timeout);
            }
        }
    }

    /// Waits until the client has stopped, without limit, and returns why: an error that will not
    /// pass, the close code that the program has [named](Sessions::end_at) ([`Error::Closed`]), or
    /// [`Error::Cancelled`] if the program has stopped it.
    ///
    /// # Errors
    /// [`WouldDeadlock`](WaitError::WouldDeadlock) at once on a connection's own thread.
    pub fn wait(&self) -> Result<Arc<Error>, WaitError> {
        uncork_thread();
        self.inner.wait_stopped(None)
    }
}

/// # Ending
impl Kept {
    /// Begins the end, whatever the client is doing: an open connection closes with 1000. Never waits,
    /// and may be called in any callback.
    pub fn stop(&self) {
        self.inner.canceller.cancel();
    }
}

impl Inner {
    /// Tells whether this is the client's own thread, for which no wait may be.
    fn is_here(&self) -> bool {
        thread::current().id() == self.thread
    }

    fn wait_stopped(&self, deadline: Option<Instant>) -> Result<Arc<Error>, WaitError> {
        loop {
            let (state, seen) = self.board.read();
            match state {
                SessionState::Stopped(why) => return Ok(why),
                _ if on_connection_thread() || self.is_here() => {
                    return Err(WaitError::WouldDeadlock);
                }
                _ => {}
            }
            if !self.board.wait_for_change(seen, deadline) {
                return Err(WaitError::Timeout);
            }
        }
    }
}

impl Drop for Inner {
    /// Stops, and waits for the end where that can come.
    fn drop(&mut self) {
        if !self.owner.is_this() {
            return;
        }
        self.canceller.cancel();
        if !thread::panicking() {
            uncork_thread();
            let _ = self.wait_stopped(Some(Instant::now() + self.patience));
        }
    }
}

/// The time beyond `close_timeout` for which a drop waits for the end.
const GRACE: Duration = Duration::from_secs(1);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("state", &self.state())
            .finish()
    }
}
