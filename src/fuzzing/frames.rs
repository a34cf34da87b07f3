//! The encoder's frames, read by the decoder.

use bytes::Bytes;

use super::Chance;
use super::decoder::{WAYS, check, decode};
use super::input::Input;
use crate::protocol::{CloseFrame, Encoder, Event, Fin, Limits, Opcode, Role};
use crate::{Config, Message};

/// Checks frames: messages in fragments with control frames between them come as they were sent, in
/// both roles. Frames that were damaged on the way are judged by the rules.
pub fn frames(data: &[u8]) {
    let mut input = Input::new(data);
    let mut chance = Chance::new(input.number().into());
    let (from, to) = input.choose(&[(Role::Client, Role::Server), (Role::Server, Role::Client)]);
    let ask = input.choose(&WAYS);
    let damage = (input.byte(), input.number());
    let mut traffic = Traffic::new(from);
    while !input.is_empty() && traffic.wire.len() < MOST {
        traffic.add(&mut input);
    }
    let Traffic {
        mut wire, events, ..
    } = traffic;
    let limits = Limits::from(&Config::new());
    if damage.0 == 0 {
        let decoded = decode(to, limits, ask, &wire, &mut chance);
        assert!(decoded == events, "{wire:x?}");
    } else if !wire.is_empty() {
        let at = usize::from(damage.1) % wire.len();
        wire[at] ^= damage.0;
    }
    check(to, limits, ask, &wire, &mut chance);
}

/// The most bytes.
const MOST: usize = 32 << 10;

struct Traffic {
    encoder: Encoder,
    wire: Vec<u8>,
    events: Vec<Event>,
    is_closed: bool,
}

impl Traffic {
    fn new(from: Role) -> Self {
        Self {
            encoder: Encoder::new(from),
            wire: Vec::new(),
            events: Vec::new(),
            is_closed: false,
        }
    }

    fn add(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0..=2 => self.add_message(Message::from(text(input)), input),
            3..=5 => self.add_message(Message::from(payload(input)), input),
            6 => self.add_control(input),
            _ => self.add_close(input),
        }
    }

    /// Cuts a message into fragments, each perhaps with a control frame before it.
    fn add_message(&mut self, message: Message, input: &mut Input<'_>) {
        let mut opcode = Opcode::of(&message);
        let mut rest = message.as_bytes();
        for _ in 0..input.byte() % 4 {
            let (now, later) = rest.split_at(usize::from(input.number()).min(rest.len()));
            self.encode(opcode, Fin::More, now);
            (opcode, rest) = (Opcode::Continuation, later);
            if input.byte() % 2 == 0 {
                self.add_control(input);
            }
        }
        self.encode(opcode, Fin::Last, rest);
        self.tell(Event::Message(message));
    }

    fn add_control(&mut self, input: &mut Input<'_>) {
        let is_ping = input.byte() % 2 == 0;
        let length = usize::from(input.byte() % 126);
        let payload = Bytes::copy_from_slice(input.take(length));
        if is_ping {
            self.encode(Opcode::Ping, Fin::Last, &payload);
            self.tell(Event::Ping(payload));
        } else {
            self.encode(Opcode::Pong, Fin::Last, &payload);
            self.tell(Event::Pong(payload));
        }
    }

    fn add_close(&mut self, input: &mut Input<'_>) {
        let code = input.choose(&[1000, 1003, 1007, 1014, 3000, 4999]);
        let close = CloseFrame::cut_to_fit(code.into(), &text(input));
        self.encode(Opcode::Close, Fin::Last, &close.to_payload());
        self.tell(Event::Close(Some(close)));
        self.is_closed = true;
    }

    fn encode(&mut self, opcode: Opcode, fin: Fin, payload: &[u8]) {
        self.encoder.encode(opcode, fin, payload, &mut self.wire);
    }

    /// Expects an event, unless it comes behind a Close.
    fn tell(&mut self, event: Event) {
        if !self.is_closed {
            self.events.push(event);
        }
    }
}

fn text(input: &mut Input<'_>) -> String {
    String::from_utf8_lossy(&payload(input)).into_owned()
}

/// Makes a payload from the next bytes, perhaps repeated up to some length.
fn payload(input: &mut Input<'_>) -> Vec<u8> {
    let length = input.choose(&[0, 0, 0, 0, 130, 5_000, 17_000, 70_000]);
    let own = usize::from(input.byte());
    let mut payload = input.take(own).to_vec();
    while !payload.is_empty() && payload.len() < length {
        payload.extend_from_within(..payload.len().min(length - payload.len()));
    }
    payload
}
