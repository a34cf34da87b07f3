//! What can go wrong, one small error per operation.

use std::fmt;
use std::io;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::record::Foreign;
use crate::{CloseCode, CloseEvent, Message};

/// Says why a connection could not be made, a server not be bound, or an open connection failed.
///
/// [`connect`](crate::connect), [`open`](crate::open) and
/// [`bind`](crate::ServerBuilder::bind) return it; [`on_error`](crate::WebSocket::on_error)
/// gets it when a connection fails.
///
/// What it shows, by `Display` and `Debug`, is one line, without payloads, header values and
/// credentials. The fields have all of it, as it came.
#[non_exhaustive]
pub enum Error {
    /// The URL or a builder's setting cannot be used; nothing was sent. The text says which.
    Invalid(String),
    /// The name could not be looked up, or no address answered. The error begins with the host. Its kind
    /// is `ResourceBusy` while sixteen look-ups of other names run that nobody waits for any more, as the
    /// name servers do not answer.
    Connect(io::Error),
    /// The address could not be bound. The error begins with it.
    Bind(io::Error),
    /// The server answered the upgrade request with something else than 101.
    Refused(Box<Refusal>),
    /// The peer does not speak the WebSocket handshake (RFC 6455, section 4); the connection was
    /// given up. The text says what was wrong.
    Handshake(String),
    /// A deadline passed; the connection was cut.
    Timeout(Timeout),
    /// The peer broke the protocol. It was told by a Close frame with this code, unless ours had left
    /// before: then nobody can be told any more, and the connection ends with 1006.
    Protocol {
        /// The code that tells it: 1002, 1007 or 1009.
        code: CloseCode,
        /// What was wrong, for people. Of a Close with a code that may not be sent it names the number
        /// and the reason.
        what: String,
    },
    /// A callback or handler returned an error or panicked; the peer was told 1011. The text begins
    /// with its name, such as `on_text`.
    Callback(String),
    /// The peer reads too slowly, and the [`Overflow`](crate::Overflow) policy or a
    /// [`Group`](crate::Group) has given it up; it was told 1008, "too slow".
    TooSlow,
    /// A [`MessageWriter`](crate::MessageWriter) was dropped before its end; the peer was told 1011.
    Unfinished,
    /// Reading or writing failed, the server hung up instead of answering the upgrade request or in the
    /// TLS handshake, or a thread could not be started; the connection was given up. The error begins with what it was
    /// about.
    Io(io::Error),
    /// TLS cannot be had: the peer's certificate is not to be trusted, the peer does not speak it, the
    /// settings cannot be used, or the feature is off. No application data was sent. The text says
    /// in words what is wrong, then which engine says so and how.
    Tls(String),
}

