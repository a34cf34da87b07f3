//! The world around a modelled outbox: a wire that can be full, and who waits for it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use loom::sync::{Condvar, Mutex, MutexGuard};

use crate::outbox::{Alarm, Cork, Outbox, Seal, Urgency, Wire};
use crate::protocol::{CloseFrame, Opcode, Role};
use crate::{CloseCode, Config, Message, Overflow, SendErrorKind};

/// Explores every order in which the threads of a model can go. With a bound, those orders in which
/// a thread is interrupted, while it could go on, at most so many times.
pub(super) fn explore(bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.max_branches = 10_000;
    builder.check(model);
}

/// Is a wire of which the models see every byte.
pub(super) struct FakeWire(Arc<World>);

/// Is what the threads of a model share beside the outbox.
#[derive(Default)]
pub(super) struct World {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    room: usize,
    written: Vec<u8>,
    cut: bool,
    rung: bool,
    watched: Vec<Arc<Outbox<FakeWire>>>,
    /// How many threads may still ask the background for something.
    busy: usize,
}

/// One frame of a message of two bytes takes this much.
pub(super) const FRAME: usize = 4;
/// So much room never gets used up.
pub(super) const PLENTY: usize = 1 << 20;

loom::thread_local! {
    static CORK: RefCell<Option<Arc<Cork<FakeWire>>>> = RefCell::new(None);
}

loom::lazy_static! {
    /// The corks that ask to be ticked.
    static ref TICKING: Mutex<Vec<Arc<Cork<FakeWire>>>> = Mutex::default();
}

impl FakeWire {
    /// Makes a wire that takes `room` bytes before it is full, and an outbox that queues as many
    /// messages as `queue`.
    pub(super) fn with_outbox(room: usize, queue: usize) -> (Arc<Self>, Arc<Outbox<Self>>) {
        let wire = Arc::new(Self(Arc::default()));
        wire.make_room(room);
        let config = Arc::new(Config::new().max_queue_messages(queue));
        let outbox = Outbox::new(Role::Server, &config, Arc::clone(&wire));
        (wire, outbox)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .state
            .lock()
            .expect("a model stops at the first panic")
    }

    /// Makes room, as a peer does that reads.
    pub(super) fn make_room(&self, room: usize) {
        self.state().room += room;
        self.0.moved.notify_all();
    }

    /// Runs `run` on a thread that the background outlives.
    pub(super) fn spawn(
        self: &Arc<Self>,
        run: impl FnOnce() + 'static,
    ) -> loom::thread::JoinHandle<()> {
        let wire = Arc::clone(self);
        self.state().busy += 1;
        loom::thread::spawn(move || {
            run();
            wire.state().busy -= 1;
            wire.0.moved.notify_all();
        })
    }

    /// Resumes what is watched, until nobody is left who could have something watched.
    pub(super) fn run_background(&self) {
        let mut state = self.state();
        loop {
            let writable = state.room > 0 || state.cut;
            if let Some(outbox) = writable.then(|| state.watched.pop()).flatten() {
                drop(state);
                outbox.resume();
                state = self.state();
            } else if state.busy == 0 {
                return;
            } else {
                state = self
                    .0
                    .moved
                    .wait(state)
                    .expect("a model stops at the first panic");
            }
        }
    }

    /// Lets the peer read everything, and then resumes what is watched.
    pub(super) fn settle(&self) {
        self.make_room(PLENTY);
        self.run_background();
    }

    /// Returns the frames that were written. None may be torn, unless the wire was cut.
    pub(super) fn frames(&self) -> Vec<Frame> {
        let state = self.state();
        let mut frames = Vec::new();
        let mut rest = &state.written[..];
        while let [head, length, behind @ ..] = rest {
            let Some((payload, next)) = behind.split_at_checked(usize::from(*length)) else {
                break;
            };
            frames.push(Frame {
                opcode: head & 0xf,
                is_final: head & 0x80 != 0,
                payload: payload.to_vec(),
            });
            rest = next;
        }
        assert!(rest.is_empty() || state.cut, "a torn frame: {rest:?}");
        frames
    }
}

