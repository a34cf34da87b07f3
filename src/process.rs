//! The identity of this process. A fork copies all memory, and only the thread that forks.

use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A process, to tell a forked child from its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// Returns the calling process.
    pub(crate) fn this() -> Self {
        Self(process::id())
    }

    /// Tells whether it is the calling process.
    pub(crate) fn is_this(self) -> bool {
        self == Self::this()
    }
}

/// A value of each process. A forked child begins with a new value, and never waits for a lock that
/// a thread of its parent held.
pub(crate) struct PerProcess<T> {
    /// The process that owns the value; 0 for none.
    owner: AtomicU32,
    value: T,
    /// The value of the child that first found this one owned by its parent.
    child: OnceLock<Box<PerProcess<T>>>,
    make: fn() -> T,
}

impl<T> PerProcess<T> {
    /// Makes the value of the process that asks first. Its children make theirs by `make`.
    pub(crate) const fn new(value: T, make: fn() -> T) -> Self {
        Self {
            owner: AtomicU32::new(0),
            value,
            child: OnceLock::new(),
            make,
        }
    }

    /// Returns the value of the calling process.
    pub(crate) fn get(&self) -> &T {
        let Process(this) = Process::this();
        let mut found = self;
        while !found.is_owned_by(this) {
            let make = found.make;
            found = found
                .child
                .get_or_init(|| Box::new(Self::new(make(), make)));
        }
        &found.value
    }

    fn is_owned_by(&self, this: u32) -> bool {
        let claim = self
            .owner
            .compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed);
        claim.map_or_else(|owner| owner == this, |_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process finds its own value again; one that was taken by another process is not touched.
    #[test]
    fn processes_have_their_own() {
        let counts = PerProcess::new(AtomicU32::new(0), AtomicU32::default);
        counts.get().fetch_add(1, Ordering::Relaxed);
        assert_eq!(counts.get().load(Ordering::Relaxed), 1);
        // As if the fork had been before.
        let Process(this) = Process::this();
        counts.owner.store(this + 1, Ordering::Relaxed);
        assert_eq!(counts.get().fetch_add(1, Ordering::Relaxed), 0);
        assert_eq!(counts.get().load(Ordering::Relaxed), 1);
        assert_eq!(counts.value.load(Ordering::Relaxed), 1);
    }
}
