//! An answer to a request: [`Reply`].

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Request, Upgrade};
use crate::header;
use crate::record::{Foreign, warn};
use crate::{Config, Error, Failure, Outcome};

/// An answer to a request: a status with headers and a body, or an upgrade.
///
/// Setters never fail. A reply that cannot be sent, with a line break in a header or with status
/// 101, is logged and becomes a 500. The library sets Connection, Content-Length, Transfer-Encoding
/// and Date itself, and replaces the program's, except for the Content-Length of an answer to HEAD
/// that has no body.
///
/// ```
/// use landline::Reply;
///
/// let page = Reply::html("<h1>Hello</h1>");
/// let moved = Reply::new(308).header("Location", "/new");
/// assert_eq!(moved.status(), 308);
/// # let _ = page;
/// ```
pub struct Reply {
    pub(crate) status: StatusCode,
    /// Boxed, as a reply is often the error of a `Result`.
    pub(crate) headers: Box<HeaderMap>,
    pub(crate) body: Bytes,
    pub(crate) upgrade: Option<Box<Upgrade>>,
    invalid: Option<String>,
    /// The error that the reply was made from, until it is logged.
    failure: Option<Box<Failure>>,
}

impl Reply {
    /// Makes an empty reply with this status, a number or an [`http::StatusCode`].
    #[must_use]
    pub fn new(status: impl TryInto<StatusCode>) -> Self {
        let status = status.try_into().ok();
        let mut reply = Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: Box::default(),
            body: Bytes::new(),
            upgrade: None,
            invalid: None,
            failure: None,
        };
        match status {
            None => reply.refuse("a status that is none"),
            Some(status) if status.is_informational() => reply.refuse("an interim status by hand"),
            // RFC 9110, section 15: there are five classes of status codes.
            Some(status) if status.as_u16() > 599 => reply.refuse("a status beyond 599"),
            Some(_) => {}
        }
        reply
    }

    /// Makes a 200 with plain text.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Self {
        Self::new(StatusCode::OK).content("text/plain; charset=utf-8", body.into().into())
    }

    /// Makes a 200 with a page.
    #[must_use]
    pub fn html(body: impl Into<String>) -> Self {
        Self::new(StatusCode::OK).content("text/html; charset=utf-8", body.into().into())
    }

    /// Makes a 200 with JSON, given as text.
    #[must_use]
    pub fn json(body: impl Into<String>) -> Self {
        Self::new(StatusCode::OK).content("application/json", body.into().into())
    }

    /// Makes a 403, which refuses an upgrade.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::error(StatusCode::FORBIDDEN)
    }

    /// Makes an error with the status's own text as its body.
    pub(crate) fn error(status: StatusCode) -> Self {
        Self {
            status,
            ..Self::text(format!(
                "{}\n",
                status.canonical_reason().unwrap_or("error")
            ))
        }
    }

    /// Sets the status, a number or an [`http::StatusCode`].
    #[must_use]
    pub fn with_status(mut self, status: impl TryInto<StatusCode>) -> Self {
        let Self {
            status, invalid, ..
        } = Self::new(status);
        self.status = status;
        self.invalid = self.invalid.or(invalid);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
        V: TryInto<HeaderValue, Error: fmt::Display>,
    {
        if let Err(error) = header::append(self.headers_mut(), name, value) {
            self.refuse(error);
        }
        self
    }

    /// Sets the body. Content-Length follows it.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn content(mut self, content_type: &'static str, body: Bytes) -> Self {
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = body;
        self
    }

    /// Sets the settings of an upgrade that has none of its own.
    pub(super) fn with_config(mut self, config: Option<&Arc<Config>>) -> Self {
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.config = upgrade.config.take().or_else(|| config.cloned());
        }
        self
    }

    /// Returns the status; 101 for an upgrade.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers, those of the 101 for an upgrade.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.upgrade
            .as_ref()
            .map_or(&self.headers, |upgrade| &upgrade.headers)
    }

    /// Borrows the headers, those of the 101 for an upgrade, to change them: for middleware.
    #[must_use]
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        match &mut self.upgrade {
            Some(upgrade) => &mut upgrade.headers,
            None => &mut self.headers,
        }
    }

    /// Tells whether this is an upgrade.
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }

    /// Returns the reply, or the reason why it cannot be sent.
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        let of_upgrade = self
            .upgrade
            .as_mut()
            .and_then(|upgrade| upgrade.invalid.take());
        match self.invalid.take().or(of_upgrade) {
            None if self.is_upgrade() && !self.is_plain_101() => Err(Error::Invalid(
                "an upgrade with another status or a body".into(),
            )),
            None => Ok(self),
            Some(invalid) => Err(Error::Invalid(invalid)),
        }
    }

    /// RFC 9110, section 15.2: an interim response has no content.
    fn is_plain_101(&self) -> bool {
        self.status == StatusCode::SWITCHING_PROTOCOLS && self.body.is_empty()
    }

    /// Makes the reply from a handler's result, and logs its error.
    pub(crate) fn of(request: &Request, answer: impl Into<Self>) -> Self {
        let mut reply = answer.into();
        if let Some(failure) = reply.failure.take() {
            let (method, path) = (request.method(), Foreign(request.path()));
            let id = request.id();
            warn!("connection {id}: {method} {path} failed: {failure:?}");
        }
        reply
    }

    fn refuse(&mut self, what: impl fmt::Display) {
        self.invalid.get_or_insert_with(|| what.to_string());
    }
}

