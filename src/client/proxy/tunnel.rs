//! A tunnel through a proxy that is being made: [`Tunnel`].

use std::io;

use http::Response;

use super::{Credentials, Protocol, Proxy, http_connect, socks5};
use crate::Error;
use crate::client::asking::Asking;
use crate::client::dialling::{Destination, bare};
use crate::connection::handshake::{Opening, READ_STEP};
use crate::error::about;
use crate::transport::Connector;

/// A tunnel through a proxy, over the socket of a handshake.
pub(in crate::client) struct Tunnel<'a> {
    pub(in crate::client) proxy: &'a Proxy,
    pub(in crate::client) opening: &'a Opening,
    /// The settings of TLS, for a proxy that is spoken to by TLS.
    pub(in crate::client) connector: Option<&'a Connector>,
}

impl Tunnel<'_> {
    /// Asks the proxy to connect to a server, blocking. What follows is between the server and us.
    ///
    /// # Errors
    /// Returns [`Error::Proxy`], [`Error::ProxyRefused`], or [`Error::Tls`].
    pub(in crate::client) fn lead_to(&self, server: Destination<'_>) -> Result<(), Error> {
        let conversation = Conversation {
            proxy: self.proxy,
            opening: self.opening,
            server,
        };
        if let Some(connector) = self.connector {
            conversation.secure(connector)?;
        }
        match self.proxy.protocol {
            Protocol::Http | Protocol::Https => http_connect::connect(&conversation),
            Protocol::Socks5 | Protocol::Socks5h => socks5::connect(&conversation),
        }
    }
}

/// A conversation with a proxy about a server.
pub(super) struct Conversation<'a> {
    proxy: &'a Proxy,
    opening: &'a Opening,
    server: Destination<'a>,
}

impl<'a> Conversation<'a> {
    pub(super) fn server(&self) -> Destination<'a> {
        self.server
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.proxy.credentials.as_ref()
    }

    /// Does the TLS handshake with the proxy.
    fn secure(&self, connector: &Connector) -> Result<(), Error> {
        let host = bare(&self.proxy.host());
        let done = self.opening.socket().connect_proxy_tls(connector, &host);
        done.map_err(|error| match error {
            Error::Tls(what) if !self.opening.is_cut() => {
                Error::Tls(format!("the proxy {}: {what}", self.proxy.name()))
            }
            Error::Io(error) => self.failed(about("TLS", error)),
            _ => self.failed(io::ErrorKind::TimedOut.into()),
        })
    }

    /// Sends a message, blocking.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        let sent = self.opening.socket().send_all(bytes);
        sent.map_err(|error| self.failed(error))
    }

    /// Receives something, blocking. The end is an error.
    pub(super) fn receive(&self, received: &mut Vec<u8>) -> Result<(), Error> {
        received.reserve(READ_STEP);
        match self.opening.socket().recv_answering(received) {
            Ok(0) => {
                let what = "it closed the connection instead of answering";
                Err(self.failed(io::Error::new(io::ErrorKind::UnexpectedEof, what)))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Fails if something has come behind the proxy's answer: we have not said anything yet.
    pub(super) fn expect_silence(&self, behind: &[u8]) -> Result<(), Error> {
        if behind.is_empty() {
            return Ok(());
        }
        let what = "something came behind its answer, before anything was asked";
        Err(self.failed(io::Error::new(io::ErrorKind::InvalidData, what)))
    }

    /// Makes the error of a failure, or of the cut that caused it: who could not do what.
    pub(super) fn failed(&self, error: io::Error) -> Error {
        let error = match self.opening.is_cut() {
            true => io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"),
            false => error,
        };
        let (proxy, server) = (self.proxy.name(), self.server);
        Error::Proxy(about(
            format_args!("cannot connect to {server} through the proxy {proxy}"),
            error,
        ))
    }

    /// Makes the error of an HTTP answer that is no success.
    pub(super) fn refused(&self, response: Response<()>, behind: Vec<u8>) -> Error {
        let mut refusal = Asking(self.opening).refusal(response, behind);
        refusal.proxy = Some(self.proxy.name());
        Error::ProxyRefused(Box::new(refusal))
    }
}
