//! A burst to many behind the messages of a queue. Whoever takes the queue's lock queues first what
//! was gathered since the last time. So no other rule of the queue has to know of bursts.

use super::Queue;
use crate::outbox::Wire;
use crate::outbox::frames::Piece;
use crate::outbox::gathered::{AllFrames, Following, Gathered, MOST_BYTES, MOST_MESSAGES};
use crate::outbox::outgoing::Outgoing;
use std::sync::Arc;

impl<W: Wire> Queue<W> {
    /// Queues the messages that have been gathered for this connection and others.
    #[inline(never)]
    pub(in crate::outbox) fn catch_up(&mut self) {
        let Some(following) = &mut self.following else {
            return;
        };
        let taken = following.take();
        if taken.is_last {
            self.following = None;
        }
        if let Some(piece) = taken.piece {
            self.push_held(Outgoing::Piece(piece));
        }
    }

    /// Follows a burst from its first message on, in the framing of this number. It does not if the queue has no room for a whole
    /// one: as none of its messages asks, the limits would not be kept.
    pub(in crate::outbox) fn follow(&mut self, gathered: &Arc<Gathered>, framing: usize) -> bool {
        let has_room = self.has_room_for_burst();
        if has_room {
            self.end_burst();
            self.following = Some(Following::begin(gathered, framing));
        }
        has_room
    }

    /// Takes the rest of a burst, if it is the one that the queue follows.
    pub(in crate::outbox) fn take_rest(
        &mut self,
        gathered: &Arc<Gathered>,
        frames: &AllFrames,
    ) -> Option<Piece> {
        let following = &mut self.following;
        let following = following.take_if(|following| following.is_of(gathered))?;
        following.rest(frames)
    }

    /// Follows no burst any more.
    pub(in crate::outbox) fn leave_burst(&mut self) {
        let following = self.following.take();
        if let Some(piece) = following.and_then(Following::leave) {
            self.push_held(Outgoing::Piece(piece));
        }
    }

    /// Ends the gathering of the burst if the queue has no room for a whole one left.
    pub(in crate::outbox) fn keep_room_for_burst(&mut self) {
        if self.following.is_some() && !self.has_room_for_burst() {
            self.end_burst();
        }
    }

    fn has_room_for_burst(&self) -> bool {
        self.budget.has_room(MOST_BYTES, MOST_MESSAGES)
    }

    fn end_burst(&mut self) {
        if let Some(following) = &self.following {
            following.close();
            self.catch_up();
        }
    }
}
