//! Plain bytes in records, and ciphertext that has not wholly left.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, IoSlice};

/// An iterator that cuts plain bytes into records. A record may gather several parts, so that a short
/// header shares one with what follows it.
pub(super) struct Records<'a> {
    parts: &'a [IoSlice<'a>],
    /// The number of bytes taken of the first part.
    taken: usize,
    /// The number of bytes that may still be taken.
    left: usize,
    size: usize,
}

impl<'a> Records<'a> {
    /// Cuts the first bytes, at most `total`, into records of this size.
    pub(super) fn new(parts: &'a [IoSlice<'a>], total: usize, size: usize) -> Self {
        Self {
            parts,
            taken: 0,
            left: total,
            size,
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let size = self.size.min(self.left);
        let mut record: Cow<'a, [u8]> = Cow::default();
        while record.len() < size {
            let Some((part, behind)) = self.parts.split_first() else {
                break;
            };
            let rest = &part[self.taken..];
            let piece = &rest[..rest.len().min(size - record.len())];
            if piece.len() == rest.len() {
                (self.parts, self.taken) = (behind, 0);
            } else {
                self.taken += piece.len();
            }
            match &mut record {
                record if record.is_empty() => *record = Cow::Borrowed(piece),
                record => record.to_mut().extend_from_slice(piece),
            }
        }
        self.left -= record.len();
        (!record.is_empty()).then_some(record)
    }
}

/// Ciphertext that has not wholly left yet.
#[derive(Default)]
pub(super) struct Sending {
    ciphertext: Vec<u8>,
    sent: usize,
    /// The records that have not wholly left, in their order.
    records: VecDeque<Record>,
    /// The number of plain bytes that have left since the caller last asked.
    left: usize,
}

/// A part of the ciphertext, and the plain bytes in it.
pub(super) struct Record {
    /// The end of the record in the ciphertext.
    pub(super) end: usize,
    /// The number of plain bytes in the record.
    pub(super) plain: usize,
}

impl Sending {
    pub(super) fn is_empty(&self) -> bool {
        self.ciphertext.is_empty()
    }

    /// Loads the next ciphertext, once all before it has left.
    pub(super) fn load(&mut self, mut records: VecDeque<Record>, ciphertext: Vec<u8>) {
        if let Some(last) = records.back_mut() {
            // The last record counts as left only when the engine's own records behind it have left
            // too.
            last.end = ciphertext.len();
        }
        (self.records, self.ciphertext, self.sent) = (records, ciphertext, 0);
    }

    /// Sends all of it, or as much as the socket takes before it fails.
    pub(super) fn send_by(&mut self, send: impl Fn(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        while self.sent < self.ciphertext.len() {
            self.sent += send(&self.ciphertext[self.sent..])?;
            self.count_left();
        }
        // Freed, because an idle connection keeps no memory.
        self.load(VecDeque::new(), Vec::new());
        Ok(())
    }

    fn count_left(&mut self) {
        let sent = self.sent;
        let left = self.records.partition_point(|record| record.end <= sent);
        let plain: usize = self.records.drain(..left).map(|record| record.plain).sum();
        self.left += plain;
    }

    /// Returns how many plain bytes have wholly left since the last call: the peer can read them.
    pub(super) fn take_left(&mut self) -> usize {
        std::mem::take(&mut self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record is filled from the parts in their order, across their bounds, and empty parts are
    /// none.
    #[test]
    fn records_are_filled_across_parts() {
        let cut = |parts: &[&[u8]], total, size| -> Vec<Vec<u8>> {
            let parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let records = Records::new(&parts, total, size);
            records.map(Cow::into_owned).collect()
        };
        assert_eq!(cut(&[b"ab", b"cdefg"], 64, 4), [&b"abcd"[..], b"efg"]);
        assert_eq!(cut(&[b"abcd", b"", b"e"], 64, 4), [&b"abcd"[..], b"e"]);
        assert_eq!(cut(&[b"", b"abc"], 64, 4), [b"abc"]);
        assert_eq!(cut(&[b"ab", b"cdefg"], 5, 4), [&b"abcd"[..], b"e"]);
        assert!(cut(&[b"", b""], 64, 4).is_empty() && cut(&[], 64, 4).is_empty());
    }

    /// A record counts once its last byte has left, also where what was owed stands behind it.
    #[test]
    fn records_count_when_they_have_left() {
        let mut sending = Sending::default();
        let records = [Record { end: 10, plain: 3 }, Record { end: 20, plain: 4 }];
        sending.load(records.into(), vec![0; 25]);
        let full = || io::Error::from(io::ErrorKind::WouldBlock);
        for (takes, left) in [(9, 0), (1, 3), (14, 0), (1, 4)] {
            let rest = std::cell::Cell::new(takes);
            let take = |_: &[u8]| match rest.take() {
                0 => Err(full()),
                takes => Ok(takes),
            };
            assert_eq!(sending.send_by(take).is_ok(), left == 4);
            assert_eq!(sending.take_left(), left);
        }
        assert!(sending.is_empty());
    }
}
