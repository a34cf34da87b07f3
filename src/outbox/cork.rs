//! The cork: what a burst of input makes the program send leaves together.

use std::mem;
use std::sync::Arc;

use super::sync::{AtomicBool, Mutex, Ordering, lock};
use super::{Outbox, Wire};

/// Holds back the outboxes that callbacks of one reading end have sent to, while that reading end
/// has more input at hand.
pub(crate) struct Cork<W> {
    active: AtomicBool,
    held: Mutex<Held<W>>,
}

struct Held<W> {
    outboxes: Vec<Arc<Outbox<W>>>,
    /// Whether the background comes by each millisecond.
    ticking: bool,
    /// Whether it has come by since something was held.
    aged: bool,
}

impl<W: Wire> Cork<W> {
    pub(crate) fn new() -> Arc<Self> {
        let held = Held {
            outboxes: Vec::new(),
            ticking: false,
            aged: false,
        };
        Arc::new(Self {
            active: AtomicBool::new(false),
            held: Mutex::new(held),
        })
    }

    /// Says whether more input is at hand, so that sending may wait for what it leads to.
    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Holds an outbox back that this thread has just marked as held.
    pub(super) fn hold(self: &Arc<Self>, outbox: &Arc<Outbox<W>>) {
        let mut held = lock(&self.held);
        held.outboxes.push(Arc::clone(outbox));
        let is_ticking = mem::replace(&mut held.ticking, true);
        drop(held);
        if !is_ticking {
            W::tick(self);
        }
    }

    /// Lets everything held leave.
    pub(crate) fn uncork(&self) {
        let mut held = lock(&self.held);
        held.aged = false;
        let outboxes = mem::take(&mut held.outboxes);
        drop(held);
        for outbox in outboxes {
            outbox.let_go();
        }
    }

    /// Lets leave what was held at the tick before: the background's millisecond. Returns whether
    /// anything was held since.
    pub(crate) fn tick(&self) -> bool {
        let mut held = lock(&self.held);
        let busy = !held.outboxes.is_empty();
        let due = mem::replace(&mut held.aged, busy) && busy;
        drop(held);
        if due {
            self.uncork();
        }
        busy
    }

    /// Ends the ticking, if nothing is held. Returns whether it has ended.
    pub(crate) fn stop_ticking(&self) -> bool {
        let mut held = lock(&self.held);
        let ends = held.outboxes.is_empty();
        held.ticking &= !ends;
        ends
    }
}

impl<W: Wire> Outbox<W> {
    /// Lets leave what a cork has held back.
    pub(super) fn let_go(self: &Arc<Self>) {
        self.write_by(|queue, after| {
            queue.corked = false;
            queue.take_to_write(after)
        });
    }
}
