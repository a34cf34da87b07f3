//! The wire that connections use: a socket, and the background as keeper of the time.

use std::cell::{OnceCell, RefCell};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Alarm, Cork, Outbox, Wire};
use crate::background::{self, Resume, Ticking, Timer};
use crate::transport::{Socket, Wake};

/// Is the sending side's view of a connection's socket.
pub(crate) struct SocketWire {
    pub(crate) socket: Arc<Socket>,
    pub(crate) timer: Arc<Timer>,
}

thread_local! {
    /// Names the reading end that this thread drives just now.
    static CORK: RefCell<Option<Arc<Cork<SocketWire>>>> = const { RefCell::new(None) };
    /// Holds what this thread gathers from a program's iterator.
    static GATHERED: OnceCell<Arc<Cork<SocketWire>>> = const { OnceCell::new() };
}

/// Says that this thread drives this reading end from now on. What the one before held leaves.
pub(crate) fn drive_with(cork: Option<&Arc<Cork<SocketWire>>>) {
    // While the thread ends, the thread-local may be gone: it drives with no cork then.
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

/// Lets leave what this thread's callbacks have sent, before it blocks.
pub(crate) fn uncork_thread() {
    if let Some(cork) = SocketWire::cork() {
        cork.uncork();
    }
    SocketWire::leave_gathered();
}

impl Wire for SocketWire {
    type Alarm = Wake;

    fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_send(parts)
    }

    fn flush(&self) -> io::Result<()> {
        self.socket.try_send(&[]).map(drop)
    }

    fn alarm(&self) -> Option<Arc<Wake>> {
        Wake::new().ok().map(Arc::new)
    }

    fn wait_writable(&self, alarm: Option<&Wake>, deadline: Option<Instant>) {
        self.socket.wait_writable_or(alarm, deadline);
    }

    fn cut(&self) {
        self.socket.cut();
    }

    fn watch(&self, outbox: &Arc<Outbox<Self>>) {
        background::watch(
            Arc::clone(&self.socket),
            Arc::clone(outbox) as Arc<dyn Resume>,
        );
    }

    fn expect(&self, by: Instant) {
        self.timer.expect(by);
    }

    fn tick(cork: &Arc<Cork<Self>>) {
        background::tick(Arc::clone(cork) as Arc<dyn Ticking>);
    }

    fn cork() -> Option<Arc<Cork<Self>>> {
        // The thread-local is gone while the thread ends; then nothing is held back.
        CORK.try_with(|cork| cork.borrow().clone()).ok().flatten()
    }

    fn hold(outbox: &Arc<Outbox<Self>>) -> bool {
        CORK.try_with(|cork| cork.borrow().as_ref().is_some_and(|cork| cork.hold(outbox)))
            .unwrap_or(false)
    }

    fn is_corked() -> bool {
        CORK.try_with(|cork| cork.borrow().as_ref().is_some_and(|cork| cork.is_active()))
            .unwrap_or(false)
    }

    fn gather(outbox: &Arc<Outbox<Self>>) -> bool {
        let gathered = |cork: &OnceCell<Arc<Cork<Self>>>| {
            let cork = cork.get_or_init(Cork::new);
            cork.set_active(true);
            cork.hold(outbox)
        };
        GATHERED.try_with(gathered).unwrap_or(false)
    }

    fn leave_gathered() {
        let gathered = GATHERED.try_with(|cork| cork.get().cloned());
        if let Ok(Some(cork)) = gathered {
            cork.uncork();
        }
    }

    fn deadline(timeout: Duration) -> Option<Instant> {
        Some(Instant::now() + timeout)
    }
}

impl Alarm for Wake {
    fn ring(&self) {
        self.wake();
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
