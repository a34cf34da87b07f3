//! The wire of connections: a socket, and the background that keeps the time.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::{Burst, Cork, Outbox, Rest, Sink, Wire};
use crate::background::{self, Resume, Ticking, Timer};
use crate::held;
use crate::process::Process;
use crate::transport::{Interest, Socket};

/// The sending side's view of a connection's socket.
pub(crate) struct SocketWire {
    /// The number of the connection.
    pub(crate) id: u64,
    pub(crate) socket: Arc<Socket>,
    pub(crate) timer: Arc<Timer>,
    /// What a cut does besides, for a thread that waits for something else than the socket.
    pub(crate) on_cut: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

thread_local! {
    /// The cork of the reading end that this thread drives now.
    static CORK: RefCell<Option<Arc<Cork<SocketWire>>>> = const { RefCell::new(None) };
    /// The address of that cork, or 0: each message compares it.
    static DRIVEN: Cell<usize> = const { Cell::new(0) };
    /// The cork of the messages that this thread gathers from a program's iterator, in this
    /// process: the background of a forked child does not tick for its parent's.
    static GATHERED: RefCell<Option<(Process, Arc<Cork<SocketWire>>)>> = const { RefCell::new(None) };
}

/// Makes this thread the driver of a reading end from now on. Messages that the one before held
/// leave.
#[inline]
pub(crate) fn drive_with(cork: Option<&Arc<Cork<SocketWire>>>) {
    let address = cork.map_or(0, |cork| Arc::as_ptr(cork) as usize);
    if DRIVEN.try_with(|driven| driven.replace(address)) != Ok(address) {
        drive_anew(cork);
    }
}

#[inline(never)]
fn drive_anew(cork: Option<&Arc<Cork<SocketWire>>>) {
    // While the thread ends, the thread-local may be gone. The thread then drives without a cork.
    let before = CORK.try_with(|current| {
        let is_same = current.borrow().as_ref().map(Arc::as_ptr) == cork.map(Arc::as_ptr);
        if is_same {
            return None;
        }
        current.replace(cork.cloned())
    });
    if let Ok(Some(before)) = before {
        before.set_active(false);
        before.uncork();
    }
}

/// Lets the messages leave that this thread has sent, before it blocks.
pub(crate) fn uncork_thread() {
    SocketWire::uncork();
}

/// A guard. Its drop lets the messages leave that this thread has sent together.
pub(crate) struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        if !SocketWire::is_gathering() {
            SocketWire::uncork();
        }
    }
}

/// Returns the cork of the reading end that this thread drives. It is gone while the thread ends;
/// then nothing is held back.
fn driven() -> Option<Arc<Cork<SocketWire>>> {
    CORK.try_with(|cork| cork.borrow().clone()).ok().flatten()
}

impl Sink for Socket {
    #[inline]
    fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::try_send(self, parts)
    }

    fn flush(&self) -> io::Result<()> {
        Self::flush(self)
    }

    #[inline]
    fn nears_key_limit(&self) -> bool {
        Self::nears_key_limit(self)
    }

    fn is_own(&self) -> bool {
        Self::is_own(self)
    }
}

impl Wire for SocketWire {
    type Sink = Socket;

    fn sink(self: &Arc<Self>) -> Arc<Socket> {
        Arc::clone(&self.socket)
    }

    fn wait_writable(&self) {
        self.socket.wait(Interest::Write, None);
    }

    fn cut(&self, rest: Rest) {
        match rest {
            Rest::Sent => self.socket.hang_up(),
            Rest::Discarded => self.socket.cut(),
        }
        // The reading thread may wait for memory instead.
        held::wake(self.id);
        if let Some(act) = self.on_cut.get() {
            act();
        }
    }

    fn watch(&self, outbox: &Arc<Outbox<Self>>) {
        let resumed = Arc::clone(outbox) as Arc<dyn Resume>;
        if self.timer.watch(&self.socket, resumed).is_err() {
            // No thread would ever write on, so the connection is lost.
            self.socket.cut();
        }
    }

    fn wake_by(&self, by: Instant) {
        self.timer.wake_by(by);
    }

    fn tick(cork: &Arc<Cork<Self>>) {
        background::tick(Arc::clone(cork) as Arc<dyn Ticking>);
    }

    fn is_gathering() -> bool {
        CORK.try_with(|cork| cork.borrow().as_ref().is_some_and(|cork| cork.is_active()))
            .unwrap_or(false)
    }

    fn hold(outbox: &Arc<Outbox<Self>>) {
        if let Some(cork) = driven().filter(|cork| cork.is_active()) {
            return cork.hold(outbox);
        }
        let gathered = GATHERED.try_with(|gathered| {
            let mut gathered = gathered.borrow_mut();
            gathered.take_if(|(process, _)| !process.is_this());
            let (_, cork) = gathered.get_or_insert_with(|| (Process::this(), Cork::new()));
            Arc::clone(cork)
        });
        match gathered {
            Ok(cork) => cork.hold(outbox),
            Err(_) => outbox.write_held(),
        }
    }

    fn hold_burst(burst: &Arc<Burst<Self>>) {
        match driven() {
            Some(cork) => cork.hold_burst(burst),
            None => burst.write(),
        }
    }

    fn uncork() {
        let gathered = GATHERED.try_with(|gathered| gathered.borrow().clone());
        let gathered = gathered.ok().flatten().map(|(_, cork)| cork);
        for cork in driven().into_iter().chain(gathered) {
            cork.uncork();
        }
    }

    fn deadline(timeout: Duration) -> Option<Instant> {
        Some(Instant::now() + timeout)
    }
}

impl Outbox<SocketWire> {
    /// Sets what a cut does besides, once for a connection. If it has come already, this does it at
    /// once, and it may do it twice.
    pub(crate) fn on_cut(&self, act: impl Fn() + Send + Sync + 'static) {
        if let Some(wire) = self.wire() {
            let act = wire.on_cut.get_or_init(|| Box::new(act));
            if self.is_cut() {
                act();
            }
        }
    }
}

impl Resume for Outbox<SocketWire> {
    fn resume(self: Arc<Self>) {
        Self::resume(&self);
    }
}

impl Ticking for Cork<SocketWire> {
    fn tick(&self) -> bool {
        Self::tick(self)
    }

    fn stop_ticking(&self) -> bool {
        Self::stop_ticking(self)
    }
}
