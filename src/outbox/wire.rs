//! The wire that connections use: a socket, and the background as keeper of the time.

use std::cell::RefCell;
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
}

/// Says that this thread drives this reading end from now on. What the one before held leaves.
pub(crate) fn drive_with(cork: Option<&Arc<Cork<SocketWire>>>) {
    let current = CORK.with_borrow(|current| current.as_ref().map(Arc::as_ptr));
    if current == cork.map(Arc::as_ptr) {
        return;
    }
    if let Some(before) = CORK.replace(cork.cloned()) {
        before.set_active(false);
        before.uncork();
    }
}

/// Lets leave what this thread's callbacks have sent, before it blocks.
pub(crate) fn uncork_thread() {
    if let Some(cork) = SocketWire::cork() {
        cork.uncork();
    }
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

    fn hang_up(&self) {
        self.socket.hang_up();
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
