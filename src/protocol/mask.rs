//! Masking (RFC 6455, section 5.3).

use crate::random::random;

/// Holds the key that a frame's payload is masked with. Masking twice unmasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaskKey([u8; 4]);

impl MaskKey {
    /// Makes a fresh key that the program cannot foresee (RFC 6455, sections 5.3 and 10.3), without
    /// a system call.
    pub(super) fn random() -> Self {
        Self(random())
    }

    pub(super) const fn as_bytes(self) -> [u8; 4] {
        self.0
    }

    /// Masks bytes in place; the first of them is the payload's byte number `position`.
    pub(crate) fn apply(self, bytes: &mut [u8], position: usize) {
        let key = self.rotated(position);
        let word = u64::from(u32::from_ne_bytes(key)) * 0x1_0000_0001;
        let mut words = bytes.chunks_exact_mut(8);
        for chunk in &mut words {
            xor(chunk, word.to_ne_bytes());
        }
        for (byte, key) in words.into_remainder().iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
    }

    /// Appends bytes masked; the first of them is the payload's byte number `position`.
    pub(crate) fn append_masked(self, out: &mut Vec<u8>, bytes: &[u8], position: usize) {
        let start = out.len();
        out.extend_from_slice(bytes);
        self.apply(&mut out[start..], position);
    }

    /// Turns the key so that it begins with the byte that is due at `position`.
    fn rotated(self, position: usize) -> [u8; 4] {
        let mut key = self.0;
        key.rotate_left(position % 4);
        key
    }
}

impl From<[u8; 4]> for MaskKey {
    fn from(key: [u8; 4]) -> Self {
        Self(key)
    }
}

/// Masks eight bytes as one word.
fn xor(chunk: &mut [u8], key: [u8; 8]) {
    let Ok(chunk) = <&mut [u8; 8]>::try_from(chunk) else {
        return;
    };
    let word = u64::from_ne_bytes(*chunk) ^ u64::from_ne_bytes(key);
    *chunk = word.to_ne_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x6d, 0xb6, 0x02, 0x80];

    /// Byte i of the payload is masked with byte i mod 4 of the key, wherever a piece begins and
    /// however long it is.
    #[test]
    fn masks_like_the_bytewise_definition() {
        let plain: Vec<u8> = (0..80).map(|i: u8| i.wrapping_mul(37)).collect();
        for position in 0..=40 {
            for length in 0..=40 {
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
