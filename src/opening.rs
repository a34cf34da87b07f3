//! The opening handshake over a socket, under its one deadline.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;

use crate::background::{Timed, Timer};
use crate::handshake::{
    Ask, BadRequest, Body, RequestBody, parse_request, parse_response, wants_upgrade,
};
use crate::transport::{Acceptor, Connector, Socket};
use crate::{Error, Refusal, Timeout};

/// Is a handshake under way: its socket, and the deadline that cuts it.
pub(crate) struct Opening {
    socket: Arc<Socket>,
    timer: Arc<Timer>,
    state: AtomicU8,
}

/// The peer's part is still awaited.
const READING: u8 = 0;
/// The answer is being written.
const ANSWERING: u8 = 1;
const DONE: u8 = 2;
/// The deadline, or a newcomer at the limit, has cut it.
const CUT: u8 = 3;
/// The server stops.
const INTERRUPTED: u8 = 4;

/// Ends the deadline's watch when dropped.
pub(crate) struct OpeningGuard(Arc<Opening>);

impl Opening {
    pub(crate) fn begin(socket: &Arc<Socket>, deadline: Instant) -> io::Result<OpeningGuard> {
        let opening = Arc::new(Self {
            socket: Arc::clone(socket),
            timer: Timer::new(),
            state: AtomicU8::new(READING),
        });
        opening
            .timer
            .enroll(Arc::clone(&opening) as Arc<dyn Timed>, deadline)?;
        Ok(OpeningGuard(opening))
    }

    /// Cuts the handshake, if it is still under way.
    pub(crate) fn cut(&self) {
        if self.step(READING, CUT) || self.step(ANSWERING, CUT) {
            self.socket.cut();
        }
    }

    /// Ends the wait for the peer's part, if it still lasts: the thread finds the end of the input.
    pub(crate) fn interrupt(&self) {
        if self.step(READING, INTERRUPTED) {
            self.socket.stop_reading();
        }
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl Timed for Opening {
    fn check(&self, _now: Instant) -> Option<Instant> {
        self.cut();
        None
    }
}

impl OpeningGuard {
    pub(crate) fn opening(&self) -> &Arc<Opening> {
        &self.0
    }

    /// Does the TLS handshake with a server of this name or address.
    pub(crate) fn connect_tls(&self, connector: &Connector, host: &str) -> Result<(), Error> {
        let done = self.0.socket.connect_tls(connector, host);
        done.map_err(|error| self.explain(error))
    }

    /// Does the TLS handshake with a client.
    pub(crate) fn accept_tls(&self, acceptor: &Acceptor) -> Result<(), Error> {
        let done = self.0.socket.accept_tls(acceptor);
        done.map_err(|error| self.explain(error))
    }

    /// Says that the peer's part has come and is going to be answered. Returns false if the
    /// handshake is not to go on.
    pub(crate) fn begin_answer(&self) -> bool {
        self.0.step(READING, ANSWERING)
    }

    /// Ends the handshake in time, or finds that it was cut.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.0.step(READING, DONE) || self.0.step(ANSWERING, DONE) {
            return Ok(());
        }
        Err(Error::Timeout(Timeout::Handshake))
    }

    /// Tells what TLS says after its handshake, such as why it does not believe our certificate, from
    /// what the system says.
    fn explain_io(&self, error: io::Error) -> Error {
        if self.0.socket.is_tls() && error.raw_os_error().is_none() {
            return self.explain(Error::Tls(error.to_string()));
        }
        self.explain(Error::Io(error))
    }

    /// Tells an error of the socket from the cut that caused it.
    fn explain(&self, error: Error) -> Error {
        if self.0.state.load(Ordering::Acquire) == CUT {
            return Error::Timeout(Timeout::Handshake);
        }
        error
    }

    /// Reads a request with its body, and what came behind it. Of an upgrade request no body is
    /// read, even if it announces one, for which it will be refused: frames come behind it.
    pub(crate) fn read_request(
        &self,
        max_body: usize,
    ) -> Result<(Box<http::Request<Bytes>>, Vec<u8>), RequestError> {
        let mut received = Vec::new();
        let head = self.read_head(&mut received)?;
        let body = if wants_upgrade(&head) {
            Bytes::new()
        } else {
            self.read_body(&head, &mut received, max_body)?
        };
        Ok((with_body(head, body), received))
    }

    // Not inlined, and so is what follows: see `session::run`.
    #[inline(never)]
    fn read_head(&self, received: &mut Vec<u8>) -> Result<Box<http::Request<()>>, RequestError> {
        loop {
            self.recv_some(received)?;
            if let Some((head, length)) = parse_request(received).map_err(RequestError::Bad)? {
                received.drain(..length);
                return Ok(head);
            }
        }
    }

