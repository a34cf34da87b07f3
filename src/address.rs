//! The address of one end of a connection: [`Address`].

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use crate::record::Foreign;

/// The address of one end of a connection: an IP address with a port, or the name of a Unix socket.
///
/// It prints as `192.0.2.1:9001`, `[2001:db8::1]:9001`, `unix:/run/app.sock`, `unix:@name` for a
/// name in Linux's abstract namespace, or `unix` for a Unix socket without a name, as clients have
/// it. A clone allocates nothing.
///
/// ```
/// use landline::{Address, Server};
///
/// let server = Server::builder()
///     .on_upgrade(|ws, request| {
///         match request.peer_addr().ip() {
///             Some(ip) => println!("a client at {ip}"),
///             None => println!("a client on this machine"),
///         }
///         ws.send("welcome")
///     })
///     .bind("127.0.0.1:0")?;
/// assert!(server.local_addr().socket_addr().is_some());
/// # Ok::<(), landline::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(Kind);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Kind {
    Ip(SocketAddr),
    Path(Arc<Path>),
    /// A name in Linux's abstract namespace, of any bytes.
    Abstract(Arc<[u8]>),
    Unnamed,
}

impl Address {
    /// Returns the IP address, or `None` for a Unix socket.
    ///
    /// Where a socket serves both IPv6 and IPv4, an IPv4 address is mapped into IPv6, and
    /// [`to_canonical`](IpAddr::to_canonical) turns it back.
    /// [`Request::client_addr`](crate::Request::client_addr) has done so, and looks through proxies.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|address| address.ip())
    }

    /// Returns the port, or `None` for a Unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.socket_addr().map(|address| address.port())
    }

    /// Returns the IP address and the port, or `None` for a Unix socket.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.0 {
            Kind::Ip(address) => Some(address),
            _ => None,
        }
    }

    /// Tells whether it is the address of a Unix socket, with or without a name.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        !matches!(self.0, Kind::Ip(_))
    }

    /// Returns the path of a Unix socket, or `None` for an IP address and for a Unix socket without
    /// a path.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Returns the IP address in the one form that can be compared, or `None` for a Unix socket.
    pub(crate) fn canonical_ip(&self) -> Option<IpAddr> {
        self.ip().map(|ip| ip.to_canonical())
    }

    /// Returns the name of a Unix socket in Linux's abstract namespace, or `None` for other addresses.
    pub(crate) fn abstract_name(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Abstract(name) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn from_path(path: &Path) -> Self {
        Self(Kind::Path(path.into()))
    }

    pub(crate) fn from_abstract_name(name: &[u8]) -> Self {
        Self(Kind::Abstract(name.into()))
    }

    /// Makes the address of a Unix socket that has no name.
    pub(crate) fn unnamed() -> Self {
        Self(Kind::Unnamed)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(Kind::Ip(address))
    }
}

/// The address of a server can be connected to or bound: `TcpStream::connect(server.local_addr())`.
/// For that of a Unix socket this fails with [`Unsupported`](io::ErrorKind::Unsupported).
impl ToSocketAddrs for Address {
    type Iter = std::option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        match self.socket_addr() {
            Some(address) => address.to_socket_addrs(),
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the address is a Unix socket's",
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Ip(address) => address.fmt(f),
            // The peer chooses its name: escaped, it cannot forge a line of a log.
            Kind::Path(path) => write!(f, "unix:{}", Foreign(path.display())),
            Kind::Abstract(name) => {
                write!(f, "unix:@{}", Foreign(String::from_utf8_lossy(name)))
            }
            Kind::Unnamed => f.write_str("unix"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind of address prints on one line, whatever the peer has called itself, and tells what it
    /// is.
    #[test]
    fn addresses_print_and_tell_what_they_are() {
        let ip = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap());
        let path = |text: &str| Address::from_path(Path::new(text));
        for (address, shown, socket_addr, has_path) in [
            (ip("192.0.2.1:9001"), "192.0.2.1:9001", true, false),
            (ip("[2001:db8::1]:80"), "[2001:db8::1]:80", true, false),
            (path("/run/app.sock"), "unix:/run/app.sock", false, true),
            (path("/a\nb"), "unix:/a\\nb", false, true),
            (
                Address::from_abstract_name(b"x\0y"),
                "unix:@x\\u{0}y",
                false,
                false,
            ),
            (Address::unnamed(), "unix", false, false),
        ] {
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), shown);
            assert_eq!(address.socket_addr().is_some(), socket_addr, "{shown}");
            assert_eq!(address.ip().is_some(), socket_addr, "{shown}");
            assert_eq!(address.to_socket_addrs().is_ok(), socket_addr, "{shown}");
            assert_eq!(address.is_unix(), !socket_addr, "{shown}");
            assert_eq!(address.path().is_some(), has_path, "{shown}");
        }
    }

    /// An IPv4 address within IPv6 is compared as IPv4.
    #[test]
    fn mapped_addresses_are_compared_as_ipv4() {
        let mapped = Address::from("[::ffff:127.0.0.1]:1".parse::<SocketAddr>().unwrap());
        let canonical = mapped.canonical_ip().unwrap();
        assert_eq!(canonical.to_string(), "127.0.0.1");
        assert_eq!(Address::unnamed().canonical_ip(), None);
    }
}
