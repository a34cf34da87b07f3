//! The opening handshake over a socket, under its deadlines.

use std::io;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer_deadline::AnswerDeadline;
use crate::background::{STEPS, Timed, Timer, Verdict};
use crate::canceller::{Canceller, Watch};
use crate::error::about;
use crate::random::renew_after_fork;
use crate::sync::{Mutex, lock};
use crate::transport::{Acceptor, Connector, Interest, Ready, Socket};
use crate::{Address, Config, Error, Timeout};

/// A handshake under way: its socket, and the deadlines that cut it.
pub(crate) struct Opening {
    /// The number that the connection will have.
    id: u64,
    socket: Arc<Socket>,
    timer: Arc<Timer>,
    progress: Mutex<Progress>,
}

/// The progress of a handshake, and its deadlines.
struct Progress {
    stage: Stage,
    /// The flag that everything taken from the socket is known to be less than the peer's part.
    is_waiting: bool,
    hindrance: Option<Hindrance>,
    /// The time by which the peer's part must have come.
    deadline: Instant,
    /// The time that the peer had until then.
    patience: Duration,
    /// The flag that the deadline has begun anew because this side was late.
    was_late: bool,
    /// The time by which the handshake must have ended, once the server stops.
    stop_by: Option<Instant>,
    /// Made once the socket refuses a part of the answer.
    answering: Option<Box<AnswerDeadline>>,
}

/// The stage that a handshake has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The peer's part is still awaited.
    Reading,
    /// The peer's part has come, and the program decides.
    Deciding,
    /// The answer is being written.
    Answering,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hindrance {
    /// A deadline, or a newcomer at the limit, has cut the handshake.
    Cut(Timeout),
    /// The server stops.
    Interrupted,
}

/// A handshake under way. Its drop ends the watch of its deadline, and of a cancel.
pub(crate) struct OpeningGuard(Arc<Opening>, Watch);

