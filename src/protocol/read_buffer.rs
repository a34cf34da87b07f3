//! What came and is not decoded yet: [`ReadBuffer`].

/// The capacity of a connection's buffer that has nothing to do, in bytes.
pub(super) const AT_REST: usize = 4 << 10;

/// The largest capacity, in bytes.
pub(super) const LARGEST: usize = 64 << 10;

/// Holds received bytes, with a cursor behind those that are decoded.
///
/// Decoding only moves the cursor. The bytes behind it move once per `recv`, and they are few,
/// because the decoder leaves no more than a piece of a header or of a control frame.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
}

impl ReadBuffer {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Takes the next bytes, `count` of them or all there are.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let start = self.start;
        self.start += count.min(self.unread().len());
        &self.bytes[start..self.start]
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// Replaces what is left, which must be nothing, by bytes that were received elsewhere.
    pub(super) fn refill(&mut self, bytes: &[u8]) {
        debug_assert!(self.unread().is_empty(), "bytes would be lost");
        self.clear();
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity().max(AT_REST)
    }

    /// Makes room for the next `recv`.
    ///
    /// A buffer that the last `recv` filled is doubled, for there is probably more. One that it did
    /// not goes back to rest, for the socket is empty now and the wait may be long. Where there is no
    /// memory for that, it stays as it is.
    pub(super) fn spare(&mut self) -> &mut Vec<u8> {
        let is_full = self.bytes.len() == self.capacity();
        let capacity = if is_full {
            2 * self.capacity()
        } else {
            AT_REST
        };
        let capacity = capacity.min(LARGEST).max(2 * self.unread().len());
        self.compact(capacity);
        &mut self.bytes
    }

    fn compact(&mut self, capacity: usize) {
        let mut bytes = Vec::new();
        if self.bytes.capacity() == capacity || bytes.try_reserve_exact(capacity).is_err() {
            self.bytes.drain(..self.start);
        } else {
            bytes.extend_from_slice(self.unread());
            self.bytes = bytes;
        }
        self.start = 0;
    }
}
