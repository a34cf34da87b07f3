//! A server's answers over plain HTTP: the program's reply, or a [`BadRequest`] for a request that
//! the program does not see. Both end the connection.

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};

use super::fields::{self, Occurrence, occurrence};
use super::framing;

/// The reason why a request is refused, and the reply to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadRequest {
    /// The status: 400, 405, 413, 414, 417, 426, 431, 501, 503 or 505.
    pub(crate) status: StatusCode,
    /// The reason, for people; never a part of the request.
    pub(crate) reason: &'static str,
    without_body: bool,
}

impl BadRequest {
    /// The answer to a request for which there is no memory.
    pub(crate) const NO_MEMORY: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "there is no memory for the request just now",
    );

    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            without_body: false,
        }
    }

    /// Makes the 426 for a plain request of this HTTP version to a path that serves only upgrades.
    pub(crate) fn upgrade_required(version: Version) -> Self {
        // RFC 9110 7.8: the Upgrade of HTTP/1.0 MUST be ignored, and old proxies speak only that.
        let reason = if version < Version::HTTP_11 {
            "this is a WebSocket server: it needs HTTP/1.1, also from a proxy before it \
             (nginx: proxy_http_version 1.1)"
        } else {
            "this is a WebSocket server"
        };
        Self::new(StatusCode::UPGRADE_REQUIRED, reason)
    }

    /// Makes a 400.
    pub(super) const fn malformed(reason: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// Makes the 405 for an upgrade request that is no GET.
    pub(super) const fn not_get() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET can ask for a WebSocket",
        )
    }

    /// Turns it into the answer to this method. RFC 9110 9.3.2: the answer to HEAD has no content.
    pub(crate) fn answering(self, method: &Method) -> Self {
        Self {
            without_body: method == Method::HEAD,
            ..self
        }
    }

    /// Returns the bytes of the reply, made at this date. The connection ends with it.
    pub(crate) fn reply(&self, date: Option<&str>) -> Vec<u8> {
        let mut out = begin(self.status, date);
        self.write_status_fields(&mut out);
        fields::write(&mut out, "Content-Type", "text/plain; charset=utf-8");
        let body = format!("{}\n", self.reason);
        fields::write(&mut out, "Content-Length", body.len().to_string());
        end(out, if self.without_body { "" } else { &body }.as_bytes())
    }

    fn write_status_fields(&self, out: &mut Vec<u8>) {
        match self.status {
            StatusCode::UPGRADE_REQUIRED => {
                // RFC 9110 15.5.22: a 426 names the protocol in Upgrade, which 7.8 wants named in
                // Connection. RFC 6455 4.4: it names the supported version.
                fields::write(out, "Connection", "close, Upgrade");
                fields::write(out, "Upgrade", "websocket");
                fields::write(out, "Sec-WebSocket-Version", "13");
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                fields::write(out, "Connection", "close");
                // RFC 9110 15.5.6: a 405 names the methods that are allowed.
                fields::write(out, "Allow", "GET");
            }
            _ => fields::write(out, "Connection", "close"),
        }
    }
}

/// Returns the bytes of the program's reply, made at this date; the connection ends with it.
/// `without_body` is for the answer to HEAD.
///
/// This function sets the headers that tell the message's end and its date, and leaves out the
/// program's.
pub(crate) fn write(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    without_body: bool,
    date: Option<&str>,
) -> Vec<u8> {
    let mut out = begin(status, date);
    write_connection(&mut out, headers);
    for (name, value) in headers.iter().filter(|(name, _)| !OWNED.contains(name)) {
        fields::write_named(&mut out, name, value);
    }
    let body = if allows_body(status) { body } else { &[] };
    if let Some(length) = content_length(status, headers, body, without_body) {
        fields::write(&mut out, "Content-Length", length.to_string());
    }
    end(out, if without_body { &[] } else { body })
}

/// The fields that the library sets.
const OWNED: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING];

/// Writes Connection. RFC 9112 9.6: a server that closes the connection says so. RFC 9110 7.8: a
/// message with Upgrade names it in Connection.
fn write_connection(out: &mut Vec<u8>, headers: &HeaderMap) {
    let upgrades = headers.contains_key(UPGRADE);
    let options = if upgrades { "close, Upgrade" } else { "close" };
    fields::write(out, "Connection", options);
}

/// Tells whether a reply of this status may have a body. RFC 9110 15.3.5, 15.3.6 and 15.4.5: these
/// have none.
fn allows_body(status: StatusCode) -> bool {
    !matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

/// Returns the Content-Length. RFC 9110 8.6: a 204 has none. A 304 would have that of the 200 it
/// stands for, which is not known here. The answer to HEAD has that of the answer to GET: a program
/// that did not make the body may know its length.
fn content_length(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    without_body: bool,
) -> Option<u64> {
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return None;
    }
    match occurrence(headers, CONTENT_LENGTH) {
        Occurrence::Once(value) if without_body && body.is_empty() && allows_body(status) => {
            framing::content_length(value.as_bytes())
        }
        _ => Some(body.len() as u64),
    }
}

/// Begins a response. RFC 9112 4: the space is there even without a reason phrase. RFC 9110 6.6.1:
/// a server with a clock sends the date.
fn begin(status: StatusCode, date: Option<&str>) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    if let Some(date) = date {
        fields::write(&mut out, "Date", date);
    }
    out
}

fn end(mut out: Vec<u8>, body: &[u8]) -> Vec<u8> {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}
