//! The grammar of Sec-WebSocket-Extensions (RFC 6455, section 9.1).

use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

use super::fields::{is_token, is_token_byte};

/// One extension of a list, with its parameters in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
}

/// A parameter of an extension.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// Reads the list of extensions, over all its lines. What is malformed is `None` in its place.
pub(super) fn extensions(headers: &HeaderMap) -> impl Iterator<Item = Option<Extension>> {
    let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
    lines
        .flat_map(|line| split(line.as_bytes(), b','))
        .map(<[u8]>::trim_ascii)
        // RFC 9110 5.6.1.2: empty elements are ignored.
        .filter(|element| !element.is_empty())
        .map(parse)
}

/// Parses `name; parameter; parameter=value`.
fn parse(element: &[u8]) -> Option<Extension> {
    let mut parts = split(element, b';').into_iter().map(<[u8]>::trim_ascii);
    let name = token(parts.next()?)?;
    let parameters = parts.map(parameter).collect::<Option<_>>()?;
    Some(Extension { name, parameters })
}

fn parameter(part: &[u8]) -> Option<Parameter> {
    let mut sides = part.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
    let name = token(sides.next()?)?;
    let value = match sides.next() {
        Some(value) => Some(self::value(value)?),
        None => None,
    };
    Some(Parameter { name, value })
}

/// RFC 6455 9.1: what stands in quotes must be a token as well, once it is unescaped.
fn value(text: &[u8]) -> Option<String> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        return token(text);
    };
    let mut bytes = quoted.strip_suffix(b"\"")?.iter();
    let mut unescaped = Vec::new();
    while let Some(byte) = bytes.next() {
        let byte = if *byte == b'\\' { bytes.next()? } else { byte };
        if !is_token_byte(*byte) {
            return None;
        }
        unescaped.push(*byte);
    }
    token(&unescaped)
}

fn token(text: &[u8]) -> Option<String> {
    is_token(text).then(|| String::from_utf8_lossy(text).into_owned())
}

/// Splits at each separator that stands outside of quotes.
fn split(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte if *byte == separator && !quoted => {
                pieces.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[start..]);
    pieces
}
