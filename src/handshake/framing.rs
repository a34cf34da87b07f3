//! The announcement of a request's body. A request that leaves the end of its body in doubt is
//! refused, because the bytes behind an upgrade request are taken for frames (RFC 9112, section
//! 11.2).

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Version};

use super::fields::{self, Occurrence, occurrence};
use super::reply::BadRequest;

/// Fails if the length of the body is in doubt.
pub(super) fn check(headers: &HeaderMap, version: Version) -> Result<(), BadRequest> {
    // RFC 9112 6.3: a repeated or invalid Content-Length is an unrecoverable error.
    match occurrence(headers, CONTENT_LENGTH) {
        Occurrence::Absent => {}
        Occurrence::Once(value) if content_length(value.as_bytes()).is_some() => {}
        _ => return Err(BadRequest::malformed("the Content-Length is malformed")),
    }
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    if version == Version::HTTP_10 {
        // RFC 9112 6.1: such framing is faulty.
        return Err(BadRequest::malformed("HTTP/1.0 has no Transfer-Encoding"));
    }
    if headers.contains_key(CONTENT_LENGTH) {
        // RFC 9112 6.1: both at once look like request smuggling and may be rejected.
        return Err(BadRequest::malformed(
            "there is a Transfer-Encoding and a Content-Length",
        ));
    }
    check_codings(headers)
}

/// Checks that the coding is `chunked` alone, beyond doubt: no other is implemented.
fn check_codings(headers: &HeaderMap) -> Result<(), BadRequest> {
    if let Occurrence::Once(value) = occurrence(headers, TRANSFER_ENCODING) {
        if is_chunked(value.as_bytes()) {
            return Ok(());
        }
    }
    // RFC 9112 6.3: 400 where chunked is not the last coding. 6.1: it is applied once at most.
    let codings = || fields::elements(headers, TRANSFER_ENCODING);
    let before = codings().take_while(|coding| !is_chunked(coding)).count();
    let ends_with_chunked = before > 0 && codings().count() == before + 1;
    if ends_with_chunked && codings().all(fields::is_token) {
        // RFC 9112 6.1: 501 for a coding that is not understood.
        return Err(BadRequest::new(
            StatusCode::NOT_IMPLEMENTED,
            "only chunked is understood as Transfer-Encoding",
        ));
    }
    Err(BadRequest::malformed("the Transfer-Encoding is malformed"))
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}

/// Tells whether a checked request announces a body.
pub(super) fn announces_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    headers.contains_key(TRANSFER_ENCODING)
        || length.is_some_and(|value| content_length(value.as_bytes()) != Some(0))
}

/// Reads a length. RFC 9110 8.6: one or more digits, no sign, no list.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}
