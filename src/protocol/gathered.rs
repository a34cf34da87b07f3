//! Short messages that come together: [`Gathered`].

use bytes::{Bytes, BytesMut};
use bytes_utils::{Str, StrMut};

use super::frame::{Header, Opcode};
use super::payloads::BLOCK;
use super::{Role, utf8};
use crate::{Message, Text};

/// The longest payload that is gathered, in bytes. A mark holds its length.
pub(super) const GATHERED: usize = 256;

/// The next messages of the read buffer, if they are short and of one kind.
///
/// Their frames are copied, unmasked and checked together, ahead of the decoder, and the messages
/// are slices of the copy. To do that for each message would cost more than everything else.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    frames: Frames,
    /// The end of the frames that the decoder has passed.
    passed: usize,
    /// The memory in which frames are prepared.
    draft: Vec<u8>,
}

/// Unmasked frames. Each header is a mark and zeros.
#[derive(Debug)]
enum Frames {
    /// Texts. With ASCII between them, they are UTF-8 together if each of them is.
    Texts(Str),
    Binaries(Bytes),
}

impl Default for Frames {
    fn default() -> Self {
        Self::Binaries(Bytes::new())
    }
}

impl Frames {
    #[inline(always)]
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Texts(frames) => frames.as_bytes(),
            Self::Binaries(frames) => frames,
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Texts(frames) => frames.into_inner(),
            Self::Binaries(frames) => frames,
        }
    }
}

impl Gathered {
    /// Tells whether the decoder has not passed all frames.
    #[inline(always)]
    pub(super) fn has_next(&self) -> bool {
        self.passed < self.frames.as_bytes().len()
    }

    /// Returns the end of the frames that the decoder has passed.
    #[inline(always)]
    pub(super) fn passed(&self) -> usize {
        self.passed
    }

    /// Takes the message of the next frame.
    #[inline(always)]
    pub(super) fn next(&mut self, role: Role) -> Option<Message> {
        let mark = self.frames.as_bytes()[self.passed..].first_chunk()?;
        let length = marked(*mark);
        let start = self.passed + Header::usual_size(length, role);
        let end = start + length;
        self.passed = end;
        Some(match &self.frames {
            Frames::Texts(frames) => Message::Text(Text::from(frames.slice(start..end))),
            Frames::Binaries(frames) => Message::Binary(frames.slice(start..end)),
        })
    }

    /// Gathers the next frames of the read buffer, at most a block. Returns false if they do not begin
    /// with two short messages of one kind, if a text among them is not UTF-8, or if there is no memory.
    #[inline(never)]
    pub(super) fn gather(&mut self, unread: &[u8], role: Role) -> bool {
        let Some(Header {
            opcode,
            size,
            length,
            ..
        }) = first_of_two(unread, role)
        else {
            return false;
        };
        self.draft.clear();
        // Most frames are as long as the first. A part of one would be copied for nothing.
        let first = size + length as usize;
        let frames = &unread[..unread.len().min(BLOCK - BLOCK % first)];
        if self.draft.try_reserve_exact(frames.len()).is_err() {
            return false;
        }
        self.draft.extend_from_slice(frames);
        let end = prepare(&mut self.draft, opcode, role);
        let used_up = std::mem::take(&mut self.frames).into_bytes();
        let copied = copy(opcode, &self.draft[..end], used_up);
        (self.frames, self.passed) = (copied.unwrap_or_default(), 0);
        self.has_next()
    }

    /// Gives up the frames that the decoder has not passed, and the memory. The messages keep theirs.
    #[inline]
    pub(super) fn clear(&mut self) {
        if self.draft.capacity() > 0 {
            *self = Self::default();
        }
    }
}

/// Returns the header of the next message, if it and the one behind it are short and of one kind.
fn first_of_two(unread: &[u8], role: Role) -> Option<Header> {
    let first = short_message(unread, role)?;
    let second = short_message(&unread[first.size + first.length as usize..], role)?;
    (first.opcode == second.opcode).then_some(first)
}

#[inline(always)]
fn short_message(bytes: &[u8], role: Role) -> Option<Header> {
    Header::of_whole_message(bytes, role).filter(|header| header.length <= GATHERED as u64)
}

/// Unmasks and marks the frames at the beginning that are whole short messages of this kind. Returns
/// their end.
fn prepare(draft: &mut [u8], opcode: Opcode, role: Role) -> usize {
    let mut end = 0;
    while let Some(header) = short_message(&draft[end..], role) {
        if header.opcode != opcode {
            break;
        }
        let length = header.length as usize;
        let (head, behind) = draft[end..].split_at_mut(header.size);
        if let Some(key) = header.key {
            key.apply(&mut behind[..length], 0);
        }
        let (first, rest) = head.split_at_mut(2);
        first.copy_from_slice(&mark(length));
        clear(rest);
        end += header.size + length;
    }
    end
}

