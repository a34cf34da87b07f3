//! Compressed messages: what comes out of any bytes, and of bytes that were compressed.

use super::Chance;
use super::input::Input;
use crate::deflate::{DeflateSettings, Deflater, Part};
use crate::protocol::{Decoder, Encoder, Event, Fin, Limits, Opcode, Role, Violation};
use crate::{CloseCode, Config, Message};

/// Checks compression: what was compressed, whole or in parts, comes back; and any other bytes give the
/// same messages and the same failure, in whatever pieces they come and however they are asked for.
/// No message is larger than the limit.
pub fn compression(data: &[u8]) {
    let mut input = Input::new(data);
    let mut chance = Chance::new(input.number().into());
    let (from, to) = input.choose(&[(Role::Client, Role::Server), (Role::Server, Role::Client)]);
    let most = input.choose(&[1 << 20, 70_000, 100]);
    let mut traffic = Traffic::new(from, &mut input);
    while !input.is_empty() && traffic.wire.len() < MOST {
        traffic.add(&mut input);
    }
    let agreed = Agreed {
        role: to,
        takeover: traffic.takeover,
        limits: Limits::from(&Config::new().max_message_size(most)),
    };
    let wire = &traffic.wire;
    let whole = agreed.decode(wire, &[wire.len()], false);
    let fits = |message: &Message| message.len() <= most;
    assert!(whole.0.iter().all(fits));
    if traffic.is_valid && traffic.messages.iter().all(fits) {
        assert!(whole == (traffic.messages, None), "{wire:x?}");
    }
    let cut = agreed.decode(wire, &chance.cuts(wire.len()), false);
    assert!(cut == whole, "{wire:x?}: {:?}, {:?}", cut.1, whole.1);
    if whole.1 != Some(CloseCode::TOO_BIG) {
        let in_chunks = agreed.decode(wire, &chance.cuts(wire.len()), true);
        assert!(
            in_chunks == whole,
            "{wire:x?}: {:?}, {:?}",
            in_chunks.1,
            whole.1
        );
    }
}

/// The most bytes on the wire.
const MOST: usize = 32 << 10;

/// Messages, and their bytes on the wire.
struct Traffic {
    encoder: Encoder,
    deflater: Deflater,
    takeover: bool,
    wire: Vec<u8>,
    messages: Vec<Message>,
    /// The flag that nothing but what was compressed is on the wire.
    is_valid: bool,
}

impl Traffic {
    fn new(from: Role, input: &mut Input<'_>) -> Self {
        let settings = DeflateSettings {
            level: input.byte(),
            window_bits: input.byte(),
            memory_level: input.byte(),
        };
        Self {
            encoder: Encoder::new(from),
            deflater: Deflater::new(settings).expect("memory"),
            takeover: input.choose(&[true, false]),
            wire: Vec::new(),
            messages: Vec::new(),
            is_valid: true,
        }
    }

    fn add(&mut self, input: &mut Input<'_>) {
        if !self.takeover {
            self.deflater.forget();
        }
        match input.byte() % 6 {
            0 => self.add_raw(input),
            1 => {
                let payload = payload(input);
                self.encode(Opcode::Binary, Fin::Last, &payload);
                self.messages.push(Message::from(payload));
            }
            2 => self.add_parts(input),
            _ => self.add_whole(input),
        }
    }

    /// Adds bytes as they are, in fragments, as if they had been compressed.
    fn add_raw(&mut self, input: &mut Input<'_>) {
        self.is_valid = false;
        let mut opcode = input.choose(&[Opcode::Text, Opcode::Binary]);
        for fin in [input.choose(&[Fin::More, Fin::Last]), Fin::Last] {
            let length = usize::from(input.byte());
            self.encode_compressed(opcode, fin, input.take(length));
            if fin == Fin::Last {
                return;
            }
            opcode = Opcode::Continuation;
        }
    }

