//! The channel that parcels wait in: crossbeam's, or a stand-in while the models run, because loom
//! cannot look into crossbeam's.

#[cfg(not(loom))]
mod queue {
    use crossbeam_channel::{Receiver, Sender, unbounded};

    use crate::outbox::parcel::Parcel;

    /// Is the sending and the receiving half; what bounds it is the budget.
    pub(in crate::outbox) struct Channel(Sender<Parcel>, Receiver<Parcel>);

    impl Channel {
        pub(in crate::outbox) fn new() -> Self {
            let (sender, receiver) = unbounded();
            Self(sender, receiver)
        }

        pub(in crate::outbox) fn push(&self, parcel: Parcel) {
            // Sending fails only without a receiver, and we hold one.
            let _ = self.0.send(parcel);
        }

        pub(in crate::outbox) fn pop(&self) -> Option<Parcel> {
            self.1.try_recv().ok()
        }

        pub(in crate::outbox) fn is_empty(&self) -> bool {
            self.1.is_empty()
        }
    }
}

#[cfg(loom)]
mod queue {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use crate::outbox::parcel::Parcel;
    use crate::outbox::sync::{AtomicU64, Ordering};
    use crate::sync::lock;

    /// Promises as little as a channel can: who comes without having synchronized with the sender
    /// may find nothing yet. Who finds something has synchronized with its sender.
    pub(in crate::outbox) struct Channel {
        queue: Mutex<VecDeque<Parcel>>,
        length: AtomicU64,
    }

    impl Channel {
        pub(in crate::outbox) fn new() -> Self {
            Self {
                queue: Mutex::default(),
                length: AtomicU64::new(0),
            }
        }

        pub(in crate::outbox) fn push(&self, parcel: Parcel) {
            self.length.fetch_add(1, Ordering::Release);
            lock(&self.queue).push_back(parcel);
        }

        pub(in crate::outbox) fn pop(&self) -> Option<Parcel> {
            if self.is_empty() {
                return None;
            }
            let parcel = lock(&self.queue).pop_front()?;
            self.length.fetch_sub(1, Ordering::Acquire);
            Some(parcel)
        }

        pub(in crate::outbox) fn is_empty(&self) -> bool {
            self.length.load(Ordering::Relaxed) == 0
        }
    }
}

pub(super) use queue::Channel;
