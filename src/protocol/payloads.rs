//! The memory of payloads that come whole: [`Payloads`].

use std::mem;

use bytes::{Bytes, BytesMut};
use bytes_utils::StrMut;

use super::Violation;
use crate::Text;

/// The capacity of a block, in bytes. A small message that the program keeps prevents at most this
/// much from being freed.
pub(super) const BLOCK: usize = 4 << 10;

/// The longest payload that shares a block with others, in bytes.
pub(super) const SHARED: usize = 2 << 10;

/// Copies of payloads from the read buffer, so that the program never holds the buffer itself.
///
/// Small payloads that have come together share a block: an allocation for each would cost more
/// than everything else.
#[derive(Debug, Default)]
pub(super) struct Payloads {
    texts: StrMut,
    binaries: BytesMut,
}

impl Payloads {
    /// Copies a text. `behind` bytes that have come follow it.
    ///
    /// # Errors
    /// 1009 if there is no memory.
    #[inline]
    pub(super) fn copy_text(&mut self, text: &str, behind: usize) -> Result<Text, Violation> {
        if self.texts.inner().capacity() < text.len() {
            if !shares(text.len(), behind) {
                return copy_alone(text);
            }
            let used_up = mem::take(&mut self.texts).into_inner();
            let block = renew(used_up, text.len(), behind)?;
            // The block is empty, and thus UTF-8.
            self.texts = StrMut::from_inner(block).unwrap_or_default();
        }
        self.texts.push_str(text);
        Ok(Text::from(self.texts.split_built().freeze()))
    }

    /// Copies bytes, likewise.
    ///
    /// # Errors
    /// 1009 if there is no memory.
    #[inline]
    pub(super) fn copy_binary(&mut self, bytes: &[u8], behind: usize) -> Result<Bytes, Violation> {
        if self.binaries.capacity() < bytes.len() {
            if !shares(bytes.len(), behind) {
                return to_vec(bytes).map(Bytes::from);
            }
            self.binaries = renew(mem::take(&mut self.binaries), bytes.len(), behind)?;
        }
        self.binaries.extend_from_slice(bytes);
        Ok(self.binaries.split().freeze())
    }

    /// Gives up the blocks. The messages in them keep their memory.
    pub(super) fn clear(&mut self) {
        if self.texts.inner().capacity() > 0 || self.binaries.capacity() > 0 {
            *self = Self::default();
        }
    }
}

/// Tells whether a payload that does not fit the block begins another block.
fn shares(length: usize, behind: usize) -> bool {
    length <= SHARED && behind > 0
}

/// Returns a block with room for a payload: the used one, if no message is in it any more.
#[inline(never)]
fn renew(mut used_up: BytesMut, length: usize, behind: usize) -> Result<BytesMut, Violation> {
    if used_up.try_reclaim(length) {
        return Ok(used_up);
    }
    let mut block = Vec::new();
    let reserved = block.try_reserve_exact(BLOCK.min(length + behind));
    reserved.map_err(|_| Violation::NO_MEMORY)?;
    Ok(BytesMut::from(Bytes::from(block)))
}

#[inline(never)]
fn copy_alone(text: &str) -> Result<Text, Violation> {
    let mut copy = String::new();
    let reserved = copy.try_reserve_exact(text.len());
    reserved.map_err(|_| Violation::NO_MEMORY)?;
    copy.push_str(text);
    Ok(Text::from(copy))
}

/// Copies bytes to memory of their own.
///
/// # Errors
/// 1009 if there is no memory.
pub(super) fn to_vec(bytes: &[u8]) -> Result<Vec<u8>, Violation> {
    let mut copy = Vec::new();
    let reserved = copy.try_reserve_exact(bytes.len());
    reserved.map_err(|_| Violation::NO_MEMORY)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Payloads that come together share blocks of at most 4 KiB, and one that comes alone has its own
    /// memory; what is in use is not written over.
    #[test]
    fn small_payloads_share_small_blocks() {
        for length in [
            1,
            32,
            1000,
            SHARED - 1,
            SHARED,
            SHARED + 1,
            BLOCK,
            3 * BLOCK,
        ] {
            let mut payloads = Payloads::default();
            let text = "x".repeat(length);
            let mut kept = Vec::new();
            for behind in (0..20).rev().map(|count| count * length) {
                kept.push((
                    payloads.copy_text(&text, behind).unwrap(),
                    payloads.copy_binary(text.as_bytes(), behind).unwrap(),
                ));
                assert!(payloads.texts.inner().capacity() + length <= BLOCK.max(length));
                assert!(payloads.binaries.capacity() + length <= BLOCK.max(length));
            }
            for (copied, bytes) in &kept {
                assert_eq!(copied, &text[..]);
                assert_eq!(bytes, text.as_bytes());
            }
            let mut alone = Payloads::default();
            assert_eq!(alone.copy_text(&text, 0).unwrap(), text[..]);
            assert_eq!(alone.texts.inner().capacity(), 0);
        }
    }

    /// A block in which no message is any more is used again.
    #[test]
    fn blocks_are_used_again() {
        let mut payloads = Payloads::default();
        let mut copy = || payloads.copy_binary(&[7; SHARED], 100 * SHARED).unwrap();
        let first = copy().as_ptr();
        copy();
        assert_eq!(copy().as_ptr(), first);
    }
}
