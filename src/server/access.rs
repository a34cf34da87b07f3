//! The clients that a server lets in, before any of the program's code runs.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::HeaderName;

use super::ServerBuilder;
use crate::http::{Guard, Subprotocols, TrustedProxies};
use crate::network::Network;
use crate::transport::Socket;
use crate::{Address, Error, Reply, Request};

/// The settings of the checks, and of the subprotocol.
#[derive(Debug, Default)]
pub(super) struct Access {
    guard: Guard,
    pub(super) subprotocols: Subprotocols,
    pub(super) proxies: TrustedProxies,
    /// The proxies whose connections begin with the PROXY protocol's header.
    header_networks: Vec<Network>,
    /// The flag that the peers of Unix sockets are such proxies.
    unix_headers: bool,
    max_connections_per_ip: Option<usize>,
    /// The first setting that cannot be used. Setters never fail; binding reports it.
    invalid: Option<String>,
}

impl Access {
    /// Returns the settings, or the error of one that cannot be used.
    pub(super) fn checked(mut self) -> Result<Self, Error> {
        self.invalid
            .take()
            .map_or(Ok(self), |invalid| Err(Error::Invalid(invalid)))
    }

    /// Judges a request. The error is the reply to it.
    pub(super) fn judge(&self, request: &Request) -> Result<(), Reply> {
        // The address that the client has reached counts: a server that listens on all interfaces is
        // reached from this machine too.
        let local = request.server_end();
        let on_loopback = local.is_some_and(|ip| ip.is_loopback());
        // A proxy on this machine passes on the Host that its client asked for.
        let peer = request.client_end();
        let is_proxy = peer.is_some_and(|ip| self.proxies.contains(ip));
        self.guard.judge(request, on_loopback && !is_proxy)
    }

    /// Returns the address that a connection counts for, and the limit of connections for it;
    /// `None` if there is no limit. A proxy has no limit, because it stands for many clients.
    pub(super) fn quota(&self, socket: &Socket) -> Option<(IpAddr, usize)> {
        let limit = self.max_connections_per_ip?;
        let peer = socket.peer_addr().canonical_ip()?;
        let is_proxy = self.proxies.contains(peer) || self.begins_with_header(socket.peer_addr());
        (!is_proxy).then_some((client_network(peer), limit))
    }

    /// Tells whether a peer's connections begin with the PROXY protocol's header.
    pub(super) fn begins_with_header(&self, peer: &Address) -> bool {
        let Some(peer) = peer.canonical_ip() else {
            return self.unix_headers;
        };
        let networks = &mut self.header_networks.iter();
        networks.any(|network| network.contains(peer))
    }

    fn add_header_proxy(&mut self, text: &str) -> Result<(), String> {
        if text == "unix" {
            self.unix_headers = true;
            return Ok(());
        }
        let network = Network::parse(text).ok_or_else(|| {
            format!("{text:?} is not an address, a network such as 10.0.0.0/8, or \"unix\"")
        })?;
        self.header_networks.push(network);
        Ok(())
    }

    fn note(&mut self, result: Result<(), String>) {
        if let Err(invalid) = result {
            self.invalid.get_or_insert(invalid);
        }
    }
}

/// Returns the address that stands for all addresses of one client. RFC 6177 2: an IPv6 client gets
/// a whole network, and chooses the last 64 bits itself.
fn client_network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// # Admission
impl ServerBuilder {
    /// Lets the pages of these origins open connections and send requests that may change
    /// something. By default only pages of the same host may, and clients that send no Origin
    /// because they are no browsers. All others get 403 before any code of the program runs (RFC
    /// 6455, section 10.2), for an upgrade and for every method but GET, HEAD, OPTIONS and TRACE.
    ///
    /// An origin is a scheme, a host and perhaps a port, `https://example.com` or
    /// `http://localhost:3000`. `https://*.example.com` stands for all subdomains, but not for
    /// `https://example.com` itself, `http://localhost:*` for every port, `file://` for files, and
    /// `vscode-webview://*` for all that have a scheme that is not of the web. For `null` see
    /// [`danger_allow_null_origin`](Self::danger_allow_null_origin).
    ///
    /// The same host means the same name and port as in the Host header; the scheme may differ, for
    /// proxies that end TLS. A proxy therefore has to pass Host on as it came. Called again, it adds.
    ///
    /// ```
    /// # use landline::Server;
    /// let builder = Server::builder()
    ///     .allow_origins(["https://example.com", "https://*.example.com"])
    ///     .on_upgrade(|ws, _request| ws.send("welcome"));
    /// # let _ = builder;
    /// ```
    pub fn allow_origins(self, origins: impl IntoIterator<Item = impl ToString>) -> Self {
        self.admit_each(origins, |access, origin| access.guard.allow_origin(origin))
    }

