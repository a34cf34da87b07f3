//! The limits of a queue, and how much of them is taken: [`Budget`].

use crate::{Config, Message};

/// The bytes and places of a queue, and how many of them are taken. A message takes a place, and so
/// does a barrier or a stream among the messages.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    places: u64,
    max_bytes: u64,
    max_places: u64,
}

impl Budget {
    pub(super) fn new(config: &Config) -> Self {
        Self::bounded(config.max_queue_bytes, config.max_queue_messages)
    }

    pub(super) fn bounded(bytes: usize, places: usize) -> Self {
        Self {
            bytes: 0,
            places: 0,
            max_bytes: bytes as u64,
            max_places: places.max(1) as u64,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn places(&self) -> u64 {
        self.places
    }

    /// Tells whether there is room for `bytes` more. A message that is larger than the whole budget
    /// has room while no other waits.
    #[inline]
    pub(super) fn fits(&self, bytes: u64) -> bool {
        let room = self.places < self.max_places && self.bytes + bytes <= self.max_bytes;
        room || self.places == 0
    }

    /// Tells whether so little is taken that senders that wait for room are admitted again.
    #[inline]
    pub(super) fn is_low(&self) -> bool {
        self.bytes <= self.max_bytes / 2 && self.places <= self.max_places / 2
    }

    /// Tells whether these bytes or places amount to the whole budget.
    pub(super) fn is_worth(&self, bytes: u64, places: u64) -> bool {
        bytes >= self.max_bytes.max(1) || places >= self.max_places
    }

    /// Tells whether there is room for so many bytes and places more.
    pub(super) fn has_room(&self, bytes: u64, places: u64) -> bool {
        self.places + places <= self.max_places && self.bytes + bytes <= self.max_bytes
    }

    /// Takes `bytes` and places, whether they fit or not.
    #[inline]
    pub(super) fn take(&mut self, bytes: u64, places: u64) {
        self.bytes += bytes;
        self.places += places;
    }

    #[inline]
    pub(super) fn release(&mut self, bytes: u64, places: u64) {
        self.bytes -= bytes;
        self.places -= places;
    }
}

/// Returns the bytes that a message takes.
pub(super) fn weight(message: &Message) -> u64 {
    message.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes and places are bounded alike; one message that is too large fits while nothing waits.
    #[test]
    fn bounds_bytes_and_places() {
        let mut budget = Budget::bounded(10, 3);
        assert!(budget.fits(11), "a message larger than the budget");
        budget.take(4, 1);
        assert!(budget.fits(6) && !budget.fits(7));
        budget.take(0, 1);
        budget.take(0, 1);
        assert!(!budget.fits(0), "a fourth place");
        budget.release(0, 1);
        assert!(budget.fits(6));
    }

    /// From half empty on, of bytes and of places, there is room again for those who wait.
    #[test]
    fn is_low_from_half_empty_on() {
        let mut budget = Budget::bounded(10, 4);
        budget.take(6, 1);
        assert!(!budget.is_low());
        budget.release(1, 0);
        assert!(budget.is_low());
        budget.take(0, 1);
        budget.take(0, 1);
        assert!(!budget.is_low());
    }
}
