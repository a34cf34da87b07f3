//! Blocking streams, and what is done on them.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, recv};

/// A peer that does nothing for so long is broken, not slow: not even under valgrind.
const SILENCE: Duration = Duration::from_secs(100);

/// Connects to a server, without the handshake.
pub(crate) fn open(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    prepare(&stream)?;
    Ok(stream)
}

/// Sets that a stream sends at once, and waits for nothing longer than a peer may be silent.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))
}

/// Does the handshake of a client.
pub(crate) fn upgrade<S: Read + Write>(
    stream: S,
) -> Result<tungstenite::WebSocket<S>, Box<dyn Error>> {
    let upgraded = tungstenite::client("ws://localhost/", stream);
    Ok(upgraded.map_err(|_| "no handshake")?.0)
}

/// Sends one frame, and compares what comes back. Both at once: a server may answer before it has read all.
pub(crate) fn expect(mut stream: &TcpStream, frame: &[u8], answer: &[u8]) -> io::Result<()> {
    let mut received = vec![0; answer.len()];
    thread::scope(|scope| {
        let mut sender = stream;
        let sending = scope.spawn(move || sender.write_all(frame));
        stream.read_exact(&mut received)?;
        let sent = sending.join();
        sent.map_err(|_| io::Error::other("sending panicked"))?
    })?;
    if received == answer {
        Ok(())
    } else {
        Err(io::Error::other("the answer is not what was expected"))
    }
}

/// Discards what has come, which stays in the kernel, and returns how much that is: 0 if it must not
/// wait and nothing has. `nowhere` is not written to.
pub(crate) fn discard(
    stream: impl AsFd,
    nowhere: &mut [u8],
    flags: RecvFlags,
) -> io::Result<usize> {
    match retry_on_intr(|| recv(&stream, &mut *nowhere, flags | RecvFlags::TRUNC)) {
        Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok((received, _)) => Ok(received),
        Err(Errno::WOULDBLOCK) if flags.contains(RecvFlags::DONTWAIT) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Waits until there are events, no longer than a peer may be silent.
pub(crate) fn wait(epoll: impl AsFd, events: &mut Vec<epoll::Event>) -> io::Result<()> {
    events.clear();
    let timeout = Timespec::try_from(SILENCE).map_err(io::Error::other)?;
    retry_on_intr(|| epoll::wait(&epoll, spare_capacity(events), Some(&timeout)))?;
    if events.is_empty() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(())
}