    /// Takes the body of a plain request out of what has been received and what still comes.
    #[inline(never)]
    fn read_body(
        &self,
        head: &http::Request<()>,
        received: &mut Vec<u8>,
        max_body: usize,
    ) -> Result<Bytes, RequestError> {
        let refuse = |bad: BadRequest| RequestError::Bad(bad.answering(head.method()));
        let mut body = RequestBody::announced_by(head, max_body).map_err(refuse)?;
        if body.is_awaiting_continue(received) {
            self.write(CONTINUE).map_err(|_| RequestError::Lost)?;
        }
        loop {
            if let Some(bytes) = body.take_from(received).map_err(refuse)? {
                return Ok(bytes);
            }
            self.recv_some(received)?;
        }
    }

    fn recv_some(&self, received: &mut Vec<u8>) -> Result<(), RequestError> {
        match self.recv(received) {
            Ok(1..) => Ok(()),
            _ => Err(RequestError::Lost),
        }
    }

    /// Writes a whole answer, blocking.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.socket.send_all(bytes)
    }

    /// Asks for the upgrade. Whatever the server answers but a wrong 101 is no error yet.
    pub(crate) fn ask(&self, ask: &Ask) -> Result<Answer, Error> {
        self.write(ask.bytes())
            .map_err(|error| self.explain_io(error))?;
        let mut received = Vec::new();
        let (response, length) = loop {
            let got = self
                .recv(&mut received)
                .map_err(|error| self.explain_io(error))?;
            if got == 0 {
                let ended = io::Error::new(io::ErrorKind::UnexpectedEof, ENDED);
                return Err(self.explain(Error::Io(ended)));
            }
            if let Some(parsed) = parse_response(&received)? {
                break parsed;
            }
        };
        let behind = received.split_off(length);
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Answer::Other(response, behind));
        }
        let subprotocol = ask.verify(&response)?;
        Ok(Answer::Upgraded {
            subprotocol,
            pipelined: behind,
        })
    }

    /// Makes the error of an answer, with the first of its body, as far as it comes within the
    /// deadline.
    pub(crate) fn refused(&self, response: Response<()>, mut received: Vec<u8>) -> Error {
        let body = loop {
            let body = Body::of(&response, &received);
            if body.complete || !matches!(self.recv(&mut received), Ok(1..)) {
                break body;
            }
        };
        let (head, ()) = response.into_parts();
        let body = body.bytes;
        Error::Refused(Box::new(Refusal {
            status: head.status,
            headers: head.headers,
            body,
        }))
    }

    fn recv(&self, received: &mut Vec<u8>) -> io::Result<usize> {
        received.reserve(HEAD_STEP);
        self.0.socket.recv_answering(received)
    }
}

/// So much is read at once. More than a thread's malloc cache keeps for itself afterwards.
const HEAD_STEP: usize = 2 << 10;
/// RFC 9110, section 10.1.1: the client waits for this before it sends the body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const ENDED: &str = "the server closed the connection instead of answering";

#[inline(never)]
fn with_body(head: Box<http::Request<()>>, body: Bytes) -> Box<http::Request<Bytes>> {
    Box::new(head.map(|()| body))
}

impl Drop for OpeningGuard {
    fn drop(&mut self) {
        self.0.timer.dismiss();
    }
}

/// Is what a server answers to an upgrade request.
pub(crate) enum Answer {
    /// The 101: the subprotocol chosen, and what came behind it.
    Upgraded {
        subprotocol: Option<String>,
        pipelined: Vec<u8>,
    },
    /// A redirect or a refusal, and what has come of its body.
    Other(Response<()>, Vec<u8>),
}

/// Says why there is no request.
pub(crate) enum RequestError {
    /// The peer left, was cut, or the server stops.
    Lost,
    Bad(BadRequest),
}

/// Is a refused connection that the peer gets a moment to read the refusal on.
struct Lingering {
    socket: Arc<Socket>,
    timer: Arc<Timer>,
}

/// So long a refused connection is kept.
const LINGER: Duration = Duration::from_secs(1);

/// Refuses a connection on the accept thread, without waiting: the background closes it later.
pub(crate) fn refuse(socket: Socket, reply: &[u8]) {
    let _ = socket.try_send(&[io::IoSlice::new(reply)]);
    socket.finish_writing();
    let timer = Timer::new();
    let lingering = Arc::new(Lingering {
        socket: Arc::new(socket),
        timer: Arc::clone(&timer),
    });
    // Where no thread can be had for the background, the socket closes at once.
    let _ = timer.enroll(lingering, Instant::now() + LINGER);
}

impl Timed for Lingering {
    fn check(&self, _now: Instant) -> Option<Instant> {
        self.socket.drain(Duration::ZERO, Duration::ZERO);
        self.timer.dismiss();
        None
    }
}
