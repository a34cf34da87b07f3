//! The margin that a bounded address space keeps free: an allocation that cannot fail politely aborts the
//! process where nothing is left.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::FREE;
use crate::buffer_pool::LARGE;
use crate::process::PerProcess;
use crate::transport::AddressSpace;

/// What no message may take, in bytes: it is for what does not ask before it allocates.
const RESERVE: usize = 8 << 20;
/// What each thread may take of that beside it, in bytes: what its connection holds uncounted.
const EACH: usize = FREE + 2 * LARGE;
/// What a newcomer whose thread takes no place of another leaves to messages, in bytes.
const FOR_MESSAGES: usize = 24 << 20;
/// What a newcomer's thread takes, in bytes: its stack, the one for signals and their guards.
const NEWCOMER: usize = (2 << 20) + (64 << 10);
/// What glibc takes for the allocations of a new thread if it can, in bytes; a thread for which it cannot
/// has a map of its own for each allocation.
const ARENA: usize = if cfg!(target_pointer_width = "32") {
    1 << 20
} else {
    64 << 20
};
/// The most arenas that threads which have begun together may take at once.
const ARENAS_AT_ONCE: usize = 4;

/// What was promised and is not allocated yet, in bytes.
static PROMISED: PerProcess<AtomicUsize> =
    PerProcess::new(AtomicUsize::new(0), AtomicUsize::default);

/// The most threads that there have been together with a newcomer's. What those have taken that have ended
/// since is kept for the next ones: their stacks, and on glibc their arenas.
static MOST_THREADS: AtomicUsize = AtomicUsize::new(0);

/// Address space that is promised to whoever is about to allocate it, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim(usize);

impl Claim {
    /// Promises so many bytes, if that leaves the margin.
    pub(super) fn new(bytes: usize) -> Option<Self> {
        // Before the look at what is free: what is allocated meanwhile counts twice, never not at all.
        let promised = PROMISED
            .get()
            .fetch_add(bytes, Ordering::SeqCst)
            .saturating_add(bytes);
        let claim = Self(bytes);
        leaves_margin(AddressSpace::of_this_process(), promised).then_some(claim)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        PROMISED.get().fetch_sub(self.0, Ordering::SeqCst);
    }
}

/// Tells whether the thread of one more connection leaves the margin; and something for messages, unless
/// it takes the place of one that has ended.
pub(super) fn has_room_for_newcomer() -> bool {
    let Some(space) = AddressSpace::of_this_process() else {
        return true;
    };
    let taken = PROMISED
        .get()
        .load(Ordering::SeqCst)
        .saturating_add(NEWCOMER);
    let free = space.free.saturating_sub(taken);
    let threads = space.threads.saturating_add(1);
    let takes_place = threads <= MOST_THREADS.load(Ordering::SeqCst);
    let has_room = is_enough_for_newcomer(AddressSpace { free, ..space }, takes_place);
    if has_room {
        MOST_THREADS.fetch_max(threads, Ordering::SeqCst);
    }
    has_room
}

/// Tells whether that is enough beside a newcomer's thread, which may take the place of one that has ended.
fn is_enough_for_newcomer(space: AddressSpace, takes_place: bool) -> bool {
    if takes_place {
        return leaves_margin(Some(space), 0);
    }
    let free = left_by_arenas(space.free);
    leaves_margin(Some(space), FOR_MESSAGES)
        && leaves_margin(Some(AddressSpace { free, ..space }), 0)
}

fn leaves_margin(space: Option<AddressSpace>, more: usize) -> bool {
    let Some(AddressSpace { free, threads }) = space else {
        return true;
    };
    let margin = threads.saturating_mul(EACH).saturating_add(RESERVE);
    free >= margin.saturating_add(more)
}

/// Returns what is left when arenas have been taken of what is free, for as long as there was room for one.
/// Where plenty is free the threads to come are asked about it themselves.
fn left_by_arenas(free: usize) -> usize {
    if free >= ARENAS_AT_ONCE * ARENA {
        return free;
    }
    free % ARENA
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn space(free: usize, threads: usize) -> Option<AddressSpace> {
        Some(AddressSpace { free, threads })
    }

    /// What is free beyond the margin may be taken, and each thread widens it.
    #[test]
    fn margin_is_left() {
        assert!(leaves_margin(None, usize::MAX));
        assert!(leaves_margin(space(9 * MIB, 0), MIB));
        assert!(!leaves_margin(space(9 * MIB, 0), MIB + 1));
        assert!(!leaves_margin(space(9 * MIB, 1), MIB));
        assert!(leaves_margin(space(9 * MIB + EACH, 1), MIB));
        assert!(!leaves_margin(space(MIB, usize::MAX), 1));
        assert!(!leaves_margin(space(0, 0), 0));
    }

    /// Near the end arenas take all but a rest.
    #[test]
    fn arenas_leave_a_rest() {
        for (free, left) in [(3, 3), (63, 63), (65, 1), (130, 2), (255, 63), (257, 257)] {
            let part = ARENA / 64;
            assert_eq!(left_by_arenas(free * part), left * part, "{free} / 64");
        }
    }

    /// A newcomer leaves something for messages and takes an arena, unless a thread has ended before.
    #[test]
    fn newcomers_may_take_places() {
        for (free, new, in_place) in [
            (9, false, true),
            (7, false, false),
            (33, true, true),
            (65, ARENA < 64 * MIB, true),
            (300, true, true),
        ] {
            let space = space(free * MIB, 1).unwrap();
            assert_eq!(is_enough_for_newcomer(space, false), new, "{free} MiB");
            assert_eq!(is_enough_for_newcomer(space, true), in_place, "{free} MiB");
        }
    }

    /// A promise lasts until it is dropped.
    #[test]
    fn promises_end() {
        // The address space of the tests is not bounded.
        let claim = Claim::new(5).unwrap();
        assert!(PROMISED.get().load(Ordering::SeqCst) >= 5);
        drop(claim);
    }
}
