//! The decompression of the peer's messages: [`Decompression`] of a connection, [`Inflation`] of one
//! message.

use super::Violation;
use super::mask::MaskKey;
use crate::deflate::{InflateError, Inflater, give_back_inflater, take_inflater};

/// The peer's direction of an agreed compression.
#[derive(Debug)]
pub(super) struct Decompression {
    /// The flag that messages may refer back to those before.
    takeover: bool,
    /// The decompressor, once there was a compressed message that later ones may refer back to.
    inflater: Option<Box<Inflater>>,
}

/// The decompression of a message that comes.
#[derive(Debug)]
pub(super) struct Inflation {
    inflater: Box<Inflater>,
    /// The most bytes that the message may have.
    most: usize,
    /// The number of bytes that are unmasked of those that have come and were not taken.
    unmasked: usize,
    /// The number of bytes that the frames have, all together.
    compressed: u64,
}

impl Decompression {
    pub(super) fn new(takeover: bool) -> Self {
        Self {
            takeover,
            inflater: None,
        }
    }

    /// Tells whether a decompressor is kept.
    #[cfg(all(test, feature = "deflate"))]
    pub(super) fn is_loaded(&self) -> bool {
        self.inflater.is_some()
    }

    /// Begins a message of at most this many bytes.
    ///
    /// # Errors
    /// 1009 where there is no memory.
    pub(super) fn begin(&mut self, most: usize) -> Result<Inflation, Violation> {
        let kept = self.inflater.take();
        let is_first = kept.is_none();
        let mut inflater = kept.map_or_else(take_inflater, Ok)?;
        inflater.begin(is_first);
        Ok(Inflation {
            inflater,
            most,
            unmasked: 0,
            compressed: 0,
        })
    }

    /// Ends a message. RFC 7692 7.2.2: only with context takeover the next one needs what is left.
    pub(super) fn end(&mut self, inflation: Inflation) {
        if self.takeover {
            self.inflater = Some(inflation.inflater);
        } else {
            give_back_inflater(inflation.inflater);
        }
    }
}

impl Inflation {
    /// Counts a frame of this length.
    pub(super) fn begin_frame(&mut self, length: u64) {
        self.compressed = self.compressed.saturating_add(length);
    }

    /// Returns how many bytes the frames have, all together.
    pub(super) fn compressed(&self) -> u64 {
        self.compressed
    }

    /// Returns the most bytes that the message may have.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Lifts the limit.
    pub(super) fn allow_any_size(&mut self) {
        self.most = usize::MAX;
    }

    /// Tells whether there may be more output without more input.
    pub(super) fn has_more(&self) -> bool {
        self.inflater.has_more()
    }

    /// Unmasks bytes of a frame, of which so many are `done`, and decompresses them into the spare
    /// capacity of the output, up to one byte more than the message may have. Returns how many it has
    /// taken.
    ///
    /// # Errors
    /// 1007 for bytes that are no deflate stream, 1009 where there is no memory.
    pub(super) fn absorb(
        &mut self,
        input: &mut [u8],
        key: Option<MaskKey>,
        done: u64,
        output: &mut Vec<u8>,
    ) -> Result<usize, Violation> {
        if let Some(key) = key {
            let from = self.unmasked;
            let offset = (done % 4) as usize + from;
            key.apply(&mut input[from..], offset % 4);
        }
        let allowed = self.most.saturating_add(1).saturating_sub(output.len());
        let room = allowed.min(output.capacity() - output.len());
        let taken = self.inflater.inflate(input, output, room)?;
        self.unmasked = input.len() - taken;
        Ok(taken)
    }

    /// Tells whether so many bytes are more than the message may have.
    pub(super) fn is_over(&self, length: usize) -> bool {
        length > self.most
    }

    /// Judges how many bytes the message has become.
    ///
    /// # Errors
    /// 1009 for more than it may have.
    pub(super) fn judge_size(&self, length: usize) -> Result<(), Violation> {
        if self.is_over(length) {
            let what = "the decompressed message is too big, in bytes";
            return Err(Violation::too_big(what, length as u64, self.most));
        }
        Ok(())
    }

    /// Judges the end of the message.
    ///
    /// # Errors
    /// 1007 for a message that breaks off.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        Ok(self.inflater.finish()?)
    }
}

impl From<InflateError> for Violation {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::Data(what) => Self::data(what),
            InflateError::NoMemory => Self::NO_MEMORY,
        }
    }
}
