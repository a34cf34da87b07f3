//! Masking (RFC 6455, section 5.3).

use crate::random::random;

/// The key that a frame's payload is masked with. Masking twice unmasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaskKey([u8; 4]);

impl MaskKey {
    /// Makes a fresh key that the program cannot foresee (RFC 6455, sections 5.3 and 10.3), without
    /// a system call.
    pub(super) fn random() -> Self {
        Self(random::<u32>().to_ne_bytes())
    }

    pub(super) const fn as_bytes(self) -> [u8; 4] {
        self.0
    }

    /// Masks bytes in place; the first of them is the payload's byte number `position`.
    pub(crate) fn apply(self, bytes: &mut [u8], position: usize) {
        mask(bytes, self.rotated(position));
    }

    /// Appends bytes masked; the first of them is the payload's byte number `position`.
    #[inline]
    pub(crate) fn append_masked(self, out: &mut Vec<u8>, bytes: &[u8], position: usize) {
        let key = self.rotated(position);
        out.reserve(bytes.len());
        let rest = append_blocks::<{ 2 * BLOCK }>(out, bytes, key);
        let start = out.len();
        out.extend_from_slice(rest);
        mask(&mut out[start..], key);
    }

    /// Rotates the key so that it begins with the byte for `position`.
    fn rotated(self, position: usize) -> [u8; 4] {
        let turn = 8 * (position % 4) as u32;
        u32::from_le_bytes(self.0).rotate_right(turn).to_le_bytes()
    }
}

impl From<[u8; 4]> for MaskKey {
    fn from(key: [u8; 4]) -> Self {
        Self(key)
    }
}

/// The number of bytes that are masked in one step: enough to make the loop around them cheap.
const BLOCK: usize = 128;

#[inline]
fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let rest = if bytes.len() < BLOCK {
        bytes
    } else {
        mask_blocks::<BLOCK>(bytes, key)
    };
    let rest = mask_blocks::<16>(rest, key);
    if rest.is_empty() {
        return;
    }
    let rest = mask_blocks::<4>(rest, key);
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// Masks all whole blocks, and returns the rest. As the length of a block is known, the compiler
/// makes vector instructions of it.
#[inline(always)]
fn mask_blocks<const N: usize>(bytes: &mut [u8], key: [u8; 4]) -> &mut [u8] {
    let (blocks, rest) = bytes.split_at_mut(bytes.len() - bytes.len() % N);
    for block in blocks.chunks_exact_mut(N) {
        for word in block.chunks_exact_mut(4) {
            let masked = masked(word, key);
            word.copy_from_slice(&masked);
        }
    }
    rest
}

/// Appends all whole blocks, masked, and returns the rest.
#[inline(always)]
fn append_blocks<'a, const N: usize>(out: &mut Vec<u8>, bytes: &'a [u8], key: [u8; 4]) -> &'a [u8] {
    let blocks = bytes.chunks_exact(N);
    let rest = blocks.remainder();
    if rest.len() == bytes.len() {
        return rest;
    }
    // As the number of blocks is known too, the vector grows once.
    out.extend(blocks.flat_map(|block| {
        let mut masked = [0; N];
        masked.copy_from_slice(block);
        mask_blocks::<N>(&mut masked, key);
        masked
    }));
    rest
}

/// Masks the four bytes of `word`.
#[inline(always)]
fn masked(word: &[u8], key: [u8; 4]) -> [u8; 4] {
    let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
    (word ^ u32::from_ne_bytes(key)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x6d, 0xb6, 0x02, 0x80];

    /// Byte i of the payload is masked with byte i mod 4 of the key, wherever a piece begins and
    /// however long it is.
    #[test]
    fn masks_like_the_bytewise_definition() {
        let plain: Vec<u8> = (0..400).map(|i: usize| (i * 37) as u8).collect();
        let around = |block| block - 2..=block + 25;
        let around_a_block = around(BLOCK).chain(around(2 * BLOCK));
        for position in 0..=40 {
            for length in (0..=40).chain(around_a_block.clone()) {
                let piece = &plain[position..position + length];
                let defined: Vec<u8> = (position..position + length)
                    .map(|i| plain[i] ^ KEY[i % 4])
                    .collect();
                let mut masked = vec![7];
                MaskKey(KEY).append_masked(&mut masked, piece, position);
                assert_eq!(masked[1..], defined, "{length} at {position}");
                MaskKey(KEY).apply(&mut masked[1..], position);
                assert_eq!(&masked[1..], piece, "{length} at {position}");
            }
        }
    }

    /// Each frame gets a key of its own.
    #[test]
    fn keys_differ() {
        let keys: Vec<MaskKey> = (0..8).map(|_| MaskKey::random()).collect();
        assert!(keys.iter().any(|key| *key != keys[0]));
    }
}
