//! Checking text while it comes (RFC 6455, section 8.1).

use super::Violation;

const NOT_UTF8: Violation = Violation::data("text is not UTF-8");

/// The progress of checking a text that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Utf8Progress {
    /// The bytes that have come of the character that the last piece ended in.
    begun: [u8; 4],
    length: usize,
}

impl Utf8Progress {
    /// Judges the next piece.
    ///
    /// # Errors
    /// 1007 as soon as the text holds a wrong byte. A character whose end has not come is not an
    /// error yet.
    pub(super) fn advance(&mut self, piece: &[u8]) -> Result<(), Violation> {
        let rest = self.complete_character(piece)?;
        let (whole, begun) = rest.split_at(rest.len() - begun_at_end(rest));
        check(whole)?;
        // The begun character is short, and may be wrong already.
        if std::str::from_utf8(begun).is_err_and(|error| error.error_len().is_some()) {
            return Err(NOT_UTF8);
        }
        begun.iter().for_each(|byte| self.push(*byte));
        Ok(())
    }

    /// Judges the text's end.
    ///
    /// # Errors
    /// 1007 if its last character is incomplete.
    pub(super) fn finish(&self) -> Result<(), Violation> {
        if self.length > 0 {
            return Err(NOT_UTF8);
        }
        Ok(())
    }

    /// Takes the bytes that belong to the begun character, and returns the rest.
    fn complete_character<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], Violation> {
        let mut taken = 0;
        while self.length > 0 && taken < piece.len() {
            self.push(piece[taken]);
            taken += 1;
            match std::str::from_utf8(&self.begun[..self.length]) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return Err(NOT_UTF8),
                Err(_) => {}
            }
        }
        Ok(&piece[taken..])
    }

    fn push(&mut self, byte: u8) {
        self.begun[self.length] = byte;
        self.length += 1;
    }
}

/// Returns how many bytes at the end belong to a character that is not complete.
fn begun_at_end(bytes: &[u8]) -> usize {
    let lacks_more = |(at, byte): (usize, &u8)| match byte {
        0xC0..=0xDF => Some((at, at + 1 < 2)),
        0xE0..=0xEF => Some((at, at + 1 < 3)),
        0xF0..=0xFF => Some((at, at + 1 < 4)),
        _ => None,
    };
    let last = bytes.iter().rev().enumerate().take(3).find_map(lacks_more);
    last.map_or(0, |(at, lacks)| if lacks { at + 1 } else { 0 })
}

/// Checks a whole message's text.
///
/// # Errors
/// 1007 if the bytes are not UTF-8.
pub(super) fn check(bytes: &[u8]) -> Result<&str, Violation> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| NOT_UTF8)
}

/// Checks a whole message's text likewise, and takes it as it is.
pub(super) fn text(bytes: impl Into<bytes::Bytes>) -> Result<crate::Text, Violation> {
    crate::Text::from_utf8(bytes).ok_or(NOT_UTF8)
}
