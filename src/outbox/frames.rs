//! Messages to many, framed once: [`Frames`], and the part of them that one connection sends,
//! [`Piece`].

use std::sync::Arc;

use bytes::Bytes;

use super::writer::MIN_UNCOPIED;
use crate::Message;
use crate::protocol::{Encoder, Fin, Opcode, Role};

/// The frames of messages, one behind the other, as servers send them: without a mask, they are the
/// same bytes for every peer.
pub(super) struct Frames {
    bytes: Bytes,
    ends: Vec<End>,
}

/// The end of a message among others: how many bytes of frames and of payload there are up to it.
#[derive(Clone, Copy, Default)]
struct End {
    frames: u32,
    payload: u32,
}

/// Frames that are still gathered.
#[derive(Default)]
pub(super) struct FramesBuilder {
    bytes: Vec<u8>,
    ends: Vec<End>,
}

/// Consecutive messages of [`Frames`] that a connection has to send.
#[derive(Clone)]
pub(super) struct Piece {
    frames: Arc<Frames>,
    /// The numbers of its first message, and of the one behind its last.
    first: u32,
    end: u32,
}

/// Tells whether a message is framed once for many. The payload of a longer one is shared and leaves
/// without a copy; only its header, of a few bytes, is made for each connection.
pub(super) fn is_framed_once(message: &Message) -> bool {
    message.len() < MIN_UNCOPIED
}

impl FramesBuilder {
    /// Appends the frame of a message, which may have been compressed.
    pub(super) fn push(&mut self, message: &Message, compressed: Option<&[u8]>) {
        let start = self.bytes.len();
        let payload = compressed.unwrap_or(message.as_bytes());
        let encoder = Encoder::new(Role::Server);
        encoder.encode(Opcode::of(message), Fin::Last, payload, &mut self.bytes);
        if compressed.is_some() {
            Encoder::mark_compressed(&mut self.bytes[start..]);
        }
        self.ends.push(End {
            frames: self.bytes.len() as u32,
            payload: self.payload() + message.len() as u32,
        });
    }

    /// Returns the number of bytes: of the frames, or of the messages if these are more.
    pub(super) fn size(&self) -> usize {
        self.bytes.len().max(self.payload() as usize)
    }

    fn payload(&self) -> u32 {
        self.ends.last().map_or(0, |end| end.payload)
    }

    /// Returns the number of messages.
    pub(super) fn messages(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Copies the messages from this one on, if there are any.
    pub(super) fn copy_from(&self, first: u32) -> Option<Piece> {
        if first >= self.messages() {
            return None;
        }
        let start = start_of(&self.ends, first);
        let behind = self.ends.iter().skip(first as usize);
        let ends = behind.map(|end| End {
            frames: end.frames - start.frames,
            payload: end.payload - start.payload,
        });
        let bytes = Bytes::copy_from_slice(&self.bytes[start.frames as usize..]);
        let ends = ends.collect();
        Some(Piece::all(Arc::new(Frames { bytes, ends })))
    }

    pub(super) fn finish(self) -> Arc<Frames> {
        Arc::new(Frames {
            bytes: self.bytes.into(),
            ends: self.ends,
        })
    }
}

impl Frames {
    pub(super) fn messages(&self) -> u32 {
        self.ends.len() as u32
    }
}

fn start_of(ends: &[End], number: u32) -> End {
    let before = (number as usize).checked_sub(1);
    before.map_or(End::default(), |before| ends[before])
}

impl Piece {
    /// Makes a piece of all messages.
    pub(super) fn all(frames: Arc<Frames>) -> Self {
        let end = frames.messages();
        Self {
            frames,
            first: 0,
            end,
        }
    }

    /// Makes a piece of the messages from this one on, if there are any.
    pub(super) fn from(frames: &Arc<Frames>, first: u32) -> Option<Self> {
        let end = frames.messages();
        let frames = Arc::clone(frames);
        (first < end).then_some(Self { frames, first, end })
    }

    /// Frames one message, which may have been compressed.
    pub(super) fn of(message: &Message, compressed: Option<&[u8]>) -> Self {
        let mut frames = FramesBuilder::default();
        frames.push(message, compressed);
        Self::all(frames.finish())
    }

