//! Random choices that a seed repeats.

/// Random numbers from a seed.
#[derive(Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        // Xorshift never leaves 0.
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    /// Returns a number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // Xorshift, as G. Marsaglia found it.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// Returns the ends of pieces that `length` bytes are cut into, in order. Many bytes have
    /// larger pieces, because byte by byte they would take long.
    pub(crate) fn cuts(&mut self, length: usize) -> Vec<usize> {
        let step = [1, 7, 500, length][self.below(4)].max(1 + length / 300);
        let mut ends = Vec::new();
        let mut end = 0;
        while end < length {
            end += 1 + self.below(step);
            ends.push(end.min(length));
        }
        ends
    }
}