impl From<Upgrade> for Reply {
    fn from(upgrade: Upgrade) -> Self {
        // Moved once: a copy on the stack would stay with every connection's thread.
        let upgrade = Some(Box::new(upgrade));
        let mut reply = Self::new(StatusCode::OK);
        reply.status = StatusCode::SWITCHING_PROTOCOLS;
        reply.upgrade = upgrade;
        reply
    }
}

impl From<StatusCode> for Reply {
    fn from(status: StatusCode) -> Self {
        Self::new(status)
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl<R: Into<Reply>> From<Outcome<R>> for Reply {
    /// Makes a 500 from an error, which is only logged.
    fn from(outcome: Outcome<R>) -> Self {
        outcome.map_or_else(
            |failure| Self {
                failure: Some(Box::new(failure)),
                ..Self::error(StatusCode::INTERNAL_SERVER_ERROR)
            },
            Into::into,
        )
    }
}

impl fmt::Debug for Reply {
    /// Shows no header values: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("headers", &self.headers().keys().collect::<Vec<_>>())
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Upgrade;

    /// A value that must not come onto the wire is an error, whatever was set after it.
    #[test]
    fn what_cannot_be_sent_is_an_error() {
        for reply in [
            Reply::new(101),
            Reply::new(100).with_status(200),
            Reply::new(99),
            Reply::new(600),
            Reply::new(1000),
            Reply::text("a").with_status(StatusCode::SWITCHING_PROTOCOLS),
            Reply::from(StatusCode::EARLY_HINTS),
            Reply::new(200).header("X", "a\r\nY: b"),
            Reply::new(200).header("X", "a\0"),
            Reply::new(200).header("X: a\r\nY", "b"),
            Reply::new(200).header("", "b"),
            Reply::from(Upgrade::new()).with_status(200),
            Reply::from(Upgrade::new()).body("a"),
            Reply::from(Upgrade::new()).header("X", "a\n"),
            Reply::from(Upgrade::new().header("X", "a\n")),
        ] {
            let shown = format!("{reply:?}");
            let error = reply.checked().unwrap_err();
            assert!(
                !error.to_string().contains(char::is_control),
                "{shown}: {error}"
            );
        }
    }

    /// Everything else is sent as it is set, and the headers of an upgrade go to its 101.
    #[test]
    fn what_can_be_sent_passes() {
        for reply in [
            Reply::new(200),
            Reply::new(599),
            Reply::json("{}"),
            Reply::forbidden(),
        ] {
            assert!(reply.checked().is_ok());
        }
        let upgrade = Reply::from(Upgrade::new().header("X", "a")).header("X", "b");
        let upgrade = upgrade.checked().unwrap();
        assert_eq!(upgrade.headers().get_all("x").iter().count(), 2);
    }
}
