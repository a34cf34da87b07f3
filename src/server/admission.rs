//! Whom a server lets in, before any of the program's code runs.

use std::net::{IpAddr, SocketAddr};

use super::ServerBuilder;
use crate::http::{Guard, Subprotocols, TrustedProxies};
use crate::transport::Socket;
use crate::{Error, Reply, Request};

/// Holds the settings.
#[derive(Debug, Default)]
pub(super) struct Admission {
    guard: Guard,
    pub(super) subprotocols: Subprotocols,
    pub(super) proxies: TrustedProxies,
    max_connections_per_ip: Option<usize>,
    /// The first setting that cannot be used: setters never fail, binding reports it.
    invalid: Option<String>,
}

impl Admission {
    /// Returns the settings if they can be used, or says what is wrong with them.
    pub(super) fn checked(mut self) -> Result<Self, Error> {
        self.invalid
            .take()
            .map_or(Ok(self), |invalid| Err(Error::Invalid(invalid)))
    }

    /// Judges a request to the server that listens on this address; an error is what it gets.
    pub(super) fn judge(&self, request: &Request, bound: SocketAddr) -> Result<(), Reply> {
        self.guard
            .judge(request, bound.ip().to_canonical().is_loopback())
    }

    /// Returns whom a connection counts for, and how many one may have; `None` if nobody counts. A
    /// trusted proxy stands for many.
    pub(super) fn quota(&self, socket: &Socket) -> Option<(IpAddr, usize)> {
        let limit = self.max_connections_per_ip?;
        let peer = socket.peer_addr().ip().to_canonical();
        (!self.proxies.contains(peer)).then_some((peer, limit))
    }

    fn note(&mut self, result: Result<(), String>) {
        if let Err(invalid) = result {
            self.invalid.get_or_insert(invalid);
        }
    }
}

/// Whom it lets in.
impl ServerBuilder {
    /// Lets the pages of these origins open connections, too. By default only those of the same
    /// host may, and clients that are no browsers and send no Origin; everybody else gets 403
    /// before any code of the program runs (RFC 6455, section 10.2).
    ///
    /// An origin is a scheme, a host and perhaps a port, `https://example.com` or
    /// `http://localhost:3000`. `https://*.example.com` stands for all subdomains, but not for
    /// `https://example.com` itself. The same host means the same name and port as in the Host
    /// header; the scheme may differ, for proxies that end TLS. Called again, it adds.
    ///
    /// ```
    /// # use landline::Server;
    /// let builder = Server::builder()
    ///     .allow_origins(["https://example.com", "https://*.example.com"])
    ///     .on_upgrade(|ws, _request| ws.send("welcome"));
    /// # let _ = builder;
    /// ```
    pub fn allow_origins(self, origins: impl IntoIterator<Item = impl ToString>) -> Self {
        self.admit_each(origins, |admission, origin| {
            admission.guard.allow_origin(origin)
        })
    }

    /// Lets the pages of every origin open connections: any website that a user visits can then
    /// speak to the server with that user's cookies and from within that user's network.
    pub fn danger_allow_any_origin(mut self) -> Self {
        self.admission.guard.allow_any_origin();
        self
    }

    /// Lets requests for these hosts in, too, where the server is bound to a loopback address.
    ///
    /// Such a server is meant for its own machine, so it answers only to `localhost`, names below
    /// it, and loopback addresses, and to the hosts of [allowed origins](Self::allow_origins).
    /// Everybody else gets 403: a website whose name is suddenly bound to 127.0.0.1 would otherwise
    /// be of the same host. Name the public hosts here if a proxy on the same machine passes their
    /// Host on. `*.example.com` stands for all subdomains; ports are not compared. Called again, it
    /// adds.
    pub fn allow_hosts(self, hosts: impl IntoIterator<Item = impl ToString>) -> Self {
        self.admit_each(hosts, |admission, host| admission.guard.allow_host(host))
    }

    /// Trusts these proxies, addresses or networks such as `10.0.0.0/8`, to say who their clients
    /// are: [`Request::client_addr`]. Called again, it adds.
    pub fn trusted_proxies(self, proxies: impl IntoIterator<Item = impl ToString>) -> Self {
        self.admit_each(proxies, |admission, proxy| admission.proxies.add(proxy))
    }

    /// Sets how many connections one IP address may have at once, those in their handshake
    /// included; who comes then gets 503. Unlimited by default. [Trusted
    /// proxies](Self::trusted_proxies) do not count.
    pub fn max_connections_per_ip(mut self, connections: usize) -> Self {
        self.admission.max_connections_per_ip = Some(connections);
        self
    }

    /// Sets the subprotocols that are spoken, in order of preference: the first that the client
    /// offers, too, is chosen, and is [`WebSocket::subprotocol`](crate::WebSocket::subprotocol) on
    /// both ends. With none in common the connection goes on without, unless
    /// [required](Self::require_subprotocol). What an [`Upgrade`](crate::Upgrade) chooses itself
    /// comes first.
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
        let preferred = self.admission.subprotocols.prefer(names);
        self.admission.note(preferred);
        self
    }

    /// Sets what chooses a subprotocol, instead of [`subprotocols`](Self::subprotocols): one of
    /// [`Request::subprotocols`], or `None`. Choosing another answers 500. It runs on the
    /// connection's own thread, after the program has decided for the upgrade.
    pub fn choose_subprotocol(
        mut self,
        choose: impl Fn(&Request) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.admission.subprotocols.choose_by(choose);
        self
    }

    /// Answers 400 to upgrades for which no subprotocol is chosen.
    pub fn require_subprotocol(mut self) -> Self {
        self.admission.subprotocols.require();
        self
    }

    fn admit_each(
        mut self,
        items: impl IntoIterator<Item = impl ToString>,
        admit: fn(&mut Admission, &str) -> Result<(), String>,
    ) -> Self {
        for item in items {
            let admitted = admit(&mut self.admission, &item.to_string());
            self.admission.note(admitted);
        }
        self
    }
}
