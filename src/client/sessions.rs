//! Staying connected, as a loop: [`Sessions`].

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Client;
use super::attempt::Attempt;
use super::backoff::{Attempts, Backoff};
use super::retry_after::retry_after;
use super::session_state::SessionState;
use super::state_board::StateBoard;
use crate::canceller::{Canceller, Watch};
use crate::connection::Connection;
use crate::outbox::uncork_thread;
use crate::record::{debug, warn};
use crate::{CloseCode, CloseEvent, Error, Initiator, Messages, Timeout, WebSocket};

/// A client that stays connected: an iterator of one connection after the other.
///
/// [`Client::sessions`] makes one. Each step connects, and yields the two ends of the connection.
/// When that connection has ended, the next step waits as the [`Backoff`] says, and connects again,
/// until it succeeds. So reconnecting is a loop, and subscribing is its first line:
///
/// ```no_run
/// # fn handle(_: landline::Message) -> Result<(), std::io::Error> { Ok(()) }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = landline::Client::new();
/// for session in client.sessions("wss://feed.example.com") {
///     let (ws, messages) = session?; // an error here is there to stay
///     if ws.send("subscribe EURUSD").is_err() {
///         continue; // it is lost already
///     }
///     for message in messages {
///         handle(message?)?;
///     }
///     eprintln!("{:?}", ws.close_event());
/// }
/// # Ok(())
/// # }
/// ```
///
/// # How a session ends
/// **Its messages end quietly**, however the connection ended: the inner loop is left, not the outer
/// one. [`WebSocket::close_event`] tells how it was. A step closes the session before it, if that is
/// still open, with 1000.
///
/// A `send` on a connection that has been lost is an error, and a `?` behind it would leave the outer
/// loop too: leave the inner one (`break`), or go on with the next session (`continue`).
///
/// # How the loop ends
/// - With an `Err` that will not pass by itself, as [`Error::is_transient`] tells: a bad URL, a
///   certificate, a 401, 403 or 404. [`retry_if`](Self::retry_if) draws the line elsewhere.
/// - At a close code that the program has [named](Self::end_at), with [`Error::Closed`], or without
///   an error if the end [was ordinary](CloseEvent::is_ordinary). By default no code ends it.
/// - Without an error once the client is [cancelled](Client::canceller), wherever the loop waits:
///   the open session is closed with 1000, so that its messages end too.
///
/// Dropping it ends nothing that is open: the last session goes on as any connection does.
#[must_use = "nothing is connected until it is iterated"]
pub struct Sessions {
    client: Client,
    url: String,
    settings: Result<(), Error>,
    attempts: Attempts,
    final_codes: Vec<CloseCode>,
    retry_if: Box<dyn FnMut(&Error) -> bool + Send>,
    on_state: Box<dyn FnMut(SessionState) + Send>,
    /// Told first, if the sessions are those of a kept client.
    board: Option<Arc<StateBoard>>,
    /// The session that was begun last.
    open: Option<Open>,
    /// The number of attempts that have failed in a row.
    failed: u64,
    is_over: bool,
}

impl Sessions {
    pub(super) fn new(client: Client, url: String) -> Self {
        Self {
            client,
            url,
            settings: Ok(()),
            attempts: Attempts::new(Backoff::new()),
            final_codes: Vec::new(),
            retry_if: Box::new(Error::is_transient),
            on_state: Box::new(|_| ()),
            board: None,
            open: None,
            failed: 0,
            is_over: false,
        }
    }

