//! The messages of a burst to many, framed and gathered once: [`Gathered`], and the place of them in
//! a connection's queue, [`Following`].

use std::mem;
use std::sync::Arc;

use super::frames::{Frames, FramesBuilder, Piece};
use super::framing::Framing;
use super::send::CORK_FULL;
use super::sync::{Mutex, lock};
use super::writer::MIN_UNCOPIED;
use crate::Message;

/// The most messages of a burst, and the most bytes of payload.
pub(super) const MOST_MESSAGES: u64 = 256;
pub(super) const MOST_BYTES: u64 = CORK_FULL + MIN_UNCOPIED as u64;

/// The messages of a burst, which many connections follow.
pub(super) struct Gathered {
    framings: Vec<Framing>,
    state: Mutex<State>,
}

struct State {
    frames: Progress,
    /// The number of connections that follow.
    followers: usize,
}

/// The frames of all messages, in each framing.
enum Progress {
    Open(Vec<FramesBuilder>),
    Closed(AllFrames),
}

pub(super) type AllFrames = Arc<[Arc<Frames>]>;

/// The place of a burst behind the messages of a queue.
pub(super) struct Following {
    gathered: Arc<Gathered>,
    /// The number of the connection's framing.
    framing: usize,
    /// The number of the first message that the queue has not taken.
    next: u32,
}

/// The messages that a queue takes of a burst.
pub(super) struct Taken {
    pub(super) piece: Option<Piece>,
    /// The flag that there will be no others.
    pub(super) is_last: bool,
}

impl Gathered {
    /// Begins with a message, for connections of these framings.
    pub(super) fn of(message: &Message, framings: Vec<Framing>) -> Arc<Self> {
        let frames = framings.iter().map(|_| FramesBuilder::default());
        let state = State {
            frames: Progress::Open(frames.collect()),
            followers: 0,
        };
        let gathered = Self {
            framings,
            state: Mutex::new(state),
        };
        gathered.push(message);
        Arc::new(gathered)
    }

    /// Returns the number of a framing.
    pub(super) fn position(&self, framing: Framing) -> Option<usize> {
        self.framings.iter().position(|own| *own == framing)
    }

    /// Adds a message. Returns how many connections follow, and whether the burst is to leave now.
    /// Returns `None` if it takes no more.
    pub(super) fn push(&self, message: &Message) -> Option<(usize, bool)> {
        let compressed = self.compress(message);
        let mut state = lock(&self.state);
        let Progress::Open(all) = &mut state.frames else {
            return None;
        };
        let mut is_full = false;
        for (at, frames) in all.iter_mut().enumerate() {
            frames.push(message, compressed.get(at).and_then(Option::as_deref));
            is_full |= frames.size() as u64 >= CORK_FULL;
            is_full |= u64::from(frames.messages()) >= MOST_MESSAGES;
        }
        if is_full {
            state.close();
        }
        Some((state.followers, is_full))
    }

    /// Compresses a message in each framing. Takes no memory if all are plain.
    fn compress(&self, message: &Message) -> Vec<Option<Vec<u8>>> {
        if self.framings == [Framing::Plain] {
            return Vec::new();
        }
        let framings = self.framings.iter();
        framings.map(|framing| framing.compress(message)).collect()
    }

    /// Takes no more messages, and returns those that it has.
    pub(super) fn close(&self) -> AllFrames {
        lock(&self.state).close()
    }
}

impl State {
    fn close(&mut self) -> AllFrames {
        let frames = match &mut self.frames {
            Progress::Closed(frames) => return Arc::clone(frames),
            Progress::Open(frames) => mem::take(frames).into_iter(),
        };
        let frames: AllFrames = frames.map(FramesBuilder::finish).collect();
        self.frames = Progress::Closed(Arc::clone(&frames));
        frames
    }

    fn take_from(&self, framing: usize, first: u32) -> Taken {
        let (piece, is_last) = match &self.frames {
            Progress::Open(all) => (all[framing].copy_from(first), false),
            Progress::Closed(all) => (Piece::from(&all[framing], first), true),
        };
        Taken { piece, is_last }
    }
}

impl Following {
    /// Follows from the first message on, in the framing of this number.
    pub(super) fn begin(gathered: &Arc<Gathered>, framing: usize) -> Self {
        lock(&gathered.state).followers += 1;
        Self {
            gathered: Arc::clone(gathered),
            framing,
            next: 0,
        }
    }

    pub(super) fn is_of(&self, gathered: &Arc<Gathered>) -> bool {
        Arc::ptr_eq(&self.gathered, gathered)
    }

    /// Takes the messages that were gathered since the last time. While others may follow, it copies
    /// them.
    pub(super) fn take(&mut self) -> Taken {
        let taken = lock(&self.gathered.state).take_from(self.framing, self.next);
        self.next += taken.piece.as_ref().map_or(0, Piece::len);
        taken
    }

    /// Takes the rest of a burst that is closed.
    pub(super) fn rest(self, frames: &AllFrames) -> Option<Piece> {
        Piece::from(&frames[self.framing], self.next)
    }

    /// Ends the gathering for all that follow.
    pub(super) fn close(&self) {
        self.gathered.close();
    }

    /// Follows no more, while others do. Returns the last messages: those that are added from now on
    /// do not count this connection.
    pub(super) fn leave(self) -> Option<Piece> {
        let mut state = lock(&self.gathered.state);
        state.followers -= 1;
        state.take_from(self.framing, self.next).piece
    }
}