impl Alarm for World {
    fn ring(&self) {
        self.state
            .lock()
            .expect("a model stops at the first panic")
            .rung = true;
        self.moved.notify_all();
    }
}

impl Wire for FakeWire {
    type Alarm = World;

    fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state();
        let before = state.written.len();
        if state.cut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
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
        Ok(())
    }

    fn alarm(&self) -> Option<Arc<World>> {
        Some(Arc::clone(&self.0))
    }

    fn wait_writable(&self, alarm: Option<&World>, _: Option<Instant>) {
        let mut state = self.state();
        while state.room == 0 && !state.cut && !(alarm.is_some() && state.rung) {
            state = self
                .0
                .moved
                .wait(state)
                .expect("a model stops at the first panic");
        }
    }

    fn cut(&self) {
        self.state().cut = true;
        self.0.moved.notify_all();
    }

    fn hang_up(&self) {
        self.cut();
    }

    fn watch(&self, outbox: &Arc<Outbox<Self>>) {
        self.state().watched.push(Arc::clone(outbox));
        self.0.moved.notify_all();
    }

    fn expect(&self, _: Instant) {}

    fn tick(cork: &Arc<Cork<Self>>) {
        TICKING
            .lock()
            .expect("a model stops at the first panic")
            .push(Arc::clone(cork));
    }

    fn cork() -> Option<Arc<Cork<Self>>> {
        CORK.with(|cork| cork.borrow().clone())
    }

    fn deadline(_: Duration) -> Option<Instant> {
        None
    }
}

/// Says that the calling thread drives the reading end of this cork, with more input at hand.
pub(super) fn drive_with(cork: &Arc<Cork<FakeWire>>) {
    CORK.with(|current| current.replace(Some(Arc::clone(cork))));
    cork.set_active(true);
}

/// Ticks the corks that ask for it, each until it holds nothing, as the background does.
pub(super) fn tick_corks() {
    let next = || {
        TICKING
            .lock()
            .expect("a model stops at the first panic")
            .pop()
    };
    while let Some(cork) = next() {
        while cork.tick() || !cork.stop_ticking() {}
    }
}

/// Is a frame as the peer reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) opcode: u8,
    pub(super) is_final: bool,
    pub(super) payload: Vec<u8>,
}

pub(super) const CONTINUATION: u8 = 0;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;

/// Makes message `number` of a sender.
pub(super) fn message(sender: u8, number: u8) -> Message {
    Message::from([sender, number])
}

/// Returns the numbers of the messages of one sender, as they were written.
pub(super) fn numbers(frames: &[Frame], sender: u8) -> Vec<u8> {
    let of_sender = |frame: &&Frame| frame.opcode == BINARY && frame.payload[0] == sender;
    frames
        .iter()
        .filter(of_sender)
        .map(|frame| frame.payload[1])
        .collect()
}

pub(super) fn count(frames: &[Frame], opcode: u8) -> usize {
    frames.iter().filter(|frame| frame.opcode == opcode).count()
}

impl Outbox<FakeWire> {
    /// Sends messages `0..count` of a sender, which must succeed.
    pub(super) fn send_numbers(self: &Arc<Self>, sender: u8, count: u8) {
        for number in 0..count {
            self.send(message(sender, number), Overflow::Wait)
                .expect("open");
        }
    }

    /// Sends one message unless the outbox is closing; tells whether it was sent.
    pub(super) fn send_or_closed(self: &Arc<Self>, sender: u8, number: u8) -> bool {
        match self.send(message(sender, number), Overflow::Wait) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), SendErrorKind::Closed);
                false
            }
        }
    }

    pub(super) fn ping(self: &Arc<Self>, number: u8) {
        self.send_control(Opcode::Ping, Bytes::copy_from_slice(&[number]));
    }

    pub(super) fn close_with(self: &Arc<Self>, code: CloseCode, urgency: Urgency) -> bool {
        self.close(
            CloseFrame {
                code,
                reason: String::new(),
            },
            urgency,
        )
    }

    pub(super) fn abort(self: &Arc<Self>) -> bool {
        self.seal(Seal::Aborted)
    }
}