    /// Lets the pages of every origin open connections: any website that a user visits can then
    /// speak to the server with that user's cookies and from within that user's network.
    pub fn danger_allow_any_origin(mut self) -> Self {
        self.access.guard.allow_any_origin();
        self
    }

    /// Lets in the pages whose origin is `null`, too. Any website can get that origin by a
    /// sandboxed frame, so this lets in as many pages as
    /// [`danger_allow_any_origin`](Self::danger_allow_any_origin) does.
    pub fn danger_allow_null_origin(mut self) -> Self {
        self.access.guard.allow_null_origin();
        self
    }

    /// Answers only to these hosts, to those of [allowed origins](Self::allow_origins), and to
    /// `localhost`, names below it, loopback addresses, 0.0.0.0 and `[::]`. Every other Host gets
    /// 403.
    ///
    /// Without this setting, the rule holds for connections from this machine itself, those whose
    /// local address is a loopback address: a website whose name is suddenly bound to 127.0.0.1
    /// would otherwise be of the same host. Connections over a network are judged only if hosts are
    /// named here: do so for a server that browsers reach within a private network.
    ///
    /// A proxy on the same machine that passes Host on needs its public names listed here, or must
    /// be one of the [trusted proxies](Self::trusted_proxies), whose Host is judged only if hosts
    /// are named here. `*.example.com` stands for all subdomains; ports are not compared. A further
    /// call adds hosts.
    pub fn allow_hosts(self, hosts: impl IntoIterator<Item = impl ToString>) -> Self {
        self.admit_each(hosts, |access, host| access.guard.allow_host(host))
    }

    /// Trusts these proxies, addresses, networks such as `10.0.0.0/8`, or `unix` for the peers of Unix
    /// sockets, to name their clients in the header of [`client_addr_header`](Self::client_addr_header), and lets them ask for other
    /// hosts than this machine. A further call adds proxies.
    ///
    /// A trusted loopback address covers every program of this machine, browsers too: name the
    /// hosts that the proxy serves by [`allow_hosts`](Self::allow_hosts) as well.
    pub fn trusted_proxies(self, proxies: impl IntoIterator<Item = impl ToString>) -> Self {
        self.admit_each(proxies, |access, proxy| access.proxies.add(proxy))
    }

    /// Names the one header in which the [trusted proxies](Self::trusted_proxies) name their
    /// clients: `X-Forwarded-For`, `X-Real-IP`, another of that form, or `Forwarded` (RFC 7239).
    /// [`Request::client_addr`] reads it.
    ///
    /// Name the header that the proxy writes or adds to. The proxy passes all other headers on as
    /// the client made them up.
    ///
    /// ```
    /// # use landline::{Reply, Server};
    /// let builder = Server::builder()
    ///     .trusted_proxies(["10.0.0.7"])
    ///     .client_addr_header("X-Forwarded-For")
    ///     .on_request(|request| match request.client_addr() {
    ///         Some(client) => Reply::text(client.to_string()),
    ///         None => Reply::new(400),
    ///     });
    /// # let _ = builder;
    /// ```
    pub fn client_addr_header<N>(mut self, name: N) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
    {
        let named = name.try_into();
        let set = named.map(|name| self.access.proxies.set_header(name));
        self.access
            .note(set.map_err(|error| format!("client_addr_header: {error}")));
        self
    }

    /// Expects the PROXY protocol of these proxies, version 1 or 2, as HAProxy (`send-proxy`,
    /// `send-proxy-v2`), nginx's stream module and the load balancers of clouds speak it: addresses,
    /// networks such as `10.0.0.0/8`, or `unix` for the peers of Unix sockets.
    ///
    /// Every connection of theirs must begin with the protocol's header, before TLS if there is any;
    /// one that does not is closed. Those of others begin as usual. [`Request::client_addr`] returns
    /// the address that the header names. A header without one, LOCAL or UNKNOWN, leaves it the
    /// proxy's own: it is a health check. [`Request::peer_addr`] is always the proxy's.
    ///
    /// These proxies are a list of their own. A proxy that writes an HTTP header into the requests
    /// is one of the [trusted proxies](Self::trusted_proxies); behind a proxy that speaks this protocol
    /// the address that the header names may be one of them. A further call adds proxies.
    ///
    /// ```
    /// # use landline::Server;
    /// let builder = Server::builder()
    ///     .proxy_protocol(["10.0.0.7", "unix"])
    ///     .on_upgrade(|ws, request| ws.send(format!("{:?}", request.client_addr())));
    /// # let _ = builder;
    /// ```
    pub fn proxy_protocol(self, proxies: impl IntoIterator<Item = impl ToString>) -> Self {
        self.admit_each(proxies, |access, proxy| access.add_header_proxy(proxy))
    }

