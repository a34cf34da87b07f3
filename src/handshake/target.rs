//! The target of a request, and its Host.

use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::fields::{Occurrence, occurrence};
use super::reply::BadRequest;

/// The parts of a request-target.
pub(super) struct Target<'a> {
    authority: Option<&'a str>,
    path_and_query: String,
}

impl<'a> Target<'a> {
    /// Reads a target: origin-form, or absolute-form, which servers MUST accept (RFC 9112 3.2.2).
    /// The asterisk-form is for OPTIONS (3.2.4). The authority-form is for CONNECT, which is not
    /// served.
    pub(super) fn read(method: &Method, target: &'a str) -> Result<Self, BadRequest> {
        if target.starts_with('/') || (target == "*" && method == Method::OPTIONS) {
            return Ok(Self {
                authority: None,
                path_and_query: target.to_owned(),
            });
        }
        let rest = strip_scheme(target).ok_or(BAD_TARGET)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // RFC 9110 4.2.3: an empty path is the path "/".
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            authority: Some(authority),
            path_and_query: format!("{slash}{path}"),
        })
    }

    /// Returns path and query as they came, without decoding. Characters that no URI has, and that
    /// many clients send nevertheless, are encoded.
    pub(super) fn uri(&self) -> Result<Uri, BadRequest> {
        // RFC 9112 3.2: no form of the target has a fragment. The parser would cut it off.
        if self.path_and_query.contains('#') {
            return Err(BAD_TARGET);
        }
        let encoded = utf8_percent_encode(&self.path_and_query, RAW).to_string();
        let parsed = PathAndQuery::try_from(encoded);
        Ok(parsed.map_err(|_| BAD_TARGET)?.into())
    }

    /// Checks the Host header, and sets it to the authority that the request is for.
    pub(super) fn settle_host(
        &self,
        headers: &mut HeaderMap,
        version: Version,
    ) -> Result<(), BadRequest> {
        check_host(headers, version)?;
        let Some(authority) = self.authority else {
            return Ok(());
        };
        if authority.is_empty() || !is_host(authority.as_bytes()) {
            return Err(BAD_TARGET);
        }
        // RFC 9112 3.2.2: the Host of a request in absolute-form MUST be ignored in favour of its
        // target.
        headers.insert(
            HOST,
            HeaderValue::from_str(authority).map_err(|_| BAD_TARGET)?,
        );
        Ok(())
    }
}

/// The characters that RFC 3986 2 does not allow and that are encoded here. RFC 9112 3.2 leaves
/// open what a server does about them.
const RAW: &AsciiSet = &AsciiSet::EMPTY.add(b'"').add(b'<').add(b'>').add(b'`');

const BAD_TARGET: BadRequest = BadRequest::malformed("the request target is malformed");

/// Strips the scheme. RFC 9110 4.2.3: schemes are compared without regard to case.
fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let known = ["http", "https", "ws", "wss"];
    let is_known = known.iter().any(|name| scheme.eq_ignore_ascii_case(name));
    is_known.then_some(rest)
}

/// Checks Host. RFC 9112 3.2: 400 for a request of HTTP/1.1 without Host, and for any with two or a
/// bad one.
fn check_host(headers: &HeaderMap, version: Version) -> Result<(), BadRequest> {
    match occurrence(headers, HOST) {
        Occurrence::Once(host) if is_host(host.as_bytes()) => Ok(()),
        Occurrence::Once(_) => Err(BadRequest::malformed("the Host header is malformed")),
        Occurrence::Absent if version == Version::HTTP_10 => Ok(()),
        Occurrence::Absent => Err(BadRequest::malformed("the Host header is missing")),
        Occurrence::Repeated => Err(BadRequest::malformed("there are several Host headers")),
    }
}

/// Tells whether a Host is valid. RFC 9110 7.2: a host and perhaps a port. It is empty if the
/// target has no authority.
fn is_host(host: &[u8]) -> bool {
    host.is_empty()
        || Authority::try_from(host).is_ok_and(|authority| {
            let port = authority.as_str().strip_prefix(authority.host());
            !authority.host().is_empty() && port.is_some_and(is_port)
        })
}

/// Tells whether a port is valid. RFC 3986 3.2.3: digits, perhaps none, behind a colon.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit())
                && (port.is_empty() || port.parse::<u16>().is_ok())
        })
}