impl Error {
    /// Tells whether trying again later may help.
    ///
    /// | it may | it will not |
    /// |---|---|
    /// | nobody listens yet, no way leads there, the name is not known just now | the URL or a setting cannot be used |
    /// | a deadline passed: the name servers, the network or the server are silent | the answer is no HTTP, or no right 101 |
    /// | the server hung up instead of answering, or reset the connection, in the TLS handshake too | the TLS handshake failed: an alert, a certificate that is not to be trusted, bytes that are no TLS |
    /// | it answered 408, 429, 500, 502, 503 or 504 | it answered with any other status |
    ///
    /// Of an open connection that has failed, only a deadline and a failed system call are transient.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout(_) | Self::Io(_) => true,
            Self::Refused(refusal) => {
                matches!(refusal.status.as_u16(), 408 | 429 | 500 | 502..=504)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(what) => Foreign(what).fmt(f),
            Self::Connect(error) => write!(f, "cannot connect to {}", Foreign(error)),
            Self::Bind(error) => write!(f, "cannot listen on {}", Foreign(error)),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Handshake(what) => write!(f, "handshake failed: {}", Foreign(what)),
            Self::Timeout(timeout) => timeout.fmt(f),
            Self::Protocol { code, what } => {
                write!(f, "protocol violation: {}, {code}", Foreign(what))
            }
            Self::Callback(what) => write!(f, "callback failed: {}", Foreign(what)),
            Self::TooSlow => f.write_str("the peer reads too slowly"),
            Self::Unfinished => f.write_str("a streamed message was dropped before its end"),
            Self::Io(error) => Foreign(error).fmt(f),
            Self::Tls(what) => write!(f, "TLS: {}", Foreign(what)),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, shown): (_, &dyn fmt::Debug) = match self {
            Self::Invalid(what) => ("Invalid", &Foreign(what)),
            Self::Connect(error) => ("Connect", &Foreign(error)),
            Self::Bind(error) => ("Bind", &Foreign(error)),
            Self::Refused(refusal) => ("Refused", refusal),
            Self::Handshake(what) => ("Handshake", &Foreign(what)),
            Self::Timeout(timeout) => ("Timeout", timeout),
            Self::Protocol { code, what } => ("Protocol", &(code, Foreign(what))),
            Self::Callback(what) => ("Callback", &Foreign(what)),
            Self::TooSlow => return f.write_str("TooSlow"),
            Self::Unfinished => return f.write_str("Unfinished"),
            Self::Io(error) => ("Io", &Foreign(error)),
            Self::Tls(what) => ("Tls", &Foreign(what)),
        };
        f.debug_tuple(name).field(shown).finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Bind(error) | Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// A system's error, and what it was about. Its kind stays the system's.
#[derive(Debug)]
struct About {
    what: String,
    error: io::Error,
}

/// Says what a system's error was about, such as an address.
pub(crate) fn about(what: impl fmt::Display, error: io::Error) -> io::Error {
    let kind = error.kind();
    let what = what.to_string();
    io::Error::new(kind, About { what, error })
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for About {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<Timeout> for Error {
    fn from(timeout: Timeout) -> Self {
        Self::Timeout(timeout)
    }
}

/// Holds what a server answered instead of 101.
#[derive(Clone)]
#[non_exhaustive]
pub struct Refusal {
    /// The status, such as 401.
    pub status: StatusCode,
    /// The headers, such as `Location` or `WWW-Authenticate`.
    pub headers: HeaderMap,
    /// The body, its first 16 KiB at most.
    pub body: Bytes,
}

impl fmt::Display for Refusal {
    /// Shows the status, and the first line of the body, which often says why.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused the upgrade: {}", self.status)?;
        let mut lines = self.body.split(|byte| b"\r\n".contains(byte));
        match lines.find(|line| !line.trim_ascii().is_empty()) {
            Some(line) => write!(f, ", {:?}", Foreign(String::from_utf8_lossy(line))),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Refusal {
    /// Shows no header values and no body: they may be secrets, such as a cookie.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body.len())
            .finish()
    }
}

/// Names the deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// Connecting and the handshake together took longer than allowed.
    Handshake,
    /// The peer took too little of what was to be written.
    Write,
    /// The peer was silent after a ping. It may be gone, or just busy: many libraries answer no ping
    /// while their program works. [`ping_timeout`](crate::Config::ping_timeout) says for how long it
    /// may be.
    Pong,
    /// Too little came of a message that had begun.
    Message,
    /// The peer did not answer our Close frame.
    Close,
    /// The server stopped and did not wait any longer.
    Stop,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "timed out in the handshake",
            Self::Write => "timed out writing to a peer that does not read",
            Self::Pong => "timed out waiting for a sign of life from a peer that is gone, or busy for longer than ping_timeout",
            Self::Message => "timed out in the middle of a message",
            Self::Close => "timed out waiting for the peer's Close",
            Self::Stop => "timed out stopping the server",
        })
    }
}

/// Says why a message was not taken for sending; hands it back where there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct SendError {
    why: Unsent,
    pub(crate) message: Option<Message>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unsent {
    Kind(SendErrorKind),
    Invalid(Unsendable),
}

/// What may not be sent. Lengths that do not fit are far too long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// A ping's payload of so many bytes.
    Ping(u32),
    /// A close reason of so many bytes.
    Reason(u32),
    Code(CloseCode),
}

/// Names the ways a send can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// The connection is closing or closed; nothing more can be sent.
    Closed,
    /// The queue is full, and the send does not wait: as [`try_send`](crate::WebSocket::try_send)
    /// or the [`Overflow`](crate::Overflow) policy has it, or because this thread is writing a
    /// streamed message, behind which the queue cannot move.
    Full,
    /// The queue stayed full for [`write_timeout`](crate::Config::write_timeout), though the peer
    /// read a little; one that reads nothing is cut by then, which is `Closed`.
    Timeout,
    /// Another streamed message of this connection is not finished
    /// ([`text_writer`](crate::WebSocket::text_writer)).
    Streaming,
    /// A ping's payload or a close reason is too long, or a close code may not be sent (RFC 6455,
    /// sections 5.5 and 7.4). Nothing was done.
    Invalid,
}

