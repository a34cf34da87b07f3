//! One of the two endpoints.

use std::sync::Arc;

use bytes::Bytes;

use super::super::input::Input;
use super::tape::Tape;
use crate::life::CloseCause;
use crate::outbox::{Outbox, Stream};
use crate::protocol::{CloseFrame, Decoder, Event, Fin, Limits, Opcode, Role};
use crate::{CloseCode, CloseEvent, Config, Delivery, Error, Message, Overflow};

/// A connection without socket, thread and callbacks.
pub(super) struct Endpoint {
    role: Role,
    outbox: Arc<Outbox<Tape>>,
    tape: Arc<Tape>,
    decoder: Decoder,
    /// The number of bytes read of the peer's tape.
    read: usize,
    /// The length of each message by its number, if it was admitted.
    sent: Vec<Option<usize>>,
    admitted: u64,
    deliveries: Vec<Delivery>,
    /// The streamed message that is being written: its number, and its length so far.
    stream: Option<(Stream, usize, usize)>,
    /// The number and the length of each message that came.
    received: Vec<(usize, usize)>,
    /// The flag that an action may have kept messages from arriving.
    is_disturbed: bool,
    end: Option<CloseEvent>,
}

/// The number of digits of a message's number, with which the message begins.
const DIGITS: usize = 4;

impl Endpoint {
    pub(super) fn new(role: Role, input: &mut Input<'_>) -> Self {
        let config = Config::new()
            .max_queue_bytes(input.choose(&[1 << 20, 200, 20_000]))
            .max_queue_messages(input.choose(&[1024, 3]))
            .max_outgoing_frame(input.choose(&[None, Some(1000), Some(20_000)]));
        let tape = Arc::new(Tape::default());
        let decoder = Decoder::new(role, Limits::from(&config), Vec::new());
        Self {
            role,
            outbox: Outbox::new(role, &Arc::new(config), None, Arc::clone(&tape)),
            tape,
            decoder,
            read: 0,
            sent: Vec::new(),
            admitted: 0,
            deliveries: Vec::new(),
            stream: None,
            received: Vec::new(),
            is_disturbed: false,
            end: None,
        }
    }

    /// Tells whether everything that was sent must arrive.
    pub(super) fn is_undisturbed(&self) -> bool {
        // The messages behind a streamed one wait for its end.
        !self.is_disturbed && self.end.is_none() && self.stream.is_none()
    }

    /// Does one action.
    pub(super) fn act(&mut self, what: u8, peer: &mut Self, input: &mut Input<'_>) {
        match what % 17 {
            0..=2 => self.send(input),
            3 => self.send_tracked(input),
            4 => self.begin_stream(input),
            5 | 6 => self.send_fragment(input),
            7 => self.ping(input),
            8 => self.outbox.send_keepalive(),
            9 | 10 => self.make_room(input.number().into()),
            11 | 12 => drop(self.read(peer, input.number().into())),
            13 => self.make_room(1 << 20),
            14 => drop(self.read_all(peer)),
            15 => self.outbox.retry(),
            _ => self.disturb(input),
        }
    }

    /// Does an action that ends the connection, or may end it.
    fn disturb(&mut self, input: &mut Input<'_>) {
        self.is_disturbed = true;
        match input.byte() % 6 {
            0 | 1 => self.close(1001),
            2 => {
                let close = CloseFrame::cut_to_fit(CloseCode::INTERNAL_ERROR, "");
                self.outbox.fail(close, Error::Callback(String::new()));
            }
            3 => drop(self.outbox.cut(CloseCause::Aborted)),
            4 => self.outbox.cut_silent(),
            // The peer's input ends without a Close.
            _ => self.end(),
        }
    }

    pub(super) fn close(&mut self, code: u16) {
        self.outbox.close(CloseFrame::cut_to_fit(code.into(), ""));
    }

