//! What an opening handshake has agreed on: [`Negotiated`].

use http::Response;

/// What both sides have agreed on by the request and the 101.
#[derive(Debug, Default)]
pub(crate) struct Negotiated {
    /// RFC 6455, section 1.9.
    pub(crate) subprotocol: Option<String>,
    /// The server's 101, at a client. Boxed: a server's connections have none.
    pub(crate) response: Option<Box<Response<()>>>,
}
