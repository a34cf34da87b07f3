//! The large buffers into which all connections of the process read bursts.

use std::sync::TryLockError;
use std::sync::atomic::AtomicUsize;

use crate::sync::{Mutex, Ordering};

/// The capacity of a large buffer, in bytes.
pub(crate) const LARGE: usize = 64 << 10;

/// The number of spare large buffers that are kept, and of connections that may keep one while they
/// wait for input.
const MOST: usize = 16;

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Returns an empty large buffer, or none if there is no memory.
pub(crate) fn take() -> Option<Vec<u8>> {
    // Another buffer serves as well as a wait for the lock. In a forked child the lock may be held
    // for good.
    let spare = match SPARE.try_lock() {
        Ok(mut spare) => spare.pop(),
        Err(TryLockError::Poisoned(spare)) => spare.into_inner().pop(),
        Err(TryLockError::WouldBlock) => None,
    };
    spare.or_else(|| {
        let mut fresh = Vec::new();
        fresh.try_reserve_exact(LARGE).ok()?;
        Some(fresh)
    })
}

/// Takes back a buffer. A buffer that is not large, or one too many, is freed.
pub(crate) fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() != LARGE {
        return;
    }
    buffer.clear();
    if let Ok(mut spare) = SPARE.try_lock() {
        if spare.len() < MOST {
            spare.push(buffer);
        }
    }
}

/// The right to keep a large buffer while no input comes.
#[derive(Debug)]
pub(crate) struct Keep(());

impl Keep {
    /// Returns a right, unless all are given out.
    pub(crate) fn new() -> Option<Self> {
        let one_more = |kept| (kept < MOST).then_some(kept + 1);
        let kept = KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        kept.is_ok().then_some(Self(()))
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed);
    }
}
