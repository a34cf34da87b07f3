//! The world around a modelled outbox: a wire that can be full or broken, the background that waits
//! for it, and the clock.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::queue::Seat;
use super::super::sync::{Condvar, Mutex, MutexGuard, let_time_pass, lock, wait};
use crate::outbox::{Burst, Cork, Outbox, Rest, Sink, Wire};
use crate::protocol::Role;
use crate::{Config, Message, Overflow, SendErrorKind};

/// Explores every order in which the threads of a model can run, except those in which runnable
/// threads are interrupted more than `bound` times.
pub(super) fn explore(bound: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// A wire whose bytes the models can see.
#[derive(Default)]
pub(super) struct FakeWire {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    room: usize,
    written: Vec<u8>,
    /// The number of the wire's own bytes, which leave first.
    pending: usize,
    /// The flag that the peer takes nothing any more.
    broken: bool,
    cut: bool,
    watched: Vec<Arc<Outbox<FakeWire>>>,
    /// The number of threads that may still ask the background for something.
    busy: usize,
}

/// The length of the frame of a message of two bytes.
pub(super) const FRAME: usize = 4;
/// Room that is never used up.
pub(super) const PLENTY: usize = 1 << 20;

loom::thread_local! {
    static CORK: RefCell<Option<Arc<Cork<FakeWire>>>> = RefCell::new(None);
}

loom::lazy_static! {
    /// The corks that ask to be ticked.
    static ref TICKING: Mutex<Vec<Arc<Cork<FakeWire>>>> = Mutex::default();
}

type World = (Arc<FakeWire>, Arc<Outbox<FakeWire>>);

impl FakeWire {
    /// Makes a wire that takes `room` bytes before it is full, and an outbox whose queue holds
    /// `queue` messages.
    pub(super) fn with_outbox(room: usize, queue: usize) -> World {
        Self::configured(room, Config::new().max_queue_messages(queue))
    }

    pub(super) fn configured(room: usize, config: Config) -> World {
        let wire = Arc::new(Self::default());
        wire.make_room(room);
        let outbox = Outbox::new(Role::Server, &Arc::new(config), None, Arc::clone(&wire));
        (wire, outbox)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.moved.notify_all();
    }

    /// Makes room, like a peer that reads.
    pub(super) fn make_room(&self, room: usize) {
        self.change(|state| state.room += room);
    }

    /// Makes every write fail from now on.
    pub(super) fn break_off(&self) {
        self.change(|state| state.broken = true);
    }

    /// Gives the wire a byte of its own.
    pub(super) fn add_pending(&self) {
        self.change(|state| state.pending += 1);
    }

    /// Runs `run` on a thread that the background outlives.
    pub(super) fn spawn<R: 'static>(
        self: &Arc<Self>,
        run: impl FnOnce() -> R + 'static,
    ) -> loom::thread::JoinHandle<R> {
        let wire = Arc::clone(self);
        lock(&self.state).busy += 1;
        loom::thread::spawn(move || {
            let result = run();
            wire.change(|state| state.busy -= 1);
            result
        })
    }

    /// Plays the background: resumes the watched outboxes, until no thread is left that could have
    /// one watched.
    pub(super) fn run_background(&self) {
        let mut state = lock(&self.state);
        loop {
            let watched = state.is_writable().then(|| state.watched.pop()).flatten();
            if let Some(outbox) = watched {
                drop(state);
                outbox.resume();
                state = lock(&self.state);
            } else if state.busy == 0 {
                return;
            } else {
                state = wait(&self.moved, state, None);
            }
        }
    }

    /// Returns the frames that were written. None may be torn, unless the peer takes nothing any
    /// more.
    pub(super) fn frames(&self) -> Vec<Frame> {
        let state = lock(&self.state);
        assert!(state.pending == 0 || state.is_over(), "still pending");
        let mut frames = Vec::new();
        let mut rest = &state.written[..];
        while let [head, length, behind @ ..] = rest {
            let Some((payload, next)) = behind.split_at_checked(usize::from(*length)) else {
                break;
            };
            frames.push(Frame {
                opcode: head & 0xf,
                payload: payload.to_vec(),
            });
            rest = next;
        }
        assert!(rest.is_empty() || state.is_over(), "a torn frame: {rest:?}");
        frames
    }

    fn take(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = lock(&self.state);
        if state.is_over() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let paid = state.pending.min(state.room);
        state.pending -= paid;
        state.room -= paid;
        if state.pending > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(state)
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.broken || self.cut
    }

    fn is_writable(&self) -> bool {
        self.room > 0 || self.is_over()
    }
}

impl Sink for FakeWire {
    fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.take()?;
        let before = state.written.len();
        for part in parts {
            let taken = part.len().min(state.room);
            state.room -= taken;
            state.written.extend_from_slice(&part[..taken]);
        }
        match state.written.len() - before {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.take().map(drop)
    }
}

impl Wire for FakeWire {
    type Sink = Self;

    fn sink(self: &Arc<Self>) -> Arc<Self> {
        Arc::clone(self)
    }