impl SendError {
    pub(crate) fn new(kind: SendErrorKind, message: Option<Message>) -> Self {
        Self {
            why: Unsent::Kind(kind),
            message,
        }
    }

    pub(crate) fn invalid(what: Unsendable) -> Self {
        Self {
            why: Unsent::Invalid(what),
            message: None,
        }
    }

    /// Returns why.
    #[must_use]
    pub fn kind(&self) -> SendErrorKind {
        match self.why {
            Unsent::Kind(kind) => kind,
            Unsent::Invalid(_) => SendErrorKind::Invalid,
        }
    }

    /// Returns the message that was not sent: of a batch the one that found no place. `None` where
    /// there is none, as after `ping`, `close_with` and `text_writer`.
    #[must_use]
    pub fn into_message(self) -> Option<Message> {
        self.message
    }
}

impl fmt::Debug for SendError {
    /// Shows no payload, but how long it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("kind", &self.kind())
            .field("message", &self.message.as_ref().map(Message::len))
            .finish()
    }
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping(length) => write!(f, "a ping's payload has at most 125 bytes, not {length}"),
            Self::Reason(length) => write!(f, "a close reason has at most 123 bytes, not {length}"),
            Self::Code(code) => write!(f, "the close code {code} may not be sent"),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.why {
            Unsent::Kind(kind) => kind,
            Unsent::Invalid(what) => return what.fmt(f),
        };
        f.write_str(match kind {
            SendErrorKind::Closed => "the connection is closed",
            SendErrorKind::Full => "the queue is full",
            SendErrorKind::Timeout => "the queue stayed full: the peer does not read",
            SendErrorKind::Streaming => "another streamed message is not finished",
            SendErrorKind::Invalid => "it may not be sent",
        })
    }
}

impl std::error::Error for SendError {}

/// Says that the connection has ended, and how: the only reason for which
/// [`Messages::recv`](crate::Messages::recv) has no message, or a
/// [`MessageReader`](crate::MessageReader) not all of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecvError(pub CloseEvent);

/// Says why [`Messages::recv_timeout`](crate::Messages::recv_timeout) has no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// No message was complete in the given time; the connection stays usable.
    Timeout,
    /// The connection has ended, and how.
    Closed(CloseEvent),
}

/// Says why [`Messages::try_recv`](crate::Messages::try_recv) has no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// No message has come whole yet; the connection stays usable.
    Empty,
    /// The connection has ended, and how.
    Closed(CloseEvent),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no message in the given time"),
            Self::Closed(event) => event.fmt(f),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no message has come yet"),
            Self::Closed(event) => event.fmt(f),
        }
    }
}

impl std::error::Error for RecvError {}
impl std::error::Error for RecvTimeoutError {}
impl std::error::Error for TryRecvError {}

impl From<RecvError> for RecvTimeoutError {
    fn from(RecvError(event): RecvError) -> Self {
        Self::Closed(event)
    }
}

impl From<RecvError> for TryRecvError {
    fn from(RecvError(event): RecvError) -> Self {
        Self::Closed(event)
    }
}

/// Says why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeliveryError {
    /// It is not resolved yet ([`wait_timeout`](crate::Delivery::wait_timeout) alone says so).
    Pending,
    /// The queue was full, and the [`Overflow`](crate::Overflow) policy dropped the message.
    Dropped,
    /// A Close frame with this code overtook it: this side failed the connection, or the peer closed.
    Closed(CloseCode),
    /// The connection was cut because a deadline passed.
    Cut(Timeout),
    /// The connection was cut by [`abort`](crate::WebSocket::abort), or nobody was left to read it.
    Aborted,
    /// The connection was lost.
    Lost,
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("not delivered yet"),
            Self::Dropped => f.write_str("dropped, as the queue was full"),
            Self::Closed(code) => write!(f, "not delivered: closed with {code}"),
            Self::Cut(timeout) => write!(f, "not delivered: {timeout}"),
            Self::Aborted => f.write_str("not delivered: the connection was aborted"),
            Self::Lost => f.write_str("not delivered: the connection was lost"),
        }
    }
}

impl std::error::Error for DeliveryError {}

