//! The request that a connection began with.

use std::fmt;
use std::net::SocketAddr;

use http::HeaderMap;

use crate::Server;

/// Is the HTTP request that asked for the upgrade.
pub struct Request {
    head: http::Request<()>,
    peer_addr: SocketAddr,
    local_addr: SocketAddr,
    server: Server,
}

impl Request {
    pub(crate) fn new(
        head: http::Request<()>,
        peer_addr: SocketAddr,
        local_addr: SocketAddr,
        server: Server,
    ) -> Self {
        Self {
            head,
            peer_addr,
            local_addr,
            server,
        }
    }

    /// Returns the path, as it came: still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    /// Returns the query, as it came, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.head.uri().query()
    }

    /// Returns all headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// Returns the first value of a header, if it is there and is text. The name's case does not
    /// matter.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name)?.to_str().ok()
    }

    /// Returns the address of the peer's end of the socket.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer_addr
    }

    /// Returns the address of our end of the socket.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns the server that the request came to, to stop it or to find its connections. It does
    /// not keep the server running.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl fmt::Debug for Request {
    /// Shows no header values: they may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("target", self.head.uri())
            .field("headers", &self.headers().keys().collect::<Vec<_>>())
            .field("peer_addr", &self.peer_addr)
            .finish_non_exhaustive()
    }
}
