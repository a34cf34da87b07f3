//! The opening handshake over a socket, under its deadlines.

use std::io::{self, IoSlice};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;

use crate::answering::Answering;
use crate::background::{STEPS, Timed, Timer, Verdict};
use crate::connection::Agreed;
use crate::error::about;
use crate::handshake::{
    BadRequest, CONTINUE, ClientHandshake, RequestBody, RequestHead, ResponseBody, ResponseHead,
    wants_upgrade,
};
use crate::held::{self, Share};
use crate::random::renew_after_fork;
use crate::record::debug;
use crate::sync::{Mutex, lock};
use crate::transport::{Acceptor, Connector, Interest, Ready, Socket};
use crate::{Address, Config, Error, Refusal, Timeout};

/// A handshake under way: its socket, and the deadlines that cut it.
pub(crate) struct Opening {
    socket: Arc<Socket>,
    timer: Arc<Timer>,
    progress: Mutex<Progress>,
}

/// How far a handshake has come, and what keeps it from going on.
struct Progress {
    stage: Stage,
    /// Whether all that has been taken from the socket is known to be less than the peer's part.
    is_waiting: bool,
    hindrance: Option<Hindrance>,
    /// When the peer's part must have come.
    deadline: Instant,
    /// How long it had until then.
    patience: Duration,
    /// Whether the deadline has begun anew because this side was late.
    was_late: bool,
    /// When everything must have ended, once the server stops.
    stop_by: Option<Instant>,
    /// Made with the answer.
    answering: Option<Box<Answering>>,
}

/// Where a handshake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The peer's part is still awaited.
    Reading,
    /// It has come, and the program decides.
    Deciding,
    /// The answer is being written.
    Answering,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hindrance {
    /// A deadline, or a newcomer at the limit, has cut it.
    Cut(Timeout),
    /// The server stops.
    Interrupted,
}

/// Ends the deadline's watch when dropped.
pub(crate) struct OpeningGuard(Arc<Opening>);

impl Opening {
    /// Begins a handshake. Whatever can fail in opening a connection fails here, before anything was
    /// said.
    pub(crate) fn begin(
        socket: &Arc<Socket>,
        config: &Config,
        deadline: Instant,
    ) -> io::Result<OpeningGuard> {
        renew_after_fork();
        set_up(socket, config)?;
        let opening = Arc::new(Self {
            socket: Arc::clone(socket),
            timer: Timer::new(),
            progress: Mutex::new(Progress {
                stage: Stage::Reading,
                is_waiting: true,
                hindrance: None,
                deadline,
                patience: deadline.saturating_duration_since(Instant::now()),
                was_late: false,
                stop_by: None,
                answering: None,
            }),
        });
        opening
            .timer
            .enroll(Arc::clone(&opening) as Arc<dyn Timed>, deadline)?;
        Ok(OpeningGuard(opening))
    }

    pub(crate) fn stage(&self) -> Stage {
        lock(&self.progress).stage
    }

    pub(crate) fn peer_addr(&self) -> &Address {
        self.socket.peer_addr()
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut_by().is_some()
    }

    /// Returns the deadline that has cut it; that of the handshake also where a newcomer has.
    fn cut_by(&self) -> Option<Timeout> {
        match lock(&self.progress).hindrance {
            Some(Hindrance::Cut(timeout)) => Some(timeout),
            _ => None,
        }
    }

    /// Cuts the handshake, if it is still under way.
    fn cut_for(&self, timeout: Timeout) {
        let mut progress = lock(&self.progress);
        let is_cut = matches!(progress.hindrance, Some(Hindrance::Cut(_)));
        if progress.stage == Stage::Done || is_cut {
            return;
        }
        progress.hindrance = Some(Hindrance::Cut(timeout));
        drop(progress);
        self.socket.cut();
    }

    /// Tells whether the peer's part is still awaited.
    pub(crate) fn is_awaited(&self) -> bool {
        let progress = lock(&self.progress);
        progress.stage == Stage::Reading && progress.hindrance.is_none()
    }

    /// Cuts the handshake if it waits for its peer; tells whether it did. What has come and is not read
    /// yet may be all of the request: for a thread that has not had its turn nobody is cut.
    pub(crate) fn cut_waiting(&self) -> bool {
        let mut progress = lock(&self.progress);
        let waits = progress.stage == Stage::Reading && progress.is_waiting;
        if !waits || progress.hindrance.is_some() || self.socket.look().readable {
            return false;
        }
        progress.hindrance = Some(Hindrance::Cut(Timeout::Handshake));
        drop(progress);
        self.socket.cut();
        true
    }

