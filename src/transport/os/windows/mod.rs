//! Windows.

mod listening;
mod resources;
mod stream;
mod unix_off;
mod wake;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::polling::pause;
pub(in crate::transport) use listening::{
    BACKLOG, accept_failure, keep_to_this_process, listens, set_listening_options,
};
pub(in crate::transport) use resources::{address_space_limit, descriptor_limit, thread_limit};
pub(in crate::transport) use stream::Stream;
pub(in crate::transport) use unix_off::{
    SocketFile, listen_at_name, listen_at_path, name_of_unix_socket, unix_socket,
};
pub(crate) use wake::Wake;

/// Makes two connected stream sockets.
pub(crate) fn pair() -> io::Result<[OwnedFd; 2]> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    loop {
        let (other, peer) = listener.accept()?;
        // Another program may have connected first.
        if peer == one.local_addr()? {
            return Ok([one.into(), other.into()]);
        }
    }
}

/// Returns the path that these bytes name, if they are UTF-8.
pub(crate) fn path_of(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Tells whether the system goes on connecting.
pub(in crate::transport) fn is_connecting(error: &io::Error) -> bool {
    let in_progress = Some(Errno::INPROGRESS.raw_os_error());
    error.raw_os_error() == in_progress || error.kind() == io::ErrorKind::WouldBlock
}

/// Tells whether this machine lacks all addresses of a kind.
pub(in crate::transport) fn is_unknown_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
}

/// Sleeps for a moment if all that is ready are hang-ups, which nobody has asked for. They tell here
/// that the peer has ended its own direction: the socket may still be full, and who waits for room would
/// spin. They stay ready, since a lost connection is told in the same way.
pub(super) fn pause_for_hang_ups(fds: &[PollFd<'_>], deadline: Option<Instant>) {
    let asked = PollFlags::IN | PollFlags::OUT | PollFlags::ERR | PollFlags::NVAL;
    let told = || fds.iter().map(PollFd::revents);
    let hangs_up = told().any(|flags| flags.intersects(PollFlags::HUP));
    if hangs_up && !told().any(|flags| flags.intersects(asked)) {
        pause(deadline);
    }
}
