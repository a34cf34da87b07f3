//! The request line while it comes in: what cannot become one is refused at its first wrong byte.

use http::StatusCode;

use super::fields;
use super::reply::BadRequest;

/// Long enough for every method there is.
const MAX_METHOD: usize = 32;
/// RFC 9112 3: at least 8000 octets of request line are recommended.
const MAX_TARGET: usize = 8 << 10;

/// Checks the beginning of a request line, or more; what is not there yet may still come.
///
/// The verdict is that of the first wrong byte, so it is the same however the bytes are cut.
pub(super) fn check(bytes: &[u8]) -> Result<(), BadRequest> {
    let Some(bytes) = METHOD.skip(bytes)? else {
        return Ok(());
    };
    let Some(bytes) = TARGET.skip(bytes)? else {
        return Ok(());
    };
    check_version(bytes)
}

/// Describes a part of the line that ends with a space.
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

impl Part {
    /// Returns what follows the part and its space, or `None` if the part has not ended yet.
    fn skip<'a>(&self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, BadRequest> {
        let allowed = |byte: &&u8| (self.allows)(**byte);
        let length = bytes.iter().take_while(allowed).count();
        if length > self.max {
            return Err(self.too_long);
        }
        match bytes.get(length) {
            None => Ok(None),
            Some(b' ') if length > 0 => Ok(Some(&bytes[length + 1..])),
            Some(_) => Err(self.wrong),
        }
    }
}

/// RFC 9112 2.3: `HTTP/` DIGIT `.` DIGIT. RFC 9110 15.6.6: 505 is for a major version that is not
/// spoken here; 1.2 and up, which nobody ever defined, are refused with it.
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
