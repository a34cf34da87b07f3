use std::sync::mpsc::{self, Receiver, Sender};

use super::*;
use crate::transport::Deaf;

// The kernel must keep the set of sockets: elsewhere each wait looks at all of them.
#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    not(landline_portable)
))]
mod ticks;

/// Is never due.
struct Endless;

impl Timed for Endless {
    fn check(&self, _: Instant) -> Option<Instant> {
        None
    }
}

/// Tells when it is resumed.
struct Stalled(Mutex<Sender<()>>);

impl Resume for Stalled {
    fn resume(self: Arc<Self>) {
        let _ = lock(&self.0).send(());
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

fn enrolled() -> Arc<Timer> {
    let timer = Timer::new();
    timer
        .enroll(Arc::new(Endless), Instant::now() + 10 * PATIENCE)
        .unwrap();
    timer
}

fn watch(timer: &Timer, socket: &Arc<Socket>) -> Receiver<()> {
    let (sender, resumed) = mpsc::channel();
    timer
        .watch(socket, Arc::new(Stalled(Mutex::new(sender))))
        .unwrap();
    resumed
}

/// An outbox is resumed once its socket takes more, or is cut, once for each watch.
#[test]
fn resumes_who_can_write() {
    let (deaf, timer) = (Deaf::new(), enrolled());
    let socket = deaf.full_socket();
    let resumed = watch(&timer, &socket);
    let peer = deaf.empty(&socket);
    resumed.recv_timeout(PATIENCE).unwrap();
    // It is given up, and so is its sender.
    resumed.recv_timeout(PATIENCE).unwrap_err();
    drop(peer);
    socket.cut();
    watch(&timer, &socket).recv_timeout(PATIENCE).unwrap();
    timer.dismiss();
}

/// With the enrolment, the background gives up its references at once; afterwards it takes none.
#[test]
fn gives_the_socket_back() {
    let (deaf, timer) = (Deaf::new(), enrolled());
    let socket = deaf.full_socket();
    let kept = Arc::downgrade(&socket);
    let resumed = watch(&timer, &socket);
    drop(socket);
    assert!(kept.upgrade().is_some());
    timer.dismiss();
    assert!(kept.upgrade().is_none());
    assert_eq!(resumed.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    let socket = deaf.full_socket();
    let resumed = watch(&timer, &socket);
    assert_eq!(Arc::strong_count(&socket), 1);
    assert_eq!(resumed.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

/// Connections that come and go wake the thread once: it looks around when the first of them would have
/// been due, and until then what is due later wakes it no more.
#[test]
fn who_comes_and_goes_wakes_nobody() {
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let mut registry = Registry::new();
    registry.sleep = Some(at(100));
    registry.wake_for(at(10));
    assert_eq!(
        registry.sleep, None,
        "nobody is woken for what is due earlier"
    );
    // The first has gone when the thread looks.
    registry.sleep = registry.next_look(at(1));
    assert_eq!(registry.sleep, Some(at(10)));
    for later in [10, 11, 100] {
        registry.wake_for(at(later));
        assert_eq!(registry.sleep, Some(at(10)), "woken for {later}");
    }
    registry.wake_for(at(9));
    assert_eq!(registry.sleep, None);
    assert_eq!(registry.next_look(at(2)), Some(at(9)));
    assert_eq!(registry.next_look(at(9)), None);
}

/// Once nothing is enrolled any more, the thread ends a little later, and not before that.
#[test]
fn thread_outlives_the_last_connection() {
    let mut registry = Registry::new();
    let now = Instant::now();
    assert_eq!(registry.end(), None);
    registry.unused_since = Some(now);
    assert_eq!(registry.end(), Some(now + LINGER));
    assert_eq!(registry.next_look(now), Some(now + LINGER));
}
