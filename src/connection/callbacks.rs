//! The slots that hold a connection's callbacks.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use bytes::Bytes;

use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::{CloseEvent, Error, Failure, IntoOutcome, Message, Outcome, Text, WebSocket};

/// The callbacks of a connection, one of each kind.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) message: Slot<Message>,
    pub(crate) text: Slot<Text>,
    pub(crate) binary: Slot<Bytes>,
    pub(crate) ping: Slot<Bytes>,
    pub(crate) pong: Slot<Bytes>,
    pub(crate) error: Slot<Error>,
    pub(crate) close: CloseSlot,
}

impl Callbacks {
    /// Empties all slots for good, except that of `on_close`, which has run.
    pub(crate) fn retire(&self) {
        self.message.retire();
        self.text.retire();
        self.binary.retire();
        self.ping.retire();
        self.pong.retire();
        self.error.retire();
    }
}

/// The slot of one callback, which can be replaced at any time, also from inside the callback.
///
/// Most slots are never used, so a slot has no state until its callback is first set. `None` is a
/// slot that was retired before that.
pub(crate) struct Slot<T>(OnceLock<Option<Box<Shared<T>>>>);

struct Shared<T> {
    /// Counts the settings, under the lock. A setting that comes while the callback is borrowed
    /// outdates it.
    version: AtomicU64,
    state: Mutex<State<T>>,
}

struct State<T> {
    callback: Option<Callback<T>>,
    retired: bool,
}

/// A callback that is out of its slot, so that a burst of events takes it out once.
pub(crate) struct Borrowed<T> {
    callback: Option<Callback<T>>,
    /// The slot's version when the callback was taken out.
    version: u64,
}

impl<T> Default for Borrowed<T> {
    fn default() -> Self {
        Self {
            callback: None,
            version: 0,
        }
    }
}

/// A callback. It takes the event from where it lies, which spares short messages a move.
type Callback<T> = Box<dyn FnMut(&WebSocket, &mut Option<T>) -> Outcome + Send>;

fn boxed<T, R: IntoOutcome>(
    mut callback: impl FnMut(&WebSocket, T) -> R + Send + 'static,
) -> Callback<T> {
    Box::new(move |ws, event| match event.take() {
        Some(event) => callback(ws, event).into_outcome(),
        None => Ok(()),
    })
}

impl<T> Slot<T> {
    /// Sets the callback from the next event on. After the connection's end it drops the callback.
    pub(crate) fn set<R: IntoOutcome>(
        &self,
        callback: impl FnMut(&WebSocket, T) -> R + Send + 'static,
    ) {
        let callback = boxed(callback);
        let shared = self.0.get_or_init(|| Some(Box::default()));
        let replaced = match shared {
            Some(shared) => shared.replace(callback),
            None => Some(callback),
        };
        // L1: a closure is dropped where no lock is held.
        drop(replaced);
    }

    /// Tells whether a callback has been set.
    pub(crate) fn is_set(&self) -> bool {
        self.shared().is_some()
    }

    fn shared(&self) -> Option<&Shared<T>> {
        self.0.get()?.as_deref()
    }

    /// Runs the callback, if one is set, and leaves it borrowed: out of its slot. A panic becomes an
    /// error, which names the callback.
    #[inline(always)]
    pub(crate) fn run(
        &self,
        borrowed: &mut Borrowed<T>,
        name: &str,
        ws: &WebSocket,
        event: &mut Option<T>,
    ) -> Outcome {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        if borrowed.callback.is_none() || borrowed.version != shared.version() {
            borrowed.renew(shared)?;
        }
        match &mut borrowed.callback {
            Some(callback) => named(name, || callback(ws, event)),
            None => Ok(()),
        }
    }

    /// Runs the callback, if one is set, and puts it back, unless something replaced it.
    pub(crate) fn run_once(&self, name: &str, ws: &WebSocket, event: T) -> Outcome {
        let mut borrowed = Borrowed::default();
        let outcome = self.run(&mut borrowed, name, ws, &mut Some(event));
        outcome.and(self.put_back(&mut borrowed))
    }

    /// Puts back a borrowed callback, or drops it if it was replaced meanwhile.
    pub(crate) fn put_back(&self, borrowed: &mut Borrowed<T>) -> Outcome {
        match self.shared() {
            Some(shared) if borrowed.callback.is_some() => borrowed.put_back(shared),
            _ => Ok(()),
        }
    }

