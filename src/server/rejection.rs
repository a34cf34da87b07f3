//! Handshakes that make no connection: [`Rejection`].

use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;

use crate::Reply;
use crate::handshake::{BadRequest, reply};

/// The reason why a handshake makes no connection, and so the answer to it.
pub(super) enum Rejection {
    /// The request is refused before the program sees it.
    Bad(BadRequest),
    /// The program answers a request of this method.
    Answered(Reply, Method),
    /// The peer is gone, or was cut.
    Lost,
}

impl Rejection {
    /// Tells whether the peer was refused what it asked for.
    pub(super) fn turns_away(&self) -> bool {
        match self {
            Self::Bad(_) => true,
            Self::Answered(reply, _) => reply.status.as_u16() >= 400,
            Self::Lost => false,
        }
    }

    /// Returns the bytes of the answer, if there is one.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let date = date();
        let date = date.as_deref();
        match self {
            Self::Bad(bad) => Some(bad.reply(date)),
            Self::Answered(answer, method) => Some(reply::write(
                answer.status,
                &answer.headers,
                &answer.body,
                method == Method::HEAD,
                date,
            )),
            Self::Lost => None,
        }
    }
}

impl From<BadRequest> for Rejection {
    fn from(bad: BadRequest) -> Self {
        Self::Bad(bad)
    }
}

/// Returns the time in HTTP's format; `None` if the clock shows a year beyond its four digits.
fn date() -> Option<String> {
    const YEAR_10000: u64 = 253_402_300_800;
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    (seconds < YEAR_10000).then(|| httpdate::fmt_http_date(now))
}
