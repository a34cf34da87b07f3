//! What encodes and writes: [`Writer`], a value. Whoever holds it writes, and nobody else (L2).

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use super::Wire;
use super::budget::weight;
use super::delivery::Promise;
use super::pings;
use super::write_buffer::{Role, WriteBuffer, Written};
use crate::protocol::{CloseFrame, Encoder, Fin, Opcode};
use crate::record::error;
use crate::{CloseCode, Message};

/// The writing end of a wire. It is taken from the queue, written with while no lock is held, and put
/// back.
pub(super) struct Writer<W> {
    wire: std::sync::Arc<W>,
    encoder: Encoder,
    buffer: WriteBuffer,
    /// What was taken from the queue and is not encoded yet.
    batch: VecDeque<Item>,
    /// Whether the wire has something to say of its own accord.
    owes: bool,
    spent: Spent,
}

/// What was taken from the queue for one write.
pub(super) enum Item {
    Control(Opcode, Bytes),
    Barrier(pings::Payload),
    Close(CloseFrame),
    Message(Message, Option<Promise>),
    /// Apart, as it would make every item larger.
    Fragment(Box<Fragment>),
}

/// A fragment of a message.
pub(super) struct Fragment {
    pub(super) opcode: Opcode,
    pub(super) fin: Fin,
    pub(super) payload: Bytes,
    /// What its end releases.
    pub(super) role: Role,
}

impl<W: Wire> Writer<W> {
    pub(super) fn new(encoder: Encoder, wire: std::sync::Arc<W>) -> Self {
        Self {
            wire,
            encoder,
            buffer: WriteBuffer::default(),
            batch: VecDeque::new(),
            owes: false,
            spent: Spent::default(),
        }
    }

    /// Takes what is to be written next, and leaves it to the next write to encode it.
    pub(super) fn push(&mut self, item: Item) {
        self.batch.push_back(item);
    }

    /// Makes room for as many items.
    pub(super) fn expect(&mut self, items: usize) {
        self.batch.reserve(items);
    }

    /// Has what the wire owes leave with what is written next.
    pub(super) fn flush_wire(&mut self) {
        self.owes = true;
    }

    /// Tells whether all it was given is with the kernel.
    pub(super) fn is_done(&self) -> bool {
        self.batch.is_empty() && self.buffer.is_empty() && !self.owes
    }

    /// Writes once, without blocking, and returns what that has released.
    ///
    /// # Errors
    /// `WouldBlock` where the socket takes no more just now; any other is the end of the sending.
    pub(super) fn write(&mut self) -> io::Result<Written> {
        self.encode_batch();
        let written = if self.buffer.is_empty() {
            self.wire.flush().map(|()| Written::default())
        } else {
            // What is owed leaves with it.
            self.buffer.write(&*self.wire)
        }?;
        self.owes = false;
        self.spent.add(self.buffer.take_spent());
        Ok(written)
    }

    fn encode_batch(&mut self) {
        while let Some(item) = self.batch.pop_front() {
            self.encode(item);
        }
    }

    /// Encodes what is to be written next.
    pub(super) fn encode(&mut self, item: Item) {
        let (buffer, encoder) = (&mut self.buffer, &mut self.encoder);
        match item {
            Item::Control(opcode, payload) => {
                buffer.push_control(encoder, opcode, &payload, Role::Control);
            }
            Item::Barrier(payload) => {
                buffer.push_control(encoder, Opcode::Ping, &payload, Role::Barrier);
            }
            Item::Close(close) => {
                buffer.push_control(encoder, Opcode::Close, &payload_of(&close), Role::Close);
            }
            Item::Message(message, promise) => {
                let kind = (Opcode::of(&message), Fin::Last);
                let weight = weight(&message);
                let role = Role::Message { weight, promise };
                let spent = buffer.push_data(encoder, kind, message, role);
                self.spent.add(spent);
            }
            Item::Fragment(fragment) => {
                let kind = (fragment.opcode, fragment.fin);
                let payload = Message::Binary(fragment.payload);
                let spent = buffer.push_data(encoder, kind, payload, fragment.role);
                self.spent.add(spent);
            }
        }
    }

    /// Tells whether the wire will soon take no more.
    pub(super) fn is_worn_out(&self) -> bool {
        self.wire.is_worn_out()
    }

    /// Gives all memory back. What a connection keeps at rest, many keep; and whoever sends to one
    /// after the other finds the memory of the last for the next, near in the caches.
    pub(super) fn rest(&mut self) {
        self.buffer.rest();
        self.batch = VecDeque::new();
    }

    /// Throws away what it holds, and returns what that releases.
    pub(super) fn discard(&mut self) -> Written {
        self.encode_batch();
        let (discarded, payload) = self.buffer.discard();
        self.spent.add(payload);
        self.owes = false;
        discarded
    }

    /// Takes the payloads that are used up, to be dropped where no lock is held.
    pub(super) fn take_spent(&mut self) -> Spent {
        std::mem::take(&mut self.spent)
    }
}

/// RFC 6455, section 7.1.5: 1005 stands for a Close without a code, and is never sent.
fn payload_of(close: &CloseFrame) -> Vec<u8> {
    if close.code == CloseCode::NO_STATUS {
        return Vec::new();
    }
    close.to_payload()
}

/// Payloads that are kept until no lock is held. The first, often the only one, needs no memory of its
/// own.
#[derive(Default)]
pub(super) struct Spent {
    first: Option<Message>,
    more: Vec<Message>,
}

impl Spent {
    pub(super) fn add(&mut self, message: Option<Message>) {
        if self.first.is_none() && self.more.is_empty() {
            self.first = message;
        } else {
            self.more.extend(message);
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.add(other.first);
        self.more.extend(other.more);
    }

    /// Drops them, each by itself.
    pub(super) fn dispose(self) {
        self.first.into_iter().chain(self.more).for_each(dispose);
    }
}

/// Drops a payload. What its owner's `Drop` throws must neither end this thread, which may be
/// anybody's, nor meet the next one's.
pub(super) fn dispose(payload: Message) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
    if let Err(panic) = dropped {
        error!("a payload panicked when it was dropped");
        std::mem::forget(panic);
    }
}
