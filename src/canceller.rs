//! Ending the waits of a client from another thread: [`Canceller`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::Error;
use crate::sync::{Condvar, Mutex, lock, wait};

/// A handle that ends the waits of a [`Client`](crate::Client), from any thread.
///
/// [`Client::canceller`](crate::Client::canceller) returns that of a client, which its clones share.
/// [`cancel`](Self::cancel) ends whatever they wait for, now and later: looking up a name,
/// connecting, TLS, the handshake, a back-off. These waits fail with [`Error::Cancelled`]. It closes
/// with 1000 what [`Sessions`](crate::Sessions) and [`Kept`](crate::Kept) clients have open, which end
/// with it. Other connections that are open already go on.
///
/// ```
/// # let deaf = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let url = format!("ws://{}", deaf.local_addr()?);
/// use landline::{Client, Error};
///
/// let client = Client::new();
/// let canceller = client.canceller();
/// std::thread::spawn(move || canceller.cancel()); // as the handler of Ctrl-C does
/// let error = client.open(url).unwrap_err(); // the server does not answer
/// assert!(matches!(error, Error::Cancelled));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Canceller {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    cancelled: Condvar,
    /// The watch for the cancel of the canceller that this one is a child of.
    parent: Option<Watch>,
}

#[derive(Default)]
struct State {
    is_cancelled: bool,
    last_key: u64,
    acts: BTreeMap<u64, Arc<Act>>,
}

/// What a cancel does to end one wait.
type Act = dyn Fn() + Send + Sync;

impl Canceller {
    /// Makes a canceller of its own, for
    /// [`Client::with_canceller`](crate::Client::with_canceller).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends whatever is waited for under this canceller, now and later, for good. Never waits, and
    /// does nothing the second time.
    ///
    /// It takes locks: a signal's handler that may run in the middle of any code hands the call to a
    /// thread, as the crates for Ctrl-C do.
    pub fn cancel(&self) {
        self.shared.cancel();
    }

    /// Tells whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        lock(&self.shared.state).is_cancelled
    }
}

/// # For the steps that wait
impl Canceller {
    /// Fails once cancelled. A step asks before it begins.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.is_cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }

    /// Replaces the error of a step by the cancel that caused it.
    pub(crate) fn explain(&self, error: Error) -> Error {
        self.check().err().unwrap_or(error)
    }

    /// Sets what a cancel does to end a wait: it wakes a thread, or cuts a socket. If the cancel has
    /// come already, this does it at once. Dropping the [`Watch`] ends that.
    ///
    /// `act` must be short, must not block, and must do no harm when it comes late: a cancel that
    /// runs at the same time may call it once more behind the drop of the watch.
    pub(crate) fn on_cancel(&self, act: impl Fn() + Send + Sync + 'static) -> Watch {
        let mut state = lock(&self.shared.state);
        if state.is_cancelled {
            drop(state);
            act();
            return Watch::default();
        }
        state.last_key += 1;
        let key = state.last_key;
        state.acts.insert(key, Arc::new(act));
        Watch(Some((Arc::downgrade(&self.shared), key)))
    }

    /// Waits until the deadline. Fails at once when cancelled.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Result<(), Error> {
        let mut state = lock(&self.shared.state);
        while !state.is_cancelled {
            if Instant::now() >= deadline {
                return Ok(());
            }
            state = wait(&self.shared.cancelled, state, Some(deadline));
        }
        Err(Error::Cancelled)
    }

    /// Makes a canceller that is cancelled with this one, and can be cancelled alone.
    pub(crate) fn child(&self) -> Self {
        let shared = Arc::new_cyclic(|child: &Weak<Shared>| {
            let child = Weak::clone(child);
            let cancel = move || {
                if let Some(child) = child.upgrade() {
                    child.cancel();
                }
            };
            Shared {
                parent: Some(self.on_cancel(cancel)),
                ..Shared::default()
            }
        });
        // A cancel that came before the child was whole has passed it by.
        if self.is_cancelled() {
            shared.cancel();
        }
        Self { shared }
    }
}

impl Shared {
    fn cancel(&self) {
        let mut state = lock(&self.state);
        state.is_cancelled = true;
        let acts = std::mem::take(&mut state.acts);
        drop(state);
        self.cancelled.notify_all();
        // L1: the acts take locks of their own.
        acts.into_values().for_each(|act| act());
    }
}

/// The time in which a cancel does what [`Canceller::on_cancel`] was given. It ends by the drop.
#[derive(Default)]
#[must_use = "the cancel ends the wait only as long as this lives"]
pub(crate) struct Watch(Option<(Weak<Shared>, u64)>);

impl Drop for Watch {
    fn drop(&mut self) {
        let Some((shared, key)) = self.0.take() else {
            return;
        };
        if let Some(shared) = shared.upgrade() {
            let act = lock(&shared.state).acts.remove(&key);
            // L1: what the act holds is dropped where no lock is held.
            drop(act);
        }
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller")
            .field("cancelled", &self.is_cancelled())
            .field("child", &self.shared.parent.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn counting(canceller: &Canceller) -> (Arc<AtomicUsize>, Watch) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let watch = canceller.on_cancel(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        (count, watch)
    }

    /// An act runs once for each cancel that comes while it is watched, or at once if it has come.
    #[test]
    fn acts_run_once_while_watched() {
        let canceller = Canceller::new();
        let (watched, _watch) = counting(&canceller);
        let (left, watch) = counting(&canceller);
        drop(watch);
        assert!(canceller.check().is_ok());
        canceller.cancel();
        canceller.clone().cancel();
        let (late, _late) = counting(&canceller);
        let counts = [watched, left, late].map(|count| count.load(Ordering::SeqCst));
        assert_eq!(counts, [1, 0, 1]);
        assert!(matches!(canceller.check(), Err(Error::Cancelled)));
    }

    /// A wait ends at its deadline, or with the cancel, also if the cancel came before.
    #[test]
    fn waits_end_with_the_cancel() {
        let canceller = Canceller::new();
        canceller.wait_until(Instant::now()).unwrap();
        let far = Instant::now() + Duration::from_secs(3600);
        let waiting = thread::spawn({
            let canceller = canceller.clone();
            move || canceller.wait_until(far)
        });
        canceller.cancel();
        assert!(waiting.join().unwrap().is_err());
        assert!(canceller.wait_until(far).is_err());
    }

    /// A child ends with its parent, or alone; a dropped one leaves nothing behind.
    #[test]
    fn children_end_with_their_parent() {
        let parent = Canceller::new();
        let (alone, with, gone) = (parent.child(), parent.child(), parent.child());
        let (count, _watch) = counting(&with);
        alone.cancel();
        assert!(!parent.is_cancelled() && !with.is_cancelled());
        drop((gone, alone));
        assert_eq!(lock(&parent.shared.state).acts.len(), 1);
        parent.cancel();
        assert!(with.is_cancelled() && parent.child().is_cancelled());
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}