    /// Makes the next message.
    fn message(&mut self, input: &mut Input<'_>) -> Message {
        let length = input.choose(&[4, 5, 125, 126, 4_000, 17_000, 70_000]);
        let number = self.sent.len();
        self.sent.push(None);
        let text = format!("{number:0DIGITS$}{}", "x".repeat(length - DIGITS));
        if input.byte() % 2 == 0 {
            Message::from(text)
        } else {
            Message::from(text.into_bytes())
        }
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let message = self.message(input);
        let length = message.len();
        let overflow = input.choose(&[
            Overflow::Wait,
            Overflow::HandBack,
            Overflow::DropNewest,
            Overflow::DropOldest,
            Overflow::Close,
        ]);
        self.is_disturbed |= !matches!(overflow, Overflow::Wait | Overflow::HandBack);
        match self.outbox.send_message(message, Some(overflow)) {
            Ok(()) => self.admit(length),
            Err(error) => assert!(
                error
                    .into_message()
                    .is_some_and(|message| message.len() == length)
            ),
        }
    }

    fn send_tracked(&mut self, input: &mut Input<'_>) {
        let message = self.message(input);
        let length = message.len();
        if let Ok(delivery) = self.outbox.send_tracked(message) {
            self.deliveries.push(delivery);
            self.admit(length);
        }
    }

    fn admit(&mut self, length: usize) {
        self.admitted += 1;
        if let Some(sent) = self.sent.last_mut() {
            *sent = Some(length);
        }
    }

    fn begin_stream(&mut self, input: &mut Input<'_>) {
        let opcode = input.choose(&[Opcode::Text, Opcode::Binary]);
        let Ok(stream) = self.outbox.begin_stream(opcode) else {
            return;
        };
        assert!(self.stream.is_none(), "two streams at once");
        self.stream = Some((stream, self.sent.len(), 0));
        self.sent.push(None);
        self.admitted += 1;
    }

    fn send_fragment(&mut self, input: &mut Input<'_>) {
        let length = usize::from(input.number());
        let fin = input.choose(&[Fin::More, Fin::Last]);
        let Some((stream, number, sent)) = self.stream else {
            return;
        };
        let mut payload = vec![b'x'; length];
        if sent == 0 {
            payload.splice(0..0, format!("{number:0DIGITS$}").into_bytes());
        }
        let sent = sent + payload.len();
        if self
            .outbox
            .send_fragment(stream, payload.into(), fin)
            .is_ok()
        {
            self.stream = Some((stream, number, sent));
            if fin == Fin::Last {
                self.sent[number] = Some(sent);
                self.stream = None;
                self.outbox.leave_stream();
            }
        }
    }

    fn ping(&mut self, input: &mut Input<'_>) {
        let length = usize::from(input.byte() % 126);
        let payload = Bytes::from(vec![b'p'; length]);
        self.outbox.send_control(Opcode::Ping, payload);
    }

    fn make_room(&mut self, room: usize) {
        self.tape.make_room(room);
        while self.tape.take_watch() {
            self.outbox.resume();
        }
    }

    /// Lets everything leave that waits. Returns whether there was anything.
    pub(super) fn drain(&mut self) -> bool {
        let before = self.tape.len();
        self.tape.make_plenty_of_room();
        self.make_room(0);
        self.tape.len() > before
    }

    pub(super) fn read_all(&mut self, peer: &Self) -> bool {
        self.read(peer, usize::MAX)
    }

    /// Reads at most `most` bytes of the peer's, or learns that no more will come. Returns whether
    /// any came.
    fn read(&mut self, peer: &Self, most: usize) -> bool {
        if self.end.is_some() {
            return false;
        }
        if self.outbox.is_cut() {
            self.end();
            return true;
        }
        let bytes = peer.tape.read(self.read, most);
        self.read += bytes.len();
        let mut rest = &bytes[..];
        while !rest.is_empty() && self.end.is_none() {
            let spare = self.decoder.spare();
            let room = spare.capacity() - spare.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            spare.extend_from_slice(now);
            rest = later;
            self.take_events();
        }
        let peer_is_gone = peer.end.is_some() || peer.tape.is_cut();
        if self.end.is_none() && peer_is_gone && self.read == peer.tape.len() && most > 0 {
            self.end();
            return true;
        }
        !bytes.is_empty()
    }