impl Opening {
    /// Begins a handshake. Everything that can fail in opening a connection fails here, before
    /// anything is sent.
    pub(crate) fn begin(
        id: u64,
        socket: &Arc<Socket>,
        config: &Config,
        deadline: Instant,
    ) -> io::Result<OpeningGuard> {
        renew_after_fork();
        set_up(socket, config)?;
        let opening = Arc::new(Self {
            id,
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
        Ok(OpeningGuard(opening, Watch::default()))
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
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

    /// Returns the deadline that has cut the handshake: the handshake's own also if a newcomer has
    /// cut it.
    pub(crate) fn cut_by(&self) -> Option<Timeout> {
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

    /// Cuts the handshake if it waits for its peer, and tells whether it did. The bytes in the
    /// socket may be the whole request: a handshake is not cut because its thread has not run yet.
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

    /// Gives the peer another time for its part.
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        let mut progress = lock(&self.progress);
        progress.deadline = deadline;
        progress.patience = deadline.saturating_duration_since(Instant::now());
        drop(progress);
        self.timer.wake_by(deadline);
    }

    pub(crate) fn set_waiting(&self, is_waiting: bool) {
        lock(&self.progress).is_waiting = is_waiting;
    }

    /// Ends the wait for the peer's part, if it still lasts: the thread finds the end of the input.
    /// An answer goes on until `by`.
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
        self.timer.wake_by(by);
    }

    /// Begins to write the answer: from now on only the write deadline and a stop count.
    pub(crate) fn begin_writing(&self) {
        lock(&self.progress).stage = Stage::Answering;
    }

    /// Notes the progress of writing the answer.
    pub(crate) fn note<R>(&self, note: impl FnOnce(&mut AnswerDeadline) -> R) -> Option<R> {
        lock(&self.progress).answering.as_deref_mut().map(note)
    }

    /// Waits until the socket takes more of the answer, or is cut. It returns from time to time,
    /// because a socket takes more before the system reports it: see `Outbox::retry`.
    #[inline(never)]
    pub(crate) fn wait_for_room(&self, config: &Arc<Config>) {
        let mut progress = lock(&self.progress);
        let answering = progress
            .answering
            .get_or_insert_with(|| Box::new(AnswerDeadline::new(config)));
        let look = answering.note_refused(Instant::now());
        drop(progress);
        self.timer.wake_by(look);
        self.socket.wait(Interest::Write, Some(look));
    }

    /// Goes on to a stage, unless the handshake was cut or interrupted.
    fn enter_stage(&self, from: Stage, to: Stage) -> bool {
        let mut progress = lock(&self.progress);
        let goes_on = progress.stage == from && progress.hindrance.is_none();
        if goes_on {
            progress.stage = to;
        }
        goes_on
    }
}

impl Opening {
    /// Sets the socket's options from the settings.
    pub(crate) fn set_up(&self, config: &Config) -> io::Result<()> {
        set_up(&self.socket, config)
    }

    /// Does the TLS handshake with a server of this name or address.
    pub(crate) fn connect_tls(&self, connector: &Connector, host: &str) -> Result<(), Error> {
        let done = self.socket.connect_tls(connector, host);
        done.map_err(|error| self.explain(error))
    }

    /// Does the TLS handshake with a client.
    pub(crate) fn accept_tls(&self, acceptor: &Acceptor) -> Result<(), Error> {
        let done = self.socket.accept_tls(acceptor);
        done.map_err(|error| self.explain(error))
    }

    /// Notes that the peer's part has come and will be answered. Returns false if the handshake
    /// must not go on.
    pub(crate) fn begin_answer(&self) -> bool {
        self.enter_stage(Stage::Reading, Stage::Deciding)
    }

    /// Makes the error of an I/O failure. TLS may report one after its handshake, such as the
    /// reason why the peer does not trust our certificate.
    pub(crate) fn explain_io(&self, error: io::Error) -> Error {
        if self.socket.is_tls() && error.raw_os_error().is_none() {
            return self.explain(Error::Tls(error.to_string()));
        }
        self.explain(Error::Io(error))
    }

    /// Adds the peer's address to an error.
    fn about(&self, error: io::Error) -> io::Error {
        let peer = self.socket.peer_addr();
        about(format_args!("the handshake with {peer} broke"), error)
    }

    /// Replaces an error of the socket by the cut that caused it.
    pub(crate) fn explain(&self, error: Error) -> Error {
        if self.is_cut() {
            return Error::Timeout(Timeout::Handshake);
        }
        match error {
            Error::Io(error) => Error::Io(self.about(error)),
            error => error,
        }
    }
}

impl Progress {
    /// Decides what is due. The peer's part has the handshake's deadline, the answer has the write
    /// deadline, and the program's decision has none. A stop ends all of them.
    fn check(&mut self, now: Instant, ready: Option<Ready>) -> Verdict {
        match (self.stop_by, &mut self.answering) {
            (stop_by, Some(answering)) => answering.check(now, ready, stop_by),
            (Some(by), None) if by <= now => Verdict::Cut(Timeout::Stop),
            (stop_by, None) if self.stage == Stage::Reading => self.check_reading(now, stop_by),
            (stop_by, None) => Verdict::Wait(stop_by),
        }
    }

    /// Decides whether the time for the peer's part is over. A late look means that this side was
    /// delayed, perhaps the whole machine: then the time begins anew, once.
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
    /// Cuts the handshake when its time is over.
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
                // Pings and Closes are not due before the connection is open.
                Verdict::Ping | Verdict::Close(_) => {}
            }
        }
    }
}

impl OpeningGuard {
    pub(crate) fn opening(&self) -> &Arc<Opening> {
        &self.0
    }

    /// Lets a cancel cut the handshake.
    pub(crate) fn cut_by_cancel(mut self, canceller: &Canceller) -> Self {
        let opening = Arc::clone(&self.0);
        self.1 = canceller.on_cancel(move || opening.cut_for(Timeout::Handshake));
        self
    }

    /// Ends the handshake in time, or fails if it was cut. Returns its timer, for the connection.
    pub(crate) fn finish(self) -> Result<Arc<Timer>, Error> {
        let progress = &mut *lock(&self.0.progress);
        if progress.hindrance.is_some() {
            return Err(Error::Timeout(Timeout::Handshake));
        }
        progress.stage = Stage::Done;
        Ok(Arc::clone(&self.0.timer))
    }
}

impl Deref for OpeningGuard {
    type Target = Opening;

    fn deref(&self) -> &Opening {
        &self.0
    }
}

/// Sets the options of a socket that bound what the kernel holds of the data to send.
fn set_up(socket: &Socket, config: &Config) -> io::Result<()> {
    if let Some(bytes) = config.send_buffer {
        socket.set_send_buffer(bytes)?;
    }
    if let Some(bytes) = config.tcp_notsent_lowat {
        // On a system without this bound only slow peers lose by it.
        let _ = socket.set_notsent_lowat(bytes);
    }
    Ok(())
}

/// The number of bytes read at once. A larger buffer than a thread's malloc cache keeps afterwards.
pub(crate) const READ_STEP: usize = 2 << 10;

impl Drop for OpeningGuard {
    fn drop(&mut self) {
        if lock(&self.0.progress).stage != Stage::Done {
            self.0.timer.dismiss();
        }
    }
}
