//! The steps to one server.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use url::Host;

use super::Client;
use super::asking::{Answer, Asking};
use super::connecting::Connecting;
use super::dialling::{Destination, Dialling, bare, reach_unix};
use super::proxy::{Proxy, ProxySetting, Tunnel, from_environment};
use super::target::Target;
use crate::connection::Connection;
use crate::connection::handshake::{Opening, OpeningGuard};
use crate::error::about;
use crate::handshake::{ClientHandshake, is_secure};
use crate::transport::{Connector, Socket, look_up};
use crate::{Error, Timeout};

/// An attempt to connect to one server.
pub(super) struct Attempt<'a> {
    connecting: &'a Connecting<'a>,
    host: Host<&'a str>,
    port: u16,
    /// The proxy before the server, and the settings of TLS if that is spoken to by TLS.
    proxy: Option<(Proxy, Option<&'a Connector>)>,
    /// The TLS settings, if the URL asks for TLS.
    connector: Option<&'a Connector>,
    request: ClientHandshake,
    /// The deadline for looking up and dialling, which may be earlier than the handshake's.
    dialled_by: Instant,
}

impl<'a> Attempt<'a> {
    /// Checks all settings before anything is sent. The time for reaching the server begins here.
    pub(super) fn new(connecting: &'a Connecting<'a>) -> Result<Self, Error> {
        let Connecting {
            client,
            target,
            deadline,
            ..
        } = connecting;
        let url = &target.url;
        let secure = is_secure(url)?;
        let connector = secure.then(|| client.connector()).transpose()?;
        let request = ClientHandshake::new(
            url,
            &connecting.headers,
            &connecting.subprotocols,
            client.config.compression.as_ref(),
        )?;
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Error::Invalid("the URL has no host".into()));
        };
        let proxy = match proxy(client, target, secure, &host, port)? {
            Some(proxy) if proxy.is_secure() => Some((proxy, Some(client.proxy_connector()?))),
            proxy => proxy.map(|proxy| (proxy, None)),
        };
        let now = Instant::now();
        let timeout = client.connect_timeout;
        let dialled_by = timeout.and_then(|timeout| now.checked_add(timeout));
        Ok(Self {
            connecting,
            host,
            port,
            proxy,
            connector,
            request,
            dialled_by: dialled_by.map_or(*deadline, |by| by.min(*deadline)),
        })
    }

    /// Takes the steps in order, and returns the server's answer.
    ///
    /// Each step takes the results of the steps before it, blocks until its deadline at most, and
    /// says in its error what has failed and where. A new step is a line here and a function below.
    pub(super) fn take_steps(&self) -> Result<(Arc<Socket>, OpeningGuard, Answer), Error> {
        let (socket, opening) = match &self.proxy {
            None => self.reach()?,
            Some((proxy, connector)) => self.reach_through(proxy, *connector)?,
        };
        self.secure(&opening)?;
        let answer = self.ask(&opening)?;
        Ok((socket, opening, answer))
    }

    /// Connects to the server, and begins the handshake.
    fn reach(&self) -> Result<(Arc<Socket>, OpeningGuard), Error> {
        let Client {
            dialling,
            canceller,
            ..
        } = self.connecting.client;
        let dialled = match self.connecting.target.unix() {
            Some(path) => reach_unix(path, self.dialled_by, canceller),
            None => dialling.reach(self.destination(), self.dialled_by, canceller),
        };
        let socket = dialled.map_err(|error| self.unreachable(error))?;
        self.open(socket, self.connecting.deadline)
    }

    /// Connects to the proxy, begins the handshake, and has the proxy connect to the server. Of several
    /// addresses that were looked up here, it tries one after the other.
    fn reach_through(
        &self,
        proxy: &Proxy,
        connector: Option<&Connector>,
    ) -> Result<(Arc<Socket>, OpeningGuard), Error> {
        let hosts = self.hosts_for(proxy)?;
        let (last, others) = hosts.split_last().unwrap_or((&self.host, &[]));
        for host in others {
            match self.tunnel(proxy, connector, host) {
                Err(Error::Proxy(error)) if another_may_do(&error) => {}
                outcome => return outcome,
            }
        }
        self.tunnel(proxy, connector, last)
    }

    fn tunnel(
        &self,
        proxy: &Proxy,
        connector: Option<&Connector>,
        host: &Host<&str>,
    ) -> Result<(Arc<Socket>, OpeningGuard), Error> {
        let Client {
            dialling,
            canceller,
            ..
        } = self.connecting.client;
        let proxy_host = proxy.host();
        let dialled = dialling.reach(proxy.destination(&proxy_host), self.dialled_by, canceller);
        let socket = dialled.map_err(|error| {
            let what = format!("cannot connect to the proxy {error}");
            Error::Proxy(io::Error::new(error.kind(), what))
        })?;
        let (socket, opening) = self.open(socket, self.dialled_by)?;
        let tunnel = Tunnel {
            proxy,
            opening: &opening,
            connector,
        };
        tunnel.lead_to(Destination {
            host,
            zone: None,
            port: self.port,
        })?;
        opening.set_deadline(self.connecting.deadline);
        Ok((socket, opening))
    }

    /// Returns what the proxy is asked to connect to: the URL's host, or each of its addresses.
    fn hosts_for(&self, proxy: &Proxy) -> Result<Vec<Host<&'a str>>, Error> {
        if !proxy.wants_addresses() {
            return Ok(vec![self.host.clone()]);
        }
        let canceller = &self.connecting.client.canceller;
        let addresses = look_up(&self.host, self.port, self.dialled_by, canceller);
        let addresses =
            addresses.map_err(|error| self.unreachable(about(self.destination(), error)))?;
        let host = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => Host::Ipv4(ip),
            IpAddr::V6(ip) => Host::Ipv6(ip),
        };
        Ok(addresses.into_iter().map(host).collect())
    }

    /// Begins the handshake, whose deadline, or a cancel, cuts the socket in all further steps.
    fn open(
        &self,
        socket: Socket,
        deadline: Instant,
    ) -> Result<(Arc<Socket>, OpeningGuard), Error> {
        let client = self.connecting.client;
        let socket = Arc::new(socket);
        let opening = Opening::begin(Connection::next_id(), &socket, &client.config, deadline)
            .map_err(|error| Error::Io(about("setting up the connection", error)))?;
        Ok((socket, opening.cut_by_cancel(&client.canceller)))
    }

    /// Does the TLS handshake, if the URL asks for TLS.
    fn secure(&self, opening: &OpeningGuard) -> Result<(), Error> {
        let Some(connector) = self.connector else {
            return Ok(());
        };
        opening.connect_tls(connector, &bare(&self.host))
    }

    /// Asks for the upgrade.
    fn ask(&self, opening: &OpeningGuard) -> Result<Answer, Error> {
        Asking(opening).ask(&self.request)
    }

    fn destination(&self) -> Destination<'_> {
        Destination {
            host: &self.host,
            zone: self.connecting.target.zone(),
            port: self.port,
        }
    }

    fn unreachable(&self, error: io::Error) -> Error {
        // A program's own dialling may have deadlines of its own.
        let in_time = Instant::now() < self.dialled_by;
        match error.kind() {
            io::ErrorKind::TimedOut if !in_time => Error::Timeout(Timeout::Handshake),
            _ => Error::Connect(error),
        }
    }
}

/// Returns the proxy before a server, if there is one. One that the environment names is for what the
/// system dials: who dials by other means has chosen the way.
fn proxy(
    client: &Client,
    target: &Target,
    secure: bool,
    host: &Host<&str>,
    port: u16,
) -> Result<Option<Proxy>, Error> {
    let by_system = matches!(client.dialling, Dialling::System) && target.zone().is_none();
    match &client.proxy {
        _ if target.unix().is_some() => Ok(None),
        ProxySetting::Given(proxy) => Ok(Some(Proxy::clone(proxy))),
        ProxySetting::Environment if by_system => from_environment(secure, host, port),
        _ => Ok(None),
    }
}

/// Tells whether a proxy that could not connect to one address may connect to another.
fn another_may_do(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied | io::ErrorKind::TimedOut
    )
}
