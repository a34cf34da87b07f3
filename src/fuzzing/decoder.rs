//! The decoder, compared with another reading of the same bytes: tungstenite's of headers, std's of
//! UTF-8.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::Chance;
use super::input::Input;
use crate::protocol::{Chunk, CloseFrame, Decoder, Event, Limits, Role, Violation};
use crate::{CloseCode, Config, Message};

/// Checks the decoder: in whatever pieces the bytes come, it gives the events of the rules, and
/// fails where the rules do. Nothing follows an end, and memory is bounded by the bytes that have
/// come.
pub fn decoder(data: &[u8]) {
    let mut input = Input::new(data);
    let mut chance = Chance::new(input.number().into());
    let role = input.choose(&[Role::Server, Role::Client]);
    let mut limits = input.choose(&[Limits::from(&Config::new()), small_limits()]);
    limits.accept_unmasked = input.choose(&[false, true]);
    let ask = input.choose(&WAYS);
    check(role, limits, ask, input.rest(), &mut chance);
}

fn small_limits() -> Limits {
    let config = Config::new();
    let config = config
        .max_message_size(1000)
        .max_frame_size(600)
        .max_fragments(4);
    Limits::from(&config)
}

const NO_LIMITS: Limits = Limits {
    max_message_size: usize::MAX,
    max_frame_size: usize::MAX,
    max_fragments: usize::MAX,
    accept_unmasked: false,
};

/// The way in which messages are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Whole,
    InChunks,
    /// Whole or in chunks, by chance.
    EitherWay,
}

pub(super) const WAYS: [Ask; 3] = [Ask::Whole, Ask::InChunks, Ask::EitherWay];

/// Decodes the bytes in pieces, and compares the result with the rules.
pub(super) fn check(role: Role, limits: Limits, ask: Ask, bytes: &[u8], chance: &mut Chance) {
    let limits = match ask {
        // A message over a limit would fail or not, depending on how it is asked for.
        Ask::EitherWay => Limits {
            accept_unmasked: limits.accept_unmasked,
            ..NO_LIMITS
        },
        _ => limits,
    };
    let expected = Reading::of(role, limits, ask, bytes);
    let cuts = chance.cuts(bytes.len());
    let feeding = Feeding::of(role, limits, ask, bytes, &cuts, chance);
    let what = || format!("{role:?}, {limits:?}, {ask:?}, {cuts:?}: {bytes:x?}");
    assert!(feeding.events == expected.events, "{}", what());
    let shown = expected.failure.map(|(code, at)| {
        let shown = cuts.iter().copied().find(|end| *end >= at);
        (code, shown.expect("a piece"))
    });
    if ask == Ask::EitherWay && expected.is_beyond_memory {
        return;
    }
    assert_eq!(feeding.failure, shown, "{}", what());
    let ended = expected.failure.is_some() || expected.is_closed;
    if ask == Ask::Whole && !ended {
        let decoder = &feeding.decoder;
        assert_eq!(decoder.has_begun_message(), expected.has_begun);
        assert_eq!(decoder.is_mid_message(), expected.is_mid, "{}", what());
    }
}

/// Decodes the bytes in pieces.
pub(super) fn decode(
    role: Role,
    limits: Limits,
    ask: Ask,
    bytes: &[u8],
    chance: &mut Chance,
) -> Vec<Event> {
    let cuts = chance.cuts(bytes.len());
    let feeding = Feeding::of(role, limits, ask, bytes, &cuts, chance);
    assert_eq!(feeding.failure, None);
    feeding.events
}

/// A decoder with its input.
struct Feeding<'a> {
    decoder: Decoder,
    ask: Ask,
    chance: &'a mut Chance,
    events: Vec<Event>,
    /// The code of the failure, and the number of bytes that had come.
    failure: Option<(CloseCode, usize)>,
    /// The part that has come of a message in chunks.
    begun: Option<(bool, Vec<u8>)>,
}

impl<'a> Feeding<'a> {
    /// Feeds the bytes up to each of these ends. The first piece may be the one that came behind
    /// the handshake.
    fn of(
        role: Role,
        limits: Limits,
        ask: Ask,
        bytes: &[u8],
        cuts: &[usize],
        chance: &'a mut Chance,
    ) -> Self {
        let is_pipelined = chance.below(2) == 0;
        let pipelined = cuts.first().copied().filter(|_| is_pipelined).unwrap_or(0);
        let mut feeding = Self {
            decoder: Decoder::new(role, limits, bytes[..pipelined].to_vec()),
            ask,
            chance,
            events: Vec::new(),
            failure: None,
            begun: None,
        };
        feeding.take_events(pipelined);
        feeding.feed(bytes, pipelined, cuts);
        feeding
    }

