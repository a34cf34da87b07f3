//! The settings of the way to a server: proxies, Unix sockets, streams of the program's own.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::dial_hook::DialHook;
use super::dialling::Dialling;
use super::proxy::{Proxy, ProxySetting};
use super::target::checked_socket_path;
use super::{Client, Socket};
#[cfg(doc)]
use crate::{Error, TlsOptions};

/// # Getting there
impl Client {
    /// Connects through this proxy: to every host, this machine too, whatever the environment says.
    ///
    /// | URL | the proxy is asked by |
    /// |---|---|
    /// | `http://host:port`, or without a scheme | CONNECT (RFC 9110, section 9.3.6), for `ws` too |
    /// | `https://host:port` | the same, within TLS to the proxy; its certificate must be trusted as the server's, and it is not shown that of [`TlsOptions::identity`] |
    /// | `socks5://host:port` | SOCKS5 (RFC 1928), with addresses that are looked up here |
    /// | `socks5h://host:port` | the same, with names that the proxy looks up |
    ///
    /// The ports may be left out: then they are 80, 443 and 1080. A user and a password in the URL are
    /// for the proxy: Basic credentials, or those of RFC 1929. A proxy that wants others answers 407,
    /// which is [`Error::ProxyRefused`]. All that the proxy takes is time of
    /// [`connect_timeout`](Self::connect_timeout).
    ///
    /// Without this setting the environment decides, as with curl:
    ///
    /// | for | the first of these that is set and not empty |
    /// |---|---|
    /// | `wss` | `wss_proxy`, `WSS_PROXY`, `https_proxy`, `HTTPS_PROXY`, `all_proxy`, `ALL_PROXY` |
    /// | `ws` | `ws_proxy`, `WS_PROXY`, `http_proxy`, `all_proxy`, `ALL_PROXY` |
    ///
    /// `HTTP_PROXY` is never read: a request can set it for a CGI program. `no_proxy` or `NO_PROXY`
    /// lists what is reached directly, between commas or spaces: names, each with those below it,
    /// addresses, networks such as `10.0.0.0/8`, each of them also with a port, or `*`. RFC 6455,
    /// section 4.1, would have `ws` use the proxy for HTTPS too; curl does not, and so it is here.
    /// Other than curl, this machine itself (`localhost` and the names below it, loopback addresses)
    /// is reached directly, an HTTP proxy without a port has port 80, and `no_proxy` knows ports. The
    /// variables do not count for [Unix sockets](Self::unix_socket) and for what the program
    /// [dials itself](Self::dial_with).
    #[must_use]
    pub fn proxy(mut self, url: impl AsRef<str>) -> Self {
        match Proxy::parse(url.as_ref()) {
            Ok(proxy) => self.proxy = ProxySetting::Given(Box::new(proxy)),
            Err(error) => _ = self.invalid.get_or_insert(error),
        }
        self
    }

    /// Connects directly, whatever the environment says.
    #[must_use]
    pub fn no_proxy(mut self) -> Self {
        self.proxy = ProxySetting::None;
        self
    }

    /// Connects to the Unix socket at this path, whatever the host of the URL, which is what Host and
    /// TLS say. With a [proxy](Self::proxy) set, the socket is the proxy's.
    ///
    /// A URL can name the socket too, as with npm's `ws`: `ws+unix:/run/app.sock:/path?query`, or
    /// `wss+unix:`, with a relative or an absolute path, in which a colon is `%3A`. Then Host is
    /// `localhost`, and a proxy is not used.
    ///
    /// ```no_run
    /// let client = landline::Client::new().unix_socket("/run/docker.sock");
    /// let (ws, messages) = client.open("ws://localhost/containers/1/attach/ws")?;
    /// # Ok::<(), landline::Error>(())
    /// ```
    #[must_use]
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        match checked_socket_path(path.into()) {
            Ok(path) => self.dialling = Dialling::Unix(path),
            Err(error) => _ = self.invalid.get_or_insert(error.to_string()),
        }
        self
    }

    /// Has the program dial: `dial` gets the host, the port and a deadline, and returns a connected
    /// stream. It stands in place of looking up and connecting, to the [proxy](Self::proxy) if one is
    /// set. TLS and the handshake go over the stream as the URL says.
    ///
    /// This is for tunnels and for sockets that a program was given, for a local address or an
    /// interface to be bound, and for a resolver of one's own. IPv6 addresses come without brackets.
    ///
    /// Each call runs on a thread of its own, and is left behind at the deadline: what it returns then
    /// is closed. While sixteen such calls still run, connecting fails. What it fails with is
    /// [`Error::Connect`], and so is a descriptor that is no connected stream socket.
    ///
    /// ```no_run
    /// use std::net::TcpStream;
    /// use std::time::Instant;
    ///
    /// let client = landline::Client::new().dial_with(|_host, port, deadline| {
    ///     let inside = ([10, 0, 0, 7], port).into();
    ///     TcpStream::connect_timeout(&inside, deadline - Instant::now())
    /// });
    /// let (ws, messages) = client.open("wss://example.com/")?;
    /// # Ok::<(), landline::Error>(())
    /// ```
    #[must_use]
    pub fn dial_with<S: Into<Socket>>(
        mut self,
        dial: impl Fn(&str, u16, Instant) -> io::Result<S> + Send + Sync + 'static,
    ) -> Self {
        self.dialling = Dialling::Hook(DialHook::new(dial));
        self
    }
}