/// Clears the rest of a header, of 0, 2, 4 or 6 bytes: in less steps than a call of `memset` takes.
fn clear(rest: &mut [u8]) {
    if let Some(four) = rest.first_chunk_mut::<4>() {
        *four = [0; 4];
    }
    if let Some(two) = rest.last_chunk_mut::<2>() {
        *two = [0; 2];
    }
}

/// Writes a length in two bytes of ASCII.
fn mark(length: usize) -> [u8; 2] {
    [(length >> 7) as u8, (length & 0x7F) as u8]
}

/// Reads a length that was written by [`mark`].
#[inline(always)]
fn marked([high, low]: [u8; 2]) -> usize {
    usize::from(high) << 7 | usize::from(low)
}

/// Checks and copies prepared frames. Returns `None` if they are texts that are not UTF-8, or if there
/// is no memory.
fn copy(opcode: Opcode, frames: &[u8], used_up: Bytes) -> Option<Frames> {
    if opcode != Opcode::Text {
        let mut copy = renew(used_up, frames.len())?;
        copy.extend_from_slice(frames);
        return Some(Frames::Binaries(copy.freeze()));
    }
    let texts = utf8::check(frames).ok()?;
    // The memory is empty, and thus UTF-8.
    let mut copy = StrMut::from_inner(renew(used_up, frames.len())?).ok()?;
    copy.push_str(texts);
    Some(Frames::Texts(copy.freeze()))
}

/// Returns empty memory: the used one, if no message is in it any more.
fn renew(used_up: Bytes, length: usize) -> Option<BytesMut> {
    if let Ok(mut memory) = used_up.try_into_mut() {
        memory.clear();
        if memory.try_reclaim(length) {
            return Some(memory);
        }
    }
    let mut memory = Vec::new();
    memory.try_reserve_exact(length).ok()?;
    Some(BytesMut::from(Bytes::from(memory)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Encoder, Fin};

    /// Makes the frames of messages to a role.
    fn frames(messages: &[Message], to: Role) -> Vec<u8> {
        let from = match to {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        let mut frames = Vec::new();
        for message in messages {
            let (opcode, payload) = (Opcode::of(message), message.as_bytes());
            Encoder::new(from).encode(opcode, Fin::Last, payload, &mut frames);
        }
        frames
    }

    /// Takes all messages that are gathered.
    fn take_all(gathered: &mut Gathered, mut unread: &[u8], role: Role) -> Vec<Message> {
        let mut taken = Vec::new();
        while gathered.has_next() || gathered.gather(unread, role) {
            let passed = gathered.passed();
            taken.push(gathered.next(role).unwrap());
            unread = &unread[gathered.passed() - passed..];
            assert!(gathered.frames.as_bytes().len() <= BLOCK);
        }
        taken
    }

    /// Short messages of one kind that come together are gathered, all but one that is left alone. What
    /// is in use is not written over.
    #[test]
    fn short_messages_are_gathered() {
        for role in [Role::Client, Role::Server] {
            for length in (0..=130).chain(GATHERED - 2..=GATHERED + 2) {
                for message in ["x".repeat(length).into(), Message::from(vec![0xFF; length])] {
                    let sent = vec![message; 100];
                    let mut gathered = Gathered::default();
                    let taken = take_all(&mut gathered, &frames(&sent, role), role);
                    let is_short = length <= GATHERED;
                    let least = if is_short { sent.len() - 1 } else { 0 };
                    assert!(
                        taken.len() >= least && is_short != taken.is_empty(),
                        "{length}"
                    );
                    assert_eq!(taken[..], sent[..taken.len()]);
                }
            }
        }
    }

    /// A message of the other kind, an illegal text, and a frame that is not whole are left alone.
    #[test]
    fn others_are_left_alone() {
        let texts = [Message::from("one"), "two".into()];
        let others = frames(&[Message::from([7; 3])], Role::Client);
        for behind in [&others, &others[..2], b"\x81\x01"] {
            let unread = [&frames(&texts, Role::Client), behind].concat();
            assert_eq!(
                take_all(&mut Gathered::default(), &unread, Role::Client),
                texts
            );
        }
        // Each alone is not UTF-8, and both are together, but for what is between them.
        let halves = b"\x81\x01\xc3\x81\x01\xa4";
        assert!(!Gathered::default().gather(halves, Role::Client));
    }

    /// Memory in which no message is any more is used again.
    #[test]
    fn memory_is_used_again() {
        let sent = frames(&["x".into(), "y".into()], Role::Client);
        let mut gathered = Gathered::default();
        let mut take = || take_all(&mut gathered, &sent, Role::Client);
        let place = |messages: &[Message]| messages[0].as_bytes().as_ptr();
        let first = place(&take());
        let kept = take();
        assert_eq!(place(&kept), first);
        let others = take();
        assert_ne!(place(&others), first);
        assert_eq!(kept, others);
    }
}