    /// Sets the waits between the attempts.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings = backoff.check();
        self.attempts = Attempts::new(backoff);
        self
    }

    /// Ends the loop when the server has closed a session with one of these codes. By default none
    /// does, because no code says by itself that the server means it for good:
    ///
    /// - Many libraries send 1000, 1005 or 1011 when a handler of the server's has failed, and 1000,
    ///   1001, 1011 or 1012 when the server restarts; a proxy that loses the server may send 1000.
    /// - 1008 is also told to a client that was slow for a moment, or whose token has expired.
    /// - Each gateway gives codes from 4000 on a meaning of its own: one means "log in anew", the
    ///   next "never come back". So the program names those of its gateway.
    ///
    /// A server that closes each session at once is visited ever less often, as the
    /// [`Backoff`] says.
    ///
    /// ```
    /// # let client = landline::Client::new();
    /// // what Discord's gateway means for good
    /// let codes = [4004, 4010, 4011, 4012, 4013, 4014];
    /// let sessions = client.sessions("wss://gateway.discord.gg").end_at(codes);
    /// # drop(sessions);
    /// ```
    pub fn end_at(mut self, codes: impl IntoIterator<Item = impl Into<CloseCode>>) -> Self {
        self.final_codes = codes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets which failed attempts are followed by another; [`Error::is_transient`] by default. It is
    /// asked on the thread that iterates.
    ///
    /// ```
    /// use landline::Error;
    ///
    /// # let client = landline::Client::new();
    /// // a load balancer that answers 404 while its servers start
    /// let sessions = client.sessions("wss://feed.example.com").retry_if(|error| match error {
    ///     Error::Refused(refusal) => refusal.status != 401,
    ///     error => error.is_transient(),
    /// });
    /// # drop(sessions);
    /// ```
    pub fn retry_if(mut self, retry_if: impl FnMut(&Error) -> bool + Send + 'static) -> Self {
        self.retry_if = Box::new(retry_if);
        self
    }

    /// Sets the callback that is told where the client stands, each time that it changes, on the
    /// thread that iterates.
    ///
    /// ```
    /// # let client = landline::Client::new();
    /// let sessions = client
    ///     .sessions("wss://feed.example.com")
    ///     .on_state(|state| eprintln!("{state}"));
    /// # drop(sessions);
    /// ```
    pub fn on_state(mut self, on_state: impl FnMut(SessionState) + Send + 'static) -> Self {
        self.on_state = Box::new(on_state);
        self
    }
}

impl Iterator for Sessions {
    type Item = Result<(WebSocket, Messages), Error>;

    /// Waits for the next connection, however long that takes.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let opened = self.open_next();
        if let Ok((ws, _)) = &opened {
            self.tell_connected(ws);
        }
        match opened {
            Err(Error::Cancelled) => None,
            Err(Error::Closed(event)) if event.is_ordinary() => None,
            opened => Some(opened),
        }
    }
}

impl FusedIterator for Sessions {}

/// # The steps
impl Sessions {
    /// Opens the next connection. The error is that of the end.
    pub(super) fn open_next(&mut self) -> Result<(WebSocket, Messages), Error> {
        uncork_thread();
        let opened = self.try_open_next();
        self.is_over = opened.is_err();
        opened
    }

    fn try_open_next(&mut self) -> Result<(WebSocket, Messages), Error> {
        std::mem::replace(&mut self.settings, Ok(()))?;
        self.end_open()?;
        loop {
            self.tell(SessionState::Connecting);
            match self.client.open(&self.url) {
                Ok((ws, messages)) => return self.begin(ws, messages),
                Err(error) => self.wait_after_failure(error)?,
            }
        }
    }

    /// Ends the session before, if there was one, and waits for the time of the next.
    fn end_open(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let (ended, held) = open.end();
        self.client.canceller.check()?;
        let because = match ended {
            Ok(event) if self.is_final(&event) => return Err(Error::Closed(event)),
            Ok(event) => Error::Closed(event),
            Err(timeout) => timeout.into(),
        };
        let wait = self.attempts.wait_after_session(held);
        self.wait(wait, because)
    }

    fn is_final(&self, event: &CloseEvent) -> bool {
        event.initiator() == Initiator::Remote && self.final_codes.contains(&event.code())
    }

    fn begin(&mut self, ws: WebSocket, messages: Messages) -> Result<(WebSocket, Messages), Error> {
        self.failed = 0;
        self.open = Some(Open::new(&ws, &self.client));
        // A cancel that came just now has closed the connection.
        self.client.canceller.check()?;
        Ok((ws, messages.ending_quietly()))
    }

