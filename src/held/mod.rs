//! The memory that peers make this process hold: one budget for all its connections.
//!
//! What is counted are messages half received and the bodies of requests, each from its second step
//! on. Whoever finds no room waits in line, and its peer is not read meanwhile.

mod ledger;
mod space;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use self::ledger::{Fate, Ledger, Place};
use self::space::Claim;
use crate::process::PerProcess;
use crate::sync::{Condvar, Mutex, Ordering, lock, wait};
use crate::transport::Limits;

/// What each connection may hold without being counted, in bytes: nobody is refused so little.
pub(crate) const FREE: usize = 64 << 10;

/// Sets how many bytes of memory peers can make this process hold, over all its connections and
/// servers together: messages half received and bodies of requests half received. Holds from now on;
/// what is held already stays.
///
/// By default it is half of the least of these: the limit of the process's address space
/// (`RLIMIT_AS`; for a 32-bit program 3 GiB), those of its control group and the groups above it
/// (`memory.max`, or `memory.limit_in_bytes`), and the machine's memory. Elsewhere than on Linux only the
/// first is known.
///
/// Beyond it, a server answers newcomers with 503, and a message that would grow pauses: its connection
/// is not read until there is room, in the order in which they have paused. When
/// [`message_timeout`](crate::Config::message_timeout) passes and nobody has got any room, the largest
/// of the paused messages is given up: its connection closes with 1009. A request whose body would
/// grow gets 503. The first 64 KiB of a message or a body are not counted and never refused, so whoever
/// sends little notices nothing. A peer that has broken off leaves its place within moments; one whose end
/// lies behind what is not read does so when its system answers the next
/// [ping](crate::Config::ping_interval) with a reset. A message larger than the whole budget gets 1009 at once.
///
/// Where the address space is bounded, the budget is not all there is to find room in: beside it stand the
/// stacks of the threads, 2 MiB each, and on glibc 64 MiB for each of the first threads, eight a core, whether
/// they use them or not (1 MiB in 32-bit programs). So there a message also waits, and newcomers get 503, as
/// long as less than 8 MiB and 320 KiB for each thread would stay free; a newcomer leaves 24 MiB more, unless
/// it takes the place of a thread that has ended. What the program allocates itself is not held back. On
/// glibc 512 MiB may be too little for more than a few connections and for any large message; with the
/// environment variable `MALLOC_ARENA_MAX=1` it is enough for many, as a thread takes no 64 MiB then.
///
/// ```
/// landline::set_memory_budget(256 << 20);
/// assert_eq!(landline::memory_budget(), 256 << 20);
/// ```
pub fn set_memory_budget(bytes: usize) {
    LIMIT.store(bytes.min(UNSET - 1), Ordering::Relaxed);
    lock(ledger()).serve(bytes);
}

/// Returns how many bytes of memory peers can make this process hold, as set by
/// [`set_memory_budget`], or by default.
#[must_use]
pub fn memory_budget() -> usize {
    match LIMIT.load(Ordering::Relaxed) {
        UNSET => {
            let limit = Limits::find().memory().map_or(UNSET - 1, |bytes| bytes / 2);
            // What the program sets meanwhile counts.
            let set = LIMIT.compare_exchange(UNSET, limit, Ordering::Relaxed, Ordering::Relaxed);
            set.map_or_else(|set| set, |_| limit)
        }
        limit => limit,
    }
}

/// How many bytes there may be, also in a forked child.
static LIMIT: AtomicUsize = AtomicUsize::new(UNSET);
const UNSET: usize = usize::MAX;

/// A forked child holds nothing of its parent's peers.
static LEDGER: PerProcess<Mutex<Ledger>> =
    PerProcess::new(Mutex::new(Ledger::new()), || Mutex::new(Ledger::new()));

fn ledger() -> &'static Mutex<Ledger> {
    LEDGER.get()
}

/// Tells whether there is no room for anybody who may want some.
pub(crate) fn is_exhausted() -> bool {
    let limit = memory_budget();
    lock(ledger()).is_exhausted(limit) || !space::has_room_for_newcomer()
}

/// Wakes the thread that waits for room for this connection, if one does: the connection was cut.
pub(crate) fn wake(connection: u64) {
    lock(ledger()).wake(connection);
}

/// What one connection holds of the budget. Dropped, it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    connection: u64,
    bytes: usize,
    /// For what is about to be allocated.
    claim: Option<Claim>,
    pause: Option<Pause>,
}

/// A wait for room that is not over. It may be interrupted, and keeps its place then.
#[derive(Debug)]
struct Pause {
    since: Instant,
    waited: Duration,
}

/// Tells how a wait for room has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Made,
    /// The connection was cut.
    Cut,
    /// The peer is gone, and the rest of the message with it.
    Lost,
    /// The caller had no more time.
    Late,
    /// The message is given up.
    Refused,
}

impl Share {
    pub(crate) const fn new(connection: u64) -> Self {
        Self {
            connection,
            bytes: 0,
            claim: None,
            pause: None,
        }
    }