    fn retire(&self) {
        let Some(shared) = self.0.get_or_init(|| None) else {
            return;
        };
        // The drop of a closure may run any code, and may panic. The connection is over.
        let _ = discard(shared.retire());
    }
}

impl<T> Borrowed<T> {
    /// Takes the callback that is in the slot now, and drops the replaced one.
    #[inline(never)]
    fn renew(&mut self, shared: &Shared<T>) -> Outcome {
        let replaced = self.callback.take();
        let mut state = lock(&shared.state);
        self.callback = state.callback.take();
        self.version = shared.version();
        // L1: a closure is dropped where no lock is held.
        drop(state);
        discard(replaced)
    }

    #[inline(never)]
    fn put_back(&mut self, shared: &Shared<T>) -> Outcome {
        let callback = self.callback.take();
        let mut state = lock(&shared.state);
        if self.version == shared.version() {
            state.callback = callback;
            return Ok(());
        }
        drop(state);
        discard(callback)
    }
}

/// Drops a closure, which may panic.
fn discard<T>(callback: Option<Callback<T>>) -> Outcome {
    catch(|| {
        drop(callback);
        Ok(())
    })
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            version: AtomicU64::new(0),
            state: Mutex::new(State {
                callback: None,
                retired: false,
            }),
        }
    }
}

impl<T> Shared<T> {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Replaces the callback, and returns the one to be dropped.
    fn replace(&self, callback: Callback<T>) -> Option<Callback<T>> {
        let mut state = lock(&self.state);
        if state.retired {
            return Some(callback);
        }
        self.version.fetch_add(1, Ordering::Release);
        state.callback.replace(callback)
    }

    /// Retires the slot, and returns the callback to be dropped.
    fn retire(&self) -> Option<Callback<T>> {
        let mut state = lock(&self.state);
        state.retired = true;
        self.version.fetch_add(1, Ordering::Release);
        state.callback.take()
    }
}

/// The slot of `on_close`, which runs once. A callback that is set after the end runs at once, in
/// its setter.
#[derive(Default)]
pub(crate) struct CloseSlot(Mutex<End>);

enum End {
    /// The end is still to come.
    Ahead(Option<Callback<CloseEvent>>),
    Come(CloseEvent),
}

impl Default for End {
    fn default() -> Self {
        Self::Ahead(None)
    }
}

impl CloseSlot {
    /// Sets the callback, or runs it if the end has come. A callback that is set while the end
    /// comes is run either here or by [`run`](Self::run), never by both.
    pub(crate) fn set<R: IntoOutcome>(
        &self,
        ws: &WebSocket,
        mut callback: impl FnMut(&WebSocket, CloseEvent) -> R + Send + 'static,
    ) -> Outcome {
        let mut end = lock(&self.0);
        match &mut *end {
            End::Ahead(slot) => {
                let replaced = slot.replace(boxed(callback));
                // L1: a closure is run and dropped where no lock is held.
                drop(end);
                drop(replaced);
                Ok(())
            }
            End::Come(event) => {
                let event = CloseEvent::clone(event);
                drop(end);
                named(ON_CLOSE, move || callback(ws, event).into_outcome())
            }
        }
    }

    /// Runs the callback, if one is set: the end has come.
    pub(crate) fn run(&self, ws: &WebSocket, event: CloseEvent) -> Outcome {
        let come = End::Come(event.clone());
        let before = mem::replace(&mut *lock(&self.0), come);
        match before {
            End::Ahead(Some(mut callback)) => {
                named(ON_CLOSE, move || callback(ws, &mut Some(event)))
            }
            _ => Ok(()),
        }
    }
}

const ON_CLOSE: &str = "on_close";

/// Runs user code under a name. A panic becomes an error, and an error begins with the name.
#[inline]
pub(crate) fn named<T>(name: &str, run: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    catch(run).map_err(|failure| failure.of(name))
}

/// Runs user code; a panic becomes an error with its message.
#[inline]
pub(crate) fn catch<T>(run: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(failure_of(panic)))
}

// Not inlined: a callback that does not panic needs none of its stack.
#[inline(never)]
fn failure_of(panic: Box<dyn Any + Send>) -> Failure {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    // Dropping the panic's payload may panic again, so it is leaked.
    mem::forget(panic);
    let text = text.as_deref().unwrap_or("no message");
    Failure::from(format!("panicked: {text}"))
}
