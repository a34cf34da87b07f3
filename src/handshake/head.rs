//! The head of a request or a response, read from bytes as they come in.
//!
//! Both functions are called again with the same bytes and more until they give a verdict. Before
//! the head is whole they only look at its first line and for its end; so byte by byte costs
//! little, and the verdict does not depend on how the bytes were cut.

use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};

use super::reply::BadRequest;
use super::target::Target;
use super::{framing, request_line};
use crate::Error;

/// How large a head may be.
struct Limits {
    /// Blank lines before it and the one after it included.
    bytes: usize,
    /// Header lines.
    lines: usize,
}

const OF_REQUESTS: Limits = Limits {
    bytes: 16 << 10,
    lines: 100,
};
/// A client asks one server, which it trusts with more than a server trusts everybody: proxies and
/// sign-on gateways add many fields to a 101.
const OF_RESPONSES: Limits = Limits {
    bytes: 32 << 10,
    lines: 128,
};
/// How many interim responses may precede the one that counts.
const MAX_INTERIM: usize = 8;

/// Reads the head of a request and returns it with its length; `None` until it is whole.
///
/// Its URI is path and query as they came, or `*` for OPTIONS; the Host header is checked and, for a
/// target in absolute-form, replaced by the target's authority. Of a body it says only how it is
/// announced. Any method is fine but CONNECT.
///
/// # Errors
/// Returns what is wrong with it as soon as that is certain.
pub(crate) fn parse_request(bytes: &[u8]) -> Result<Option<(Box<Request<()>>, usize)>, BadRequest> {
    let bytes = OF_REQUESTS.cut(bytes);
    // RFC 9112 2.2: empty lines before the request line are ignored.
    let start = blank_lines(bytes);
    if bytes.first().is_some_and(|first| is_tls_record(*first)) {
        return Err(BadRequest::malformed(
            "this is TLS, which is not spoken on this port",
        ));
    }
    let request = read_request_at(bytes, start);
    // RFC 9110 9.3.2: a refusal of HEAD has no content either.
    let is_head = bytes[start..].starts_with(b"HEAD ");
    request.map_err(|bad| {
        if is_head {
            bad.answering(&Method::HEAD)
        } else {
            bad
        }
    })
}

fn read_request_at(
    bytes: &[u8],
    start: usize,
) -> Result<Option<(Box<Request<()>>, usize)>, BadRequest> {
    request_line::check(&bytes[start..])?;
    match end_of_head(bytes, start, &OF_REQUESTS) {
        End::At(end) => Ok(Some((read_request(&bytes[start..end])?, end))),
        End::NotYet => Ok(None),
        End::TooFar => Err(TOO_LARGE),
    }
}

/// Reads the head of a response and returns it with its length; `None` until it is whole. Interim
/// responses before it are skipped and count as part of it.
///
/// # Errors
/// Returns [`Error::Handshake`] as soon as it is certain that this is no HTTP/1 response, or one
/// with too large a head.
pub(crate) fn parse_response(bytes: &[u8]) -> Result<Option<(Response<()>, usize)>, Error> {
    let bytes = OF_RESPONSES.cut(bytes);
    let mut start = 0;
    for _ in 0..=MAX_INTERIM {
        check_status_line(&bytes[start..])?;
        let end = match end_of_head(bytes, start, &OF_RESPONSES) {
            End::At(end) => end,
            End::NotYet => return Ok(None),
            End::TooFar => return Err(handshake("the head of the response is too large")),
        };
        let response = read_response(&bytes[start..end])?;
        if !is_interim(response.status()) {
            return Ok(Some((response, end)));
        }
        start = end;
    }
    Err(handshake("there are too many interim responses"))
}

/// Tells whether a first byte is that of a TLS record (RFC 8446, section 5.1).
pub(crate) fn is_tls_record(first: u8) -> bool {
    matches!(first, 20..=23)
}

const TOO_LARGE: BadRequest = BadRequest::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the head of the request is too large",
);

fn handshake(what: &str) -> Error {
    Error::Handshake(what.to_owned())
}

/// RFC 9110 15.2: a client MUST be able to skip interim responses; 101 ends the HTTP, so is final.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

impl Limits {
    /// Cuts off what cannot belong to a head: a verdict must not depend on how much came at once.
    fn cut<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[..bytes.len().min(self.bytes)]
    }

    /// Makes room for the header lines of a head: on the heap, because a thread's stack keeps what it
    /// has once grown to, for as long as the connection lives.
    fn header_slots<'a>(&self, head: &[u8]) -> Vec<httparse::Header<'a>> {
        let lines = head.iter().filter(|byte| **byte == b'\n').count();
        vec![httparse::EMPTY_HEADER; lines.min(self.lines)]
    }
}

