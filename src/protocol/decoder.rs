//! Bytes to events: [`Decoder`].

mod judging;
mod whole;

use bytes::Bytes;

use self::whole::{AWAITED, Begun, SPLIT_OFF};
use super::assembly::Assembly;
use super::frame::{FrameRules, Header, Opcode};
use super::gathered::Gathered;
use super::inflation::{Decompression, Inflation};
use super::payloads::{Payloads, to_vec};
use super::read_buffer::ReadBuffer;
use super::{CloseFrame, Event, Limits, Role, Violation, utf8};
use crate::Message;

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
}

/// The violation of a server whose handler fails and whose HTTP layer knows nothing of WebSockets.
const HTTP_RESPONSE: &str = "the server wrote an HTTP response into the open WebSocket";

/// Makes a complete message from its own memory.
fn message(is_text: bool, payload: Bytes) -> Result<Message, Violation> {
    Ok(if is_text {
        Message::Text(utf8::text(payload)?)
    } else {
        Message::Binary(payload)
    })
}
