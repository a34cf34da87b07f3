//! Bytes to events: [`Decoder`].

use bytes::Bytes;

use super::assembly::Assembly;
use super::frame::{FrameRules, Header, Opcode};
use super::gathered::{GATHERED, Gathered};
use super::inflation::{Decompression, Inflation};
use super::payloads::{Payloads, to_vec};
use super::read_buffer::ReadBuffer;
use super::utf8::{self, Utf8Progress};
use super::{CloseFrame, Event, Limits, Role, Violation};
use crate::Message;
use crate::buffer_pool::LARGE;

/// The length from which on payloads that have come together are not copied, in bytes. They keep
/// their read buffer in use.
const SPLIT_OFF: u64 = LARGE as u64 / 8;

/// The longest frame that is completed in the read buffer, in bytes, header included.
const AWAITED: u64 = LARGE as u64 / 2;

/// A decoder of the peer's bytes, which judges them too: it finds each violation at the first whole
/// header, or the first byte of text, that shows it.
///
/// The caller calls [`next`](Self::next) until there are no more events. If the next message
/// [wants](Self::wanted) memory, the caller [grows](Self::grow) it and calls `next` again.
/// Otherwise it appends received bytes to [`spare`](Self::spare), and so on.
#[derive(Debug)]
pub(crate) struct Decoder {
    role: Role,
    limits: Limits,
    /// The longest payload, in bytes, that is within the limits and is copied.
    longest_copied: usize,
    input: ReadBuffer,
    payloads: Payloads,
    /// The next messages of `input`, while they are short.
    gathered: Gathered,
    /// The part that has come of a frame in the read buffer that is a whole message.
    begun: Option<Begun>,
    /// The violation of a message that was taken out of the read buffer, which `next` returns.
    found: Option<Violation>,
    /// The decompression of messages, if compression is agreed.
    decompression: Option<Box<Decompression>>,
    /// The message of which a part has come, unless it is completed in the read buffer.
    assembly: Option<Assembly>,
    /// The number of bytes of payload received of messages that did not come whole at once.
    payload: u64,
    /// The flag that this message, or the next one, is asked for in chunks.
    is_streaming: bool,
    has_ended: bool,
}

/// The part of a frame in the read buffer that has been unmasked and checked.
#[derive(Debug, Default)]
struct Begun {
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
    /// Makes a decoder for our `role`; `pipelined` are the bytes that came behind the handshake.
    pub(crate) fn new(role: Role, limits: Limits, pipelined: Vec<u8>) -> Self {
        Self {
            role,
            limits,
            longest_copied: limits
                .max_message_size
                .min(limits.max_frame_size)
                .min(SPLIT_OFF as usize - 1),
            input: ReadBuffer::new(pipelined),
            payloads: Payloads::default(),
            gathered: Gathered::default(),
            begun: None,
            found: None,
            decompression: None,
            assembly: None,
            payload: 0,
            is_streaming: false,
            has_ended: false,
        }
    }

    /// Takes compressed messages from now on, as agreed: those of the peer may refer back to earlier
    /// ones if it has context `takeover` (RFC 7692, section 7.1.1).
    pub(crate) fn accept_compressed(&mut self, takeover: bool) {
        self.decompression = Some(Box::new(Decompression::new(takeover)));
    }

    /// Returns the `Vec` for the next received bytes, with spare capacity for them. The caller
    /// appends to it and leaves its contents as they are.
    ///
    /// It is the read buffer, or the payload itself while much of a frame is missing, so that a
    /// large message is never copied.
    pub(crate) fn spare(&mut self) -> &mut Vec<u8> {
        if self.has_ended {
            self.input.clear();
        }
        self.gathered.clear();
        if !self.input.is_full() {
            // The wait may be long, and a connection at rest holds no memory that it does not need.
            self.payloads.clear();
        }
        match &mut self.assembly {
            Some(assembly) if assembly.is_received_directly(&self.input) => {
                debug_assert!(self.input.unread().is_empty(), "bytes would be lost");
                self.input.release();
                assembly.spare()
            }
            _ => self.input.spare(),
        }
    }

