//! What a server can be bound to: [`BindTo`].

use std::io;
use std::net::ToSocketAddrs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener};
#[cfg(unix)]
use std::os::unix::net::UnixListener;

use self::sealed::Places;
use crate::Address;
use crate::error::about;
use crate::transport::{OwnedFd, Place};

/// A place where a server can listen, or several of them, for
/// [`ServerBuilder::bind`](crate::ServerBuilder::bind). Sealed.
///
/// - A text: a host and a port, `127.0.0.1:9001`, `[::1]:9001`, `localhost:9001`; a Unix socket,
///   `unix:/run/app.sock`; or a name in Linux's abstract namespace, `unix:@app`. Windows has neither of
///   the two last.
/// - What std takes for addresses: a [`SocketAddr`], an [`IpAddr`] or a host with a port, and so
///   on; and an [`Address`].
/// - A listening socket that the program has made or was handed: a [`TcpListener`], a
///   `UnixListener` on Unix, or the `OwnedFd` of either (on Windows, the `OwnedSocket`). The server
///   closes it when it stops. It sets it to non-blocking mode, which the copies of other processes
///   share, and to close-on-exec. The file of such a Unix socket is not removed.
/// - An array, a slice or a vector of these.
///
/// ```
/// use landline::Server;
/// use std::net::TcpListener;
///
/// let echo = || Server::builder().on_upgrade(|ws, _| ws.on_text(|ws, text| ws.send(text)));
/// let server = echo().bind(["127.0.0.1:0", "127.0.0.2:0"])?;
/// assert_eq!(server.local_addrs().len(), 2);
///
/// let server = echo().bind(TcpListener::bind("127.0.0.1:0")?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a server cannot be bound to `{Self}`",
    note = "it takes a text such as \"127.0.0.1:9001\" or \"unix:/run/app.sock\", an address, a \
            listening socket, or several of one of these"
)]
pub trait BindTo: sealed::Sealed {
    /// Returns the places to listen at.
    #[doc(hidden)]
    fn into_places(self) -> io::Result<Places>;
}

pub(super) mod sealed {
    pub trait Sealed {}

    /// The places that a value stands for.
    #[derive(Debug)]
    pub struct Places(pub(in crate::server) Vec<crate::transport::Place>);
}

impl Places {
    fn one(place: Place) -> io::Result<Self> {
        Ok(Self(vec![place]))
    }

    /// Looks up what std takes for addresses.
    fn look_up(address: impl ToSocketAddrs) -> io::Result<Self> {
        let addresses = address
            .to_socket_addrs()
            .map_err(|error| about(UNUSABLE, error))?;
        Ok(Self(addresses.map(Place::Ip).collect()))
    }
}

/// The error for an address that the system cannot use.
const UNUSABLE: &str = "an address that cannot be used (write a host and a port, such as \
    127.0.0.1:9001, or 0.0.0.0:9001 or [::]:9001 for all addresses of this machine, or \
    unix:/path of a Unix socket)";

impl sealed::Sealed for &str {}

impl BindTo for &str {
    fn into_places(self) -> io::Result<Places> {
        match self.strip_prefix("unix:") {
            None => Places::look_up(self),
            Some("" | "@") => {
                let what = format!("{self:?} names no Unix socket (write unix:/path)");
                Err(io::Error::new(io::ErrorKind::InvalidInput, what))
            }
            Some(name) => Places::one(match name.strip_prefix('@') {
                Some(name) => Place::Name(name.into()),
                None => Place::Path(name.into()),
            }),
        }
    }
}

impl sealed::Sealed for Address {}

impl BindTo for Address {
    fn into_places(self) -> io::Result<Places> {
        if let Some(path) = self.path() {
            return Places::one(Place::Path(path.into()));
        }
        match self.abstract_name() {
            Some(name) => Places::one(Place::Name(name.into())),
            None => Places::look_up(self),
        }
    }
}

/// Implements the trait for types that another type can be made of.
macro_rules! by {
    ($via:expr; $($type:ty),+) => {$(
        impl sealed::Sealed for $type {}

        impl BindTo for $type {
            fn into_places(self) -> io::Result<Places> {
                let via = $via;
                via(self)
            }
        }
    )+};
}

by!(|text: String| text.as_str().into_places(); String);
by!(|text: &String| text.as_str().into_places(); &String);
by!(|address: &Address| address.clone().into_places(); &Address);
by!(Places::look_up; SocketAddr, &SocketAddr, SocketAddrV4, SocketAddrV6);
by!(Places::look_up; (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16), (&str, u16), (String, u16));
by!(|socket| Places::one(Place::Given(OwnedFd::from(socket))); TcpListener);
#[cfg(unix)]
by!(|socket| Places::one(Place::Given(OwnedFd::from(socket))); UnixListener);
by!(|fd| Places::one(Place::Given(fd)); OwnedFd);

/// Puts the places of several values together.
fn all(values: impl IntoIterator<Item = impl BindTo>) -> io::Result<Places> {
    let mut places = Vec::new();
    for value in values {
        places.extend(value.into_places()?.0);
    }
    Ok(Places(places))
}

impl<T: BindTo> sealed::Sealed for Vec<T> {}

impl<T: BindTo> BindTo for Vec<T> {
    fn into_places(self) -> io::Result<Places> {
        all(self)
    }
}

impl<T: BindTo, const N: usize> sealed::Sealed for [T; N] {}

impl<T: BindTo, const N: usize> BindTo for [T; N] {
    fn into_places(self) -> io::Result<Places> {
        all(self)
    }
}

impl<T: BindTo + Clone> sealed::Sealed for &[T] {}

impl<T: BindTo + Clone> BindTo for &[T] {
    fn into_places(self) -> io::Result<Places> {
        all(self.iter().cloned())
    }
}
