//! The request line while it comes in. It is refused at its first wrong byte.

use http::StatusCode;

use super::fields;
use super::reply::BadRequest;

/// The longest method, longer than all registered ones.
const MAX_METHOD: usize = 32;
/// The longest target. RFC 9112 3: at least 8000 octets of request line are recommended.
const MAX_TARGET: usize = 8 << 10;

/// A request line, as far as it has been checked.
#[derive(Debug, Default)]
pub(super) struct RequestLine {
    /// The number of parts that have ended.
    parts: usize,
    /// The beginning of the next part, and the position up to which that part is right.
    begin: usize,
    end: usize,
}

impl RequestLine {
    /// Checks the beginning of a request line, or more of it. The rest may still come.
    ///
    /// The verdict is that of the first wrong byte, so it does not depend on how the bytes are cut.
    pub(super) fn check(&mut self, line: &[u8]) -> Result<(), BadRequest> {
        while let Some(part) = [METHOD, TARGET].get(self.parts) {
            if !self.pass(part, line)? {
                return Ok(());
            }
        }
        check_version(&line[self.begin..])
    }

    /// Moves behind a part and its space. Returns false if the part has not ended yet.
    fn pass(&mut self, part: &Part, line: &[u8]) -> Result<bool, BadRequest> {
        let allowed = |byte: &&u8| (part.allows)(**byte);
        self.end += line[self.end..].iter().take_while(allowed).count();
        let length = self.end - self.begin;
        if length > part.max {
            return Err(part.too_long);
        }
        match line.get(self.end) {
            None => return Ok(false),
            Some(b' ') if length > 0 => {}
            Some(_) => return Err(part.wrong),
        }
        self.parts += 1;
        self.end += 1;
        self.begin = self.end;
        Ok(true)
    }
}

/// A part of the line that ends with a space.
struct Part {
    allows: fn(u8) -> bool,
    max: usize,
    wrong: BadRequest,
    too_long: BadRequest,
}

const METHOD: Part = Part {
    allows: fields::is_token_byte,
    max: MAX_METHOD,
    wrong: BadRequest::malformed("this is not an HTTP request"),
    // RFC 9112 3: 501 for a method longer than any that is implemented.
    too_long: BadRequest::new(StatusCode::NOT_IMPLEMENTED, "the method is too long"),
};

const TARGET: Part = Part {
    allows: |byte| byte.is_ascii_graphic(),
    max: MAX_TARGET,
    wrong: BadRequest::malformed("the request line is malformed"),
    too_long: BadRequest::new(StatusCode::URI_TOO_LONG, "the request target is too long"),
};

/// Checks the version. RFC 9112 2.3: `HTTP/` DIGIT `.` DIGIT. RFC 9110 15.6.6: 505 is for a major
/// version that is not supported. 1.2 and up, which were never defined, get it too.
fn check_version(bytes: &[u8]) -> Result<(), BadRequest> {
    let name = b"HTTP/";
    let length = bytes.len().min(name.len());
    if bytes[..length] != name[..length] {
        return Err(TARGET.wrong);
    }
    match &bytes[length..] {
        [] | [b'1'] | [b'1', b'.'] | [b'1', b'.', b'0' | b'1', ..] => Ok(()),
        [b'1', b'.', b'2'..=b'9', ..] | [b'0' | b'2'..=b'9', ..] => Err(BadRequest::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "only HTTP/1.1 is spoken here",
        )),
        _ => Err(TARGET.wrong),
    }
}
