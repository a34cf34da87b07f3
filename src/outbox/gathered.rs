//! The messages of a burst to many, framed and gathered once: [`Gathered`], and the place of them in
//! a connection's queue, [`Following`].

use std::mem;
use std::sync::Arc;

use super::frames::{Frames, FramesBuilder, Piece};
use super::send::CORK_FULL;
use super::sync::{Mutex, lock};
use super::writer::MIN_UNCOPIED;
use crate::Message;

/// The most messages of a burst, and the most bytes of payload.
pub(super) const MOST_MESSAGES: u64 = 256;
pub(super) const MOST_BYTES: u64 = CORK_FULL + MIN_UNCOPIED as u64;

/// The messages of a burst, which many connections follow.
#[derive(Default)]
pub(super) struct Gathered(Mutex<State>);

struct State {
    frames: Progress,
    /// The number of connections that follow.
    followers: usize,
}

enum Progress {
    Open(FramesBuilder),
    Closed(Arc<Frames>),
}

/// The place of a burst behind the messages of a queue.
pub(super) struct Following {
    gathered: Arc<Gathered>,
    /// The number of the first message that the queue has not taken.
    next: u32,
}

/// The messages that a queue takes of a burst.
pub(super) struct Taken {
    pub(super) piece: Option<Piece>,
    /// The flag that there will be no others.
    pub(super) is_last: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            frames: Progress::Open(FramesBuilder::default()),
            followers: 0,
        }
    }
}

impl Gathered {
    /// Begins with a message.
    pub(super) fn of(message: &Message) -> Arc<Self> {
        let gathered = Self::default();
        gathered.push(message);
        Arc::new(gathered)
    }

    /// Adds a message. Returns how many connections follow, and whether the burst is to leave now.
    /// Returns `None` if it takes no more.
    pub(super) fn push(&self, message: &Message) -> Option<(usize, bool)> {
        let mut state = lock(&self.0);
        let Progress::Open(frames) = &mut state.frames else {
            return None;
        };
        frames.push(message);
        let is_full =
            frames.len() as u64 >= CORK_FULL || u64::from(frames.messages()) >= MOST_MESSAGES;
        let frames = is_full.then(|| mem::take(frames).finish());
        if let Some(frames) = frames {
            state.frames = Progress::Closed(frames);
        }
        Some((state.followers, is_full))
    }

    /// Takes no more messages, and returns those that it has.
    pub(super) fn close(&self) -> Arc<Frames> {
        let mut state = lock(&self.0);
        let frames = match &mut state.frames {
            Progress::Closed(frames) => return Arc::clone(frames),
            Progress::Open(frames) => mem::take(frames).finish(),
        };
        state.frames = Progress::Closed(Arc::clone(&frames));
        frames
    }
}

impl State {
    fn take_from(&self, first: u32) -> Taken {
        let (piece, is_last) = match &self.frames {
            Progress::Open(frames) => (frames.copy_from(first), false),
            Progress::Closed(frames) => (Piece::from(frames, first), true),
        };
        Taken { piece, is_last }
    }
}

impl Following {
    /// Follows from the first message on.
    pub(super) fn begin(gathered: &Arc<Gathered>) -> Self {
        lock(&gathered.0).followers += 1;
        Self {
            gathered: Arc::clone(gathered),
            next: 0,
        }
    }

    pub(super) fn is_of(&self, gathered: &Arc<Gathered>) -> bool {
        Arc::ptr_eq(&self.gathered, gathered)
    }

    /// Takes the messages that were gathered since the last time. While others may follow, it copies
    /// them.
    pub(super) fn take(&mut self) -> Taken {
        let taken = lock(&self.gathered.0).take_from(self.next);
        self.next += taken.piece.as_ref().map_or(0, Piece::len);
        taken
    }

    /// Takes the rest of a burst that is closed.
    pub(super) fn rest(self, frames: &Arc<Frames>) -> Option<Piece> {
        Piece::from(frames, self.next)
    }

    /// Ends the gathering for all that follow.
    pub(super) fn close(&self) {
        self.gathered.close();
    }

    /// Follows no more, while others do. Returns the last messages: those that are added from now on
    /// do not count this connection.
    pub(super) fn leave(self) -> Option<Piece> {
        let mut state = lock(&self.gathered.0);
        state.followers -= 1;
        state.take_from(self.next).piece
    }
}
