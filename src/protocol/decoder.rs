//! Bytes to events: [`Decoder`].

use super::assembly::Assembly;
use super::frame::{Header, Opcode};
use super::read_buffer::ReadBuffer;
use super::{CloseFrame, Event, Limits, Role, Violation, utf8};
use crate::{CloseCode, Message};

/// Decodes what the peer sends, and judges it: each violation at the first whole header, or the
/// first byte of text, that shows it.
///
/// The caller asks [`next`](Self::next) until it has no more events, [grows](Self::grow) the message
/// that comes if that [wants](Self::wanted) it and asks again, or else appends what it receives to
/// [`spare`](Self::spare), and so on.
#[derive(Debug)]
pub(crate) struct Decoder {
    role: Role,
    limits: Limits,
    input: ReadBuffer,
    /// The message of which a part has come.
    assembly: Option<Assembly>,
    /// Bytes of payload that have come of messages which did not come whole at once.
    payload: u64,
    /// Whether that message, or the next one, is asked for in chunks.
    is_streaming: bool,
    /// What `has_event` decoded for `next`.
    ahead: Option<Result<Event, Violation>>,
    has_ended: bool,
}

impl Decoder {
    /// Makes a decoder for our `role`; `pipelined` are the bytes that came behind the handshake.
    pub(crate) fn new(role: Role, limits: Limits, pipelined: Vec<u8>) -> Self {
        Self {
            role,
            limits,
            input: ReadBuffer::new(pipelined),
            assembly: None,
            payload: 0,
            is_streaming: false,
            ahead: None,
            has_ended: false,
        }
    }

    /// Returns the `Vec` that the next received bytes are to be appended to, with spare capacity
    /// for them. What it already holds must stay as it is.
    ///
    /// It is the read buffer, or the payload itself while much of a frame is missing, so that a
    /// large message is never copied.
    pub(crate) fn spare(&mut self) -> &mut Vec<u8> {
        if self.has_ended {
            self.input.clear();
        }
        match &mut self.assembly {
            Some(assembly) if assembly.is_received_directly(&self.input) => {
                debug_assert!(self.input.unread().is_empty(), "bytes would be lost");
                self.input.clear();
                assembly.spare()
            }
            _ => self.input.spare(),
        }
    }

    /// Returns how many bytes of memory the message that comes must have before more of it can be taken;
    /// `None` where it has enough. Asked when `next` returned `None`.
    pub(crate) fn wanted(&self) -> Option<usize> {
        let assembly = self.assembly.as_ref()?;
        let unread = self.input.unread().len();
        let takes_more = unread > 0 || assembly.is_received_directly(&self.input);
        (takes_more && !assembly.is_frame_whole())
            .then(|| assembly.wanted(unread))
            .flatten()
    }

