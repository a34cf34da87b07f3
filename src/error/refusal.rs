//! An answer instead of 101 or of a tunnel: [`Refusal`].

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::record::Foreign;

/// A server's answer to an upgrade request, other than 101; or a proxy's answer to CONNECT, other than
/// 2xx.
#[derive(Clone)]
#[non_exhaustive]
pub struct Refusal {
    /// The status, such as 401, or 407 of a proxy.
    pub status: StatusCode,
    /// The headers, such as `Location`, `WWW-Authenticate` or `Proxy-Authenticate`.
    pub headers: HeaderMap,
    /// The body, its first 16 KiB at most.
    pub body: Bytes,
    /// The proxy whose answer it is, by host and port.
    pub(crate) proxy: Option<String>,
}

impl fmt::Display for Refusal {
    /// Shows the status, and the first line of the body, which often gives the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proxy {
            None => f.write_str("the server refused the upgrade")?,
            Some(proxy) => write!(f, "the proxy {} refused to connect", Foreign(proxy))?,
        }
        write!(f, ": {}", self.status)?;
        let mut lines = self.body.split(|byte| b"\r\n".contains(byte));
        match lines.find(|line| !line.trim_ascii().is_empty()) {
            Some(line) => write!(f, ", {:?}", Foreign(String::from_utf8_lossy(line))),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Refusal {
    /// Shows no header values and no body: they may be secrets, such as a cookie.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Refusal");
        if let Some(proxy) = &self.proxy {
            shown.field("proxy", &Foreign(proxy));
        }
        shown
            .field("status", &self.status)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body.len())
            .finish()
    }
}