    fn set_waiting(&self, is_waiting: bool) {
        lock(&self.progress).is_waiting = is_waiting;
    }

    /// Ends the wait for the peer's part, if it still lasts: the thread finds the end of the input.
    /// What is being answered goes on until `by`.
    pub(crate) fn interrupt(&self, by: Instant) {
        let mut progress = lock(&self.progress);
        let earlier = progress.stop_by.map_or(by, |before| before.min(by));
        progress.stop_by = Some(earlier);
        let waits = progress.stage == Stage::Reading && progress.hindrance.is_none();
        if waits {
            progress.hindrance = Some(Hindrance::Interrupted);
        }
        drop(progress);
        if waits {
            self.socket.stop_reading();
        }
        self.timer.expect(by);
    }

    /// Begins to write the answer: from now on only the write deadline and a stop count.
    fn begin_writing(&self, config: &Arc<Config>) {
        let answering = Box::new(Answering::new(config));
        let mut progress = lock(&self.progress);
        progress.stage = Stage::Answering;
        progress.answering = Some(answering);
    }

    /// Takes note of how the answer's writing goes.
    fn note<R>(&self, note: impl FnOnce(&mut Answering) -> R) -> Option<R> {
        lock(&self.progress).answering.as_deref_mut().map(note)
    }

    /// Waits until the socket takes more of the answer, or is cut. It comes back now and then, as a
    /// socket takes more before the system says so: see `Outbox::retry`.
    fn wait_for_room(&self) {
        let look = self.note(|answering| answering.note_refused(Instant::now()));
        if let Some(by) = look {
            self.timer.expect(by);
        }
        self.socket.wait(Interest::Write, look);
    }

    /// Goes on to a stage, unless something keeps it from that.
    fn advance(&self, from: Stage, to: Stage) -> bool {
        let mut progress = lock(&self.progress);
        let goes_on = progress.stage == from && progress.hindrance.is_none();
        if goes_on {
            progress.stage = to;
        }
        goes_on
    }
}

impl Progress {
    /// Says what is due. The peer's part has the handshake's deadline, and the answer the write deadline;
    /// the program decides in its own time. Only a stop ends all of them.
    fn check(&mut self, now: Instant, ready: Option<Ready>) -> Verdict {
        match (self.stop_by, &mut self.answering) {
            (stop_by, Some(answering)) => answering.check(now, ready, stop_by),
            (Some(by), None) if by <= now => Verdict::Cut(Timeout::Stop),
            (stop_by, None) if self.stage == Stage::Reading => self.check_reading(now, stop_by),
            (stop_by, None) => Verdict::Wait(stop_by),
        }
    }

    /// Says whether the time for the peer's part is over. A look that comes late says that this side
    /// was held up, perhaps the whole machine: then that time begins anew, once.
    fn check_reading(&mut self, now: Instant, stop_by: Option<Instant>) -> Verdict {
        let is_late = now > self.deadline + self.patience / STEPS;
        if is_late && !mem::replace(&mut self.was_late, true) {
            self.deadline = now + self.patience;
        }
        if self.deadline <= now {
            return Verdict::Cut(Timeout::Handshake);
        }
        Verdict::Wait(Some(
            stop_by.map_or(self.deadline, |by| by.min(self.deadline)),
        ))
    }
}

impl Timed for Opening {
    /// Cuts it when its time is over.
    fn check(&self, now: Instant) -> Option<Instant> {
        let mut ready = None;
        loop {
            let verdict = lock(&self.progress).check(now, ready);
            match verdict {
                Verdict::Wait(next) => return next,
                Verdict::Look => ready = Some(self.socket.look()),
                Verdict::Cut(timeout) => {
                    self.cut_for(timeout);
                    return None;
                }
                // There are none before the connection is open.
                Verdict::Ping | Verdict::Close(_) => {}
            }
        }
    }
}

impl OpeningGuard {
    pub(crate) fn opening(&self) -> &Arc<Opening> {
        &self.0
    }