    /// Sets how many connections one IP address may have at once, those in their handshake
    /// included; further ones get 503. Of IPv6, the addresses that share their first 64 bits count
    /// as one. Unlimited by default. [Trusted proxies](Self::trusted_proxies), those that speak the
    /// [PROXY protocol](Self::proxy_protocol), and the peers of Unix sockets do not count.
    pub fn max_connections_per_ip(mut self, connections: usize) -> Self {
        self.access.max_connections_per_ip = Some(connections);
        self
    }

    /// Sets the subprotocols that the server speaks, in order of preference. The first of them that
    /// the client also offers is chosen, and is
    /// [`WebSocket::subprotocol`](crate::WebSocket::subprotocol) on both ends. With none in common
    /// the connection goes on without one, unless one is [required](Self::require_subprotocol). A
    /// DEBUG record then says so, because browsers, Node and Bun fail a connection that chooses
    /// none of the subprotocols they offer (RFC 6455, section 4.1, leaves it to them). A
    /// subprotocol that an [`Upgrade`](crate::Upgrade) chooses itself comes first.
    ///
    /// ```
    /// # use landline::Server;
    /// let builder = Server::builder()
    ///     .subprotocols(["chat.v2", "chat.v1"])
    ///     .on_upgrade(|ws, _request| ws.send(ws.subprotocol().unwrap_or("chat.v1")));
    /// # let _ = builder;
    /// ```
    pub fn subprotocols(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        let preferred = self.access.subprotocols.prefer(names);
        self.access.note(preferred);
        self
    }

    /// Sets the function that chooses a subprotocol, instead of
    /// [`subprotocols`](Self::subprotocols): one of [`Request::subprotocols`], or `None`. Choosing
    /// another answers 500. It runs on the connection's own thread, after the program has decided
    /// for the upgrade.
    pub fn choose_subprotocol(
        mut self,
        choose: impl Fn(&Request) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.access.subprotocols.choose_by(choose);
        self
    }

    /// Answers 400 to upgrades for which no subprotocol is chosen.
    pub fn require_subprotocol(mut self) -> Self {
        self.access.subprotocols.require();
        self
    }

    fn admit_each(
        mut self,
        items: impl IntoIterator<Item = impl ToString>,
        admit: fn(&mut Access, &str) -> Result<(), String>,
    ) -> Self {
        for item in items {
            let admitted = admit(&mut self.access, &item.to_string());
            self.access.note(admitted);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::Server;

    fn request(local: Address, peer: Address, host: &str) -> Request {
        let head = http::Request::get("/").header("Host", host);
        let head = head.body(bytes::Bytes::new()).unwrap();
        Request::new(Box::new(head), peer, local, Server::detached())
    }

    fn ip(text: &str) -> Address {
        text.parse::<SocketAddr>().unwrap().into()
    }

    /// A name of another machine is refused over loopback, also where a socket serves both IPv6 and
    /// IPv4. It is taken from a trusted proxy, and over a Unix socket, which no page can reach, unless
    /// hosts are named.
    #[test]
    fn hosts_are_judged_by_the_way_they_came() {
        let mut access = Access::default();
        access.proxies.add("127.0.0.7").unwrap();
        let unix = Address::unnamed();
        for (local, peer, is_let_in) in [
            (ip("127.0.0.1:80"), ip("127.0.0.1:9"), false),
            (
                ip("[::ffff:127.0.0.1]:80"),
                ip("[::ffff:127.0.0.1]:9"),
                false,
            ),
            (ip("127.0.0.1:80"), ip("127.0.0.7:9"), true),
            (
                ip("[::ffff:127.0.0.1]:80"),
                ip("[::ffff:127.0.0.7]:9"),
                true,
            ),
            (unix.clone(), unix.clone(), true),
        ] {
            let request = request(local, peer.clone(), "example.com");
            assert_eq!(access.judge(&request).is_ok(), is_let_in, "{peer}");
        }
        access.guard.allow_host("example.org").unwrap();
        for (host, is_let_in) in [("example.org", true), ("example.com", false)] {
            let request = request(unix.clone(), unix.clone(), host);
            assert_eq!(access.judge(&request).is_ok(), is_let_in, "{host}");
        }
    }

    /// The peer of a Unix socket counts for no address, and is nobody's client.
    #[cfg(unix)]
    #[test]
    fn peers_of_unix_sockets_count_for_nobody() {
        let [near, _far] = crate::transport::pair().unwrap();
        let access = Access {
            max_connections_per_ip: Some(1),
            ..Access::default()
        };
        assert_eq!(access.quota(&Socket::new(near).unwrap()), None);
        let request = request(Address::unnamed(), Address::unnamed(), "localhost");
        assert_eq!(request.client_addr(), None);
    }

    /// Of IPv6 the first 64 bits count, of IPv4 all.
    #[test]
    fn client_networks() {
        for (address, stands_for) in [
            ("192.0.2.77", "192.0.2.77"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("::1", "::"),
        ] {
            let client_network = client_network(address.parse().unwrap());
            assert_eq!(client_network.to_string(), stands_for, "{address}");
        }
    }
}
