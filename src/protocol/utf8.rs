//! Checking text while it comes (RFC 6455, section 8.1).

use super::Violation;

const NOT_UTF8: Violation = Violation::utf8("text is not UTF-8");

/// Judges a text that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Utf8Progress {
    /// The character that the last piece ended in, as far as it has come.
    begun: [u8; 4],
    length: usize,
}

impl Utf8Progress {
    /// Judges the next piece.
    ///
    /// # Errors
    /// 1007 as soon as the text holds a byte that cannot be right. A character that only lacks its
    /// end is no error yet.
    pub(super) fn advance(&mut self, piece: &[u8]) -> Result<(), Violation> {
        let rest = self.complete_character(piece)?;
        let Err(error) = simdutf8::compat::from_utf8(rest) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(NOT_UTF8);
        }
        for byte in &rest[error.valid_up_to()..] {
            self.push(*byte);
        }
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

    /// Takes what belongs to the character that has begun, and returns the rest.
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
