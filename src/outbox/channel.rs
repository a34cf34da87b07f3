//! The messages that wait, in their order: crossbeam's channel, and a list ahead of it. Both are
//! used under the queue's lock.

use std::collections::VecDeque;

#[cfg(not(loom))]
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::outgoing::Outgoing;

/// The messages that wait, in their order.
#[derive(Default)]
pub(super) struct Channel {
    /// The channel. Made with the first message that has to wait: most connections never need it.
    ends: Option<(Sender<Outgoing>, Receiver<Outgoing>)>,
    /// The messages ahead of those in the channel: some that were taken from there, and those that
    /// a cork holds, which leave soon.
    ahead: VecDeque<Outgoing>,
    length: usize,
}

impl Channel {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        let (sender, _) = self.ends.get_or_insert_with(unbounded);
        // Sending fails only without a receiver, and this value has one.
        if sender.send(outgoing).is_ok() {
            self.length += 1;
        }
    }

    /// Queues a message that a cork holds: past the channel, if that is empty.
    #[inline]
    pub(super) fn push_held(&mut self, outgoing: Outgoing) {
        if self.length > self.ahead.len() {
            return self.push(outgoing);
        }
        self.ahead.push_back(outgoing);
        self.length += 1;
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        if self.is_empty() {
            // This avoids reading the channel, which is far away in memory.
            return None;
        }
        let outgoing = self.ahead.pop_front().or_else(|| self.receive())?;
        self.length -= 1;
        if self.is_empty() {
            self.ahead = VecDeque::new();
        }
        Some(outgoing)
    }

    /// Takes the oldest message that an overflow policy may drop. The others keep their turn.
    pub(super) fn pop_droppable(&mut self) -> Option<Outgoing> {
        loop {
            let position = self.ahead.iter().position(Outgoing::is_droppable);
            if let Some(position) = position {
                let first = self.ahead[position].split_first();
                if first.is_some() {
                    return first;
                }
                self.length -= 1;
                return self.ahead.remove(position);
            }
            let next = self.receive()?;
            self.ahead.push_back(next);
        }
    }

    fn receive(&self) -> Option<Outgoing> {
        let (_, receiver) = self.ends.as_ref()?;
        receiver.try_recv().ok()
    }
}

/// A stand-in for crossbeam's channel, which loom cannot look into. Under a lock there is nothing
/// to see.
#[cfg(loom)]
mod stand_in {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    type Shared<T> = Arc<Mutex<VecDeque<T>>>;

    pub(super) struct Sender<T>(Shared<T>);
    pub(super) struct Receiver<T>(Shared<T>);

    pub(super) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let shared = Shared::default();
        (Sender(Arc::clone(&shared)), Receiver(shared))
    }

    impl<T> Sender<T> {
        pub(super) fn send(&self, value: T) -> Result<(), T> {
            crate::sync::lock(&self.0).push_back(value);
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub(super) fn try_recv(&self) -> Result<T, ()> {
            crate::sync::lock(&self.0).pop_front().ok_or(())
        }
    }
}

#[cfg(loom)]
use stand_in::{Receiver, Sender, unbounded};
