//! The channel that messages wait in: crossbeam's, or a locked queue while the models run, because
//! loom cannot look into crossbeam's.

#[cfg(not(loom))]
mod queue {
    use crossbeam_channel::{Receiver, Sender, unbounded};

    use crate::Message;

    /// Is the sending and the receiving half; what bounds it is the budget.
    pub(in crate::outbox) struct Channel(Sender<Message>, Receiver<Message>);

    impl Channel {
        pub(in crate::outbox) fn new() -> Self {
            let (sender, receiver) = unbounded();
            Self(sender, receiver)
        }

        pub(in crate::outbox) fn push(&self, message: Message) {
            // Sending fails only without a receiver, and we hold one.
            let _ = self.0.send(message);
        }

        pub(in crate::outbox) fn pop(&self) -> Option<Message> {
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

    use crate::Message;
    use crate::sync::{Mutex, lock};

    pub(in crate::outbox) struct Channel(Mutex<VecDeque<Message>>);

    impl Channel {
        pub(in crate::outbox) fn new() -> Self {
            Self(Mutex::new(VecDeque::new()))
        }

        pub(in crate::outbox) fn push(&self, message: Message) {
            lock(&self.0).push_back(message);
        }

        pub(in crate::outbox) fn pop(&self) -> Option<Message> {
            lock(&self.0).pop_front()
        }

        pub(in crate::outbox) fn is_empty(&self) -> bool {
            lock(&self.0).is_empty()
        }
    }
}

pub(super) use queue::Channel;