    /// Waits behind a failed attempt, or fails with its error if no other is to follow.
    fn wait_after_failure(&mut self, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Cancelled) || !(self.retry_if)(&error) {
            return Err(error);
        }
        let asked = match &error {
            Error::Refused(refusal) | Error::ProxyRefused(refusal) => {
                retry_after(refusal, SystemTime::now())
            }
            _ => None,
        };
        self.failed += 1;
        match self.failed {
            1 => warn!("a client could not connect, and tries again: {error}"),
            failed => debug!("a client could not connect {failed} times: {error}"),
        }
        let wait = self.attempts.wait_after_failure(asked);
        self.wait(wait, error)
    }

    fn wait(&mut self, wait: Duration, because: Error) -> Result<(), Error> {
        let until = Instant::now() + wait.min(LONGEST);
        let because = Arc::new(because);
        self.tell(SessionState::Waiting { until, because });
        self.client.canceller.wait_until(until)
    }

    pub(super) fn tell_connected(&mut self, ws: &WebSocket) {
        let ws = WebSocket::for_callbacks(ws.connection());
        self.tell(SessionState::Connected(ws));
    }

    fn tell(&mut self, state: SessionState) {
        if let Some(board) = &self.board {
            board.set(state.clone());
        }
        self.tell_program(state);
    }

    pub(super) fn tell_program(&mut self, state: SessionState) {
        (self.on_state)(state);
    }
}

/// # For a kept client
impl Sessions {
    /// Fails for settings that cannot be used.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        std::mem::replace(&mut self.settings, Ok(()))?;
        Attempt::new(&self.client.connecting(&self.url)?).map(drop)
    }

    /// Tells the board each state from now on. Returns what cancels these sessions alone.
    pub(super) fn be_kept(&mut self, board: &Arc<StateBoard>) -> Canceller {
        self.board = Some(Arc::clone(board));
        self.client.canceller = self.client.canceller.child();
        self.client.canceller.clone()
    }

    pub(super) fn close_timeout(&self) -> Duration {
        self.client.config.close_timeout
    }
}

/// The longest wait: longer than any program runs, and no time that a clock could not tell.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A session that was begun.
struct Open {
    connection: Arc<Connection>,
    since: Instant,
    /// Closes it when the client is cancelled.
    _watch: Watch,
}

impl Open {
    fn new(ws: &WebSocket, client: &Client) -> Self {
        let connection = Arc::clone(ws.connection());
        let cancelled = Arc::clone(&connection);
        Self {
            connection,
            since: Instant::now(),
            _watch: client.canceller.on_cancel(move || close(&cancelled)),
        }
    }

    /// Ends the connection if it is still open. Returns how it ended, and how long it was open.
    fn end(self) -> (Result<CloseEvent, Timeout>, Duration) {
        let event = self.connection.event();
        let ended = event.map_or_else(|| self.close(), Ok);
        let at = self.connection.outbox.finished_at();
        let at = at.unwrap_or_else(Instant::now);
        (ended, at.saturating_duration_since(self.since))
    }

    /// Closes with 1000, and waits for the end. If no thread reads the messages, nobody sees it.
    fn close(&self) -> Result<CloseEvent, Timeout> {
        close(&self.connection);
        let patience = self.connection.config.close_timeout + GRACE;
        let ended = self
            .connection
            .wait_finished(Some(Instant::now() + patience));
        ended.map_err(|_| {
            self.connection.abort();
            Timeout::Close
        })
    }
}

/// The time in which a connection that was cut must have told its end.
const GRACE: Duration = Duration::from_secs(1);

/// Closes with 1000, in `close_timeout` at most.
fn close(connection: &Connection) {
    connection.close(CloseCode::NORMAL, "");
    connection.limit_closing();
}

impl fmt::Debug for Sessions {
    /// Shows no URL: it may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("client", &self.client)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}
