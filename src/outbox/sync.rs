//! The outbox's locks and atomics: the crate's, or loom's while the models run (`--cfg loom`).

#[cfg(not(loom))]
mod real {
    pub(in crate::outbox) use std::sync::Arc;
    pub(in crate::outbox) use std::sync::atomic::fence;

    pub(in crate::outbox) use crate::sync::{
        AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, lock, try_lock, wait,
    };
}

#[cfg(loom)]
mod modelled {
    use std::ops::{Deref, DerefMut};
    use std::thread::panicking;
    use std::time::Instant;

    pub(in crate::outbox) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
    pub(in crate::outbox) use loom::sync::{Arc, Condvar};

    /// Wraps loom's. That one does not see that an unlock races with a `try_lock`, and would never
    /// let one fail that comes just before: so whether it is held stands in an atomic beside it.
    pub(in crate::outbox) struct Mutex<T> {
        held: AtomicU64,
        inner: loom::sync::Mutex<T>,
    }

    pub(in crate::outbox) struct MutexGuard<'a, T> {
        held: &'a AtomicU64,
        inner: Option<loom::sync::MutexGuard<'a, T>>,
    }

    impl<T> Mutex<T> {
        pub(in crate::outbox) fn new(value: T) -> Self {
            Self {
                held: AtomicU64::new(0),
                inner: loom::sync::Mutex::new(value),
            }
        }

        fn guard<'a>(&'a self, inner: loom::sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.held.store(1, Ordering::Relaxed);
            MutexGuard {
                held: &self.held,
                inner: Some(inner),
            }
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.inner.as_ref().expect("locked until dropped")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.inner.as_mut().expect("locked until dropped")
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            if !panicking() {
                self.held.store(0, Ordering::Relaxed);
            }
        }
    }

    pub(in crate::outbox) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.guard(
            mutex
                .inner
                .lock()
                .expect("a model stops at the first panic"),
        )
    }

    pub(in crate::outbox) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        // An exchange that fails reads what was written last, as a real lock's does, where a load
        // might not.
        let (never, relaxed) = (u64::MAX, Ordering::Relaxed);
        if mutex.held.compare_exchange(never, never, relaxed, relaxed) == Err(1) {
            return None;
        }
        mutex.inner.try_lock().ok().map(|inner| mutex.guard(inner))
    }

    /// Waits until notified, however long that takes: no time passes in a model.
    pub(in crate::outbox) fn wait<'a, T>(
        condvar: &Condvar,
        mut guard: MutexGuard<'a, T>,
        _: Option<Instant>,
    ) -> MutexGuard<'a, T> {
        guard.held.store(0, Ordering::Relaxed);
        let inner = guard.inner.take().expect("locked until dropped");
        guard.inner = Some(
            condvar
                .wait(inner)
                .expect("a model stops at the first panic"),
        );
        guard.held.store(1, Ordering::Relaxed);
        guard
    }
}

#[cfg(loom)]
pub(super) use self::modelled::*;
#[cfg(not(loom))]
pub(super) use self::real::*;
