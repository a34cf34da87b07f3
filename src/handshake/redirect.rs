//! Redirects of an upgrade request (RFC 9110, section 15.4).

use http::header::{AUTHORIZATION, COOKIE, HOST, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use url::Url;

use super::client::{bad_handshake, is_secure};
use super::fields::{Occurrence, occurrence};
use crate::Error;

/// Returns the URL that a response to `from` redirects to; `None` if it does not redirect.
///
/// `http` and `https` become `ws` and `wss`. The URL's user and password stay while the origin
/// does; those in a Location are ignored. No error's text repeats bytes of the server.
///
/// # Errors
/// Returns [`Error::Handshake`] for a Location that is no URL, has another scheme, or leads from
/// TLS to plain text.
pub(crate) fn target(from: &Url, response: &Response<()>) -> Result<Option<Url>, Error> {
    if !redirects(response.status()) {
        return Ok(None);
    }
    match occurrence(response.headers(), LOCATION) {
        Occurrence::Once(location) => resolve(from, location.as_bytes()).map(Some),
        // RFC 9110 15.4: without a Location there is no target.
        Occurrence::Absent => Ok(None),
        Occurrence::Repeated => bad_handshake("there are several Location headers"),
    }
}

/// Returns the headers that may be sent to another origin: none for the first host alone, and none
/// that the program has marked as sensitive.
pub(crate) fn for_other_origin(headers: &HeaderMap) -> HeaderMap {
    // RFC 9110 15.4: a client may remove fields that the program has added, above all credentials.
    const OWN: [HeaderName; 4] = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, HOST];
    let may_leave =
        |(name, value): &(&HeaderName, &HeaderValue)| !OWN.contains(name) && !value.is_sensitive();
    let leaving = headers.iter().filter(may_leave);
    let mut left = HeaderMap::new();
    leaving.for_each(|(name, value)| _ = left.append(name, value.clone()));
    left
}

/// Tells whether a status redirects. RFC 9110 15.4: these do so by themselves, and all of them keep
/// a GET a GET.
fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Resolves a Location. RFC 9110 10.2.2: it may be relative to the request's URL.
fn resolve(from: &Url, location: &[u8]) -> Result<Url, Error> {
    let joined = std::str::from_utf8(location).ok();
    let Some(mut to) = joined.and_then(|location| from.join(location).ok()) else {
        return bad_handshake("the server redirects to what is no URL");
    };
    let Ok(secure) = is_secure(&to) else {
        return bad_handshake("the server redirects to a URL that is not of ws or wss");
    };
    if is_secure(from)? && !secure {
        return bad_handshake("the server redirects from wss to ws, which would not be encrypted");
    }
    // These calls cannot fail for a URL with a host, and URLs of these schemes have one.
    let _ = to.set_scheme(if secure { "wss" } else { "ws" });
    let keeps = is_same_origin(from, &to);
    let _ = to.set_username(if keeps { from.username() } else { "" });
    let _ = to.set_password(from.password().filter(|_| keeps));
    to.set_fragment(None);
    Ok(to)
}

/// Compares two origins. RFC 6454 4: scheme, host and port; `http` stands for `ws` here, `https`
/// for `wss`.
pub(crate) fn is_same_origin(one: &Url, other: &Url) -> bool {
    is_secure(one).ok() == is_secure(other).ok()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}