    fn start(&self) -> End {
        start_of(&self.frames.ends, self.first)
    }

    fn end(&self) -> End {
        start_of(&self.frames.ends, self.end)
    }

    /// Returns the frames.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.frames.bytes[self.start().frames as usize..self.end().frames as usize]
    }

    /// Shares the frames.
    pub(super) fn to_bytes(&self) -> Bytes {
        let range = self.start().frames as usize..self.end().frames as usize;
        self.frames.bytes.slice(range)
    }

    /// Returns the number of messages.
    pub(super) fn len(&self) -> u32 {
        self.end - self.first
    }

    /// Returns the number of messages, which is that of the places that they take of a budget.
    pub(super) fn messages(&self) -> u64 {
        self.len().into()
    }

    /// Returns the bytes that the messages take of a budget, however small they were compressed.
    pub(super) fn weight(&self) -> u64 {
        u64::from(self.end().payload - self.start().payload)
    }

    /// Splits the first message off, if there are others behind it.
    pub(super) fn split_first(&mut self) -> Option<Self> {
        if self.messages() < 2 {
            return None;
        }
        let mut first = self.clone();
        first.end = self.first + 1;
        self.first = first.end;
        Some(first)
    }

    /// Splits off the messages that have left whole when `left` bytes of the piece have not.
    pub(super) fn split_sent(&mut self, left: usize) -> Option<Self> {
        let sent = self.end().frames - left as u32;
        let ends = &self.frames.ends[self.first as usize..self.end as usize];
        let count = ends.partition_point(|end| end.frames <= sent) as u32;
        if count == 0 {
            return None;
        }
        let mut gone = self.clone();
        gone.end = self.first + count;
        self.first = gone.end;
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every piece has the frames, the messages and the weight of its messages, and splits at the ends of
    /// frames: behind those that have left whole, however many bytes of it have.
    #[test]
    fn pieces_split_between_messages() {
        let messages = [0, 1, 125, 126, 3_000].map(|length| Message::from(vec![7; length]));
        let single: Vec<_> = messages
            .iter()
            .map(|message| Piece::of(message, None))
            .collect();
        let mut builder = FramesBuilder::default();
        messages
            .iter()
            .for_each(|message| builder.push(message, None));
        for first in 0..messages.len() {
            let copied = builder.copy_from(first as u32).expect("there are some");
            assert_consists_of(&copied, &single[first..]);
            let length = copied.as_bytes().len();
            for left in 0..=length {
                let mut rest = copied.clone();
                let sent = rest.split_sent(left);
                let count = sent.as_ref().map_or(0, |sent| sent.len() as usize);
                if let Some(sent) = &sent {
                    assert_consists_of(sent, &single[first..first + count]);
                }
                assert_consists_of(&rest, &single[first + count..]);
                let next = single
                    .get(first + count)
                    .map_or(0, |next| next.as_bytes().len());
                let begun = rest.as_bytes().len() - left;
                assert!(
                    begun < next || begun == 0,
                    "{first}, {left} left: {begun} of {next}"
                );
            }
        }
        assert!(builder.copy_from(messages.len() as u32).is_none());
        let frames = builder.finish();
        let mut all = Piece::from(&frames, 1).expect("there are some");
        assert_consists_of(&all, &single[1..]);
        assert_consists_of(&all.split_first().expect("there are more"), &single[1..2]);
        assert_consists_of(&all, &single[2..]);
        assert!(Piece::from(&frames, 5).is_none());
    }

    #[track_caller]
    fn assert_consists_of(piece: &Piece, single: &[Piece]) {
        let bytes: Vec<_> = single.iter().flat_map(|one| one.as_bytes()).collect();
        assert!(piece.as_bytes().iter().eq(bytes));
        assert_eq!(piece.to_bytes(), piece.as_bytes());
        assert_eq!(piece.messages(), single.len() as u64);
        assert_eq!(
            piece.weight(),
            single.iter().map(Piece::weight).sum::<u64>()
        );
    }
}
