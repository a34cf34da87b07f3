//! The large buffers into which all connections of the process read bursts.

use std::sync::TryLockError;
use std::sync::atomic::AtomicUsize;

use crate::sync::{Mutex, Ordering};

/// The capacity of a large buffer, in bytes. A sender that fills its socket is read in fewer calls than
/// with 64 KiB, and wakes this side less often.
pub(crate) const LARGE: usize = 128 << 10;

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

/// The right to keep a large buffer while no input comes. It holds the count of those that are given
/// out.
#[derive(Debug)]
pub(crate) struct Keep(&'static AtomicUsize);

impl Keep {
    /// Returns a right, unless all are given out.
    pub(crate) fn new() -> Option<Self> {
        Self::counted_by(&KEPT)
    }

    fn counted_by(count: &'static AtomicUsize) -> Option<Self> {
        let one_more = |kept| (kept < MOST).then_some(kept + 1);
        let kept = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        // Made only where it is counted: its drop counts too.
        kept.ok().map(|_| Self(count))
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However often a right is refused, no more of them are given out, until one is given back.
    #[test]
    fn refusals_give_out_no_rights() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let take = |_| Keep::counted_by(&COUNT);
        let mut kept: Vec<_> = (0..10 * MOST).filter_map(take).collect();
        assert_eq!(kept.len(), MOST);
        kept.pop();
        assert_eq!((0..10).filter_map(take).count(), 10, "each is given back");
    }
}
