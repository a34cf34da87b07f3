//! Checking text while it comes (RFC 6455, section 8.1).

use super::Violation;

const NOT_UTF8: Violation = Violation::utf8("text is not UTF-8");

/// Knows how far a text that is still growing has been found valid.
#[derive(Debug, Default)]
pub(super) struct Utf8Progress {
    valid: usize,
}

impl Utf8Progress {
    /// Checks what was appended to `text` since the last call.
    ///
    /// # Errors
    /// 1007 as soon as `text` holds a byte that cannot be right. A character that only lacks its
    /// end is no error yet.
    pub(super) fn advance(&mut self, text: &[u8]) -> Result<(), Violation> {
        match std::str::from_utf8(&text[self.valid..]) {
            Ok(_) => self.valid = text.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(NOT_UTF8),
        }
        Ok(())
    }
}

/// Makes a whole message's text, with one check.
///
/// # Errors
/// 1007 if the bytes are not UTF-8.
pub(super) fn text(bytes: impl Into<bytes::Bytes>) -> Result<crate::Text, Violation> {
    crate::Text::from_utf8(bytes).ok_or(NOT_UTF8)
}
