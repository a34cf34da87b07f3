//! A queue as a plain value, without any thread.

mod accounting;
mod admission;
mod bursts;
mod order;
mod split;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

use super::refill::BATCH_MESSAGES;
use super::*;
use crate::background::PROGRESS;
use crate::life::CloseCause;
use crate::outbox::after_unlock::AfterUnlock;
use crate::outbox::delivery::{Delivery, delivery};
use crate::outbox::frame::Written;
use crate::outbox::outgoing::Outgoing;
use crate::outbox::pings::Pings;
use crate::outbox::stream_lane::Stream;
use crate::outbox::{Burst, Cork, Outbox, Rest, Sink, Urgency};
use crate::protocol::{CloseFrame, Encoder, Fin, Role};
use crate::sync::{AtomicBool, Ordering, lock};
use crate::{Initiator, Message, SendErrorKind};

/// A wire that takes as many bytes as it has room for, and keeps them.
#[derive(Default)]
struct Tape {
    room: Mutex<usize>,
    written: Mutex<VecDeque<u8>>,
    panics: AtomicBool,
    nears_key_limit: AtomicBool,
}

impl Tape {
    fn make_room(&self, room: usize) {
        *lock(&self.room) += room;
    }

    /// Takes the whole frames off, each as text: `a`, a fragment `a-`, what follows it `+a`, a control
    /// frame by its name, a long payload as its length.
    fn frames(&self) -> Vec<String> {
        let mut bytes = lock(&self.written);
        let mut frames = Vec::new();
        while let Some((head, start, end)) = frame_at(bytes.make_contiguous()) {
            let frame: Vec<u8> = bytes.drain(..end).collect();
            frames.push(describe(head, &frame[start..]));
        }
        frames
    }
}

/// Returns a frame's first byte, and where its payload begins and ends.
fn frame_at(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let head = *bytes.first()?;
    let (start, length) = match *bytes.get(1)? {
        126 => (
            4,
            u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into(),
        ),
        127 => (
            10,
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize,
        ),
        length => (2, length.into()),
    };
    (bytes.len() >= start + length).then_some((head, start, start + length))
}

fn describe(head: u8, payload: &[u8]) -> String {
    let text = match payload {
        payload if payload.len() > 125 => payload.len().to_string(),
        payload => String::from_utf8_lossy(payload).into_owned(),
    };
    let more = if head & 0x80 == 0 { "-" } else { "" };
    match head & 0xf {
        0 => format!("+{text}{more}"),
        8 => format!("close {}", u16::from_be_bytes([payload[0], payload[1]])),
        9 if payload.len() == 16 => "barrier".to_owned(),
        9 => format!("ping {text}"),
        10 => format!("pong {text}"),
        _ => format!("{text}{more}"),
    }
}

impl Sink for Tape {
    fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(
            !self.panics.load(Ordering::Relaxed),
            "a panic that the test asks for"
        );
        let (mut room, mut bytes) = (lock(&self.room), lock(&self.written));
        let before = bytes.len();
        for part in parts {
            let taken = part.len().min(*room);
            *room -= taken;
            bytes.extend(&part[..taken]);
        }
        match bytes.len() - before {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn nears_key_limit(&self) -> bool {
        self.nears_key_limit.load(Ordering::Relaxed)
    }
}

impl Wire for Tape {
    type Sink = Self;

    fn sink(self: &std::sync::Arc<Self>) -> std::sync::Arc<Self> {
        std::sync::Arc::clone(self)
    }

    fn wait_writable(&self) {}
    fn cut(&self, _: Rest) {}
    fn watch(&self, _: &std::sync::Arc<Outbox<Self>>) {}
    fn wake_by(&self, _: Instant) {}
    fn tick(_: &std::sync::Arc<Cork<Self>>) {}
    fn is_gathering() -> bool {
        false
    }
    fn hold(_: &std::sync::Arc<Outbox<Self>>) {}
    fn hold_burst(_: &std::sync::Arc<Burst<Self>>) {}
    fn uncork() {}
    fn deadline(_: Duration) -> Option<Instant> {
        None
    }
}

/// A queue by itself, as the one thread finds it that has the lock.
struct Fixture {
    queue: Queue<Tape>,
    after: AfterUnlock<Tape>,
    tape: std::sync::Arc<Tape>,
}

const PLENTY: usize = 1 << 30;

impl Fixture {
    fn new(bytes: usize, messages: usize) -> Self {
        let config = Config::new().max_queue_bytes(bytes);
        Self::of(&config.max_queue_messages(messages))
    }

