//! What a request gets that is not even one for the program to judge: [`BadRequest`].

use http::{HeaderMap, StatusCode};

use super::fields;

/// Says why a request was refused, and writes the reply that tells the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadRequest {
    /// The status: 400, 405, 414, 426, 431 or 505.
    pub(crate) status: StatusCode,
    /// The reason, for people; never a part of the request.
    pub(crate) reason: &'static str,
    without_body: bool,
}

impl BadRequest {
    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            without_body: false,
        }
    }

    /// Makes the 426 for a request that asks for no upgrade where there is nothing else.
    pub(crate) const fn upgrade_required() -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket server")
    }

    /// Makes a 400.
    pub(super) const fn malformed(reason: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// Makes the 405 for a method.
    pub(super) fn method(method: &str) -> Self {
        Self {
            // RFC 9110 9.3.2: the answer to HEAD carries no content.
            without_body: method == "HEAD",
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET is understood here",
            )
        }
    }

    /// Returns the bytes of the reply. The connection ends with it.
    pub(crate) fn reply(&self) -> Vec<u8> {
        let body = format!("{}\n", self.reason);
        let mut out = format!("HTTP/1.1 {}\r\n", self.status).into_bytes();
        self.write_status_fields(&mut out);
        fields::write(&mut out, "Content-Type", "text/plain; charset=utf-8");
        fields::write(&mut out, "Content-Length", body.len().to_string());
        out.extend_from_slice(b"\r\n");
        if !self.without_body {
            out.extend_from_slice(body.as_bytes());
        }
        out
    }

    fn write_status_fields(&self, out: &mut Vec<u8>) {
        match self.status {
            StatusCode::UPGRADE_REQUIRED => {
                // RFC 9110 15.5.22: a 426 names the protocol in Upgrade, which 7.8 wants named in
                // Connection. RFC 6455 4.4: it names the version that is understood.
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

/// Returns the bytes of a reply; the connection ends with it.
pub(crate) fn write(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    without_body: bool,
) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\n").into_bytes();
    fields::write_all(&mut out, headers);
    fields::write(&mut out, "Connection", "close");
    fields::write(&mut out, "Content-Length", body.len().to_string());
    out.extend_from_slice(b"\r\n");
    if !without_body {
        out.extend_from_slice(body);
    }
    out
}