    fn wait_writable(&self) {
        let mut state = lock(&self.state);
        while !state.is_writable() {
            state = wait(&self.moved, state, None);
        }
    }

    fn cut(&self, _: Rest) {
        self.change(|state| state.cut = true);
    }

    fn watch(&self, outbox: &Arc<Outbox<Self>>) {
        self.change(|state| state.watched.push(Arc::clone(outbox)));
    }

    fn wake_by(&self, _: Instant) {}

    fn tick(cork: &Arc<Cork<Self>>) {
        lock(&TICKING).push(Arc::clone(cork));
    }

    fn is_gathering() -> bool {
        driven().is_some_and(|cork| cork.is_active())
    }

    fn hold(outbox: &Arc<Outbox<Self>>) {
        driven().expect("a cork").hold(outbox);
    }

    fn hold_burst(burst: &Arc<Burst<Self>>) {
        driven().expect("a cork").hold_burst(burst);
    }

    fn uncork() {
        if let Some(cork) = driven() {
            cork.uncork();
        }
    }

    fn deadline(_: Duration) -> Option<Instant> {
        None
    }
}

fn driven() -> Option<Arc<Cork<FakeWire>>> {
    CORK.with(|cork| cork.borrow().clone())
}

/// Makes the calling thread drive the reading end of this cork, with more input at hand.
pub(super) fn drive_with(cork: &Arc<Cork<FakeWire>>) {
    CORK.with(|current| current.replace(Some(Arc::clone(cork))));
    cork.set_active(true);
}

/// Ticks the corks that ask for it, each until it holds nothing, like the background.
pub(super) fn tick_corks() {
    let next = || lock(&TICKING).pop();
    while let Some(cork) = next() {
        while cork.tick() || !cork.stop_ticking() {}
    }
}

/// A frame, as the peer reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

pub(super) const CONTINUATION: u8 = 0;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;

/// Makes message `number` of a sender.
pub(super) fn message(sender: u8, number: u8) -> Message {
    Message::from([sender, number])
}

/// Returns the numbers of the messages or fragments of one sender, as they were written.
pub(super) fn numbers(frames: &[Frame], sender: u8) -> Vec<u8> {
    let of_sender = |frame: &&Frame| frame.opcode <= BINARY && frame.payload[0] == sender;
    let of_sender = frames.iter().filter(of_sender);
    of_sender.map(|frame| frame.payload[1]).collect()
}

impl Outbox<FakeWire> {
    /// Sends messages `0..count` of a sender, which must succeed.
    pub(super) fn send_numbers(self: &Arc<Self>, sender: u8, count: u8) {
        for number in 0..count {
            assert!(self.send_or_closed(sender, number), "closed");
        }
    }

    /// Sends one message unless the outbox is closing. Returns whether it was sent.
    pub(super) fn send_or_closed(self: &Arc<Self>, sender: u8, number: u8) -> bool {
        let sent = self.send_message(message(sender, number), Some(Overflow::Wait));
        sent.map_err(|error| assert_eq!(error.kind(), SendErrorKind::Closed))
            .is_ok()
    }

    /// Makes every deadline pass: waiting threads look at the clock.
    pub(super) fn time_out(self: &Arc<Self>) {
        let_time_pass();
        self.with_queue(|queue, after| queue.wake_waiting(after));
    }

    /// Checks that an unfinished write has a keeper.
    pub(super) fn assert_kept(&self) {
        let queue = lock(&self.queue);
        let keepers = queue.keepers;
        let left = queue.stall.is_some() && matches!(queue.writer, Seat::Here(_));
        let kept = keepers.pollers > 0 || keepers.background || keepers.called;
        assert!(!left || kept, "stalled, and nobody waits for the wire");
    }

    /// Checks an outbox whose threads have all ended: nothing waits, and everything was released.
    pub(super) fn assert_at_rest(&self) {
        let queue = lock(&self.queue);
        assert!(matches!(queue.writer, Seat::Here(_)) && queue.stall.is_none());
        assert!(queue.has_nothing_before(), "left behind");
        let keepers = queue.keepers;
        assert!(keepers.pollers == 0 && !keepers.background && !keepers.called);
        assert_eq!((queue.budget.places(), queue.buffered()), (0, 0));
        assert!(queue.observers == 0 && !queue.corked && queue.following.is_none());
    }

    /// Checks an outbox whose sending is over and whose threads have all ended: `sent` messages
    /// were admitted, and each was written or counted.
    pub(super) fn assert_over(&self, wire: &FakeWire, sent: u64) {
        let queue = lock(&self.queue);
        assert!(matches!(queue.writer, Seat::Gone) && queue.stall.is_none());
        assert_eq!((queue.budget.places(), queue.buffered()), (0, 0));
        assert_eq!(queue.delivered + queue.undelivered, sent);
        drop(queue);
        let messages = wire
            .frames()
            .into_iter()
            .filter(|frame| frame.opcode == BINARY);
        assert_eq!(messages.count() as u64, self.counters().messages_out);
    }
}
