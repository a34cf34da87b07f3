//! What a connection's senders share, behind one short lock: [`Queue`]. Its rules are functions on the
//! value; what they ask to be done once it is unlocked gathers in an [`AfterUnlock`].

mod accounting;
mod admission;
mod ending;
mod refill;

use std::time::Instant;

use super::Wire;
use super::budget::Budget;
use super::channel::Channel;
use super::control::Control;
use super::pings::Pings;
use super::split::Split;
use super::stream_lane::StreamLane;
use super::sync::Arc;
use super::waiting_senders::{Bell, Line};
use super::writer::{MIN_UNCOPIED, Writer};
use crate::life::Life;
use crate::protocol::Opcode;
use crate::{Config, DeliveryError, Overflow};

/// A connection's sending queue, and where the connection stands.
pub(super) struct Queue<W> {
    pub(super) life: Life,
    channel: Channel,
    pub(super) control: Control,
    /// Made with the first streamed message.
    pub(super) lane: Option<Box<StreamLane>>,
    /// Whether a streamed message is being written: what is in the channel waits for its end.
    streaming: bool,
    /// The message that leaves in fragments just now.
    split: Option<Box<Split>>,
    /// A message with more bytes than that is split.
    max_frame: usize,
    /// The number of bytes that are taken from the queue for one write.
    batch: u64,
    pub(super) budget: Budget,
    /// How many of the budget's places are no messages, but barriers.
    barriers: u64,
    line: Line,
    /// Made with the first ping of our own.
    pub(super) pings: Option<Box<Pings>>,
    pub(super) overflow: Overflow,
    pub(super) writer: Seat<W>,
    /// To cut it, and to wait for it. Given up with the socket: a kept handle keeps none.
    pub(super) wire: Option<std::sync::Arc<W>>,
    pub(super) stall: Option<Stall>,
    pub(super) keepers: Keepers,
    /// Whether the wire has something to say of its own accord.
    pub(super) owes: bool,
    /// Whether a cork holds it.
    pub(super) corked: bool,
    /// How many threads wait for whatever happens here.
    pub(super) observers: usize,
    /// Why what is still queued will not be written: the first reason counts.
    unsendable: Option<DeliveryError>,
    /// Whether the socket has refused bytes and taken none since.
    refused: bool,
    /// How often it has taken bytes after it had refused some.
    pub(super) relieved: u64,
    /// Bytes of frames that the socket has taken.
    pub(super) taken: u64,
    pub(super) delivered: u64,
    pub(super) undelivered: u64,
    pub(super) dropped: u64,
}

/// Where the writer is.
pub(super) enum Seat<W> {
    /// Nobody writes. While the queue is stalled it is left to its keepers.
    Here(Box<Writer<W>>),
    /// Somebody writes, and looks under the lock before putting it back: nothing is left behind.
    Taken,
    /// The sending is over, and what the writer held is counted.
    Gone,
}

/// A time in which an unfinished write waits for its keepers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    pub(super) since: Instant,
    taken: u64,
}

/// Those who wait for the socket of a stalled queue, and write on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keepers {
    /// Threads that poll it.
    pub(super) pollers: usize,
    /// The background.
    pub(super) background: bool,
    /// A sender that waits for room, and has been called to write.
    pub(super) called: bool,
    /// The reading end, as TLS writes no more before something has come.
    pub(super) input: bool,
}

impl Keepers {
    fn is_empty(self) -> bool {
        self.pollers == 0 && !self.background && !self.called && !self.input
    }
}

/// At most so many bytes are taken from the queue for one write, and so many messages.
const BATCH: usize = 64 << 10;

impl<W: Wire> Queue<W> {
    pub(super) fn new(config: &Config, writer: Writer<W>, wire: std::sync::Arc<W>) -> Self {
        let max_frame = config.max_outgoing_frame.unwrap_or(usize::MAX);
        Self {
            life: Life::new(),
            channel: Channel::default(),
            control: Control::default(),
            lane: None,
            streaming: false,
            split: None,
            max_frame,
            // Whoever wants short frames wants the control frames soon.
            batch: max_frame.clamp(MIN_UNCOPIED, BATCH) as u64,
            budget: Budget::new(config),
            barriers: 0,
            line: Line::default(),
            pings: None,
            overflow: config.overflow,
            writer: Seat::Here(Box::new(writer)),
            wire: Some(wire),
            stall: None,
            keepers: Keepers::default(),
            owes: false,
            corked: false,
            observers: 0,
            unsendable: None,
            refused: false,
            relieved: 0,
            taken: 0,
            delivered: 0,
            undelivered: 0,
            dropped: 0,
        }
    }
}

impl<W: Wire> Queue<W> {
    /// Returns how many messages are queued or being written.
    pub(super) fn messages(&self) -> u64 {
        self.budget.places() - self.barriers
    }

    /// Returns how many bytes of payload are queued and not with the kernel.
    pub(super) fn buffered(&self) -> u64 {
        self.budget.bytes() + self.lane.as_ref().map_or(0, |lane| lane.bytes())
    }

    /// Queues a ping or a pong.
    pub(super) fn push_control(&mut self, opcode: Opcode, payload: bytes::Bytes) {
        if !self.life.is_closed() {
            self.control.push(opcode, payload);
        }
    }

    /// Returns whether a thread of this process writes a streamed message here, and is the caller.
    pub(super) fn is_streaming_here(&self) -> bool {
        let lane = self.lane.as_ref();
        lane.is_some_and(|lane| lane.is_written_by_this_thread())
    }

    /// Keeps the kind of reference that loom's threads may share.
    pub(super) fn new_bell() -> Bell {
        Arc::default()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