    /// Holds so many bytes in all from now on, if there is room for them; never waits.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        if bytes <= FREE.max(self.bytes) {
            return true;
        }
        self.claim = Claim::new(bytes);
        let limit = memory_budget();
        let took = self.claim.is_some() && lock(ledger()).take(bytes - self.bytes, limit);
        if took {
            self.bytes = bytes;
            self.pause = None;
        } else {
            self.claim = None;
        }
        took
    }

    /// Says that what it has grown to is allocated, or will not be.
    pub(crate) fn settle(&mut self) {
        self.claim = None;
    }

    /// Waits until it holds so many bytes in all, until the connection `is_cut`, the rest of the message
    /// `is_lost` or the caller's deadline has passed; or until the message is given up for others, which
    /// happens when nobody has got room within `patience`.
    pub(crate) fn grow(
        &mut self,
        bytes: usize,
        patience: Duration,
        deadline: Option<Instant>,
        is_cut: impl Fn() -> bool,
        is_lost: impl Fn() -> bool,
    ) -> Room {
        if bytes <= FREE.max(self.bytes) {
            return Room::Made;
        }
        let now = Instant::now();
        let pause = self.pause.get_or_insert(Pause {
            since: now,
            waited: Duration::ZERO,
        });
        let waiting = Waiting {
            place: Place {
                since: pause.since,
                connection: self.connection,
            },
            since: now.checked_sub(pause.waited).unwrap_or(now),
            patience,
            deadline,
        };
        let (room, claim) = waiting.wait(self.bytes, bytes, is_cut, is_lost);
        self.claim = claim;
        match room {
            Room::Late => pause.waited += now.elapsed(),
            _ => self.pause = None,
        }
        if room == Room::Made {
            self.bytes = bytes;
        }
        room
    }

    /// Gives back all of it: what was counted is the program's now, or gone.
    pub(crate) fn give_back(&mut self) {
        self.pause = None;
        self.claim = None;
        if self.bytes > 0 {
            let (bytes, limit) = (std::mem::take(&mut self.bytes), memory_budget());
            let mut ledger = lock(ledger());
            ledger.give_back(self.connection, bytes);
            ledger.serve(limit);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The time after which a thread looks again whether the process has address space: nothing says so, as
/// the program frees it.
const RETRY: Duration = Duration::from_millis(50);

/// The time after which a thread looks again whether its peer is gone, which it does not read meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// A thread that waits for room.
struct Waiting {
    place: Place,
    /// When the wait has begun, without the time in which it was interrupted.
    since: Instant,
    patience: Duration,
    deadline: Option<Instant>,
}

impl Waiting {
    /// Waits for `bytes` in place of those that are `held`, and for the address space for them.
    fn wait(
        &self,
        held: usize,
        bytes: usize,
        is_cut: impl Fn() -> bool,
        is_lost: impl Fn() -> bool,
    ) -> (Room, Option<Claim>) {
        let limit = memory_budget();
        if bytes > limit {
            return (Room::Refused, None);
        }
        let woken = Arc::new(Condvar::new());
        lock(ledger()).join(self.place, held, bytes - held, &woken);
        let mut next_look = Instant::now();
        let (room, claim) = loop {
            // Both ask the system, so not under the lock.
            let is_due = next_look <= Instant::now();
            if is_due {
                next_look = Instant::now() + LOOK;
            }
            let is_lost = is_due && is_lost();
            let claim = Claim::new(bytes);
            let mut ledger = lock(ledger());
            ledger.set_stuck(self.place, claim.is_none());
            ledger.serve(limit);
            let now = Instant::now();
            let over = if is_cut() {
                Some(Room::Cut)
            } else {
                is_lost.then_some(Room::Lost)
            };
            let until = match self.look(&mut ledger, now, over) {
                Ok(room) => break (room, claim),
                Err(until) if claim.is_none() => until.min(now + RETRY),
                Err(until) => until,
            };
            drop(claim);
            drop(wait(&woken, ledger, Some(until.min(next_look))));
        };
        let mut ledger = lock(ledger());
        if room == Room::Made {
            ledger.note_moved(Instant::now());
        }
        ledger.leave(self.place);
        ledger.serve(limit);
        (room, claim.filter(|_| room == Room::Made))
    }

    /// Tells how the wait has ended, or when to look again; `over` is how it ends without room.
    fn look(&self, ledger: &mut Ledger, now: Instant, over: Option<Room>) -> Result<Room, Instant> {
        let due = ledger
            .moved()
            .map_or(self.since, |moved| moved.max(self.since))
            + self.patience;
        if due <= now && over.is_none() {
            ledger.give_up_largest(now);
        }
        match (ledger.fate(self.place), over) {
            (Fate::Served, _) => Ok(Room::Made),
            (_, Some(room)) => Ok(room),
            (Fate::GivenUp, None) => Ok(Room::Refused),
            (Fate::Waits, None) if self.deadline.is_some_and(|deadline| deadline <= now) => {
                Ok(Room::Late)
            }
            (Fate::Waits, None) => {
                // Who is given up has to leave first.
                let next = if due <= now { now + self.patience } else { due };
                Err(self.deadline.map_or(next, |deadline| deadline.min(next)))
            }
        }
    }
}