    /// Has the kernel hold what these settings say.
    pub(crate) fn set_up(&self, config: &Config) -> io::Result<()> {
        set_up(&self.0.socket, config)
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
        self.0.advance(Stage::Reading, Stage::Deciding)
    }

    /// Ends the handshake in time, or finds that it was cut. Returns its timer, for the connection.
    pub(crate) fn finish(self) -> Result<Arc<Timer>, Error> {
        let progress = &mut *lock(&self.0.progress);
        if progress.hindrance.is_some() {
            return Err(Error::Timeout(Timeout::Handshake));
        }
        progress.stage = Stage::Done;
        Ok(Arc::clone(&self.0.timer))
    }

    /// Tells what TLS says after its handshake, such as why it does not believe our certificate, from
    /// what the system says.
    fn explain_io(&self, error: io::Error) -> Error {
        if self.0.socket.is_tls() && error.raw_os_error().is_none() {
            return self.explain(Error::Tls(error.to_string()));
        }
        self.explain(Error::Io(error))
    }

    /// Says with whom a handshake broke.
    fn about(&self, error: io::Error) -> io::Error {
        let peer = self.0.socket.peer_addr();
        about(format_args!("the handshake with {peer} broke"), error)
    }

    /// Tells an error of the socket from the cut that caused it.
    fn explain(&self, error: Error) -> Error {
        if self.0.is_cut() {
            return Error::Timeout(Timeout::Handshake);
        }
        match error {
            Error::Io(error) => Error::Io(self.about(error)),
            error => error,
        }
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
        let mut coming = RequestHead::default();
        loop {
            self.recv_some(received)?;
            if let Some((head, length)) = coming.parse(received).map_err(RequestError::Bad)? {
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
        let mut share = Share::new(0);
        if body.is_awaiting_continue(received) {
            self.write(CONTINUE).map_err(|_| RequestError::Lost)?;
        }
        loop {
            if let Some(bytes) = body.take_from(received).map_err(refuse)? {
                return Ok(bytes);
            }
            let held = received.capacity() + body.capacity();
            if held > FREE_BODY && !share.try_grow(held) {
                return Err(refuse(BadRequest::NO_MEMORY));
            }
            self.recv_some(received)?;
            share.settle();
        }
    }

    /// Receives something of the request. Whoever [cuts](Opening::cut_waiting) those that wait for
    /// their peer takes nobody for one whose request has come.
    fn recv_some(&self, received: &mut Vec<u8>) -> Result<(), RequestError> {
        let room = received.try_reserve(HEAD_STEP);
        room.map_err(|_| RequestError::Bad(BadRequest::NO_MEMORY))?;
        loop {
            // What is taken from the socket is not waited for any more: there is no moment in which a
            // whole request looks like none.
            self.0.set_waiting(true);
            self.0.socket.wait(Interest::Read, None);
            self.0.set_waiting(false);
            match self.0.socket.try_recv_answering(received) {
                // Over TLS what has come may be half a record.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(1..) => return Ok(()),
                _ => return Err(RequestError::Lost),
            }
        }
    }

    /// Writes what belongs to the asking, blocking, within the time that the peer's part has.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.socket.send_all(bytes)
    }

    /// Writes a whole answer, blocking, under the write deadline: a peer that reads slowly gets all of
    /// it, however long that takes.
    pub(crate) fn answer(&self, bytes: &[u8], config: &Arc<Config>) -> io::Result<()> {
        self.0.begin_writing(config);
        let mut left = bytes;
        let written = self.write_answer(&mut left);
        self.0.note(Answering::note_end);
        if let Err(error) = &written {
            let peer = self.0.peer_addr();
            let status = bytes
                .split(|byte| *byte == b'\r')
                .next()
                .unwrap_or_default();
            let why = self
                .0
                .cut_by()
                .map_or(error.to_string(), |cut| cut.to_string());
            debug!(
                "the answer {:?} to {peer} was not written: {why}, {} of {} bytes left",
                status.escape_ascii().to_string(),
                left.len(),
                bytes.len()
            );
        }
        written
    }

    fn write_answer(&self, left: &mut &[u8]) -> io::Result<()> {
        let opening = &self.0;
        while !left.is_empty() {
            match opening.socket.try_send(&[IoSlice::new(left)]) {
                Ok(length) => {
                    *left = &left[length..];
                    opening.note(|answering| answering.note_taken(length, Instant::now()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => opening.wait_for_room(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Asks for the upgrade. Whatever the server answers but a wrong 101 is no error yet.
    pub(crate) fn ask(&self, handshake: &ClientHandshake) -> Result<Answer, Error> {
        self.write(handshake.bytes())
            .map_err(|error| self.explain_io(error))?;
        let mut received = Vec::new();
        let mut coming = ResponseHead::default();
        let (response, length) = loop {
            let got = self
                .recv(&mut received)
                .map_err(|error| self.explain_io(error))?;
            if got == 0 {
                let ended = io::Error::new(io::ErrorKind::UnexpectedEof, ENDED);
                return Err(self.explain(Error::Io(ended)));
            }
            if let Some(parsed) = coming.parse(&received)? {
                break parsed;
            }
        };
        let behind = received.split_off(length);
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Answer::Other(response, behind));
        }
        let subprotocol = handshake.verify(&response)?;
        Ok(Answer::Upgraded {
            agreed: Agreed {
                subprotocol,
                response: Some(Box::new(response)),
            },
            pipelined: behind,
        })
    }

    /// Makes the error of an answer, with the first of its body: as far as it comes within the
    /// deadline where its end is known, otherwise within a moment, for such a body ends with the
    /// connection, and many a server keeps that open.
    pub(crate) fn refused(&self, response: Response<()>, mut received: Vec<u8>) -> Error {
        let mut body = ResponseBody::announced_by(&response);
        body.take(&received);
        let until = (!body.has_known_end()).then(|| Instant::now() + ENDLESS_BODY);
        while !body.is_over() {
            received.clear();
            if !matches!(self.recv_until(&mut received, until), Ok(1..)) {
                break;
            }
            body.take(&received);
        }
        let (head, ()) = response.into_parts();
        Error::Refused(Box::new(Refusal {
            status: head.status,
            headers: head.headers,
            body: body.into_bytes(),
        }))
    }

    /// Receives until then, or until the handshake's own deadline.
    fn recv_until(&self, received: &mut Vec<u8>, until: Option<Instant>) -> io::Result<usize> {
        if until.is_none() {
            return self.recv(received);
        }
        received.reserve(HEAD_STEP);
        while self.0.socket.wait(Interest::Read, until).readable {
            // Over TLS what has come may be half a record.
            match self.0.socket.try_recv(received) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                got => return got,
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn recv(&self, received: &mut Vec<u8>) -> io::Result<usize> {
        received.reserve(HEAD_STEP);
        self.0.socket.recv_answering(received)
    }
}

/// Has the kernel hold of what is sent what the settings say.
fn set_up(socket: &Socket, config: &Config) -> io::Result<()> {
    if let Some(bytes) = config.send_buffer {
        socket.set_send_buffer(bytes)?;
    }
    if let Some(bytes) = config.tcp_notsent_lowat {
        // Where the system has no such bound, it is slow peers that it does without.
        let _ = socket.set_notsent_lowat(bytes);
    }
    Ok(())
}

/// The bytes that are read at once. More than a thread's malloc cache keeps for itself afterwards.
const HEAD_STEP: usize = 2 << 10;
/// What the body of a request may take without being counted, in bytes: the buffers that a body of 64 KiB
/// comes in, which double.
const FREE_BODY: usize = 2 * held::FREE + (16 << 10);
/// The time in which the body of a refusal may come that does not say where it ends.
const ENDLESS_BODY: Duration = Duration::from_millis(500);
const ENDED: &str = "the server closed the connection instead of answering";

#[inline(never)]
fn with_body(head: Box<http::Request<()>>, body: Bytes) -> Box<http::Request<Bytes>> {
    Box::new(head.map(|()| body))
}

impl Drop for OpeningGuard {
    fn drop(&mut self) {
        if lock(&self.0.progress).stage != Stage::Done {
            self.0.timer.dismiss();
        }
    }
}

/// What a server answers to an upgrade request.
pub(crate) enum Answer {
    /// The 101, and what came behind it.
    Upgraded { agreed: Agreed, pipelined: Vec<u8> },
    /// A redirect or a refusal, and what has come of its body.
    Other(Response<()>, Vec<u8>),
}

/// Says why there is no request.
pub(crate) enum RequestError {
    /// The peer left, was cut, or the server stops.
    Lost,
    Bad(BadRequest),
}