    /// Gives the message that comes the memory that it [wants](Self::wanted).
    ///
    /// # Errors
    /// 1009 where the system has none.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Violation> {
        self.assembly
            .as_mut()
            .map_or(Ok(()), |assembly| assembly.grow(bytes))
    }

    /// Decodes the next event, or returns `None` if that needs more bytes, or more memory. After a Close or an
    /// error nothing more is decoded.
    ///
    /// # Errors
    /// 1002, 1007 or 1009: the peer broke the protocol.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Violation> {
        let next = match self.ahead.take() {
            Some(ahead) => ahead.map(Some),
            None => self.decode(),
        };
        match &next {
            Err(_) => self.end(),
            Ok(Some(event)) if event.completes_message() => self.is_streaming = false,
            _ => {}
        }
        next
    }

    /// Tells whether `next` has an event or an error without more bytes.
    ///
    /// A message over the limits is one, but only `next` judges it: the program may ask for it in
    /// chunks.
    pub(crate) fn has_event(&mut self) -> bool {
        if self.ahead.is_none() {
            self.ahead = self.decode().transpose();
            if matches!(&self.ahead, Some(Err(violation)) if violation.code == CloseCode::TOO_BIG) {
                self.ahead = None;
                return true;
            }
        }
        self.ahead.is_some()
    }

    /// Asks for the next message, or the one that has come in part, in chunks, as they come and
    /// without limits of size. One that is there already may still come whole.
    pub(crate) fn stream(&mut self) {
        self.is_streaming = true;
    }

    /// Tells whether a message was asked for in chunks and is not complete.
    pub(crate) fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    /// Takes the memory of a chunk that is used up, to receive the next one into.
    pub(crate) fn reuse(&mut self, bytes: Vec<u8>) {
        if let Some(assembly) = &mut self.assembly {
            assembly.reuse(bytes);
        }
    }

    /// Tells whether something has begun to come and is not complete. Asked when `next` returned
    /// `None`.
    pub(crate) fn is_mid_message(&self) -> bool {
        self.assembly.is_some() || !self.input.unread().is_empty()
    }

    /// Tells whether a message has begun to come and is not complete, asked likewise.
    pub(crate) fn has_begun_message(&self) -> bool {
        self.assembly.is_some()
    }

    /// Returns how many bytes of payload have come of messages that did not come whole at once:
    /// what control frames and headers bring is not counted.
    pub(crate) fn payload(&self) -> u64 {
        self.payload
    }

    /// Gives up what has come. Nothing more is decoded.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
        self.assembly = None;
        self.input = ReadBuffer::new(Vec::new());
    }

    fn decode(&mut self) -> Result<Option<Event>, Violation> {
        if self.has_ended {
            return Ok(None);
        }
        let decoded = self.decode_frames();
        if matches!(decoded, Ok(Some(Event::Close(_)))) {
            self.end();
        }
        decoded
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
            if let Some(assembly) = self.assembly.take_if(|assembly| assembly.is_complete()) {
                let (is_text, payload) = assembly.into_payload();
                return message(is_text, payload).map(Some);
            }
            let Some(header) = self.parse_header()? else {
                return Ok(None);
            };
            if header.opcode.is_control() {
                return self.control_event(&header);
            }
            self.judge_order(&header)?;
            self.judge_size(&header)?;
            if self.is_whole_message(&header) {
                let is_text = header.opcode == Opcode::Text;
                return message(is_text, self.take_payload(&header)?).map(Some);
            }
            self.begin_frame(&header);
        }
    }

    fn parse_header(&self) -> Result<Option<Header>, Violation> {
        let bytes = self.input.unread();
        let parsed = Header::parse(bytes, self.role, self.limits.accept_unmasked);
        parsed.map_err(|violation| {
            if self.role == Role::Client && bytes.starts_with(b"HTTP/1.") {
                return Violation::protocol(HTTP_RESPONSE);
            }
            violation
        })
    }

    /// Takes out what has come of a message that is asked for in chunks.
    fn chunk(&mut self) -> Result<Option<Event>, Violation> {
        let Some(assembly) = &mut self.assembly else {
            return Ok(None);
        };
        let chunk = assembly.take_chunk()?;
        if chunk.is_last {
            self.assembly = None;
        }
        Ok(Some(Event::Chunk(Box::new(chunk))))
    }

    /// Control frames may come between the fragments of a message (RFC 6455, section 5.4).
    fn control_event(&mut self, header: &Header) -> Result<Option<Event>, Violation> {
        if !self.has_whole_frame(header) {
            return Ok(None);
        }
        let payload = self.take_payload(header)?;
        Ok(Some(match header.opcode {
            Opcode::Ping => Event::Ping(payload.into()),
            Opcode::Pong => Event::Pong(payload.into()),
            _ => Event::Close(CloseFrame::parse(payload)?),
        }))
    }

    /// RFC 6455 5.4: a message's first frame has its opcode, the others are continuations, and
    /// messages MUST NOT be interleaved.
    fn judge_order(&self, header: &Header) -> Result<(), Violation> {
        let is_continuation = header.opcode == Opcode::Continuation;
        match (&self.assembly, is_continuation) {
            (None, true) => Err(Violation::protocol("a continuation of nothing")),
            (Some(_), false) => Err(Violation::protocol("a message inside another one")),
            _ => Ok(()),
        }
    }

    /// RFC 6455 10.4: the sizes of frames and of reassembled messages SHOULD be limited.
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
        if header.length > (max_message_size - length) as u64 {
            let size = header.length.saturating_add(length as u64);
            let what = "the message is too big, in bytes";
            return Err(Violation::too_big(what, size, max_message_size));
        }
        if fragments >= max_fragments {
            let what = "the message has too many fragments";
            return Err(Violation::too_big(
                what,
                fragments as u64 + 1,
                max_fragments,
            ));
        }
        Ok(())
    }

    fn is_whole_message(&self, header: &Header) -> bool {
        self.assembly.is_none() && header.is_final && self.has_whole_frame(header)
    }

    fn has_whole_frame(&self, header: &Header) -> bool {
        header.size as u64 + header.length <= self.input.unread().len() as u64
    }

    /// Takes a whole frame and copies its payload, so that the program never holds the buffer.
    ///
    /// # Errors
    /// 1009 where there is no memory.
    fn take_payload(&mut self, header: &Header) -> Result<Vec<u8>, Violation> {
        let length = header.length as usize;
        let mut payload = Vec::new();
        let room = payload.try_reserve_exact(length);
        room.map_err(|_| Violation::NO_MEMORY)?;
        self.input.take(header.size);
        payload.extend_from_slice(self.input.take(length));
        if let Some(key) = header.key {
            key.apply(&mut payload, 0);
        }
        Ok(payload)
    }

    fn begin_frame(&mut self, header: &Header) {
        self.input.take(header.size);
        self.assembly
            .get_or_insert_with(|| Assembly::new(header.opcode))
            .begin_frame(header);
    }
}

/// What servers do whose handler fails and which know no WebSockets behind it.
const HTTP_RESPONSE: &str = "the server wrote an HTTP response into the open WebSocket";

/// Makes the event of a message that is complete.
fn message(is_text: bool, payload: Vec<u8>) -> Result<Event, Violation> {
    Ok(Event::Message(if is_text {
        Message::Text(utf8::text(payload)?)
    } else {
        Message::Binary(payload.into())
    }))
}
