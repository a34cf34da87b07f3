//! Received bytes that are not decoded yet: [`ReadBuffer`].

use std::mem;

use bytes::{Buf, Bytes, BytesMut};

use crate::buffer_pool::{self, Keep, LARGE};

/// The capacity of the read buffer of a connection at rest, in bytes.
pub(super) const AT_REST: usize = 4 << 10;

/// Received bytes, with a cursor behind the decoded ones.
///
/// Decoding only moves the cursor. The bytes behind it move once per `recv`, and they are few,
/// because the decoder leaves no more than a piece of a frame.
#[derive(Debug, Default)]
pub(super) struct ReadBuffer {
    bytes: Vec<u8>,
    /// The remaining bytes, while payloads that were split off may be in use.
    rest: Option<BytesMut>,
    /// The end of the decoded bytes.
    start: usize,
    /// The number of bytes that were here before the last `recv`.
    before: usize,
    /// The flag that the last `recv` filled the buffer.
    was_full: bool,
    /// The flag that the last burst was larger than a buffer at rest.
    is_busy: bool,
    keep: Option<Keep>,
}

impl ReadBuffer {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    pub(super) fn unread(&self) -> &[u8] {
        match &self.rest {
            None => &self.bytes[self.start..],
            Some(rest) => &rest[self.start..],
        }
    }

    #[inline]
    pub(super) fn unread_mut(&mut self) -> &mut [u8] {
        let start = self.start;
        &mut self.all()[start..]
    }

    /// Moves the cursor behind the next `count` bytes, which must have come.
    #[inline]
    pub(super) fn skip(&mut self, count: usize) {
        self.start += count;
    }

    /// Takes the next `count` bytes, or all there are.
    pub(super) fn take(&mut self, count: usize) -> &mut [u8] {
        let start = self.start;
        let end = start + count.min(self.unread().len());
        self.start = end;
        &mut self.all()[start..end]
    }

    fn all(&mut self) -> &mut [u8] {
        match &mut self.rest {
            None => &mut self.bytes,
            Some(rest) => rest,
        }
    }

    /// Takes the next bytes without copying them. They keep the whole buffer in use.
    pub(super) fn split_off(&mut self, count: usize) -> BytesMut {
        if self.rest.is_none() {
            self.was_full = self.is_full();
            let bytes = Bytes::from(mem::take(&mut self.bytes));
            self.rest = Some(BytesMut::from(bytes));
        }
        let start = mem::take(&mut self.start);
        let rest = self.rest.get_or_insert_default();
        rest.advance(start);
        rest.split_to(count.min(rest.len()))
    }

    /// Discards the remaining bytes.
    pub(super) fn clear(&mut self) {
        if let Some(rest) = self.rest.take() {
            self.bytes = reclaim(rest);
        }
        self.bytes.clear();
        self.start = 0;
    }

    /// Discards the remaining bytes, and gives up a large buffer until it is needed again.
    pub(super) fn release(&mut self) {
        self.clear();
        if self.bytes.capacity() > AT_REST && self.keep.is_none() {
            buffer_pool::give_back(mem::take(&mut self.bytes));
        }
    }

    /// Puts bytes that were received elsewhere into the buffer, which must be empty.
    pub(super) fn refill(&mut self, bytes: &[u8]) {
        debug_assert!(self.unread().is_empty(), "bytes would be lost");
        self.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the number of bytes up to which input comes through the buffer. More are received
    /// past it.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity().clamp(AT_REST, LARGE / 2)
    }

    /// Tells whether the last `recv` has filled the buffer, so that there is probably more.
    pub(super) fn is_full(&self) -> bool {
        match &self.rest {
            None => !self.bytes.is_empty() && self.bytes.len() == self.bytes.capacity(),
            Some(_) => self.was_full,
        }
    }

    /// Tells whether a quarter of a large buffer is filled, or payloads of it are in use already.
    pub(super) fn is_filled(&self) -> bool {
        self.rest.is_some() || self.bytes.len() >= LARGE / 4
    }

    /// Makes room for the next `recv`.
    ///
    /// If more input is likely, the room is a large buffer. Otherwise the wait may be long: a
    /// connection whose last burst was large keeps its large buffer, if few others do, and
    /// otherwise the buffer goes back to rest. If there is no memory for a new buffer, the old one
    /// stays.
    pub(super) fn spare(&mut self) -> &mut Vec<u8> {
        let is_full = self.is_full();
        if is_full {
            self.is_busy = true;
        } else if self.rest.is_some() || self.bytes.len() != self.before {
            self.is_busy = self.rest.is_some() || self.bytes.len() > AT_REST;
        }
        if is_full || self.unread().len() >= AT_REST || self.is_busy && self.may_keep() {
            self.move_to(LARGE);
        } else {
            self.keep = None;
            self.move_to(AT_REST);
        }
        self.before = self.bytes.len();
        &mut self.bytes
    }

    fn may_keep(&mut self) -> bool {
        if self.keep.is_none() {
            self.keep = Keep::new();
        }
        self.keep.is_some()
    }

    /// Moves the remaining bytes to the beginning of a buffer of this capacity, if there is memory.
    fn move_to(&mut self, capacity: usize) {
        let is_there = self.rest.is_none() && self.bytes.capacity() == capacity;
        match (!is_there).then(|| buffer(capacity)).flatten() {
            Some(mut bytes) => {
                append(&mut bytes, self.unread());
                let before = match self.rest.take() {
                    None => mem::take(&mut self.bytes),
                    Some(rest) => reclaim(rest),
                };
                buffer_pool::give_back(before);
                self.bytes = bytes;
            }
            None => {
                if let Some(rest) = self.rest.take() {
                    self.bytes = rest.into();
                }
                self.bytes.drain(..self.start);
            }
        }
        self.start = 0;
    }
}

/// Returns an empty buffer, or none if there is no memory.
fn buffer(capacity: usize) -> Option<Vec<u8>> {
    if capacity == LARGE {
        return buffer_pool::take();
    }
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(capacity).ok()?;
    Some(buffer)
}

/// Returns the memory of a buffer if no payload uses a part of it, and otherwise none.
fn reclaim(mut rest: BytesMut) -> Vec<u8> {
    rest.clear();
    rest.into()
}

/// Appends bytes in steps, because processors are slow to begin a larger copy.
fn append(bytes: &mut Vec<u8>, more: &[u8]) {
    const STEP: usize = 2 << 10;
    for step in more.chunks(STEP) {
        bytes.extend_from_slice(step);
    }
}
