//! Messages in one frame that is completed in the read buffer.

use super::{Decoder, message};
use crate::Message;
use crate::buffer_pool::LARGE;
use crate::protocol::frame::{Header, Opcode};
use crate::protocol::gathered::GATHERED;
use crate::protocol::payloads::Payloads;
use crate::protocol::utf8::{self, Utf8Progress};
use crate::protocol::{Event, Violation};

/// The length from which on payloads that have come together are not copied, in bytes. They keep
/// their read buffer in use.
pub(super) const SPLIT_OFF: u64 = LARGE as u64 / 8;

/// The longest frame that is completed in the read buffer, in bytes, header included.
pub(super) const AWAITED: u64 = LARGE as u64 / 2;

/// The part of a frame in the read buffer that has been unmasked and checked.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// The number of bytes of payload that are unmasked and checked.
    done: usize,
    utf8: Utf8Progress,
}

impl Begun {
    /// Makes the value for a frame that was unmasked to its end.
    fn all_of(header: &Header) -> Self {
        Self {
            done: header.length as usize,
            utf8: Utf8Progress::default(),
        }
    }
}

impl Decoder {
    /// Decodes the next event if it is a message of the usual form: whole, in one frame, behind a
    /// whole one, and legal. All other events are left to [`next`](Self::next).
    #[inline(always)]
    pub(crate) fn next_whole_message(&mut self) -> Option<Message> {
        if self.gathered.has_next() {
            return self.next_gathered();
        }
        let is_special = self.is_streaming | self.has_ended;
        if self.begun.is_some() || self.assembly.is_some() || is_special {
            return None;
        }
        let unread = self.input.unread();
        let header = Header::of_whole_message(unread, self.role)?;
        let length = header.length as usize;
        if length > self.longest_copied {
            return self.split_whole_message_off(&header);
        }
        if length <= GATHERED && self.gather() {
            return self.next_gathered();
        }
        self.copy_whole_message(&header)
    }

    #[inline(always)]
    fn next_gathered(&mut self) -> Option<Message> {
        let passed = self.gathered.passed();
        let message = self.gathered.next(self.role);
        self.input.skip(self.gathered.passed() - passed);
        message
    }

    /// Gathers short messages, unless even they may be longer than allowed.
    fn gather(&mut self) -> bool {
        let allows_all = self.longest_copied >= GATHERED;
        allows_all && self.gathered.gather(self.input.unread(), self.role)
    }

    #[inline(always)]
    fn copy_whole_message(&mut self, header: &Header) -> Option<Message> {
        let end = header.size + header.length as usize;
        let (frame, behind) = self.input.unread_mut().split_at_mut(end);
        let payload = &mut frame[header.size..];
        let copied = copy_message(&mut self.payloads, header, payload, 0, behind.len());
        match copied {
            Ok(_) => self.input.skip(end),
            Err(_) => self.begun = Some(Begun::all_of(header)),
        }
        copied.ok()
    }

    /// Takes a message that is not copied, unless it is longer than allowed.
    #[inline(never)]
    fn split_whole_message_off(&mut self, header: &Header) -> Option<Message> {
        if !self.is_split_off(header.length) || self.judge_size(header).is_err() {
            return None;
        }
        match self.split_message_off(header, 0) {
            Ok(message) => Some(message),
            Err(violation) => {
                // Nothing behind it counts.
                self.input.clear();
                self.found = Some(violation);
                None
            }
        }
    }

    /// Tells whether the last received bytes have filled the read buffer and end in a message that is
    /// completed there. Its rest has probably come too, and it is checked in fewer steps once it is
    /// whole. If there is no more, or the input has ended, `next` judges what has come.
    pub(crate) fn is_cut_short(&self) -> bool {
        let has_begun = self.begun.is_some() | self.assembly.is_some() | self.gathered.has_next();
        if has_begun || self.is_streaming || !self.input.is_full() {
            return false;
        }
        let Ok(Some(header)) = self.parse_header() else {
            return false;
        };
        let is_awaited = header.size as u64 + header.length <= AWAITED;
        is_awaited && self.is_message(&header) && !self.has_all_of(&header)
    }

