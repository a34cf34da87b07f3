use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::time::{ClockId, clock_gettime};

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::kernel;
use super::poll;
use crate::transport::{Interest, Socket};

/// Accepts nobody by itself, so that what connects to it can be filled and needs no descriptor for
/// its other end.
pub(crate) struct Deaf(TcpListener);

impl Deaf {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 4_096).unwrap();
        sockopt::set_socket_recv_buffer_size(&listener, 4_096).unwrap();
        Self(listener)
    }

    pub(crate) fn full_socket(&self) -> Arc<Socket> {
        self.full_sockets(1).remove(0)
    }

    /// Connects sockets and fills them.
    pub(crate) fn full_sockets(&self, count: usize) -> Vec<Arc<Socket>> {
        let sockets: Vec<_> = (0..count).map(|_| self.connect()).collect();
        // The other end's kernel may acknowledge a fifth of a second late.
        while sockets.iter().filter(|socket| fill(socket)).count() > 0 {
            sockets[0].wait(Interest::Read, Some(Instant::now() + LATE));
        }
        sockets.into_iter().map(Arc::new).collect()
    }

    fn connect(&self) -> Socket {
        let stream = TcpStream::connect(self.0.local_addr().unwrap()).unwrap();
        let socket = Socket::new(stream).unwrap();
        socket.set_send_buffer(4_096).unwrap();
        socket
    }

    /// Accepts the first connection and reads until the socket takes more.
    pub(crate) fn empty(&self, socket: &Socket) -> TcpStream {
        let (mut peer, _) = self.0.accept().unwrap();
        while !socket.wait(Interest::Write, Some(Instant::now())).writable {
            assert_ne!(peer.read(&mut [0; 1 << 16]).unwrap(), 0);
        }
        peer
    }
}

/// A time later than any acknowledgement.
const LATE: Duration = Duration::from_millis(300);

/// Fills a socket; tells whether it took anything.
fn fill(socket: &Socket) -> bool {
    let mut took = false;
    while socket.wait(Interest::Write, Some(Instant::now())).writable {
        let sent = socket.try_send(&[IoSlice::new(&[7; 1 << 16])]);
        took |= sent.unwrap() > 0;
    }
    took
}

/// Each of them, a test's `P`.
trait Poller: Sync {
    fn new() -> Self;
    fn add(&self, key: u64, socket: &Arc<Socket>) -> io::Result<()>;
    fn remove(&self, key: u64) -> Option<Arc<Socket>>;
    fn wait(&self, deadline: Instant, ready: &mut VecDeque<u64>);
    fn wake(&self);

    /// Returns the keys that are ready by then.
    fn ready_by(&self, deadline: Instant) -> Vec<u64> {
        let mut ready = VecDeque::new();
        self.wait(deadline, &mut ready);
        ready.into()
    }

    fn ready_now(&self) -> Vec<u64> {
        self.ready_by(Instant::now())
    }
}

macro_rules! implement {
    ($poller:ty) => {
        impl Poller for $poller {
            fn new() -> Self {
                <$poller>::new().unwrap()
            }
            fn add(&self, key: u64, socket: &Arc<Socket>) -> io::Result<()> {
                self.add(key, socket)
            }
            fn remove(&self, key: u64) -> Option<Arc<Socket>> {
                self.remove(key)
            }
            fn wait(&self, deadline: Instant, ready: &mut VecDeque<u64>) {
                self.wait(deadline, ready);
            }
            fn wake(&self) {
                self.wake();
            }
        }
    };
}

#[cfg(any(target_os = "linux", target_os = "android"))]
implement!(kernel::Poller);
implement!(poll::Poller);

/// Checks each that this system has.
macro_rules! check_each {
    ($check:ident) => {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        $check::<kernel::Poller>();
        $check::<poll::Poller>();
    };
}

/// A time later than the end of any wait that something ends.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[track_caller]
fn settled(what: &str, is_so: impl Fn() -> bool) {
    let deadline = far();
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::yield_now();
    }
}