/// Returns the length of the blank lines that the bytes begin with.
fn blank_lines(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        match &bytes[length..] {
            [b'\n', ..] => length += 1,
            [b'\r', b'\n', ..] => length += 2,
            // Half a blank line: the rest may still come.
            [b'\r'] => return length + 1,
            _ => return length,
        }
    }
}

/// Tells where a head ends.
enum End {
    At(usize),
    NotYet,
    TooFar,
}

/// Looks for the blank line that ends the head which begins at `start`.
///
/// RFC 9112 2.2: lines end with CRLF; a lone LF may be taken for it, and httparse does.
fn end_of_head(bytes: &[u8], start: usize, limits: &Limits) -> End {
    let mut line = start;
    while let Some(length) = position_of_lf(&bytes[line..]) {
        let next = line + length + 1;
        if matches!(&bytes[line..next], b"\n" | b"\r\n") {
            return End::At(next);
        }
        line = next;
    }
    if bytes.len() < limits.bytes {
        End::NotYet
    } else {
        End::TooFar
    }
}

fn position_of_lf(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

fn read_request(head: &[u8]) -> Result<Box<Request<()>>, BadRequest> {
    let mut slots = OF_REQUESTS.header_slots(head);
    let mut parsed = httparse::Request::new(&mut slots);
    parsed.parse(head).map_err(bad_head)?;
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(MALFORMED);
    };
    let method = read_method(method)?;
    let target = Target::read(&method, target)?;
    let mut request = Box::new(Request::new(()));
    *request.method_mut() = method;
    *request.uri_mut() = target.uri()?;
    *request.version_mut() = version(minor);
    let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes);
    *request.headers_mut() = header_map(parsed.headers, value).ok_or(MALFORMED)?;
    target.settle_host(request.headers_mut(), version(minor))?;
    framing::check(request.headers(), version(minor))?;
    Ok(request)
}

fn read_method(method: &str) -> Result<Method, BadRequest> {
    match Method::from_bytes(method.as_bytes()) {
        // RFC 9110 9.3.6: it is for proxies. 15.6.2: 501 for what is implemented nowhere here.
        Ok(Method::CONNECT) => Err(BadRequest::new(
            StatusCode::NOT_IMPLEMENTED,
            "this is not a proxy",
        )),
        Ok(method) => Ok(method),
        Err(_) => Err(MALFORMED),
    }
}

const MALFORMED: BadRequest = BadRequest::malformed("the head of the request is malformed");

fn bad_head(error: httparse::Error) -> BadRequest {
    match error {
        httparse::Error::TooManyHeaders => TOO_LARGE,
        // RFC 9112 5.1 and 5.2: white space before the colon and folded lines are refused; 9110
        // 5.5: so are NUL, CR and other control characters in values.
        httparse::Error::HeaderName => BadRequest::malformed("a header name is malformed"),
        httparse::Error::HeaderValue => BadRequest::malformed("a header value is malformed"),
        _ => MALFORMED,
    }
}

/// Refuses at its first wrong byte what cannot become the status line of an HTTP/1 response.
fn check_status_line(bytes: &[u8]) -> Result<(), Error> {
    let name = b"HTTP/1.";
    let length = bytes.len().min(name.len());
    if bytes[..length] == name[..length] {
        return Ok(());
    }
    // The content types of TLS records (RFC 8446, section 5.1): alert and handshake.
    Err(match bytes {
        [first, ..] if is_tls_record(*first) => {
            handshake("the server speaks TLS on this port, wss:// was probably meant")
        }
        _ => handshake("the server does not speak HTTP/1.1 here"),
    })
}

fn read_response(head: &[u8]) -> Result<Response<()>, Error> {
    let mut slots = OF_RESPONSES.header_slots(head);
    let mut parsed = httparse::Response::new(&mut slots);
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let outcome = config.parse_response(&mut parsed, head);
    outcome.map_err(|error| Error::Handshake(format!("the response is malformed: {error}")))?;
    let malformed = || handshake("the head of the response is malformed");
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(malformed());
    };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(code).map_err(|_| malformed())?;
    *response.version_mut() = version(minor);
    *response.headers_mut() = header_map(parsed.headers, unfolded).ok_or_else(malformed)?;
    Ok(response)
}

fn version(minor: u8) -> Version {
    if minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    }
}

/// RFC 9112 5.2: a user agent MUST replace each fold of a response's field with spaces.
fn unfolded(value: &[u8]) -> Result<HeaderValue, InvalidHeaderValue> {
    if !value.contains(&b'\n') {
        return HeaderValue::from_bytes(value);
    }
    let space = |byte: &u8| if b"\r\n".contains(byte) { b' ' } else { *byte };
    let line: Vec<u8> = value.iter().map(space).collect();
    HeaderValue::from_bytes(line.trim_ascii())
}

fn header_map(
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
