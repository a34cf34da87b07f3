//! The state that a connection's senders share, behind one short lock: [`Queue`]. Its rules are
//! functions on the value. Their tasks for after the lock gather in an [`AfterUnlock`].

mod accounting;
mod admission;
mod ending;
mod following;
mod refill;

use std::time::{Duration, Instant};

use super::Wire;
use super::budget::Budget;
use super::channel::Channel;
use super::control::Control;
use super::gathered::Following;
use super::pings::Pings;
use super::split::Split;
use super::stream_lane::StreamLane;
use super::sync::Arc;
use super::waiting_senders::{Bell, Line};
use super::writer::{MIN_UNCOPIED, Writer};
use crate::life::Life;
use crate::protocol::Opcode;
use crate::{Config, DeliveryError, Overflow};

/// A connection's sending queue, and the connection's state.
pub(super) struct Queue<W: Wire> {
    pub(super) life: Life,
    channel: Channel,
    pub(super) control: Control,
    /// The lane. Made with the first streamed message.
    pub(super) lane: Option<Box<StreamLane>>,
    /// The flag that a streamed message is being written: the messages in the channel wait for its
    /// end.
    streaming: bool,
    /// The message that is leaving in fragments.
    split: Option<Box<Split>>,
    /// The most bytes of a message in a frame. A larger message is split.
    max_frame: usize,
    /// The most bytes that are taken from the queue for one write to a fast peer.
    batch: u64,
    /// The flag that the peer is slow: control frames would wait long behind a large write.
    is_slow: bool,
    pub(super) budget: Budget,
    /// The number of the budget's places that are barriers, and not messages.
    barriers: u64,
    line: Line,
    /// The place of a burst to many, behind the messages in the channel.
    pub(super) following: Option<Following>,
    /// The pings. Made with the first ping of our own.
    pub(super) pings: Option<Box<Pings>>,
    pub(super) overflow: Overflow,
    pub(super) writer: Seat<W>,
    /// The wire, to cut it and to wait for it. Given up with the socket: a handle that the program
    /// keeps does not keep the socket.
    pub(super) wire: Option<std::sync::Arc<W>>,
    pub(super) stall: Option<Stall>,
    pub(super) keepers: Keepers,
    /// The flag that the wire has bytes of its own to write.
    pub(super) needs_flush: bool,
    /// The flag that a cork holds the queue.
    pub(super) corked: bool,
    /// The number of threads that wait for any change of the queue.
    pub(super) observers: usize,
    /// The reason why the queued messages will not be written. The first reason counts.
    unsendable: Option<DeliveryError>,
    /// The flag that the socket has refused bytes and taken none since.
    refused: bool,
    /// The number of times that it has taken bytes after it had refused some.
    pub(super) relieved: u64,
    /// The number of bytes of frames that the socket has taken.
    pub(super) taken: u64,
    pub(super) delivered: u64,
    pub(super) undelivered: u64,
    pub(super) dropped: u64,
}

/// The place of the writer.
pub(super) enum Seat<W: Wire> {
    /// No thread writes. While the queue is stalled the writer is left to the keepers.
    Here(Box<Writer<W>>),
    /// A thread writes. It looks under the lock before putting the writer back, so no message is
    /// left behind.
    Taken,
    /// The sending is over, and the writer's frames are counted.
    Gone,
}

/// A time in which an unfinished write waits for its keepers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    pub(super) since: Instant,
    taken: u64,
}

/// The threads that wait for the socket of a stalled queue, and write on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keepers {
    /// The number of threads that poll it.
    pub(super) pollers: usize,
    /// The flag that the background waits for it.
    pub(super) background: bool,
    /// The flag that a sender that waits for room has been called to write.
    pub(super) called: bool,
    /// The flag that the reading end will write on, because TLS writes no more before input has
    /// come.
    pub(super) input: bool,
}

impl Keepers {
    fn is_empty(self) -> bool {
        self.pollers == 0 && !self.background && !self.called && !self.input
    }
}

/// The most bytes that are taken from the queue for one write.
const BATCH: usize = 128 << 10;
/// The same for a slow peer.
const SLOW_BATCH: u64 = 64 << 10;
/// The time for 64 KiB, while the socket is full, from which on a peer is slow.
const SLOW: Duration = Duration::from_millis(20);

/// Returns how many bytes of a message a frame may have. Compressed fragments may grow by an eighth
/// and some bytes.
pub(super) fn max_fragment(config: &Config) -> Option<usize> {
    let max_frame = config.max_outgoing_frame?;
    let streams = config.compression.as_ref().is_some_and(|set| set.streams);
    let reserved = if streams { max_frame / 8 + 26 } else { 0 };
    Some(max_frame - reserved)
}

impl<W: Wire> Queue<W> {
    // Inlined, so that it is made where it stays: what the stack holds here, it holds for each connection.
    #[inline(always)]
    pub(super) fn new(config: &Config, writer: Box<Writer<W>>, wire: std::sync::Arc<W>) -> Self {
        let max_frame = max_fragment(config).unwrap_or(usize::MAX);
        Self {
            life: Life::new(),
            channel: Channel::default(),
            control: Control::default(),
            lane: None,
            streaming: false,
            split: None,
            max_frame,
            // A program that sets short frames wants its control frames soon.
            batch: max_frame.clamp(MIN_UNCOPIED, BATCH) as u64,
            is_slow: false,
            budget: Budget::new(config),
            barriers: 0,
            line: Line::default(),
            following: None,
            pings: None,
            overflow: config.overflow,
            writer: Seat::Here(writer),
            wire: Some(wire),
            stall: None,
            keepers: Keepers::default(),
            needs_flush: false,
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

    /// Returns the most bytes that are taken for one write.
    pub(super) fn batch(&self) -> u64 {
        if self.is_slow {
            self.batch.min(SLOW_BATCH)
        } else {
            self.batch
        }
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

    /// Makes a bell, of the kind of reference that loom's threads may share.
    pub(super) fn new_bell() -> Bell {
        Arc::default()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
