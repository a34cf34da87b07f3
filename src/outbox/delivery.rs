//! The outcome of a message: [`Delivery`], and the [`Promise`] that goes with the message.

use std::fmt;
use std::mem;
use std::time::{Duration, Instant};

use super::sync::{Arc, Condvar, Mutex, has_passed, lock, wait};
use super::uncork_thread;
use crate::DeliveryError;

/// The outcome of a message, as [`send_tracked`](crate::WebSocket::send_tracked) returns it.
///
/// It is resolved when the last byte of the message is with the kernel (over TLS, the last byte of
/// its ciphertext), or when the message can no longer be sent. Every delivery is resolved, at the
/// latest when its connection has ended. That the kernel has a message does not mean that the peer
/// does: [`confirm`](crate::WebSocket::confirm) asks the peer.
///
/// ```
/// # let server = landline::Server::builder().on_upgrade(|_, _| {}).bind("127.0.0.1:0")?;
/// let (ws, messages) = landline::open(server.url())?;
/// let delivery = ws.send_tracked("all of it")?;
/// delivery.wait()?;
/// assert!(delivery.is_done());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a message whose delivery is of no interest is sent with `send`"]
pub struct Delivery(Arc<Ticket>);

impl Delivery {
    /// Waits until it is resolved, at most until the connection ends. If the peer does not read,
    /// [`write_timeout`](crate::Config::write_timeout) ends it. It may be called in any callback,
    /// that of its own connection included.
    ///
    /// # Errors
    /// The reason why the message was not delivered, never [`Pending`](DeliveryError::Pending).
    pub fn wait(&self) -> Result<(), DeliveryError> {
        self.wait_until(None)
    }

    /// Waits like [`wait`](Self::wait), at most for `timeout`.
    ///
    /// # Errors
    /// [`Pending`](DeliveryError::Pending) if it was not resolved in time, otherwise as `wait`.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), DeliveryError> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// Tells whether it is resolved, with success or failure: whether [`wait`](Self::wait) would
    /// return at once.
    #[must_use]
    pub fn is_done(&self) -> bool {
        lock(&self.0.state).outcome.is_some()
    }

    /// Waits until the deadline. The messages that this thread has sent leave first.
    pub(super) fn wait_until(&self, deadline: Option<Instant>) -> Result<(), DeliveryError> {
        uncork_thread();
        self.0.wait(deadline)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = lock(&self.0.state).outcome;
        f.debug_tuple("Delivery")
            .field(&outcome.unwrap_or(Err(DeliveryError::Pending)))
            .finish()
    }
}

/// The state that the two ends share.
struct Ticket {
    state: Mutex<State>,
    resolved: Condvar,
}

struct State {
    outcome: Option<Result<(), DeliveryError>>,
    /// The flag that a thread waits: a wake-up without a waiter would be a system call too.
    awaited: bool,
}

/// The end that resolves a [`Delivery`], once. A dropped promise resolves it with
/// [`DeliveryError::Lost`], so that no thread waits for ever (L6).
pub(crate) struct Promise(Option<Arc<Ticket>>);

/// Makes the two ends.
pub(super) fn delivery() -> (Promise, Delivery) {
    let state = State {
        outcome: None,
        awaited: false,
    };
    let ticket = Arc::new(Ticket {
        state: Mutex::new(state),
        resolved: Condvar::new(),
    });
    (Promise(Some(Arc::clone(&ticket))), Delivery(ticket))
}

impl Promise {
    /// Records the outcome. The caller wakes the waiting threads after it has released the locks,
    /// because waking is a system call.
    pub(super) fn resolve(mut self, outcome: Result<(), DeliveryError>) -> Option<Awaited> {
        Ticket::resolve(self.0.take()?, outcome)
    }

    /// Tells whether the program still has the delivery.
    pub(super) fn is_wanted(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|ticket| Arc::strong_count(ticket) > 1)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let ticket = self.0.take();
        let awaited = ticket.and_then(|ticket| Ticket::resolve(ticket, Err(DeliveryError::Lost)));
        if let Some(awaited) = awaited {
            awaited.wake();
        }
    }
}

/// A delivery that has been resolved while a thread waited for it.
pub(super) struct Awaited(Arc<Ticket>);

impl Awaited {
    /// Wakes the threads that wait.
    pub(super) fn wake(self) {
        self.0.resolved.notify_all();
    }
}

impl Ticket {
    /// Not a method: loom's `Arc` cannot be a receiver.
    fn resolve(ticket: Arc<Self>, outcome: Result<(), DeliveryError>) -> Option<Awaited> {
        let mut state = lock(&ticket.state);
        state.outcome = Some(outcome);
        let awaited = mem::take(&mut state.awaited);
        drop(state);
        awaited.then_some(Awaited(ticket))
    }

    fn wait(&self, deadline: Option<Instant>) -> Result<(), DeliveryError> {
        let mut state = lock(&self.state);
        loop {
            if let Some(outcome) = state.outcome {
                return outcome;
            }
            if has_passed(deadline) {
                return Err(DeliveryError::Pending);
            }
            state.awaited = true;
            state = wait(&self.resolved, state, deadline);
        }
    }
}