    fn of(config: &Config) -> Self {
        let tape = std::sync::Arc::new(Tape::default());
        let writer = Writer::new(Encoder::new(Role::Server), tape.clone());
        Self {
            queue: Queue::new(config, writer, tape.clone()),
            after: AfterUnlock::new(),
            tape,
        }
    }

    /// Makes one whose wire takes everything.
    fn fast(bytes: usize, messages: usize) -> Self {
        let fixture = Self::new(bytes, messages);
        fixture.tape.make_room(PLENTY);
        fixture
    }

    /// Sends without waiting. Tells whether there was room.
    fn send(&mut self, text: &str) -> bool {
        let admitted = self.queue.admits(text.len() as u64, false).is_ok();
        if admitted {
            self.push(text);
        }
        admitted
    }

    fn push(&mut self, text: &str) {
        self.queue.push(Outgoing::Message(text.into()));
    }

    /// Encodes a message under the lock, if it may be, as a part of one write.
    fn encode(&mut self, message: impl Into<Message>) -> bool {
        let a_write = self.queue.batch();
        self.queue.encode_under_lock(&message.into(), a_write)
    }

    fn push_tracked(&mut self, text: &str) -> Delivery {
        let (promise, delivery) = delivery();
        self.queue
            .push(Outgoing::tracked(Message::from(text), promise));
        delivery
    }

    fn push_barrier(&mut self) -> Delivery {
        let (promise, delivery) = delivery();
        self.queue.pings.get_or_insert_with(|| Pings::from(0));
        self.queue.push(Outgoing::Barrier(promise));
        delivery
    }

    fn join(&mut self, text: &str) -> u64 {
        let bell = Queue::<Tape>::new_bell();
        self.queue.join_line(Outgoing::Message(text.into()), bell)
    }

    fn begin_stream(&mut self) -> Stream {
        let lane = self
            .queue
            .lane
            .get_or_insert_with(|| Box::new(StreamLane::new()));
        let stream = lane.begin(Opcode::Text).expect("nobody streams");
        self.queue.push(Outgoing::Stream);
        stream
    }

    fn push_fragment(&mut self, stream: Stream, text: &'static str, fin: Fin) -> bool {
        let lane = self.queue.lane.as_mut().expect("begun");
        lane.push(stream, Bytes::from_static(text.as_bytes()), fin)
    }

    fn ping(&mut self, text: &'static str) {
        self.queue
            .push_control(Opcode::Ping, Bytes::from_static(text.as_bytes()));
    }

    fn close(&mut self, code: u16, urgency: Urgency) {
        self.queue.close(Initiator::Local, &mut self.after);
        let close = CloseFrame::cut_to_fit(code.into(), "");
        match urgency {
            Urgency::AfterMessages => self.queue.control.close(close, urgency),
            Urgency::Overtaking => self.queue.overtake(close, &mut self.after),
        }
    }

    /// Takes the writer with the next batch and writes once.
    fn write(&mut self) -> Vec<String> {
        let writer = self.queue.take_to_write(&mut self.after);
        self.write_with(writer)
    }

    /// Writes on as a keeper does whose socket is writable.
    fn write_on(&mut self) -> Vec<String> {
        let writer = self.queue.take_any_writer();
        self.write_with(writer)
    }

    fn write_with(&mut self, writer: Option<Box<Writer<Tape>>>) -> Vec<String> {
        let Some(mut writer) = writer else {
            return Vec::new();
        };
        let mut written = Written::default();
        match writer.write(&mut written) {
            Ok(()) => {
                self.queue.account(written, &mut self.after);
                if writer.is_done() {
                    self.queue.put_back(writer);
                } else {
                    self.queue.stall(writer, &mut self.after);
                }
            }
            Err(_) => self.queue.refuse(writer, &mut self.after),
        }
        self.tape.frames()
    }

    /// Writes until nothing is left.
    fn write_all(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let frames = self.write();
            if frames.is_empty() {
                return all;
            }
            all.extend(frames);
        }
    }

    fn end(&mut self) -> bool {
        self.queue.end(CloseCause::Aborted, &mut self.after)
    }
}

fn outcome(delivery: &Delivery) -> Result<(), DeliveryError> {
    delivery.wait_timeout(Duration::ZERO)
}

const PENDING: Result<(), DeliveryError> = Err(DeliveryError::Pending);
const FULL: Result<(), SendErrorKind> = Err(SendErrorKind::Full);
