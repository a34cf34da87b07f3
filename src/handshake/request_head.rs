//! The head of a request: [`RequestHead`].

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};

use super::framing;
use super::head::{End, EndSearch, Limits, header_map, is_tls_record, version};
use super::reply::BadRequest;
use super::request_line::RequestLine;
use super::target::Target;

const OF_REQUESTS: Limits = Limits {
    bytes: 16 << 10,
    lines: 100,
};

/// The head of a request while it comes in.
#[derive(Debug, Default)]
pub(crate) struct RequestHead {
    /// The length of the blank lines before it.
    start: usize,
    line: RequestLine,
    end: EndSearch,
}

impl RequestHead {
    /// Reads the head, and returns it with its length; `None` until it is whole. To be called with
    /// the same bytes and more until there is a verdict.
    ///
    /// Its URI is path and query as they came, or `*` for OPTIONS. The Host header is checked and,
    /// for a target in absolute-form, replaced by the target's authority. A body is announced only.
    /// Any method is allowed except CONNECT.
    ///
    /// # Errors
    /// Returns the reason of a refusal as soon as it is certain.
    pub(crate) fn parse(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<(Box<Request<()>>, usize)>, BadRequest> {
        let bytes = OF_REQUESTS.cut(bytes);
        if bytes.first().is_some_and(|first| is_tls_record(*first)) {
            return Err(BadRequest::malformed(
                "this is TLS, which is not spoken on this port",
            ));
        }
        self.skip_blank_lines(bytes);
        let request = self.parse_behind(bytes);
        // RFC 9110 9.3.2: a refusal of HEAD has no content either.
        let is_head = bytes[self.start..].starts_with(b"HEAD ");
        request.map_err(|bad| {
            if is_head {
                bad.answering(&Method::HEAD)
            } else {
                bad
            }
        })
    }

    /// Skips blank lines. RFC 9112 2.2: empty lines before the request line are ignored.
    fn skip_blank_lines(&mut self, bytes: &[u8]) {
        loop {
            self.start += match &bytes[self.start..] {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return,
            };
        }
    }

    fn parse_behind(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<(Box<Request<()>>, usize)>, BadRequest> {
        let line = match &bytes[self.start..] {
            // Half a blank line: the rest may still come.
            b"\r" => b"",
            line => line,
        };
        self.line.check(line)?;
        match self.end.go_on(bytes, self.start, &OF_REQUESTS) {
            End::At(end) => Ok(Some((read_request(&bytes[self.start..end])?, end))),
            End::NotYet => Ok(None),
            End::TooFar => Err(TOO_LARGE),
        }
    }
}

const TOO_LARGE: BadRequest = BadRequest::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the head of the request is too large",
);

fn read_request(head: &[u8]) -> Result<Box<Request<()>>, BadRequest> {
    // The values of all fields share one copy.
    let head = Bytes::copy_from_slice(head);
    let mut slots = OF_REQUESTS.header_slots(&head);
    let mut parsed = httparse::Request::new(&mut slots);
    parsed.parse(&head).map_err(bad_head)?;
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
    let value = |bytes: &[u8]| HeaderValue::from_maybe_shared(head.slice_ref(bytes));
    *request.headers_mut() = header_map(parsed.headers, value).ok_or(MALFORMED)?;
    target.settle_host(request.headers_mut(), version(minor))?;
    framing::check(request.headers(), version(minor))?;
    Ok(request)
}

fn read_method(method: &str) -> Result<Method, BadRequest> {
    match Method::from_bytes(method.as_bytes()) {
        // RFC 9110 9.3.6: CONNECT is for proxies. 15.6.2: 501 for a method that is implemented
        // nowhere here.
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
