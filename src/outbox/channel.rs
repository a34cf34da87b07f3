//! The channel that messages wait in: crossbeam's, or a locked queue while the models run, because
//! loom cannot look into crossbeam's.

#[cfg(not(loom))]
mod queue {
    use crossbeam_channel::{Receiver, Sender, unbounded};

    use super::Queued;

    /// Is the sending and the receiving half; what bounds it is the budget.
    pub(in crate::outbox) struct Channel(Sender<Queued>, Receiver<Queued>);

    impl Channel {
        pub(in crate::outbox) fn new() -> Self {
            let (sender, receiver) = unbounded();
            Self(sender, receiver)
        }

        pub(in crate::outbox) fn push(&self, queued: Queued) {
            // Sending fails only without a receiver, and we hold one.
            let _ = self.0.send(queued);
        }

        pub(in crate::outbox) fn pop(&self) -> Option<Queued> {
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

    use super::Queued;
    use crate::sync::{Mutex, lock};

    pub(in crate::outbox) struct Channel(Mutex<VecDeque<Queued>>);

    impl Channel {
        pub(in crate::outbox) fn new() -> Self {
            Self(Mutex::new(VecDeque::new()))
        }

        pub(in crate::outbox) fn push(&self, queued: Queued) {
            lock(&self.0).push_back(queued);
        }

        pub(in crate::outbox) fn pop(&self) -> Option<Queued> {
            lock(&self.0).pop_front()
        }

        pub(in crate::outbox) fn is_empty(&self) -> bool {
            lock(&self.0).is_empty()
        }
    }
}

pub(super) use queue::Channel;

use crate::Message;

/// Is a message with the room it has reserved.
pub(super) struct Queued {
    pub(super) message: Message,
    pub(super) weight: u64,
}
