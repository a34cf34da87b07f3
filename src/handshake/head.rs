//! The common parts of request heads and response heads. Both are read from bytes as they come in:
//! a reader is called again with the same bytes and more until it gives a verdict. The verdict does
//! not depend on how the bytes were cut. The reader looks at each byte once until the head is
//! whole.

use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

/// The limits to a head.
pub(super) struct Limits {
    /// The most bytes, with the blank lines before the head and the one after it.
    pub(super) bytes: usize,
    /// The most header lines.
    pub(super) lines: usize,
}

impl Limits {
    /// Returns the bytes that can belong to a head, so that the verdict does not depend on how much
    /// came at once.
    pub(super) fn cut<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[..bytes.len().min(self.bytes)]
    }

    /// Makes room for the header lines of a head. It is on the heap, because a thread's stack never
    /// shrinks while the connection lives.
    pub(super) fn header_slots<'a>(&self, head: &[u8]) -> Vec<httparse::Header<'a>> {
        let lines = head.iter().filter(|byte| **byte == b'\n').count();
        vec![httparse::EMPTY_HEADER; lines.min(self.lines)]
    }
}

/// The search for the blank line that ends a head.
#[derive(Debug, Default)]
pub(super) struct EndSearch {
    /// The beginning of the last line.
    line: usize,
    /// The position up to which no other line ends.
    seen: usize,
}

/// The end of a head.
pub(super) enum End {
    At(usize),
    NotYet,
    TooFar,
}

impl EndSearch {
    /// Continues the search for the end of the head that begins at `start`.
    ///
    /// RFC 9112 2.2: lines end with CRLF. A lone LF may be taken for it, as httparse does.
    pub(super) fn go_on(&mut self, bytes: &[u8], start: usize, limits: &Limits) -> End {
        self.line = self.line.max(start);
        self.seen = self.seen.max(start);
        while let Some(length) = position_of_lf(&bytes[self.seen..]) {
            let next = self.seen + length + 1;
            let is_blank = matches!(&bytes[self.line..next], b"\n" | b"\r\n");
            (self.line, self.seen) = (next, next);
            if is_blank {
                return End::At(next);
            }
        }
        self.seen = bytes.len();
        if bytes.len() < limits.bytes {
            End::NotYet
        } else {
            End::TooFar
        }
    }
}

fn position_of_lf(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// Tells whether a first byte is that of a TLS record (RFC 8446, section 5.1).
pub(crate) fn is_tls_record(first: u8) -> bool {
    matches!(first, 20..=23)
}

pub(super) fn version(minor: u8) -> Version {
    if minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    }
}

/// Makes the map of header lines. `value` makes a value from the bytes of a line.
pub(super) fn header_map(
    parsed: &[httparse::Header<'_>],
    value: impl Fn(&[u8]) -> Result<HeaderValue, InvalidHeaderValue>,
) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        headers.append(name, value(header.value).ok()?);
    }
    Some(headers)
}
