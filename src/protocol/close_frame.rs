//! The payload of Close frames (RFC 6455, sections 5.5.1 and 7.4).

use super::Violation;
use crate::CloseCode;
use crate::record::Foreign;

/// The longest reason: a control frame's payload less the code (RFC 6455, section 5.5).
pub(crate) const MAX_REASON: usize = 123;

/// The code and the reason of a Close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloseFrame {
    pub(crate) code: CloseCode,
    /// At most 123 bytes.
    pub(crate) reason: String,
}

impl CloseFrame {
    /// Makes a frame with a reason of our own, cut off at the end of the last character that fits.
    pub(crate) fn cut_to_fit(code: CloseCode, reason: &str) -> Self {
        let end = (0..=reason.len().min(MAX_REASON)).rfind(|at| reason.is_char_boundary(*at));
        let reason = reason[..end.unwrap_or(0)].to_owned();
        Self { code, reason }
    }

    /// Returns the payload: the code, then the reason.
    pub(crate) fn to_payload(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(2 + self.reason.len());
        payload.extend_from_slice(&self.code.as_u16().to_be_bytes());
        payload.extend_from_slice(self.reason.as_bytes());
        payload
    }

    /// Reads a payload. An empty one carries no code.
    ///
    /// # Errors
    /// 1002 for half a code or one that may not be sent, 1007 for a reason that is not UTF-8.
    pub(super) fn parse(payload: Vec<u8>) -> Result<Option<Self>, Violation> {
        let (code, reason) = match *payload.as_slice() {
            [] => return Ok(None),
            // RFC 6455 5.5.1: the first two bytes MUST be the code.
            [_] => return Err(Violation::protocol("half a close code")),
            [high, low, ref reason @ ..] => (u16::from_be_bytes([high, low]), reason),
        };
        let code = CloseCode::from(code);
        if !code.is_sendable() {
            return Err(unsendable(code, reason));
        }
        let reason = std::str::from_utf8(reason)
            .map_err(|_| Violation::data("the close reason is not UTF-8"))?
            .to_owned();
        Ok(Some(Self { code, reason }))
    }
}

/// Makes the violation of a Close with a code that may not be sent, with the code and the reason.
fn unsendable(code: CloseCode, reason: &[u8]) -> Violation {
    let mut what = format!("a close code that may not be sent: {code}");
    if !reason.is_empty() {
        let reason = String::from_utf8_lossy(reason);
        what += &format!(", with the reason {:?}", Foreign(reason));
    }
    Violation {
        code: CloseCode::PROTOCOL_ERROR,
        what: what.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reason is cut between characters, at 123 bytes at most, and not at all if it fits.
    #[test]
    fn reasons_are_cut_between_characters() {
        for (text, length) in [
            (String::new(), 0),
            ("a".repeat(123), 123),
            ("a".repeat(124), 123),
            ("ä".repeat(100), 122),
            (format!("a{}", "ä".repeat(100)), 123),
            ("😀".repeat(100), 120),
        ] {
            let frame = CloseFrame::cut_to_fit(CloseCode::TOO_BIG, &text);
            assert_eq!(frame.reason, text[..length]);
        }
    }

    /// Every code that may be sent comes back as it went; every other one is 1002.
    #[test]
    fn codes_come_back_as_they_went() {
        for code in (0..=u16::MAX).map(CloseCode::from) {
            let frame = CloseFrame::cut_to_fit(code, "bye");
            let parsed = CloseFrame::parse(frame.to_payload());
            if code.is_sendable() {
                assert_eq!(parsed, Ok(Some(frame)));
            } else {
                assert_eq!(parsed.unwrap_err().code, CloseCode::PROTOCOL_ERROR);
            }
        }
    }
}