    fn take_events(&mut self) {
        loop {
            match self.decoder.next() {
                Ok(None) => match self.decoder.wanted() {
                    Some(bytes) => self.decoder.grow(bytes).expect("memory"),
                    None => return,
                },
                Ok(Some(Event::Message(message))) => self.receive(&message),
                Ok(Some(Event::Ping(payload))) => self.outbox.send_control(Opcode::Pong, payload),
                Ok(Some(Event::Pong(payload))) => self.outbox.note_pong(&payload),
                Ok(Some(Event::Close(close))) => {
                    self.outbox.answer_close(close.unwrap_or(CloseFrame {
                        code: CloseCode::NO_STATUS,
                        reason: String::new(),
                    }));
                    self.outbox.flush();
                    return self.tell();
                }
                other => panic!("{:?}: {other:?}", self.role),
            }
        }
    }

    fn receive(&mut self, message: &Message) {
        let text = std::str::from_utf8(&message.as_bytes()[..DIGITS]).ok();
        let number = text.and_then(|text| text.parse().ok());
        assert!(
            message.as_bytes()[DIGITS..]
                .iter()
                .all(|byte| *byte == b'x')
        );
        self.received
            .push((number.expect("a number"), message.len()));
    }

    /// Ends the endpoint without a Close, unless it has ended.
    pub(super) fn end(&mut self) {
        if self.end.is_none() {
            if !self.outbox.is_cut() {
                self.outbox.end_input();
            }
            self.tell();
        }
    }

    fn tell(&mut self) {
        let (event, _) = self.outbox.tell();
        self.outbox.finish(event.clone());
        assert!(self.end.replace(event).is_none(), "told twice");
    }

    /// Checks the state at the end.
    pub(super) fn check(&self, peer: &Self, undisturbed: bool) {
        let event = self.end.as_ref().expect("an end");
        let counters = self.outbox.counters();
        assert_eq!((counters.queued_messages, counters.queued_bytes), (0, 0));
        assert_eq!(event.undelivered(), counters.undelivered);
        let told = counters.messages_out + counters.undelivered + counters.dropped;
        assert_eq!(told, self.admitted);
        // L6: every delivery resolves.
        assert!(self.deliveries.iter().all(Delivery::is_done));
        self.check_received(peer);
        let closes = self.check_tape();
        assert_eq!(event.sent_code().is_some(), closes == 1);
        assert!(!event.is_clean() || closes == 1 && event.received_code().is_some());
        let late = Message::from("late");
        assert!(self.outbox.send_message(late, None).is_err());
        if undisturbed {
            let of_peer = peer.sent.iter().flatten().count();
            assert_eq!(self.received.len(), of_peer);
            assert!(
                event.is_clean() && event.code() == CloseCode::NORMAL,
                "{event:?}"
            );
        }
    }

    /// L4: the messages of the peer come in its order, whole, and once.
    fn check_received(&self, peer: &Self) {
        assert!(self.received.is_sorted_by(|one, next| one.0 < next.0));
        for (number, length) in &self.received {
            assert_eq!(peer.sent[*number], Some(*length), "{number}");
        }
    }

    /// L5: at most one Close, and nothing behind it. Returns how many have left whole.
    fn check_tape(&self) -> usize {
        let (opcodes, last_is_whole) = self.tape.opcodes();
        let closes = opcodes.iter().filter(|opcode| **opcode == 8).count();
        assert!(closes <= 1);
        assert!(closes == 0 || opcodes.last() == Some(&8));
        if last_is_whole { closes } else { 0 }
    }
}