    fn feed(&mut self, bytes: &[u8], mut fed: usize, cuts: &[usize]) {
        for end in cuts {
            while fed < *end {
                let spare = self.decoder.spare();
                let (capacity, room) = (spare.capacity(), spare.capacity() - spare.len());
                // L7: never a declared length, at most in proportion to what has come.
                assert!(capacity <= (128 << 10) + 3 * fed, "{capacity} of {fed}");
                assert!(room > 0, "no room");
                let next = (fed + room).min(*end);
                spare.extend_from_slice(&bytes[fed..next]);
                fed = next;
                self.take_events(*end);
            }
        }
    }

    /// Takes all events. A failure counts for the piece that ends there.
    fn take_events(&mut self, end: usize) {
        if let Err(violation) = self.drain() {
            assert_eq!(self.failure, None, "a second {violation:?}");
            self.failure = Some((violation.code, end));
        }
    }

    fn drain(&mut self) -> Result<(), Violation> {
        loop {
            let in_chunks = match self.ask {
                Ask::Whole => false,
                Ask::InChunks => true,
                Ask::EitherWay => self.chance.below(3) == 0,
            };
            if in_chunks {
                self.decoder.stream();
            }
            // The short way gives the same messages as the long one, whenever it is taken.
            let takes_short_way = self.chance.below(2) == 0;
            let short = takes_short_way
                .then(|| self.decoder.next_whole_message())
                .flatten();
            let next = match short {
                Some(message) => Some(Event::Message(message)),
                None => self.decoder.next()?,
            };
            let Some(event) = next else {
                if let Some(bytes) = self.decoder.wanted() {
                    self.decoder.grow(bytes)?;
                    continue;
                }
                return Ok(());
            };
            assert_eq!(self.failure, None, "{event:?} after a failure");
            match event {
                Event::Chunk(chunk) => self.join(*chunk),
                event => self.events.push(event),
            }
        }
    }

    fn join(&mut self, chunk: Chunk) {
        let may_be_empty = self.begun.is_none() || chunk.is_last;
        assert!(may_be_empty || !chunk.bytes.is_empty(), "nothing");
        let (is_text, mut payload) = self.begun.take().unwrap_or((chunk.is_text, Vec::new()));
        assert_eq!(is_text, chunk.is_text);
        payload.extend_from_slice(&chunk.bytes);
        self.decoder.reuse(chunk.bytes);
        if chunk.is_last {
            let message = message(is_text, payload).expect("text that was judged");
            self.events.push(Event::Message(message));
        } else {
            self.begun = Some((is_text, payload));
        }
    }
}

fn message(is_text: bool, payload: Vec<u8>) -> Option<Message> {
    if !is_text {
        return Some(Message::Binary(payload.into()));
    }
    String::from_utf8(payload).ok().map(Message::from)
}

/// The rules' reading of some bytes.
#[derive(Debug, Default)]
struct Reading {
    events: Vec<Event>,
    /// The code, and the number of bytes that show it.
    failure: Option<(CloseCode, usize)>,
    is_closed: bool,
    /// The flag that a message is larger than what a pointer can address: a limit that cannot be lifted.
    is_beyond_memory: bool,
    /// The flag that a message has begun and is not complete, and the flag that anything has.
    has_begun: bool,
    is_mid: bool,
    /// The message that has begun: whether it is text, its payload, and the number of its
    /// fragments.
    message: Option<(bool, Vec<u8>, usize)>,
}

/// A frame, as far as it has come.
struct Frame<'a> {
    header: FrameHeader,
    length: u64,
    /// The ends of the header and of the frame.
    begin: usize,
    end: Option<usize>,
    masked: &'a [u8],
}

impl Reading {
    fn of(role: Role, limits: Limits, ask: Ask, bytes: &[u8]) -> Self {
        let mut reading = Self::default();
        let mut at = 0;
        while let Some(next) = reading.read_frame(role, limits, ask, bytes, at) {
            at = next;
        }
        reading.has_begun = reading.message.is_some();
        reading
    }

