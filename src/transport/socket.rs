//! One connected stream socket.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg, sockopt};

use super::tls::{self, Acceptor, Connector, Session};
use crate::Error;
use crate::process::Process;

/// Wraps a connected socket: one thread reads it, whoever holds the outbox's lock writes it (L2).
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// Asked for while they can be had: a peer that has reset has no address any more.
    peer_addr: SocketAddr,
    local_addr: SocketAddr,
    /// Who made it. A forked child has a copy of the descriptor, but the connection is its parent's.
    owner: Process,
    /// Set once its handshake is done.
    tls: OnceLock<Box<Session>>,
}

/// Says what to wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interest {
    Read,
    Write,
    ReadOrWrite,
}

/// Says what a wait found; both are false when the deadline passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Socket {
    /// Takes a connected stream: no delay, no SIGPIPE.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        #[cfg(target_vendor = "apple")]
        sockopt::set_socket_nosigpipe(&stream, true)?;
        Ok(Self {
            peer_addr: stream.peer_addr()?,
            local_addr: stream.local_addr()?,
            owner: Process::this(),
            tls: OnceLock::new(),
            stream,
        })
    }

    /// Bounds what the kernel holds of what is sent.
    pub(crate) fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        // More than the system can count is as much as it grants.
        let bytes = bytes.min(i32::MAX as usize);
        Ok(sockopt::set_socket_send_buffer_size(&self.stream, bytes)?)
    }

    /// Bounds what the kernel takes before it has sent what it has. Without this bound a socket counts
    /// as writable only when a third of its buffer is free, and that grows to megabytes.
    pub(crate) fn set_notsent_lowat(&self, bytes: usize) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            socket2::SockRef::from(&self.stream).set_tcp_notsent_lowat(bytes)
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            let _ = bytes;
            Ok(())
        }
    }

    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.peer_addr
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Reads into the spare capacity of `buffer`, blocking until there is something. 0 is the end.
    /// `WouldBlock` says that TLS [owes](Self::owes) something now, which is to leave before the next
    /// read.
    pub(crate) fn recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.recv_plain(buffer, RecvFlags::empty())
    }

    /// Reads like [`recv`](Self::recv), or returns `WouldBlock` at once.
    pub(crate) fn try_recv(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.recv_plain(buffer, RecvFlags::DONTWAIT)
    }

    fn recv_plain(&self, buffer: &mut Vec<u8>, flags: RecvFlags) -> io::Result<usize> {
        match self.tls.get() {
            None => self.recv_with(buffer, flags),
            Some(tls) => tls.recv(buffer, |ciphertext| self.recv_with(ciphertext, flags)),
        }
    }

    fn recv_with(&self, buffer: &mut Vec<u8>, flags: RecvFlags) -> io::Result<usize> {
        if buffer.len() == buffer.capacity() {
            // Nothing read would be taken for the end.
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let (length, _) = retry_on_intr(|| recv(&self.stream, spare_capacity(buffer), flags))?;
        Ok(length)
    }

    /// Reads like [`recv`](Self::recv), and writes what TLS has to say meanwhile, blocking.
    pub(crate) fn recv_answering(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let received = self.recv(buffer);
            let flushed = self.flush_all();
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => flushed?,
                // What has come counts, whether or not the peer still takes anything.
                received => return received,
            }
        }
    }

    fn flush_all(&self) -> io::Result<()> {
        while let Err(error) = self.flush() {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            self.wait_raw(Interest::Write, None);
        }
        Ok(())
    }

    /// Writes as much as the kernel takes just now, or returns `WouldBlock`; then the same bytes
    /// must come again. An error that [`wants_input`] ends when more has been received. With TLS, what
    /// counts as taken has left as ciphertext; it is never 0 for bytes that are not none.
    pub(crate) fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.tls.get() {
            None => self.try_send_raw(parts),
            Some(tls) => tls.try_send(parts, |bytes| self.try_send_bytes(bytes)),
        }
    }

    fn try_send_raw(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.check_owner()?;
        let flags = SendFlags::DONTWAIT | no_signal();
        let sent = match parts {
            // Spares the kernel what it does for several.
            [part, rest @ ..] if rest.iter().all(|part| part.is_empty()) => {
                retry_on_intr(|| send(&self.stream, part, flags))
            }
            _ => retry_on_intr(|| {
                let mut ancillary = SendAncillaryBuffer::default();
                sendmsg(&self.stream, parts, &mut ancillary, flags)
            }),
        };
        Ok(sent?)
    }

    /// Writes everything, blocking; a cut of the socket ends the wait with an error.
    pub(crate) fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_all_by(bytes, |parts| self.try_send(parts))
    }

    fn send_all_by(
        &self,
        mut bytes: &[u8],
        try_send: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            match try_send(&[IoSlice::new(bytes)]) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(Interest::Write, None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the socket is ready, cut or broken, at most until the deadline.
    pub(crate) fn wait(&self, interest: Interest, deadline: Option<Instant>) -> Ready {
        if interest.reads() && self.tls.get().is_some_and(|tls| tls.has_more()) {
            return Ready {
                readable: true,
                writable: false,
            };
        }
        self.wait_raw(interest, deadline)
    }

    /// Tells at once for what the socket is ready.
    pub(crate) fn look(&self) -> Ready {
        self.wait_raw(Interest::ReadOrWrite, Some(Instant::now()))
    }

    fn wait_raw(&self, interest: Interest, deadline: Option<Instant>) -> Ready {
        let mut fds = [PollFd::new(&self.stream, interest.flags())];
        match poll_all(&mut fds, deadline) {
            Ok(()) => Ready::from(fds[0].revents()),
            // Whoever asked looks again.
            Err(_) => Ready::default(),
        }
    }

    /// Has a TLS engine say that nothing follows; without TLS there is nothing to say.
    pub(crate) fn say_end(&self) {
        if let Some(tls) = self.tls.get() {
            tls.end(|bytes| self.try_send_bytes(bytes));
        }
    }

    /// Ends our direction: the peer reads its end after what is already written.
    pub(crate) fn finish_writing(&self) {
        self.say_end();
        self.shutdown(Shutdown::Write);
    }

    /// Wakes whoever reads: it finds the end.
    pub(crate) fn stop_reading(&self) {
        self.shutdown(Shutdown::Read);
    }

    /// Wakes whoever reads or waits; what is unsent is thrown away with the socket, so that the
    /// kernel keeps nothing for a peer that does not read.
    pub(crate) fn cut(&self) {
        if self.owner.is_this() {
            let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
        self.shutdown(Shutdown::Both);
    }

    /// Ends what a closed descriptor alone would not: a forked child has copies.
    fn shutdown(&self, how: Shutdown) {
        if self.owner.is_this() {
            let _ = self.stream.shutdown(how);
        }
    }

    /// Fails in a process that only has a copy: nothing of its parent's is written there.
    fn check_owner(&self) -> io::Result<()> {
        if self.owner.is_this() {
            return Ok(());
        }
        let what = "the connection belongs to the process that this one was forked from";
        Err(io::Error::new(io::ErrorKind::NotConnected, what))
    }

    /// Ends both directions like [`cut`](Self::cut), but leaves what is unsent to the kernel.
    pub(crate) fn hang_up(&self) {
        self.finish_writing();
        self.stop_reading();
    }

    /// Reads and discards until the peer's end, a silence of `silence`, or `total` in all, so that
    /// unread input does not make the kernel reset the connection over our last words.
    pub(crate) fn drain(&self, silence: Duration, total: Duration) {
        let end = Instant::now() + total;
        let mut scratch = Vec::with_capacity(16 << 10);
        loop {
            let now = Instant::now();
            let readable = self
                .wait_raw(Interest::Read, Some(end.min(now + silence)))
                .readable;
            scratch.clear();
            let received = self.recv_with(&mut scratch, RecvFlags::DONTWAIT);
            if !readable || !matches!(received, Ok(1..)) || now > end {
                return;
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// # TLS
impl Socket {
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.get().is_some()
    }

    /// Returns how many bytes of TLS have been received behind the handshake: a record may take long
    /// until it is whole.
    pub(crate) fn ciphertext_received(&self) -> u64 {
        self.tls.get().map_or(0, |tls| tls.received())
    }

    /// Tells whether [`flush`](Self::flush) has something to do, or a write that waits for input may
    /// be tried again. It is asked after every read.
    pub(crate) fn owes(&self) -> bool {
        self.tls.get().is_some_and(|tls| tls.owes())
    }

    /// Writes what TLS has to say of its own accord, without blocking. What of a write has not left
    /// yet goes first.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let tls = self.tls.get();
        tls.map_or(Ok(()), |tls| tls.flush(|bytes| self.try_send_bytes(bytes)))
    }

    /// Tells whether the connection is to be closed, as TLS will soon take no more records.
    pub(crate) fn is_worn_out(&self) -> bool {
        self.tls.get().is_some_and(|tls| tls.is_worn_out())
    }

    /// Returns the certificates that the peer has shown, in DER, its own first.
    pub(crate) fn peer_certificates(&self) -> Vec<Vec<u8>> {
        self.tls
            .get()
            .map_or_else(Vec::new, |tls| tls.peer_certificates())
    }

    /// Does the TLS handshake with a server of this name or address, blocking.
    pub(crate) fn connect_tls(&self, connector: &Connector, host: &str) -> Result<(), Error> {
        self.begin_tls(connector.connect(host, self)?);
        Ok(())
    }

    /// Does the TLS handshake with a client, blocking.
    pub(crate) fn accept_tls(&self, acceptor: &Acceptor) -> Result<(), Error> {
        self.begin_tls(acceptor.accept(self)?);
        Ok(())
    }

    fn begin_tls(&self, session: Session) {
        // There is one handshake a socket.
        let _ = self.tls.set(Box::new(session));
    }

    fn try_send_bytes(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_send_raw(&[IoSlice::new(bytes)])
    }
}

impl tls::Line for Socket {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_all_by(bytes, |parts| self.try_send_raw(parts))
    }

    fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.recv_with(buffer, RecvFlags::empty())
    }
}

/// Tells whether a write must wait for what the peer says next, which is read as ever, and not for
/// room in the socket: a TLS peer does its handshake anew. [`Socket::owes`] says when to try again.
pub(crate) fn wants_input(error: &io::Error) -> bool {
    tls::wants_input(error)
}

impl Interest {
    fn reads(self) -> bool {
        !matches!(self, Self::Write)
    }

    fn flags(self) -> PollFlags {
        match self {
            Self::Read => PollFlags::IN,
            Self::Write => PollFlags::OUT,
            Self::ReadOrWrite => PollFlags::IN | PollFlags::OUT,
        }
    }
}

impl From<PollFlags> for Ready {
    /// A hang-up or an error counts as ready both ways: the next call finds out.
    fn from(flags: PollFlags) -> Self {
        let broken = flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
        Self {
            readable: broken || flags.contains(PollFlags::IN),
            writable: broken || flags.contains(PollFlags::OUT),
        }
    }
}

/// Waits until one of the descriptors is ready, at most until the deadline. Where waiting fails, as it
/// does in a process that may have no descriptors any more, none is ready, and a moment passes: whoever
/// looks again and again does not spin.
pub(crate) fn poll_all(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    let polled = retry_on_intr(|| {
        let left = deadline.map(timespec);
        poll(fds, left.as_ref())
    });
    polled.map(drop).map_err(|error| {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        thread::park_timeout(left.map_or(MOMENT, |left| left.min(MOMENT)));
        error.into()
    })
}

/// The time between two looks where waiting fails.
const MOMENT: Duration = Duration::from_millis(10);

fn timespec(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}

#[cfg(not(target_vendor = "apple"))]
fn no_signal() -> SendFlags {
    SendFlags::NOSIGNAL
}

/// The socket itself carries the option there.
#[cfg(target_vendor = "apple")]
fn no_signal() -> SendFlags {
    SendFlags::empty()
}
