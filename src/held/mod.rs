//! The memory that peers make this process hold: one budget for all its connections.
//!
//! What is counted are messages half received and the bodies of requests, each from its second step
//! on. Whoever finds no room waits in line, and its peer is not read meanwhile.

mod ledger;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use self::ledger::{Fate, Ledger, Place};
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
/// (`RLIMIT_AS`), those of its control group and the groups above it (`memory.max`, or
/// `memory.limit_in_bytes`), and the machine's memory. Elsewhere than on Linux only the first is known.
///
/// Beyond it, a server answers newcomers with 503, and a message that would grow pauses: its connection
/// is not read until there is room, in the order in which they have paused. When
/// [`message_timeout`](crate::Config::message_timeout) passes and nobody has got any room, the largest
/// of the paused messages is given up: its connection closes with 1009. A request whose body would
/// grow gets 503. The first 64 KiB of a message or a body are not counted and never refused, so whoever
/// sends little notices nothing. A message larger than the whole budget gets 1009 at once. Where the
/// address space is bounded, its last 16 MiB count as held.
///
/// ```
/// landline::set_memory_budget(256 << 20);
/// assert_eq!(landline::memory_budget(), 256 << 20);
/// ```
pub fn set_memory_budget(bytes: usize) {
    LIMIT.store(bytes.min(UNSET - 1), Ordering::Relaxed);
    lock(ledger()).serve(bytes, Instant::now());
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

/// Returns how many bytes may be held: none beyond what is, where a bounded address space has no room
/// for so many more and the reserve.
fn limit_for(more: usize) -> usize {
    let mut probe = Vec::<u8>::new();
    let wanted = more.saturating_add(RESERVE);
    let has_room = !Limits::bounds_address_space() || probe.try_reserve_exact(wanted).is_ok();
    // Or else the compiler takes it for useless.
    std::hint::black_box(&probe);
    if has_room { memory_budget() } else { 0 }
}

/// What a bounded address space keeps for everything that is not asked for by `try_reserve`, in bytes:
/// that aborts the process where there is nothing.
const RESERVE: usize = 16 << 20;
/// What a newcomer's thread takes of it, in bytes.
const NEWCOMER: usize = 4 << 20;

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
    let limit = limit_for(NEWCOMER);
    lock(ledger()).is_exhausted(limit)
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
            pause: None,
        }
    }

    /// Holds so many bytes in all from now on, if there is room for them; never waits.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        if bytes <= FREE.max(self.bytes) {
            return true;
        }
        let limit = limit_for(bytes);
        let took = lock(ledger()).take(bytes - self.bytes, limit);
        if took {
            self.bytes = bytes;
            self.pause = None;
        }
        took
    }

    /// Waits until it holds so many bytes in all, until the connection `is_cut` or the caller's
    /// deadline has passed; or until the message is given up for others, which happens when nobody has
    /// got room within `patience`.
    pub(crate) fn grow(
        &mut self,
        bytes: usize,
        patience: Duration,
        deadline: Option<Instant>,
        is_cut: impl Fn() -> bool,
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
        let room = waiting.wait(self.bytes, bytes, is_cut);
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
        if self.bytes > 0 {
            let (bytes, limit) = (std::mem::take(&mut self.bytes), limit_for(0));
            let mut ledger = lock(ledger());
            ledger.give_back(self.connection, bytes);
            ledger.serve(limit, Instant::now());
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A thread that waits for room.
struct Waiting {
    place: Place,
    /// When the wait has begun, without the time in which it was interrupted.
    since: Instant,
    patience: Duration,
    deadline: Option<Instant>,
}

impl Waiting {
    /// Waits for `bytes` in place of those that are `held`.
    fn wait(&self, held: usize, bytes: usize, is_cut: impl Fn() -> bool) -> Room {
        if bytes > memory_budget() {
            return Room::Refused;
        }
        let woken = Arc::new(Condvar::new());
        let mut ledger = lock(ledger());
        ledger.join(self.place, held, bytes - held, &woken);
        let room = loop {
            let now = Instant::now();
            ledger.serve(limit_for(bytes), now);
            match self.look(&mut ledger, now, is_cut()) {
                Ok(room) => break room,
                Err(until) => ledger = wait(&woken, ledger, Some(until)),
            }
        };
        ledger.leave(self.place);
        ledger.serve(limit_for(0), Instant::now());
        room
    }

    /// Tells how the wait has ended, or when to look again.
    fn look(&self, ledger: &mut Ledger, now: Instant, is_cut: bool) -> Result<Room, Instant> {
        let due = ledger
            .moved()
            .map_or(self.since, |moved| moved.max(self.since))
            + self.patience;
        if due <= now && !is_cut {
            ledger.give_up_largest(now);
        }
        match ledger.fate(self.place) {
            Fate::Served => Ok(Room::Made),
            _ if is_cut => Ok(Room::Cut),
            Fate::GivenUp => Ok(Room::Refused),
            Fate::Waits if self.deadline.is_some_and(|deadline| deadline <= now) => Ok(Room::Late),
            Fate::Waits => {
                // Who is given up has to leave first.
                let next = if due <= now { now + self.patience } else { due };
                Err(self.deadline.map_or(next, |deadline| deadline.min(next)))
            }
        }
    }
}