    /// Reads the frame at `at`. Returns where the next one begins, if there is one to be read.
    fn read_frame(
        &mut self,
        role: Role,
        limits: Limits,
        ask: Ask,
        bytes: &[u8],
        at: usize,
    ) -> Option<usize> {
        self.is_mid = at < bytes.len() || self.message.is_some();
        let begin = at + header_size(&bytes[at..])?;
        if begin > bytes.len() {
            return None;
        }
        let mut cursor = Cursor::new(&bytes[at..]);
        let parsed = FrameHeader::parse(&mut cursor).ok().flatten();
        let legal = parsed.filter(|(header, length)| {
            is_legal(header, *length, begin - at, role, limits.accept_unmasked)
        });
        let Some((header, length)) = legal else {
            return self.fail(CloseCode::PROTOCOL_ERROR, begin);
        };
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| begin.checked_add(length));
        let end = end.filter(|end| *end <= bytes.len());
        let frame = Frame {
            header,
            length,
            begin,
            end,
            masked: &bytes[begin..end.unwrap_or(bytes.len())],
        };
        if matches!(frame.header.opcode, OpCode::Control(_)) {
            self.read_control(&frame)
        } else {
            self.read_data(&frame, limits, ask)
        }
    }

    fn fail(&mut self, code: CloseCode, at: usize) -> Option<usize> {
        self.failure = Some((code, at));
        None
    }

    fn read_control(&mut self, frame: &Frame<'_>) -> Option<usize> {
        let end = frame.end?;
        let payload = frame.payload();
        match frame.header.opcode {
            OpCode::Control(Control::Ping) => self.events.push(Event::Ping(payload.into())),
            OpCode::Control(Control::Pong) => self.events.push(Event::Pong(payload.into())),
            _ => match close_frame(&payload) {
                Ok(close) => {
                    self.is_closed = true;
                    self.events.push(Event::Close(close));
                    return None;
                }
                Err(code) => return self.fail(code, end),
            },
        }
        Some(end)
    }

    fn read_data(&mut self, frame: &Frame<'_>, limits: Limits, ask: Ask) -> Option<usize> {
        let is_continuation = frame.header.opcode == OpCode::Data(Data::Continue);
        if is_continuation != self.message.is_some() {
            return self.fail(CloseCode::PROTOCOL_ERROR, frame.begin);
        }
        let begun = (
            frame.header.opcode == OpCode::Data(Data::Text),
            Vec::new(),
            0,
        );
        let (is_text, mut payload, fragments) = self.message.take().unwrap_or(begun);
        let size = frame.length.saturating_add(payload.len() as u64);
        self.is_beyond_memory |= usize::try_from(size).is_err();
        let too_big = frame.length > limits.max_frame_size as u64
            || size > limits.max_message_size as u64
            || fragments >= limits.max_fragments;
        if too_big && ask == Ask::Whole {
            return self.fail(CloseCode::TOO_BIG, frame.begin);
        }
        let before = payload.len();
        payload.extend(frame.payload());
        let is_last = frame.header.is_final && frame.end.is_some();
        if let Some(wrong) = wrong_text(&payload, is_last).filter(|_| is_text) {
            // A character that an earlier frame has begun may turn out wrong only at the end of
            // this one.
            let at = frame.begin + wrong.saturating_sub(before);
            return self.fail(CloseCode::INVALID_PAYLOAD, at);
        }
        if is_last {
            let message = message(is_text, payload).expect("judged");
            self.events.push(Event::Message(message));
        } else {
            self.message = Some((is_text, payload, fragments + 1));
        }
        if frame.end.is_none() {
            self.is_mid = true;
        }
        frame.end
    }
}

impl Frame<'_> {
    fn payload(&self) -> Vec<u8> {
        let key = self.header.mask.unwrap_or_default();
        let bytes = self.masked.iter().zip(key.iter().cycle());
        bytes.map(|(byte, key)| byte ^ key).collect()
    }
}

/// Returns the length of the header that the bytes begin with, if it is known.
fn header_size(bytes: &[u8]) -> Option<usize> {
    let second = bytes.get(1)?;
    let length = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let key = if second & 0x80 == 0 { 0 } else { 4 };
    Some(2 + length + key)
}

/// Tells whether a header is legal (RFC 6455, sections 5.1, 5.2 and 5.5).
fn is_legal(
    header: &FrameHeader,
    length: u64,
    size: usize,
    role: Role,
    accept_unmasked: bool,
) -> bool {
    let masked = header.mask.is_some();
    let right_mask = match role {
        Role::Server => masked || accept_unmasked,
        Role::Client => !masked,
    };
    let no_bits = !(header.rsv1 || header.rsv2 || header.rsv3);
    let known = !matches!(
        header.opcode,
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_))
    );
    let shortest = header.len(length) == size && length < 1 << 63;
    let is_control = matches!(header.opcode, OpCode::Control(_));
    let right_control = !is_control || header.is_final && length <= 125;
    right_mask && no_bits && known && shortest && right_control
}

/// Reads a Close (RFC 6455, sections 5.5.1 and 7.4).
fn close_frame(payload: &[u8]) -> Result<Option<CloseFrame>, CloseCode> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(CloseCode::PROTOCOL_ERROR),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    let is_sendable = match code {
        1004..=1006 | 1015 => false,
        1000..=1014 | 3000..=4999 => true,
        _ => false,
    };
    if !is_sendable {
        return Err(CloseCode::PROTOCOL_ERROR);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| CloseCode::INVALID_PAYLOAD)?;
    Ok(Some(CloseFrame {
        code: code.into(),
        reason: reason.to_owned(),
    }))
}

/// Returns the number of bytes that show a text to be wrong.
fn wrong_text(bytes: &[u8], is_whole: bool) -> Option<usize> {
    let error = std::str::from_utf8(bytes).err()?;
    let valid = error.valid_up_to();
    let is_hopeless = |count: &usize| {
        let begun = &bytes[valid..*count];
        std::str::from_utf8(begun).is_err_and(|error| error.error_len().is_some())
    };
    let hopeless = (valid + 1..=bytes.len().min(valid + 4)).find(is_hopeless);
    hopeless.or(is_whole.then_some(bytes.len()))
}
