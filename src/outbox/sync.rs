//! The outbox's locks and atomics: the crate's, or loom's while the models run (`--cfg loom`).

#[cfg(not(loom))]
mod real {
    pub(in crate::outbox) use std::sync::Arc;
    pub(in crate::outbox) use std::sync::atomic::AtomicU8;
    use std::time::Instant;

    pub(in crate::outbox) use crate::sync::{
        AtomicBool, Condvar, Mutex, MutexGuard, Ordering, lock, wait,
    };

    /// Tells whether a deadline has passed.
    pub(in crate::outbox) fn has_passed(deadline: Option<Instant>) -> bool {
        deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

#[cfg(loom)]
mod modelled {
    use std::time::Instant;

    pub(in crate::outbox) use loom::sync::atomic::{AtomicBool, AtomicU8, Ordering};
    pub(in crate::outbox) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

    pub(in crate::outbox) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().expect("a model stops at the first panic")
    }

    loom::lazy_static! {
        static ref IS_LATE: AtomicBool = AtomicBool::new(false);
    }

    /// Makes all deadlines of a model pass.
    pub(in crate::outbox) fn let_time_pass() {
        IS_LATE.store(true, Ordering::Release);
    }

    pub(in crate::outbox) fn has_passed(deadline: Option<Instant>) -> bool {
        deadline.is_some() && IS_LATE.load(Ordering::Acquire)
    }

    /// Waits until notified. A model that makes time pass notifies, too.
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
