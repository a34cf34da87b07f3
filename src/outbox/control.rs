//! The control lane: pings, pongs and the one Close, which overtake queued messages.

use std::collections::VecDeque;

use bytes::Bytes;

use super::sync::{AtomicBool, Mutex, Ordering, lock};
use crate::protocol::{CloseFrame, Opcode};

/// Holds the control frames that wait for the next frame boundary.
#[derive(Default)]
pub(super) struct ControlLane {
    /// Spares the pump the lock while nothing waits here, the common case.
    waiting: AtomicBool,
    frames: Mutex<Frames>,
}

#[derive(Default)]
struct Frames {
    queue: VecDeque<(Opcode, Bytes)>,
    bytes: usize,
    close: Option<(CloseFrame, Urgency)>,
    /// Our Close once it has been encoded: nothing follows it (L5).
    closed_with: Option<CloseFrame>,
}

/// Says whether a Close waits for the messages that were reserved before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// The program's: what was sent before it goes first.
    AfterMessages,
    /// A reply or a failure: it overtakes them.
    Overtaking,
}

/// So many bytes of pongs wait before a newer one replaces the newest.
const MAX_BYTES: usize = 4 << 10;
/// What a frame costs beside its payload.
const OVERHEAD: usize = 16;

impl ControlLane {
    /// Queues a ping or a pong. Where too many wait, it replaces the newest of its kind: a pong
    /// answers the most recent ping (RFC 6455, section 5.5.3).
    pub(super) fn push(&self, opcode: Opcode, payload: Bytes) {
        let mut frames = lock(&self.frames);
        if frames.closed_with.is_some() {
            return;
        }
        let bytes = payload.len() + OVERHEAD;
        if frames.bytes + bytes > MAX_BYTES {
            frames.drop_newest(opcode);
        }
        frames.bytes += bytes;
        frames.queue.push_back((opcode, payload));
        self.waiting.store(true, Ordering::Release);
    }

    /// Queues our Close, or makes a waiting one urgent with a new code. Returns false if one has
    /// already left.
    pub(super) fn close(&self, close: CloseFrame, urgency: Urgency) -> bool {
        let mut frames = lock(&self.frames);
        if frames.closed_with.is_some() {
            return false;
        }
        if frames.close.is_none() || urgency == Urgency::Overtaking {
            frames.close = Some((close, urgency));
        }
        self.waiting.store(true, Ordering::Release);
        true
    }

    /// Returns our Close, once it has been encoded.
    pub(super) fn closed_with(&self) -> Option<CloseFrame> {
        lock(&self.frames).closed_with.clone()
    }

    /// Tells whether anything waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Tells whether frames wait, or a Close that may leave once no message is reserved.
    pub(super) fn has_work(&self, reserved: impl FnOnce() -> u64) -> bool {
        if !self.is_waiting() {
            return false;
        }
        let frames = lock(&self.frames);
        match frames.close {
            Some((_, Urgency::Overtaking)) => true,
            Some((_, Urgency::AfterMessages)) => !frames.queue.is_empty() || reserved() == 0,
            None => !frames.queue.is_empty(),
        }
    }

    /// Gives out the pings and pongs in order.
    pub(super) fn take(&self, mut each: impl FnMut(Opcode, Bytes)) {
        if !self.is_waiting() {
            return;
        }
        let mut frames = lock(&self.frames);
        if frames.closed_with.is_none() {
            frames
                .queue
                .drain(..)
                .for_each(|(opcode, payload)| each(opcode, payload));
        }
        *frames = Frames {
            close: frames.close.take(),
            closed_with: frames.closed_with.take(),
            ..Frames::default()
        };
        self.waiting
            .store(frames.close.is_some(), Ordering::Release);
    }

    /// Gives out our Close if it may leave now: `drained` says whether every message reserved
    /// before it is on its way.
    pub(super) fn take_close(&self, drained: impl FnOnce() -> bool) -> Option<CloseFrame> {
        if !self.is_waiting() {
            return None;
        }
        let mut frames = lock(&self.frames);
        let urgency = frames.close.as_ref()?.1;
        if urgency == Urgency::AfterMessages && !drained() {
            return None;
        }
        let (close, _) = frames.close.take()?;
        frames.closed_with = Some(close.clone());
        self.waiting.store(false, Ordering::Release);
        Some(close)
    }
}

impl Frames {
    fn drop_newest(&mut self, opcode: Opcode) {
        if let Some(position) = self.queue.iter().rposition(|(queued, _)| *queued == opcode) {
            if let Some((_, payload)) = self.queue.remove(position) {
                self.bytes -= payload.len() + OVERHEAD;
            }
        }
    }
}
