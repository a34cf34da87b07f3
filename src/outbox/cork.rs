//! The cork: the messages that the program sends during a burst of input leave together.

use std::mem;
use std::sync::Arc;

use super::sync::{AtomicBool, Mutex, Ordering, lock};
use super::{Burst, Outbox, Wire};

/// A list of the outboxes that callbacks of one reading end have sent to. It holds them back while
/// that reading end has more input at hand.
pub(crate) struct Cork<W: Wire> {
    active: AtomicBool,
    held: Mutex<Held<W>>,
}

struct Held<W: Wire> {
    outboxes: Vec<Arc<Outbox<W>>>,
    bursts: Vec<Arc<Burst<W>>>,
    /// The flag that the background ticks each millisecond.
    ticking: bool,
    /// The flag that it has ticked since an outbox was held.
    aged: bool,
}

impl<W: Wire> Held<W> {
    fn is_empty(&self) -> bool {
        self.outboxes.is_empty() && self.bursts.is_empty()
    }
}

impl<W: Wire> Cork<W> {
    pub(crate) fn new() -> Arc<Self> {
        let held = Held {
            outboxes: Vec::new(),
            bursts: Vec::new(),
            ticking: false,
            aged: false,
        };
        Arc::new(Self {
            active: AtomicBool::new(false),
            held: Mutex::new(held),
        })
    }

    /// Sets whether more input is at hand, so that messages may wait for those that it leads to.
    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Holds back an outbox that this thread has just marked as held.
    pub(super) fn hold(self: &Arc<Self>, outbox: &Arc<Outbox<W>>) {
        self.add(|held| held.outboxes.push(Arc::clone(outbox)));
    }

    /// Holds back a burst to many, unless it does so already.
    pub(super) fn hold_burst(self: &Arc<Self>, burst: &Arc<Burst<W>>) {
        self.add(|held| {
            let mut bursts = held.bursts.iter();
            if !bursts.any(|held| Arc::ptr_eq(held, burst)) {
                held.bursts.push(Arc::clone(burst));
            }
        });
    }

    fn add(self: &Arc<Self>, add: impl FnOnce(&mut Held<W>)) {
        let mut held = lock(&self.held);
        add(&mut held);
        let is_ticking = mem::replace(&mut held.ticking, true);
        drop(held);
        if !is_ticking {
            W::tick(self);
        }
    }

    /// Lets all held messages leave.
    pub(crate) fn uncork(&self) {
        let mut held = lock(&self.held);
        held.aged = false;
        let outboxes = mem::take(&mut held.outboxes);
        let bursts = mem::take(&mut held.bursts);
        drop(held);
        for burst in &bursts {
            burst.close();
        }
        for burst in bursts {
            burst.write();
        }
        for outbox in outboxes {
            outbox.write_held();
        }
    }

    /// Lets the messages leave that were held at the tick before. The background calls it each
    /// millisecond. Returns whether any were held since.
    pub(crate) fn tick(&self) -> bool {
        let mut held = lock(&self.held);
        let busy = !held.is_empty();
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
        let ends = held.is_empty();
        held.ticking &= !ends;
        ends
    }
}

impl<W: Wire> Outbox<W> {
    /// Lets the messages leave that a cork has held back.
    pub(super) fn write_held(self: &Arc<Self>) {
        self.write_by(|queue, after| {
            queue.corked = false;
            queue.take_to_write(after)
        });
    }
}
