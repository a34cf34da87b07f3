//! Landline's own socket, reached behind its back: the system can do to it what it does to nobody
//! on loopback.

#[cfg(target_os = "linux")]
pub(crate) use self::linux::own_socket;
#[cfg(not(target_os = "linux"))]
pub(crate) use self::other::own_socket;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::net::SocketAddr;
    use std::os::fd::{AsFd, OwnedFd};

    use landline::WebSocket;
    use rustix::net::{getpeername, getsockname};
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    /// Returns a descriptor of the socket that landline has of a connection; `None` where the system
    /// gives none.
    pub(crate) fn own_socket(ws: &WebSocket) -> Option<OwnedFd> {
        let this = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
        let numbers = fs::read_dir("/proc/self/fd").unwrap();
        let numbers = numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let own = (
            ws.local_addr().socket_addr()?,
            ws.peer_addr().socket_addr()?,
        );
        numbers
            .filter_map(|number| pidfd_getfd(&this, number, PidfdGetfdFlags::empty()).ok())
            .find(|copy| ends(copy) == Some(own))
    }

    fn ends(socket: impl AsFd) -> Option<(SocketAddr, SocketAddr)> {
        let own = getsockname(&socket).ok()?.try_into().ok()?;
        let other = getpeername(&socket).ok()??.try_into().ok()?;
        Some((own, other))
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::net::TcpStream;

    use landline::WebSocket;

    /// Returns `None`: these systems give no descriptor of another's.
    pub(crate) fn own_socket(_: &WebSocket) -> Option<TcpStream> {
        None
    }
}
