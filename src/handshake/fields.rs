//! Header fields: the lists and tokens in them, and how a field is written.

use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::Error;

/// Returns the elements of a list that may be spread over several header lines.
///
/// RFC 9110 5.3: lines of one name are one list. RFC 9110 5.6.1.2: empty elements are ignored.
pub(super) fn elements(
    headers: &HeaderMap,
    name: impl AsHeaderName,
) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Tells whether a list contains the token, regardless of case.
pub(super) fn has_token(headers: &HeaderMap, name: impl AsHeaderName, token: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// Tells whether the text is a token (RFC 9110, section 5.6.2).
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

/// Tells whether the byte may stand in a token (RFC 9110, section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The number of times that a field occurs, with its value if it occurs once.
pub(super) enum Occurrence<'a> {
    Absent,
    Once(&'a HeaderValue),
    Repeated,
}

/// Finds a field that may occur once at most.
pub(super) fn occurrence(headers: &HeaderMap, name: impl AsHeaderName) -> Occurrence<'_> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Occurrence::Absent,
        (Some(value), None) => Occurrence::Once(value),
        (Some(_), Some(_)) => Occurrence::Repeated,
    }
}

/// Writes one field line.
pub(super) fn write(out: &mut Vec<u8>, name: &str, value: impl AsRef<[u8]>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_ref());
    out.extend_from_slice(b"\r\n");
}

/// Writes a field whose name is in lower case.
pub(super) fn write_named(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    write(out, &capitals(name.as_str()), value);
}

/// Returns a field's name in its usual capitals. RFC 9110 5.1: case does not matter, but many
/// devices compare names exactly.
fn capitals(name: &str) -> String {
    const UNUSUAL: [(&str, &str); 4] = [
        ("dnt", "DNT"),
        ("etag", "ETag"),
        ("te", "TE"),
        ("www-authenticate", "WWW-Authenticate"),
    ];
    if let Some((_, usual)) = UNUSUAL.iter().find(|(lower, _)| *lower == name) {
        return (*usual).to_owned();
    }
    if let Some(rest) = name.strip_prefix("sec-websocket-") {
        return format!("Sec-WebSocket-{}", capitals(rest));
    }
    let mut begins = true;
    let capital = |char: char| {
        let begun = std::mem::replace(&mut begins, char == '-');
        if begun {
            char.to_ascii_uppercase()
        } else {
            char
        }
    };
    name.chars().map(capital).collect()
}

/// Fails if a program's headers contain one of these.
pub(super) fn check_without(headers: &HeaderMap, owned: &[HeaderName]) -> Result<(), Error> {
    match owned.iter().find(|name| headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(Error::Invalid(format!(
            "the header {name} is for the handshake to set"
        ))),
    }
}