    fn add_whole(&mut self, input: &mut Input<'_>) {
        let text = String::from_utf8_lossy(&payload(input)).into_owned();
        match self.deflater.compress(text.as_bytes()) {
            Some(compressed) => self.encode_compressed(Opcode::Text, Fin::Last, &compressed),
            None => self.encode(Opcode::Text, Fin::Last, text.as_bytes()),
        }
        self.messages.push(Message::from(text));
    }

    fn add_parts(&mut self, input: &mut Input<'_>) {
        let mut message = vec![input.byte()];
        let first = self.deflater.compress_part(&message, Part::Inner);
        self.encode_compressed(Opcode::Binary, Fin::More, &first);
        for (part, fin) in [(Part::Inner, Fin::More), (Part::Last, Fin::Last)] {
            let payload = payload(input);
            let compressed = self.deflater.compress_part(&payload, part);
            assert!(compressed.len() <= payload.len() + payload.len() / 8 + 26);
            self.encode_compressed(Opcode::Continuation, fin, &compressed);
            message.extend(payload);
        }
        self.messages.push(Message::from(message));
    }

    fn encode(&mut self, opcode: Opcode, fin: Fin, payload: &[u8]) {
        self.encoder.encode(opcode, fin, payload, &mut self.wire);
    }

    fn encode_compressed(&mut self, opcode: Opcode, fin: Fin, payload: &[u8]) {
        let start = self.wire.len();
        self.encode(opcode, fin, payload);
        if opcode != Opcode::Continuation {
            Encoder::mark_compressed(&mut self.wire[start..]);
        }
    }
}

/// What a decoder is to take.
struct Agreed {
    role: Role,
    takeover: bool,
    limits: Limits,
}

/// The messages that came, and the code of the failure.
type Seen = (Vec<Message>, Option<CloseCode>);

impl Agreed {
    /// Decodes the bytes, which come up to each of these ends.
    fn decode(&self, bytes: &[u8], ends: &[usize], in_chunks: bool) -> Seen {
        let mut decoder = Decoder::new(self.role, self.limits, Vec::new());
        decoder.accept_compressed(self.takeover);
        let (mut messages, mut fed) = (Vec::new(), 0);
        let mut begun = Vec::new();
        for end in ends {
            while fed < *end {
                let spare = decoder.spare();
                let next = (fed + spare.capacity() - spare.len()).min(*end);
                spare.extend_from_slice(&bytes[fed..next]);
                fed = next;
                if let Err(violation) = drain(&mut decoder, in_chunks, &mut begun, &mut messages) {
                    return (messages, Some(violation.code));
                }
            }
        }
        (messages, None)
    }
}

fn drain(
    decoder: &mut Decoder,
    in_chunks: bool,
    begun: &mut Vec<u8>,
    messages: &mut Vec<Message>,
) -> Result<(), Violation> {
    loop {
        if in_chunks {
            decoder.stream();
        }
        match decoder.next()? {
            Some(Event::Message(message)) => messages.push(message),
            Some(Event::Chunk(chunk)) => {
                assert!(chunk.bytes.len() <= 64 << 10, "{}", chunk.bytes.len());
                begun.extend_from_slice(&chunk.bytes);
                decoder.reuse(chunk.bytes);
                if chunk.is_last {
                    let payload = std::mem::take(begun);
                    messages.push(if chunk.is_text {
                        Message::from(String::from_utf8(payload).expect("text that was judged"))
                    } else {
                        Message::from(payload)
                    });
                }
            }
            Some(event) => panic!("{event:?}"),
            None => match decoder.wanted() {
                Some(bytes) => decoder.grow(bytes)?,
                None => return Ok(()),
            },
        }
    }
}

/// Makes a payload from the next bytes, perhaps repeated up to some length.
fn payload(input: &mut Input<'_>) -> Vec<u8> {
    let length = input.choose(&[0, 0, 300, 5_000, 70_000]);
    let own = usize::from(input.byte());
    let mut payload = input.take(own).to_vec();
    while !payload.is_empty() && payload.len() < length {
        payload.extend_from_within(..payload.len().min(length - payload.len()));
    }
    payload
}
