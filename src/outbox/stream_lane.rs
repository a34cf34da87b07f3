//! The messages that leave in fragments while they are written: [`StreamLane`].

use std::collections::VecDeque;
use std::mem;
use std::thread::{self, ThreadId};

use bytes::Bytes;

use super::budget::Budget;
use super::frame::{Coding, Frame, FrameKind};
use super::waiting_senders::Bell;
use crate::protocol::{Fin, Opcode};

/// The streamed messages of a connection, of which at most one is still written by the program. The
/// place of each among the others is in the channel. Its fragments wait here, within a budget of
/// their own, because the queue may be full of the messages behind it.
pub(super) struct StreamLane {
    /// The messages whose last fragment has not been taken, in the order of their places.
    streams: VecDeque<Fragments>,
    budget: Budget,
    last_number: u64,
    author: Author,
    /// The bell that wakes the author, while it waits for room.
    bell: Option<Bell>,
}

/// The thread that writes the newest of the messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    None,
    /// The message is about to get its place in the channel.
    Opening,
    Thread(ThreadId),
}

/// The fragments of one message.
struct Fragments {
    number: u64,
    waiting: VecDeque<(Bytes, Fin)>,
    /// The opcode of the next fragment to be taken (RFC 6455, section 5.4).
    opcode: Opcode,
}

/// One streamed message, for its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    number: u64,
}

/// The most bytes of waiting fragments. Beyond it the author waits.
const BYTES: usize = 64 << 10;
/// The most waiting fragments: more than that many bytes usually make.
const FRAGMENTS: usize = 1 << 10;

impl StreamLane {
    pub(super) fn new() -> Self {
        Self {
            streams: VecDeque::new(),
            budget: Budget::bounded(BYTES, FRAGMENTS),
            last_number: 0,
            author: Author::None,
            bell: None,
        }
    }

    /// Begins a message, unless another one is still written. It must get the next place of a
    /// stream in the channel, or be [withdrawn](Self::withdraw).
    pub(super) fn begin(&mut self, opcode: Opcode) -> Option<Stream> {
        if self.author != Author::None {
            return None;
        }
        self.author = Author::Opening;
        self.last_number += 1;
        self.streams.push_back(Fragments {
            number: self.last_number,
            waiting: VecDeque::new(),
            opcode,
        });
        Some(Stream {
            number: self.last_number,
        })
    }

    /// Takes back a message that got no place.
    pub(super) fn withdraw(&mut self, stream: Stream) {
        self.streams.retain(|other| other.number != stream.number);
        self.author = Author::None;
    }

    /// Records that this thread writes from now on.
    pub(super) fn take_over(&mut self) {
        self.author = Author::Thread(thread::current().id());
    }

    /// Records that no thread writes any more.
    pub(super) fn clear_author(&mut self) {
        self.author = Author::None;
    }

    pub(super) fn is_written_by_this_thread(&self) -> bool {
        self.author == Author::Thread(thread::current().id())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.budget.bytes()
    }

    /// Tells whether there is room for a fragment.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.budget.fits(bytes)
    }

    /// Queues a fragment. Returns false if its message was discarded.
    pub(super) fn push(&mut self, stream: Stream, payload: Bytes, fin: Fin) -> bool {
        let Some(fragments) = self.streams.back_mut() else {
            return false;
        };
        if fragments.number != stream.number {
            return false;
        }
        self.budget.take(payload.len() as u64, 1);
        fragments.waiting.push_back((payload, fin));
        if fin == Fin::Last {
            self.clear_author();
        }
        true
    }

    /// Tells whether the message whose turn it is has a fragment to be taken.
    pub(super) fn has_next(&self) -> bool {
        let current = self.streams.front();
        current.is_some_and(|fragments| !fragments.waiting.is_empty())
    }

    /// Takes the next fragment of the message whose turn it is; the last one ends that turn.
    pub(super) fn take(&mut self) -> Option<Frame> {
        let fragments = self.streams.front_mut()?;
        let (payload, fin) = fragments.waiting.pop_front()?;
        let opcode = mem::replace(&mut fragments.opcode, Opcode::Continuation);
        if fin == Fin::Last {
            self.streams.pop_front();
        }
        let weight = payload.len() as u64;
        Some(Frame {
            opcode,
            fin,
            payload,
            coding: Coding::Agreed,
            kind: FrameKind::Fragment { weight, fin },
        })
    }

    /// Tells whether a fragment of the message whose turn it is has been taken.
    pub(super) fn has_begun(&self) -> bool {
        let current = self.streams.front();
        current.is_some_and(|fragments| fragments.opcode == Opcode::Continuation)
    }

    /// Discards the message whose turn it is.
    pub(super) fn discard(&mut self) {
        if let Some(fragments) = self.streams.pop_front() {
            for (payload, _) in fragments.waiting {
                self.budget.release(payload.len() as u64, 1);
            }
        }
    }

    /// Gives back the room of fragments that have left. Returns the author's bell, if the author
    /// waits.
    pub(super) fn release(&mut self, bytes: u64, fragments: u64) -> Option<Bell> {
        self.budget.release(bytes, fragments);
        self.bell()
    }

    /// Sets the author's bell, while the author waits.
    pub(super) fn set_bell(&mut self, bell: Option<Bell>) {
        self.bell = bell;
    }

    /// Returns the author's bell, if the author waits.
    pub(super) fn bell(&self) -> Option<Bell> {
        self.bell.clone()
    }
}