/// A full socket waits; one that takes more, or is cut, is told.
#[test]
fn tells_who_takes_more() {
    fn check<P: Poller>() {
        let (deaf, poller) = (Deaf::new(), P::new());
        let sockets = deaf.full_sockets(3);
        for (key, socket) in (7..).zip(&sockets) {
            poller.add(key, socket).unwrap();
        }
        assert_eq!(poller.ready_now(), []);
        let _peer = deaf.empty(&sockets[0]);
        assert_eq!(poller.ready_by(far()), [7]);
        poller.remove(7).unwrap();
        sockets[2].cut();
        assert_eq!(poller.ready_by(far()), [9]);
        poller.remove(9).unwrap();
        assert_eq!(poller.ready_now(), []);
        assert!(poller.remove(7).is_none());
    }
    check_each!(check);
}

/// A wait ends when it is woken, also if that came before it began.
#[test]
fn is_woken() {
    fn check<P: Poller>() {
        let poller = P::new();
        poller.wake();
        assert_eq!(poller.ready_by(far()), []);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| poller.ready_by(far()));
            poller.wake();
            assert_eq!(waiting.join().unwrap(), []);
        });
    }
    let begun = Instant::now();
    check_each!(check);
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// What another thread adds while a wait goes on is told, and what it removes is let go.
#[test]
fn takes_changes_from_other_threads() {
    fn check<P: Poller>() {
        let (deaf, poller) = (Deaf::new(), P::new());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let deadline = far();
                let mut ready = Vec::new();
                while ready.is_empty() && Instant::now() < deadline {
                    ready = poller.ready_by(deadline);
                }
                ready
            });
            let full = deaf.full_socket();
            let kept = Arc::downgrade(&full);
            poller.add(1, &full).unwrap();
            drop(full);
            assert!(kept.upgrade().is_some());
            drop(poller.remove(1));
            settled("it is let go", || kept.upgrade().is_none());
            let cut = deaf.full_socket();
            cut.cut();
            poller.add(2, &cut).unwrap();
            assert_eq!(waiting.join().unwrap(), [2]);
        });
    }
    check_each!(check);
}

/// In the kernel's set a socket is let go at once, although a wait goes on.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn lets_go_at_once() {
    let poller = kernel::Poller::new().unwrap();
    let sockets = Deaf::new().full_sockets(50);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // On a busy machine a late acknowledgement may make a socket ready and end a wait.
        let waiting = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                poller.ready_by(far());
            }
        });
        for (key, socket) in (0..).zip(sockets) {
            poller.add(key, &socket).unwrap();
            let kept = Arc::downgrade(&socket);
            drop((socket, poller.remove(key)));
            assert!(kept.upgrade().is_none());
        }
        done.store(true, Ordering::SeqCst);
        poller.wake();
        waiting.join().unwrap();
    });
}

/// A socket that has been removed is never told, although a child process may still share it and
/// another socket have its number.
#[cfg(unix)]
#[test]
fn takes_nobody_for_another() {
    use std::os::fd::{AsFd, AsRawFd};

    fn check<P: Poller>() {
        // Another test may take the number.
        assert!((0..1_000).any(|_| reuses_number::<P>()));
    }
    fn reuses_number<P: Poller>() -> bool {
        let (deaf, poller) = (Deaf::new(), P::new());
        let first = deaf.full_socket();
        let shared = first.stream().as_fd().try_clone_to_owned().unwrap();
        poller.add(1, &first).unwrap();
        let _peer = deaf.empty(&first);
        let number = first.stream().as_fd().as_raw_fd();
        drop((first, poller.remove(1)));
        let second = deaf.full_socket();
        let is_reused = second.stream().as_fd().as_raw_fd() == number;
        poller.add(2, &second).unwrap();
        assert_eq!(poller.ready_now(), []);
        let _peer = deaf.empty(&second);
        assert_eq!(poller.ready_by(far()), [2]);
        drop(shared);
        is_reused
    }
    check_each!(check);
}

/// What waits in the kernel's set costs a wait nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn waiting_sockets_cost_nothing() {
    fn cost(sockets: &[Arc<Socket>]) -> Duration {
        let poller = kernel::Poller::new().unwrap();
        for (key, socket) in (0..).zip(sockets) {
            poller.add(key, socket).unwrap();
        }
        let before = cpu_time();
        for _ in 0..2_000 {
            assert_eq!(poller.ready_now(), []);
        }
        cpu_time() - before
    }
    let deaf = Deaf::new();
    let sockets = deaf.full_sockets(300);
    let (few, many) = (cost(&sockets[..10]), cost(&sockets));
    assert!(many < 4 * few, "10 sockets: {few:?}, 300: {many:?}");
}

/// Returns the CPU time that this thread has used.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}
