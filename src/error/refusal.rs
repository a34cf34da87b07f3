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
    /// Shows the status, and the first line of the body, or the title of a page, which often gives the
    /// reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proxy {
            None => f.write_str("the server refused the upgrade")?,
            Some(proxy) => write!(f, "the proxy {} refused to connect", Foreign(proxy))?,
        }
        write!(f, ": {}", self.status)?;
        let body = String::from_utf8_lossy(&self.body);
        match title(&body).or_else(|| first_line(&body)) {
            Some(reason) => write!(f, ", {:?}", Foreign(reason)),
            None => Ok(()),
        }
    }
}

/// Returns the title of an HTML page.
fn title(body: &str) -> Option<&str> {
    let page = body.trim_start().starts_with('<').then_some(body)?;
    let begin = ["<title>", "<TITLE>"]
        .iter()
        .find_map(|tag| page.split_once(tag));
    let title = begin?.1.split("</").next()?.trim();
    (!title.is_empty()).then_some(title)
}

fn first_line(body: &str) -> Option<&str> {
    body.split(['\r', '\n'])
        .find(|line| !line.trim().is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The reason is the first line of a text, or the title of a page.
    #[test]
    fn reasons_are_shown() {
        for (body, reason) in [
            ("\r\n no way\nmore", ", \" no way\""),
            (
                "<!DOCTYPE html>\n<html><head><title>Go away</title>",
                ", \"Go away\"",
            ),
            ("<html><TITLE>\n Go away\n</TITLE>", ", \"Go away\""),
            ("<html><title></title>\n", ", \"<html><title></title>\""),
            ("see <title>here</title>", ", \"see <title>here</title>\""),
            ("", ""),
        ] {
            let refusal = Refusal {
                status: StatusCode::FORBIDDEN,
                headers: HeaderMap::new(),
                body: body.into(),
                proxy: None,
            };
            let shown = format!("the server refused the upgrade: 403 Forbidden{reason}");
            assert_eq!(refusal.to_string(), shown);
        }
    }
}
