//! The result of an opening handshake: [`Negotiated`].

use http::Response;

use crate::AgreedCompression;

/// The terms that both sides have agreed on, by the request and the 101.
#[derive(Debug, Default)]
pub(crate) struct Negotiated {
    /// The subprotocol (RFC 6455, section 1.9).
    pub(crate) subprotocol: Option<String>,
    /// The path of the request, without its query. A boxed text takes no more than its bytes.
    pub(crate) path: Box<str>,
    /// The compression of messages (RFC 7692).
    pub(crate) compression: Option<AgreedCompression>,
    /// The server's 101, at a client. Boxed: a server's connections have none.
    pub(crate) response: Option<Box<Response<()>>>,
}
