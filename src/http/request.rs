//! A request as the program sees it: [`Request`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use bytes::Bytes;
use http::header::COOKIE;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;

use super::proxies::Proxied;
use super::query::Query;
use crate::handshake::{BadRequest, offered_subprotocols, wants_upgrade};
use crate::{Address, Server};

/// The HTTP request that a connection began with: for an upgrade, or for a page beside it.
///
/// A program's own tests make one from an [`http::Request`]:
///
/// ```
/// use landline::Request;
///
/// let request = http::Request::get("/rooms/7?name=Ada+L&x=1").body(Default::default())?;
/// let request = Request::from(request);
/// assert_eq!(request.path(), "/rooms/7");
/// assert_eq!(request.query("name"), Some("Ada L"));
/// # Ok::<(), http::Error>(())
/// ```
pub struct Request {
    /// The number that the connection has, or will have; 0 where there is none.
    id: u64,
    head: Box<http::Request<Bytes>>,
    peer_addr: Address,
    local_addr: Address,
    peer_certificates: Vec<Bytes>,
    /// The ends that a proxy has named by the PROXY protocol.
    proxied: Option<Proxied>,
    server: Server,
    parameters: Vec<(String, String)>,
    is_upgrade: bool,
    // Made at the first call, after the guard, so that a refused request does not cost them.
    subprotocols: OnceLock<Result<Vec<String>, BadRequest>>,
    query: OnceLock<Query>,
    client_addr: OnceLock<Option<IpAddr>>,
    /// The first values that are not UTF-8, by name, with replacement characters.
    lossy: OnceLock<Vec<(String, String)>>,
}

impl Request {
    pub(crate) fn new(
        head: Box<http::Request<Bytes>>,
        peer_addr: Address,
        local_addr: Address,
        server: Server,
    ) -> Self {
        Self {
            id: 0,
            is_upgrade: wants_upgrade(&head),
            head,
            peer_addr,
            local_addr,
            peer_certificates: Vec::new(),
            proxied: None,
            server,
            parameters: Vec::new(),
            subprotocols: OnceLock::new(),
            query: OnceLock::new(),
            client_addr: OnceLock::new(),
            lossy: OnceLock::new(),
        }
    }

    pub(crate) fn head(&self) -> &http::Request<Bytes> {
        &self.head
    }

    /// Sets the number of the request's connection.
    pub(crate) fn set_id(&mut self, id: u64) {
        self.id = id;
    }

