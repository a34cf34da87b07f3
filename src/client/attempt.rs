//! The steps to one server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use url::Host;

use super::asking::{Answer, Asking};
use super::connecting::Connecting;
use crate::connection::handshake::{Opening, OpeningGuard};
use crate::error::about;
use crate::handshake::{ClientHandshake, is_secure};
use crate::transport::{Connector, Socket, dial, look_up};
use crate::{Error, Timeout};

/// An attempt to connect to one server.
pub(super) struct Attempt<'a> {
    connecting: &'a Connecting<'a>,
    host: Host<&'a str>,
    port: u16,
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
            url,
            deadline,
            ..
        } = connecting;
        let connector = is_secure(url)?.then(|| client.connector()).transpose()?;
        let request = ClientHandshake::new(
            url,
            &connecting.headers,
            &connecting.subprotocols,
            client.config.compression.as_ref(),
        )?;
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Error::Invalid("the URL has no host".into()));
        };
        let now = Instant::now();
        let timeout = client.connect_timeout;
        let dialled_by = timeout.and_then(|timeout| now.checked_add(timeout));
        Ok(Self {
            connecting,
            host,
            port,
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
        let addresses = self.look_up()?;
        let socket = self.dial(&addresses)?;
        let opening = self.open(&socket)?;
        self.secure(&opening)?;
        let answer = self.ask(&opening)?;
        Ok((socket, opening, answer))
    }

    /// Finds the addresses of the host.
    fn look_up(&self) -> Result<Vec<SocketAddr>, Error> {
        look_up(&self.host, self.port, self.dialled_by).map_err(|error| self.unreachable(error))
    }

    /// Connects to one of the addresses.
    fn dial(&self, addresses: &[SocketAddr]) -> Result<Arc<Socket>, Error> {
        let socket = dial(addresses, self.dialled_by);
        socket
            .map(Arc::new)
            .map_err(|error| self.unreachable(error))
    }

    /// Begins the handshake, whose deadline cuts the socket in all further steps.
    fn open(&self, socket: &Arc<Socket>) -> Result<OpeningGuard, Error> {
        let Connecting {
            client, deadline, ..
        } = self.connecting;
        Opening::begin(socket, &client.config, *deadline)
            .map_err(|error| Error::Io(about("setting up the connection", error)))
    }

    /// Does the TLS handshake, if the URL asks for TLS.
    fn secure(&self, opening: &OpeningGuard) -> Result<(), Error> {
        let Some(connector) = self.connector else {
            return Ok(());
        };
        let host = match &self.host {
            Host::Domain(name) => (*name).to_owned(),
            // An IPv6 address is in brackets only in URLs.
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        opening.connect_tls(connector, &host)
    }

    /// Asks for the upgrade.
    fn ask(&self, opening: &OpeningGuard) -> Result<Answer, Error> {
        Asking(opening).ask(&self.request)
    }

    fn unreachable(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::TimedOut {
            return Error::Timeout(Timeout::Handshake);
        }
        Error::Connect(match &self.host {
            Host::Domain(name) => about(format_args!("{name}:{}", self.port), error),
            // The error begins with the address already.
            Host::Ipv4(_) | Host::Ipv6(_) => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;
    use crate::{Client, Messages, WebSocket};

    /// The steps behind dialling take any connected socket, and so does the connection that they make.
    #[test]
    fn connections_run_over_unix_sockets() {
        let (near, far) = UnixStream::pair().unwrap();
        let peer = thread::spawn(move || {
            let mut peer = tungstenite::accept(far).unwrap();
            let message = peer.read().unwrap();
            peer.send(message).unwrap();
            while peer.read().is_ok() {}
        });
        let client = Client::new();
        let connecting = Connecting::new(&client, "ws://localhost/").unwrap();
        let attempt = Attempt::new(&connecting).unwrap();
        let socket = Arc::new(Socket::new(near).unwrap());
        let opening = attempt.open(&socket).unwrap();
        attempt.secure(&opening).unwrap();
        let Answer::Upgraded {
            negotiated,
            pipelined,
        } = attempt.ask(&opening).unwrap()
        else {
            panic!("it is not upgraded")
        };
        let reader = connecting.open_connection(socket, opening, negotiated, pipelined);
        let reader = reader.unwrap();
        let (ws, open) = WebSocket::for_client(reader.connection());
        let mut messages = Messages::new(reader, Some(open));
        assert_eq!(ws.peer_addr().to_string(), "unix");
        ws.send("hello").unwrap();
        assert_eq!(messages.recv().unwrap().as_text(), Some("hello"));
        assert!(messages.close().is_clean());
        peer.join().unwrap();
    }
}
