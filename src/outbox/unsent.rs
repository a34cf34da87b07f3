//! The frames whose last byte the kernel has not taken: [`Unsent`].

use std::collections::VecDeque;

use super::frame::{FrameKind, Written};
use crate::protocol::Encoder;

/// The frames whose last byte the kernel has not taken, in their order, and what their ends release.
#[derive(Default)]
pub(super) struct Unsent {
    run: Run,
    /// The frames behind the run.
    others: VecDeque<Rest>,
}

/// Plain messages at the beginning of the encoded frames, each in one frame. They cost no record
/// each: where one ends shows in its header.
#[derive(Default)]
struct Run {
    messages: u64,
    weight: u64,
    /// The place of the first frame that has not left whole.
    first: usize,
    /// The number of bytes that have left, and of all.
    sent: usize,
    end: usize,
    /// The number of bytes that the longest of the last runs had. A shorter one lowers it by an eighth:
    /// a burst may leave as a long run and a short one.
    usual: usize,
}

/// The rest of a frame, and what its end releases.
struct Rest {
    left: usize,
    kind: FrameKind,
}

impl Unsent {
    pub(super) fn is_empty(&self) -> bool {
        self.run.messages == 0 && self.others.is_empty()
    }

    /// Tells whether the next frame may belong to the run.
    #[inline]
    pub(super) fn may_extend_run(&self) -> bool {
        self.others.is_empty()
    }

    /// Adds a message to the run, whose frame ends at this place of the encoded ones.
    #[inline]
    pub(super) fn extend_run(&mut self, end: usize, weight: u64) {
        self.run.end = end;
        self.run.messages += 1;
        self.run.weight += weight;
    }

    /// Returns how many bytes the next run will probably have.
    #[inline]
    pub(super) fn usual_run(&self) -> usize {
        self.run.usual
    }

    /// Adds a frame of which so many bytes are left.
    pub(super) fn push(&mut self, left: usize, kind: FrameKind) {
        self.others.push_back(Rest { left, kind });
    }

    /// Counts `length` written bytes, and what they release. `encoded` are the frames of which the run
    /// is the beginning, unless all of it has left.
    pub(super) fn count_off(
        &mut self,
        mut length: usize,
        encoder: &Encoder,
        encoded: &[u8],
        written: &mut Written,
    ) {
        written.length += length as u64;
        if self.run.messages > 0 {
            length -= self.run.count_off(length, encoder, encoded, written);
        }
        while let Some(mut frame) = self.others.pop_front() {
            if frame.left > length {
                frame.left -= length;
                frame.count_sent(written);
                return self.others.push_front(frame);
            }
            length -= frame.left;
            written.add(frame.kind);
        }
    }

    /// Frees its memory. It must be empty.
    #[inline]
    pub(super) fn rest(&mut self) {
        if self.others.capacity() > 0 {
            self.others = VecDeque::new();
        }
    }
}

impl Run {
    /// Counts written bytes, and returns how many of them are the run's.
    fn count_off(
        &mut self,
        length: usize,
        encoder: &Encoder,
        encoded: &[u8],
        written: &mut Written,
    ) -> usize {
        let own = length.min(self.end - self.sent);
        self.sent += own;
        if self.sent == self.end {
            written.add_messages(self.messages, self.weight);
            let usual = self.end.max(self.usual - self.usual / 8);
            *self = Self {
                usual,
                ..Self::default()
            };
            return own;
        }
        let sent = &encoded[..self.sent];
        while let Some((frame, payload)) = encoder.whole_message(&sent[self.first..]) {
            written.add_messages(1, payload);
            self.messages -= 1;
            self.weight -= payload;
            self.first += frame;
        }
        own
    }
}

impl Rest {
    /// Counts the messages of a piece that have left.
    fn count_sent(&mut self, written: &mut Written) {
        if let FrameKind::Piece(piece) = &mut self.kind {
            let sent = piece.split_sent(self.left);
            sent.into_iter()
                .for_each(|sent| written.add(FrameKind::Piece(sent)));
        }
    }
}
