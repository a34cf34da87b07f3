//! The head of a response: [`ResponseHead`].

use http::header::InvalidHeaderValue;
use http::{HeaderValue, Response, StatusCode};

use super::client::bad_handshake;
use super::head::{End, EndSearch, Limits, header_map, is_tls_record, version};
use crate::Error;

/// The limits to a response's head. They are larger than for requests: a client asks one server
/// that it chose, and sign-on gateways add many fields to a 101.
const OF_RESPONSES: Limits = Limits {
    bytes: 32 << 10,
    lines: 128,
};
/// The most interim responses before the final one.
const MAX_INTERIM: usize = 8;

/// The head of a response while it comes in, behind those of interim responses.
#[derive(Debug, Default)]
pub(crate) struct ResponseHead {
    interim: usize,
    /// The beginning of the head.
    start: usize,
    end: EndSearch,
}

impl ResponseHead {
    /// Reads the head, and returns it with its length; `None` until it is whole. Interim responses
    /// before it are skipped and count as part of it. To be called with the same bytes and more
    /// until there is a verdict.
    ///
    /// # Errors
    /// Returns [`Error::Handshake`] as soon as it is certain that this is no HTTP/1 response, or
    /// one with too large a head.
    pub(crate) fn parse(&mut self, bytes: &[u8]) -> Result<Option<(Response<()>, usize)>, Error> {
        let bytes = OF_RESPONSES.cut(bytes);
        while self.interim <= MAX_INTERIM {
            check_status_line(&bytes[self.start..])?;
            let end = match self.end.go_on(bytes, self.start, &OF_RESPONSES) {
                End::At(end) => end,
                End::NotYet => return Ok(None),
                End::TooFar => return bad_handshake("the head of the response is too large"),
            };
            let response = read_response(&bytes[self.start..end])?;
            if !is_interim(response.status()) {
                return Ok(Some((response, end)));
            }
            self.start = end;
            self.interim += 1;
        }
        bad_handshake("there are too many interim responses")
    }
}

/// Tells whether a response is interim. RFC 9110 15.2: a client MUST be able to skip interim
/// responses. A 101 ends the HTTP, so it is final.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Fails at the first byte that cannot belong to the status line of an HTTP/1 response.
fn check_status_line(bytes: &[u8]) -> Result<(), Error> {
    let name = b"HTTP/1.";
    let length = bytes.len().min(name.len());
    if bytes[..length] == name[..length] {
        return Ok(());
    }
    // The content types of TLS records (RFC 8446, section 5.1): alert and handshake.
    bad_handshake(match bytes {
        [first, ..] if is_tls_record(*first) => {
            "the server speaks TLS on this port, wss:// was probably meant"
        }
        _ => "the server does not speak HTTP/1.1 here",
    })
}

fn read_response(head: &[u8]) -> Result<Response<()>, Error> {
    let mut slots = OF_RESPONSES.header_slots(head);
    let mut parsed = httparse::Response::new(&mut slots);
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let outcome = config.parse_response(&mut parsed, head);
    outcome.map_err(|error| Error::Handshake(format!("the response is malformed: {error}")))?;
    let malformed = || Error::Handshake("the head of the response is malformed".to_owned());
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(malformed());
    };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(code).map_err(|_| malformed())?;
    *response.version_mut() = version(minor);
    *response.headers_mut() = header_map(parsed.headers, unfolded).ok_or_else(malformed)?;
    Ok(response)
}

/// Unfolds a value. RFC 9112 5.2: a user agent MUST replace each fold of a response's field with
/// spaces.
fn unfolded(value: &[u8]) -> Result<HeaderValue, InvalidHeaderValue> {
    if !value.contains(&b'\n') {
        return HeaderValue::from_bytes(value);
    }
    let space = |byte: &u8| if b"\r\n".contains(byte) { b' ' } else { *byte };
    let line: Vec<u8> = value.iter().map(space).collect();
    HeaderValue::from_bytes(line.trim_ascii())
}
