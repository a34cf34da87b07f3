//! The outbox's locks and atomics: the crate's, or loom's while the models run (`--cfg loom`).

#[cfg(not(loom))]
mod real {
    pub(in crate::outbox) use std::sync::Arc;

    pub(in crate::outbox) use crate::sync::{
        AtomicBool, AtomicU8, Condvar, Mutex, MutexGuard, Ordering, lock, wait,
    };
}

#[cfg(loom)]
mod modelled {
    use std::time::Instant;

    pub(in crate::outbox) use loom::sync::atomic::{AtomicBool, AtomicU8, Ordering};
    pub(in crate::outbox) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

    pub(in crate::outbox) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().expect("a model stops at the first panic")
    }

    /// Waits until notified, however long that takes: no time passes in a model.
    pub(in crate::outbox) fn wait<'a, T>(
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        _: Option<Instant>,
    ) -> MutexGuard<'a, T> {
        condvar
            .wait(guard)
            .expect("a model stops at the first panic")
    }
}

#[cfg(loom)]
pub(super) use self::modelled::*;
#[cfg(not(loom))]
pub(super) use self::real::*;