    /// Returns the number of the request's connection: the one that the log calls it by, and that
    /// [`WebSocket::id`](crate::WebSocket::id) returns after an upgrade. A request that a program has
    /// made itself has 0.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// Returns the path, as it came: still percent-encoded. `"`, `<`, `>` and `` ` ``, which no path
    /// has unencoded (RFC 3986, section 3.3), are taken and encoded here.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    /// Returns the first value of a name in the query, decoded as forms are.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query_pairs()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Returns the names and values of the query, decoded as forms are, in their order.
    pub fn query_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = || Query::parse(self.head.uri().query().unwrap_or_default());
        self.query.get_or_init(query).pairs()
    }

    /// Returns the value of a path parameter, percent-decoded: `7` for `{room}` of the route
    /// `/rooms/{room}` and the path `/rooms/7`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Sets the values of the route's path parameters, as they came.
    pub(crate) fn set_parameters<'a>(
        &mut self,
        parameters: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        self.parameters = parameters
            .map(|(name, value)| {
                (
                    name.to_owned(),
                    percent_decode_str(value).decode_utf8_lossy().into_owned(),
                )
            })
            .collect();
    }

    /// Returns all headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// Returns the first value of a header, or `None` if it is not there. The name's case does not
    /// matter. A value that is not UTF-8 has replacement characters (U+FFFD), so that different ones
    /// may look the same: [`header_bytes`](Self::header_bytes) tells them apart.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let bytes = self.header_bytes(name)?;
        std::str::from_utf8(bytes).ok().or_else(|| self.lossy(name))
    }

    /// Returns the bytes of the first value of a header, or `None` if it is not there.
    #[must_use]
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.headers().get(name).map(HeaderValue::as_bytes)
    }

    fn lossy(&self, name: &str) -> Option<&str> {
        let texts = self.lossy.get_or_init(|| {
            let names = self.headers().keys().map(HeaderName::as_str);
            let firsts = names.filter_map(|name| Some((name, self.header_bytes(name)?)));
            firsts
                .filter(|(_, value)| std::str::from_utf8(value).is_err())
                .map(|(name, value)| (name.into(), String::from_utf8_lossy(value).into()))
                .collect()
        });
        let found = texts.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, text)| text.as_str())
    }

    /// Returns the value of a cookie (RFC 6265, section 4.2), or `None` if the client sent none of
    /// this name. Of several the first counts, which browsers send for the longest path. Quotes
    /// around the value are left out; it is not decoded further. The name's case matters.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let lines = self.headers().get_all(COOKIE).iter();
        let texts = lines.filter_map(|line| std::str::from_utf8(line.as_bytes()).ok());
        let pairs = texts.flat_map(|text| text.split(';'));
        let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| key.trim_ascii() == name)?;
        let value = value.trim_ascii();
        let quoted = value.strip_prefix('"');
        let unquoted = quoted.and_then(|value| value.strip_suffix('"'));
        Some(unquoted.unwrap_or(value))
    }

    /// Returns the origin of the page that asks, or `None` if the client names none: browsers
    /// always do (RFC 6454, section 7).
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// Returns the subprotocols that the client offers, in its order of preference (RFC 6455,
    /// section 1.9). A hundred at most: an upgrade request with more gets 400.
    #[must_use]
    pub fn subprotocols(&self) -> &[String] {
        self.offer().unwrap_or_default()
    }

    /// Returns the offered subprotocols, or the problem of the list.
    pub(crate) fn offer(&self) -> Result<&[String], BadRequest> {
        let parse = || offered_subprotocols(self.headers());
        let offer = self.subprotocols.get_or_init(parse).as_ref();
        offer.map(Vec::as_slice).map_err(|bad| *bad)
    }

    /// Tells whether the client asks for a WebSocket. A request of HTTP/1.0 cannot, and is plain HTTP
    /// (RFC 9110, section 7.8).
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.is_upgrade
    }

    /// Returns the body; empty for an upgrade.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        self.head.body()
    }

    /// Borrows the values that middleware has stored for handlers, by their type.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        self.head.extensions()
    }

    /// Borrows the same values mutably, to store one.
    #[must_use]
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        self.head.extensions_mut()
    }

    /// Returns the address of the peer's end of the socket: behind a proxy that proxy's, whatever
    /// protocol it speaks.
    #[must_use]
    pub fn peer_addr(&self) -> Address {
        self.peer_addr.clone()
    }

    /// Returns the client's IP address: the peer's, or the one that the peer has named by the [PROXY
    /// protocol](crate::ServerBuilder::proxy_protocol); or if that is one of the [trusted
    /// proxies](crate::ServerBuilder::trusted_proxies), the right-most address in [their
    /// header](crate::ServerBuilder::client_addr_header) that is none of them. It is never that of
    /// a trusted proxy: `None` if the header is missing, names no other address, or cannot be read
    /// that far.
    ///
    /// An IPv4 address within IPv6, as sockets for both have them, is returned as IPv4. The peer of
    /// a Unix socket has none, unless it is a trusted proxy whose header names one.
    #[must_use]
    pub fn client_addr(&self) -> Option<IpAddr> {
        let client = || {
            let proxies = self.server.trusted_proxies();
            match self.client_end() {
                Some(peer) => proxies.client_of(peer, self.headers()),
                None if self.proxied.is_none() => proxies.client_of_unix(self.headers()),
                None => None,
            }
        };
        *self.client_addr.get_or_init(client)
    }

    pub(crate) fn set_proxied(&mut self, proxied: Option<Proxied>) {
        self.proxied = proxied;
    }

    /// Returns the address at the client's end of the connection, or of the last proxy but those that
    /// speak the PROXY protocol.
    pub(crate) fn client_end(&self) -> Option<IpAddr> {
        match &self.proxied {
            Some(proxied) => proxied.client(),
            None => self.peer_addr.canonical_ip(),
        }
    }

    /// Returns the address that was connected to at that end.
    pub(crate) fn server_end(&self) -> Option<IpAddr> {
        match &self.proxied {
            Some(proxied) => proxied.server(),
            None => self.local_addr.canonical_ip(),
        }
    }

    /// Returns the address of our end of the socket.
    #[must_use]
    pub fn local_addr(&self) -> Address {
        self.local_addr.clone()
    }

    /// Tells whether the request came over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.server.is_tls()
    }

    /// Returns the certificates that the client has sent over TLS, in DER, its own first. There are none
    /// unless the server [asks for them](crate::ServerTls::require_client_certificates), and they have
    /// been verified. native-tls gives the first alone.
    #[must_use]
    pub fn peer_certificates(&self) -> &[Bytes] {
        &self.peer_certificates
    }

    pub(crate) fn set_peer_certificates(&mut self, certificates: Vec<Vec<u8>>) {
        self.peer_certificates = certificates.into_iter().map(Bytes::from).collect();
    }

    /// Returns the server of this request, to stop it or to list its connections. The value does
    /// not keep the server running. A request that a program has made itself has a server that is
    /// stopped.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl From<http::Request<Bytes>> for Request {
    fn from(request: http::Request<Bytes>) -> Self {
        let nowhere = Address::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        Self::new(
            Box::new(request),
            nowhere.clone(),
            nowhere,
            Server::detached(),
        )
    }
}

impl fmt::Debug for Request {
    /// Shows no header values and no query: they may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.method())
            .field("path", &self.path())
            .field("headers", &self.headers().keys().collect::<Vec<_>>())
            .field("peer_addr", &self.peer_addr)
            .finish_non_exhaustive()
    }
}