    /// Tells whether a whole frame has come, so that `next` probably has an event without more
    /// bytes.
    #[inline]
    pub(crate) fn has_whole_frame(&self) -> bool {
        self.gathered.has_next() || Header::is_whole(self.input.unread())
    }

    /// Tells whether the frame is a whole message, and not compressed.
    pub(super) fn is_message(&self, header: &Header) -> bool {
        self.assembly.is_none() && header.is_final && !header.is_compressed
    }

    pub(super) fn has_all_of(&self, header: &Header) -> bool {
        header.size as u64 + header.length <= self.input.unread().len() as u64
    }

    /// Unmasks and checks the bytes that have come of a frame that stays in the read buffer until
    /// it is whole.
    ///
    /// # Errors
    /// 1007 as soon as a text holds a byte that cannot be right.
    pub(super) fn look_at(&mut self, header: &Header) -> Result<(), Violation> {
        let begun = self.begun.get_or_insert_default();
        let came = &mut self.input.unread_mut()[header.size + begun.done..];
        if let Some(key) = header.key {
            key.apply(came, begun.done % 4);
        }
        begun.done += came.len();
        self.payload += came.len() as u64;
        if header.opcode == Opcode::Text {
            begun.utf8.advance(came)?;
        }
        Ok(())
    }

    /// Takes a frame that is a whole message, of which a part may be unmasked and checked already.
    pub(super) fn complete_message(&mut self, header: &Header) -> Result<Event, Violation> {
        let Some(Begun { done, .. }) = self.begun.take() else {
            return self.take_message(header, 0);
        };
        self.payload += header.length - done as u64;
        self.take_message(header, done)
    }

    fn take_message(&mut self, header: &Header, done: usize) -> Result<Event, Violation> {
        if self.is_split_off(header.length) {
            return self.split_message_off(header, done).map(Event::Message);
        }
        let end = header.size + header.length as usize;
        let (frame, behind) = self.input.unread_mut().split_at_mut(end);
        let payload = &mut frame[header.size..];
        let copied = copy_message(&mut self.payloads, header, payload, done, behind.len())?;
        self.input.skip(end);
        Ok(Event::Message(copied))
    }

    /// Tells whether a payload is not copied, and keeps the buffer in use: if it fills a quarter of the
    /// buffer, or others that came with it do.
    fn is_split_off(&self, length: u64) -> bool {
        length >= LARGE as u64 / 4 || length >= SPLIT_OFF && self.input.is_filled()
    }

    fn split_message_off(&mut self, header: &Header, done: usize) -> Result<Message, Violation> {
        self.input.take(header.size);
        let mut payload = self.input.split_off(header.length as usize);
        if let Some(key) = header.key {
            key.apply(&mut payload[done..], done % 4);
        }
        message(header.opcode == Opcode::Text, payload.freeze())
    }

    /// Masks the bytes again that were unmasked of a message which is now asked for in chunks.
    pub(super) fn forget_look(&mut self, header: &Header) {
        let Some(Begun { done, .. }) = self.begun.take() else {
            return;
        };
        self.payload -= done as u64;
        if let Some(key) = header.key {
            key.apply(&mut self.input.unread_mut()[header.size..][..done], 0);
        }
    }
}

/// Unmasks all but the first `done` bytes of a whole payload, checks and copies it. `behind` bytes
/// have come after it.
#[inline(always)]
fn copy_message(
    payloads: &mut Payloads,
    header: &Header,
    payload: &mut [u8],
    done: usize,
    behind: usize,
) -> Result<Message, Violation> {
    if let Some(key) = header.key {
        key.apply(&mut payload[done..], done % 4);
    }
    Ok(if header.opcode == Opcode::Text {
        Message::Text(payloads.copy_text(utf8::check(payload)?, behind)?)
    } else {
        Message::Binary(payloads.copy_binary(payload, behind)?)
    })
}
