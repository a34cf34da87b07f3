//! A limit to a connection's idle time or lifetime: [`TimeLimit`].

use std::time::Duration;

use crate::CloseCode;
use crate::error::Unsendable;

/// A limit to a connection's time, with the Close frame that ends it, for
/// [`Config::idle_timeout`](crate::Config::idle_timeout) and
/// [`Config::max_lifetime`](crate::Config::max_lifetime).
///
/// ```
/// use std::time::Duration;
/// use landline::{Config, TimeLimit};
///
/// let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
/// let token = TimeLimit::new(minutes(60)).close_with(4001, "token expired");
/// let config = Config::new().idle_timeout(minutes(10)).max_lifetime(token);
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    pub(crate) after: Duration,
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
}

impl TimeLimit {
    /// Makes a limit at which the connection closes with 1001
    /// ([`GOING_AWAY`](CloseCode::GOING_AWAY)), without a reason.
    #[must_use]
    pub fn new(after: Duration) -> Self {
        Self {
            after,
            code: CloseCode::GOING_AWAY,
            reason: String::new(),
        }
    }

    /// Sets the code and the reason of the Close frame. A code that may not be sent, or a reason of
    /// more than 123 bytes, is an error when binding or connecting.
    #[must_use]
    pub fn close_with(mut self, code: impl Into<CloseCode>, reason: impl Into<String>) -> Self {
        self.code = code.into();
        self.reason = reason.into();
        self
    }

    /// Returns the problem if it cannot be used.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.after.is_zero() {
            return Err("is zero".into());
        }
        Unsendable::check_close(self.code, &self.reason)
            .map_err(|unsendable| format!("cannot close a connection: {unsendable}"))
    }
}

impl From<Duration> for TimeLimit {
    fn from(after: Duration) -> Self {
        Self::new(after)
    }
}