/// Says why a wait was given up: [`wait_closed`](crate::WebSocket::wait_closed),
/// [`wait_drained`](crate::WebSocket::wait_drained), [`confirm`](crate::WebSocket::confirm),
/// [`Server::wait`](crate::Server::wait).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitError {
    /// It did not come about in the given time.
    Timeout,
    /// The connection closed first: it can no longer come about.
    Closed,
    /// The wait could never end: what it waits for is to be done by this very thread, or nobody
    /// else reads the [`Messages`](crate::Messages) of this connection.
    WouldDeadlock,
    /// The server ended by itself, as one of its listening sockets accepts nobody any more: somebody
    /// has shut or closed it.
    ListenerFailed {
        /// The system's error code for the cause, of which
        /// [`io::Error::from_raw_os_error`] makes an error.
        os_error: i32,
    },
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::Timeout => "not in the given time",
            Self::Closed => "the connection closed first",
            Self::WouldDeadlock => {
                "waiting here could never end: this thread is the one that it waits for (in a callback \
                 or handler, or with the Messages or an unfinished MessageWriter of the connection), \
                 or nobody reads the Messages"
            }
            Self::ListenerFailed { os_error } => {
                let cause = io::Error::from_raw_os_error(os_error);
                return write!(f, "the server ended, as a listening socket is dead: {cause}");
            }
        })
    }
}

impl std::error::Error for WaitError {}

/// Holds what went wrong in a callback or handler; made from any error by `?`.
///
/// It is neither `Display` nor `Error`, so that every type that is can be turned into it; it turns
/// back into a boxed error.
pub struct Failure(String);

/// What callbacks and handlers return that use `?`.
///
/// ```
/// fn set_up(ws: &landline::WebSocket) {
///     ws.on_text(|ws, text| -> landline::Outcome {
///         let number: i64 = text.parse()?;
///         ws.send((number + 1).to_string())?;
///         Ok(())
///     });
/// }
/// ```
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Says whose failure it is.
    // Not inlined: a callback that does not fail needs none of its stack.
    #[inline(never)]
    pub(crate) fn of(self, name: &str) -> Self {
        Self(format!("{name}: {}", self.0))
    }
}

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(format!("{error:#}"))
    }
}

impl From<Failure> for Box<dyn std::error::Error + Send + Sync> {
    fn from(failure: Failure) -> Self {
        failure.0.into()
    }
}

impl fmt::Debug for Failure {
    /// Shows what went wrong on one line, with control characters escaped, and cut where it is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Foreign(&self.0), f)
    }
}

/// What a callback may return: nothing, a `Result<(), E>` with any error that can be shown, or
/// never. Sealed.
pub trait IntoOutcome: sealed::Sealed {
    /// Turns the returned value into the one kind that is worked with.
    ///
    /// # Errors
    /// The callback's own.
    #[doc(hidden)]
    fn into_outcome(self) -> Outcome;
}

mod sealed {
    pub trait Sealed {}

    /// Names `!` on stable Rust: the type that `fn() -> !` returns.
    pub trait Returns {
        type Type;
    }

    impl<R> Returns for fn() -> R {
        type Type = R;
    }

    pub(super) type Never = <fn() -> ! as Returns>::Type;
}

impl sealed::Sealed for () {}
impl<E: Into<Failure>> sealed::Sealed for Result<(), E> {}
impl sealed::Sealed for sealed::Never {}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(())
    }
}

impl<E: Into<Failure>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Outcome {
        self.map_err(Into::into)
    }
}

impl IntoOutcome for sealed::Never {
    fn into_outcome(self) -> Outcome {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors travel between threads and stay small enough to return by value.
    #[test]
    fn errors_are_small_and_cross_threads() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<Error>();
        crosses::<SendError>();
        crosses::<RecvTimeoutError>();
        assert!(size_of::<Error>() <= 40, "{}", size_of::<Error>());
        assert!(size_of::<SendError>() <= 48, "{}", size_of::<SendError>());
        let size = size_of::<RecvTimeoutError>();
        assert!(size <= 64, "{size}");
    }

    /// A failure keeps the whole chain that `{:#}` shows and turns back into a boxed error.
    #[test]
    fn failure_turns_back_into_a_boxed_error() {
        fn outer() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let inner: Outcome = Err(Failure::from("no such room"));
            Ok(inner?)
        }
        assert_eq!(outer().unwrap_err().to_string(), "no such room");
    }
}
