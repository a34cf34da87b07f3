//! Messages that leave in fragments while they are written: [`Stream`], and the [`Lane`] that bounds
//! what waits of them.

use std::collections::VecDeque;
use std::mem;
use std::thread::{self, ThreadId};

use bytes::Bytes;

use super::budget::{Budget, Denied};
use super::parcel::Parcel;
use super::sync::{Arc, Mutex, Ordering, lock};
use super::{Outbox, Wire};
use crate::protocol::{Fin, Opcode};
use crate::{Overflow, SendErrorKind};

/// Is shared by the streamed messages of a connection, of which at most one is being written.
pub(super) struct Lane {
    budget: Budget,
    writer: std::sync::Mutex<Writer>,
}

/// Says who writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Nobody,
    /// A message is about to get its place in the channel.
    Opening,
    Thread(ThreadId),
}

/// Is one streamed message. Its place among the others is in the channel; its fragments come here.
/// Clones are the same message.
#[derive(Clone)]
pub(crate) struct Stream {
    lane: Arc<Lane>,
    fragments: Arc<Mutex<Fragments>>,
}

struct Fragments {
    queue: VecDeque<(Bytes, Fin)>,
    /// That of the next one to be taken (RFC 6455, section 5.4).
    opcode: Opcode,
    /// Whether what waited was thrown away: nobody would take what comes now.
    discarded: bool,
}

/// So many bytes of fragments wait before their writer does.
const LANE: usize = 64 << 10;
/// More fragments than that many bytes make.
const LANE_FRAGMENTS: usize = 1 << 10;

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            budget: Budget::bounded(LANE, LANE_FRAGMENTS),
            writer: std::sync::Mutex::new(Writer::Nobody),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.budget.bytes()
    }

    /// Gives back the room of a fragment that has left.
    pub(super) fn release(&self, weight: u64) {
        self.budget.release(weight, 1);
    }

    /// Takes no more; who waits for room is woken.
    pub(super) fn close(&self) {
        self.budget.close();
    }

    /// Says that nothing leaves any more.
    pub(super) fn seal(&self) {
        self.budget.seal();
    }

    pub(super) fn is_written_by_this_thread(&self) -> bool {
        *crate::sync::lock(&self.writer) == Writer::Thread(thread::current().id())
    }

    /// Claims the lane for a message, unless another one is being written.
    fn claim(&self) -> bool {
        let mut writer = crate::sync::lock(&self.writer);
        let free = *writer == Writer::Nobody;
        if free {
            *writer = Writer::Opening;
        }
        free
    }

    fn set_writer(&self, writer: Writer) {
        *crate::sync::lock(&self.writer) = writer;
    }
}

impl Stream {
    /// Queues a fragment; returns false if nobody would take it.
    fn push(&self, payload: Bytes, fin: Fin) -> bool {
        let mut fragments = lock(&self.fragments);
        if fragments.discarded {
            return false;
        }
        fragments.queue.push_back((payload, fin));
        true
    }

    /// Takes the next fragment.
    pub(super) fn take(&self) -> Option<(Opcode, Fin, Bytes)> {
        let mut fragments = lock(&self.fragments);
        let (payload, fin) = fragments.queue.pop_front()?;
        let opcode = mem::replace(&mut fragments.opcode, Opcode::Continuation);
        Some((opcode, fin, payload))
    }

    /// Says that this thread writes it from now on.
    pub(crate) fn take_over(&self) {
        self.lane.set_writer(Writer::Thread(thread::current().id()));
    }

    /// Says that nobody writes it any more.
    pub(crate) fn let_go(&self) {
        self.lane.set_writer(Writer::Nobody);
    }

    pub(super) fn lane(&self) -> Arc<Lane> {
        Arc::clone(&self.lane)
    }

    pub(super) fn has_begun(&self) -> bool {
        lock(&self.fragments).opcode == Opcode::Continuation
    }

    /// Tells whether nothing can come any more, though the end has not; `taken` fragments are on
    /// their way.
    pub(super) fn is_abandoned(&self, taken: u64) -> bool {
        // In this order: once it is closing, nothing more is reserved.
        self.lane.budget.is_closing()
            && self.lane.budget.messages() == taken
            && lock(&self.fragments).queue.is_empty()
    }

    /// Throws away what waits, and what would come.
    pub(super) fn discard(&self) {
        let mut fragments = lock(&self.fragments);
        fragments.discarded = true;
        let queue = mem::take(&mut fragments.queue);
        drop(fragments);
        for (payload, _) in queue {
            self.lane.release(payload.len() as u64);
        }
    }
}

impl<W: Wire> Outbox<W> {
    /// Gives a streamed message its place behind what was sent before, waiting for one at most
    /// `write_timeout`. One at a time.
    pub(crate) fn begin_stream(
        self: &std::sync::Arc<Self>,
        opcode: Opcode,
    ) -> Result<Stream, SendErrorKind> {
        let lane = Arc::clone(lock(&self.lane).get_or_insert_with(|| Arc::new(Lane::new())));
        if !lane.claim() {
            // What is not finished now may never be: who tries again is to hear of the end.
            return Err(if self.is_closing() {
                SendErrorKind::Closed
            } else {
                SendErrorKind::Streaming
            });
        }
        let fragments = Fragments {
            queue: VecDeque::new(),
            opcode,
            discarded: false,
        };
        let stream = Stream {
            lane: Arc::clone(&lane),
            fragments: Arc::new(Mutex::new(fragments)),
        };
        match self.post(Parcel::Stream(stream.clone()), Overflow::Wait) {
            Ok(()) => {
                stream.take_over();
                Ok(stream)
            }
            Err((kind, _)) => {
                stream.let_go();
                Err(kind)
            }
        }
    }

    /// Has whoever holds the pump look at the streamed message that it is in.
    ///
    /// An exchange, and no mere store: whoever takes the flag has synchronized with all who have set
    /// it, and not with the last alone.
    pub(super) fn call_for_fragments(&self) {
        self.fragments_waiting.swap(true, Ordering::AcqRel);
    }

    /// Takes the call.
    pub(super) fn answer_call(&self) {
        self.fragments_waiting.swap(false, Ordering::AcqRel);
    }

    /// Queues a fragment, waiting for room in the lane at most `write_timeout`, and lets it leave.
    pub(crate) fn send_fragment(
        self: &std::sync::Arc<Self>,
        stream: &Stream,
        payload: Bytes,
        fin: Fin,
    ) -> Result<(), SendErrorKind> {
        let lane = &stream.lane;
        stream.take_over();
        let weight = payload.len() as u64;
        let queued = match self.reserve_now(&lane.budget, weight) {
            Err(Denied::Full) => {
                let deadline = W::deadline(self.config.write_timeout);
                self.wait_for_room(&lane.budget, weight, deadline)
            }
            other => other.map_err(Denied::into_kind),
        }?;
        if fin == Fin::Last {
            stream.let_go();
        }
        if !stream.push(payload, fin) {
            lane.release(weight);
            return Err(SendErrorKind::Closed);
        }
        self.call_for_fragments();
        self.depart(queued.bytes);
        Ok(())
    }
}
