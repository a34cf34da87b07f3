//! A socket that a program hands to a client: [`Socket`].

use std::fmt;
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use crate::transport::OwnedFd;

/// A connected stream socket that a program has made, for [`Client::dial_with`](crate::Client::dial_with)
/// and [`Server::serve_stream`](crate::Server::serve_stream).
///
/// It is made from a [`TcpStream`], on Unix from a `UnixStream`, or from any descriptor (on Windows, any
/// `OwnedSocket`) that the program owns. One that is no connected TCP or Unix stream is an error when it
/// is used. Its blocking mode and timeouts are set by the connection.
pub struct Socket(OwnedFd);

impl Socket {
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(stream.into())
    }
}

#[cfg(unix)]
impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self(stream.into())
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.0).finish()
    }
}