    /// Tells whether the last received bytes have filled the read buffer, so that there is probably
    /// more.
    pub(crate) fn is_full(&self) -> bool {
        self.input.is_full()
    }

    /// Returns how many bytes of memory the next message must have before more of it can be taken;
    /// `None` if it has enough. To be called when `next` has returned `None`.
    pub(crate) fn wanted(&self) -> Option<usize> {
        let assembly = self.assembly.as_ref()?;
        let unread = self.input.unread().len();
        let takes_more = unread > 0 || assembly.is_received_directly(&self.input);
        let takes_more = takes_more || assembly.has_more();
        (takes_more && !assembly.is_frame_whole())
            .then(|| assembly.wanted(unread))
            .flatten()
    }

    /// Returns how many bytes of the current frame have not been received.
    pub(crate) fn missing(&self) -> usize {
        let assembly = self.assembly.as_ref();
        let missing = assembly.map_or(0, Assembly::missing);
        missing.saturating_sub(self.input.unread().len())
    }

    /// Gives the next message the memory that it [wants](Self::wanted).
    ///
    /// # Errors
    /// 1009 if the system has no memory.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Violation> {
        self.assembly
            .as_mut()
            .map_or(Ok(()), |assembly| assembly.grow(bytes))
    }

    /// Decodes the next event, or returns `None` if more bytes or more memory are needed. After a
    /// Close or an error nothing more is decoded.
    ///
    /// # Errors
    /// 1002, 1007 or 1009: the peer broke the protocol.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Violation> {
        let next = self.decode();
        if next.is_err() {
            self.end();
        }
        next
    }

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

    /// Asks for the next message, or for the one that has come in part, in chunks, as they come and
    /// without limits of size. A message that has come already may still be returned whole.
    pub(crate) fn stream(&mut self) {
        self.gathered.clear();
        self.is_streaming = true;
        if let Some(assembly) = &mut self.assembly {
            assembly.allow_any_size();
        }
    }

    /// Tells whether a message was asked for in chunks and is not complete.
    pub(crate) fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    /// Takes back the memory of a used chunk, to receive the next one into.
    pub(crate) fn reuse(&mut self, bytes: Vec<u8>) {
        if let Some(assembly) = &mut self.assembly {
            assembly.reuse(bytes);
        }
    }

    /// Tells whether anything has begun to come and is not complete. To be called when `next` has
    /// returned `None`.
    pub(crate) fn is_mid_message(&self) -> bool {
        self.assembly.is_some() || !self.input.unread().is_empty()
    }

    /// Tells whether a message has begun to come and is not complete. To be called likewise.
    pub(crate) fn has_begun_message(&self) -> bool {
        self.assembly.is_some() || self.begun.is_some()
    }

    /// Returns how many bytes of payload have been received of messages that did not come whole at
    /// once. Control frames and headers do not count.
    pub(crate) fn payload(&self) -> u64 {
        self.payload
    }

    /// Discards the input. Nothing more is decoded.
    #[inline(never)]
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
        self.begun = None;
        self.decompression = None;
        self.assembly = None;
        self.payloads.clear();
        self.gathered.clear();
        self.input = ReadBuffer::new(Vec::new());
    }

    /// Tells whether a decompressor is kept between messages.
    #[cfg(all(test, feature = "deflate"))]
    pub(super) fn holds_inflater(&self) -> bool {
        let agreed = self.decompression.as_deref();
        agreed.is_some_and(Decompression::is_loaded)
    }

    /// Decodes anything; the short way for bursts is [`next_whole_message`](Self::next_whole_message).
    #[inline(never)]
    fn decode(&mut self) -> Result<Option<Event>, Violation> {
        if self.has_ended {
            return Ok(None);
        }
        if let Some(violation) = self.found.take() {
            return Err(violation);
        }
        // What is decoded here, the gathered messages would give once more.
        self.gathered.clear();
        let decoded = self.decode_frames()?;
        match &decoded {
            Some(Event::Close(_)) => self.end(),
            Some(Event::Message(_)) => self.is_streaming = false,
            Some(Event::Chunk(chunk)) if chunk.is_last => self.is_streaming = false,
            _ => {}
        }
        Ok(decoded)
    }

    /// Decodes frames until there is an event.
    fn decode_frames(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            if let Some(assembly) = &mut self.assembly {
                self.payload += assembly.absorb(&mut self.input)? as u64;
                if self.is_streaming && assembly.has_chunk() {
                    return self.chunk();
                }
                if !assembly.is_frame_whole() {
                    return Ok(None);
                }
            }
            if let Some(mut assembly) = self.assembly.take_if(|assembly| assembly.is_complete()) {
                assembly.finish()?;
                self.end_inflation(&mut assembly);
                let (is_text, payload) = assembly.into_payload();
                return Ok(Some(Event::Message(message(is_text, payload.into())?)));
            }
            let Some(header) = self.parse_header()? else {
                return Ok(None);
            };
            if header.opcode.is_control() {
                return self.control_event(&header);
            }
            self.judge_order(&header)?;
            self.judge_size(&header)?;
            if self.is_message(&header) {
                if self.has_all_of(&header) {
                    return self.complete_message(&header).map(Some);
                }
                if !self.is_streaming && header.size as u64 + header.length <= AWAITED {
                    self.look_at(&header)?;
                    return Ok(None);
                }
            }
            self.begin_frame(&header)?;
        }
    }

    fn parse_header(&self) -> Result<Option<Header>, Violation> {
        let bytes = self.input.unread();
        let rules = FrameRules {
            role: self.role,
            accept_unmasked: self.limits.accept_unmasked,
            compression: self.decompression.is_some(),
        };
        let parsed = Header::parse(bytes, rules);
        parsed.map_err(|violation| {
            if self.role == Role::Client && bytes.starts_with(b"HTTP/1.") {
                return Violation::protocol(HTTP_RESPONSE);
            }
            violation
        })
    }

    /// Takes the bytes that have come of a message that is asked for in chunks.
    fn chunk(&mut self) -> Result<Option<Event>, Violation> {
        let Some(assembly) = &mut self.assembly else {
            return Ok(None);
        };
        let chunk = assembly.take_chunk()?;
        if chunk.is_last {
            if let Some(mut assembly) = self.assembly.take() {
                self.end_inflation(&mut assembly);
            }
        }
        Ok(Some(Event::Chunk(Box::new(chunk))))
    }

    /// Control frames may come between the fragments of a message (RFC 6455, section 5.4).
    fn control_event(&mut self, header: &Header) -> Result<Option<Event>, Violation> {
        if !self.has_all_of(header) {
            return Ok(None);
        }
        let payload = self.take_payload(header)?;
        Ok(Some(match header.opcode {
            Opcode::Ping => Event::Ping(payload.into()),
            Opcode::Pong => Event::Pong(payload.into()),
            _ => Event::Close(CloseFrame::parse(payload)?),
        }))
    }

    /// Judges the order of frames. RFC 6455 5.4: a message's first frame has its opcode, the others
    /// are continuations, and messages MUST NOT be interleaved.
    fn judge_order(&self, header: &Header) -> Result<(), Violation> {
        let is_continuation = header.opcode == Opcode::Continuation;
        match (&self.assembly, is_continuation) {
            (None, true) => Err(Violation::protocol("a continuation of nothing")),
            (Some(_), false) => Err(Violation::protocol("a message inside another one")),
            _ => Ok(()),
        }
    }

    /// Judges the size of a frame. RFC 6455 10.4: the sizes of frames and of reassembled messages
    /// SHOULD be limited.
    fn judge_size(&self, header: &Header) -> Result<(), Violation> {
        if self.is_streaming {
            return Ok(());
        }
        let (length, fragments) = match &self.assembly {
            Some(assembly) => (assembly.len(), assembly.fragments()),
            None => (0, 0),
        };
        let Limits {
            max_message_size,
            max_frame_size,
            max_fragments,
            ..
        } = self.limits;
        if header.length > max_frame_size as u64 {
            let what = "the frame is too big, in bytes";
            return Err(Violation::too_big(what, header.length, max_frame_size));
        }
        if fragments >= max_fragments {
            let what = "the message has too many fragments";
            return Err(Violation::too_big(
                what,
                fragments as u64 + 1,
                max_fragments,
            ));
        }
        let compressed = self.assembly.as_ref().and_then(Assembly::compressed);
        if let Some(compressed) = compressed.or(header.is_compressed.then_some(0)) {
            return self.judge_compressed_size(compressed.saturating_add(header.length));
        }
        if header.length > (max_message_size - length) as u64 {
            let size = header.length.saturating_add(length as u64);
            let what = "the message is too big, in bytes";
            return Err(Violation::too_big(what, size, max_message_size));
        }
        Ok(())
    }

    /// Judges how much of a message comes compressed. What it becomes is judged as it comes out.
    fn judge_compressed_size(&self, size: u64) -> Result<(), Violation> {
        let most = self.limits.max_compressed_size();
        if size > most as u64 {
            let what = "the compressed message is too big, in bytes";
            return Err(Violation::too_big(what, size, most));
        }
        Ok(())
    }

    /// Tells whether the frame is a whole message, and not compressed.
    fn is_message(&self, header: &Header) -> bool {
        self.assembly.is_none() && header.is_final && !header.is_compressed
    }

    fn has_all_of(&self, header: &Header) -> bool {
        header.size as u64 + header.length <= self.input.unread().len() as u64
    }

    /// Unmasks and checks the bytes that have come of a frame that stays in the read buffer until
    /// it is whole.
    ///
    /// # Errors
    /// 1007 as soon as a text holds a byte that cannot be right.
    fn look_at(&mut self, header: &Header) -> Result<(), Violation> {
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
    fn complete_message(&mut self, header: &Header) -> Result<Event, Violation> {
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

    /// Takes a whole control frame.
    ///
    /// # Errors
    /// 1009 if there is no memory.
    fn take_payload(&mut self, header: &Header) -> Result<Vec<u8>, Violation> {
        self.input.take(header.size);
        let payload = self.input.take(header.length as usize);
        if let Some(key) = header.key {
            key.apply(payload, 0);
        }
        to_vec(payload)
    }

    fn begin_frame(&mut self, header: &Header) -> Result<(), Violation> {
        self.forget_look(header);
        self.input.take(header.size);
        let mut assembly = match self.assembly.take() {
            Some(assembly) => assembly,
            None => Assembly::new(header.opcode, self.begin_inflation(header)?),
        };
        assembly.begin_frame(header);
        self.assembly = Some(assembly);
        Ok(())
    }

    /// Begins to decompress the message whose first frame this is, if it comes compressed.
    fn begin_inflation(&mut self, header: &Header) -> Result<Option<Inflation>, Violation> {
        let most = if self.is_streaming {
            usize::MAX
        } else {
            self.limits.max_message_size
        };
        let compressed = header.is_compressed.then_some(self.decompression.as_mut());
        let begun = compressed.flatten().map(|agreed| agreed.begin(most));
        begun.transpose()
    }

    fn end_inflation(&mut self, assembly: &mut Assembly) {
        let ended = self.decompression.as_mut().zip(assembly.take_inflation());
        if let Some((agreed, inflation)) = ended {
            agreed.end(inflation);
        }
    }

    /// Masks the bytes again that were unmasked of a message which is now asked for in chunks.
    fn forget_look(&mut self, header: &Header) {
        let Some(Begun { done, .. }) = self.begun.take() else {
            return;
        };
        self.payload -= done as u64;
        if let Some(key) = header.key {
            key.apply(&mut self.input.unread_mut()[header.size..][..done], 0);
        }
    }
}

/// The violation of a server whose handler fails and whose HTTP layer knows nothing of WebSockets.
const HTTP_RESPONSE: &str = "the server wrote an HTTP response into the open WebSocket";

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

/// Makes a complete message from its own memory.
fn message(is_text: bool, payload: Bytes) -> Result<Message, Violation> {
    Ok(if is_text {
        Message::Text(utf8::text(payload)?)
    } else {
        Message::Binary(payload)
    })
}
