//! The one thread that keeps the time for all connections of the process: deadlines, keepalive
//! pings, full sockets that no other thread waits for, and the cork's millisecond.
//!
//! The thread starts with the first connection of the process and ends a little after the last. It
//! sleeps while nothing is due. No connection's thread ever looks at a clock to find out whether it
//! is late.

mod deadlines;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::deadlines::{Deadlines, Facts, PROGRESS, STEPS, Verdict, Writing};
use crate::process::PerProcess;
use crate::record::error;
use crate::sync::{AtomicU64, Ordering, lock};
use crate::transport::{Poller, Socket};

/// An object with deadlines, which the background checks.
pub(crate) trait Timed: Send + Sync {
    /// Does what is due, and returns when to look again.
    fn check(&self, now: Instant) -> Option<Instant>;
}

/// An outbox whose socket was full.
pub(crate) trait Resume: Send + Sync {
    /// Resumes the writing.
    fn resume(self: Arc<Self>);
}

/// A cork that must not hold a message for long.
pub(crate) trait Ticking: Send + Sync {
    /// Lets the messages leave that were held a tick ago. Returns whether any were held since.
    fn tick(&self) -> bool;
    /// Stops the ticking if nothing is held. Returns whether it stopped.
    fn stop_ticking(&self) -> bool;
}

/// Ticks the cork each millisecond until it needs no more ticks.
pub(crate) fn tick(cork: Arc<dyn Ticking>) {
    let mut registry = registry();
    registry.corks.push(Corked { cork, idle: 0 });
    registry.wake_for(Instant::now() + TICK);
}

/// The registry of this process. A forked child has none of its parent's threads, and starts its
/// own.
static REGISTRY: PerProcess<Mutex<Registry>> =
    PerProcess::new(Mutex::new(Registry::new()), || Mutex::new(Registry::new()));

fn registry() -> MutexGuard<'static, Registry> {
    lock(REGISTRY.get())
}

const TICK: Duration = Duration::from_millis(1);
/// The number of ticks without a held message that end the ticking.
const IDLE_TICKS: u32 = 20;
/// The time by which the thread outlives the last connection, so that scripts that reconnect do not
/// start it anew each time.
const LINGER: Duration = Duration::from_millis(500);

/// The timer of an entry, by which it asks for an earlier look.
pub(crate) struct Timer {
    id: u64,
    /// The time of the next look, in nanoseconds of the process. A caller that needs no earlier
    /// look does not take the registry's lock.
    next: AtomicU64,
}

impl Timer {
    /// Makes a timer without an entry.
    pub(crate) fn new() -> Arc<Self> {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(Self {
            id,
            next: AtomicU64::new(u64::MAX),
        })
    }

    /// Enrolls an entry until the timer is [dismissed](Self::dismiss). The first check is at this
    /// time at the latest.
    pub(crate) fn enroll(self: &Arc<Self>, timed: Arc<dyn Timed>, by: Instant) -> io::Result<()> {
        let mut registry = registry();
        registry.ensure_thread()?;
        registry.unused_since = None;
        registry.entries.insert(
            self.id,
            Entry {
                timed,
                timer: Arc::clone(self),
                at: None,
                stalled: None,
            },
        );
        registry.reschedule(self.id, Some(by));
        registry.wake_for(by);
        Ok(())
    }

    /// Replaces the enrolled entry by another. Its first check is at this time at the latest.
    pub(crate) fn hand_over(&self, timed: Arc<dyn Timed>, by: Instant) {
        let mut registry = registry();
        let entry = registry.entries.get_mut(&self.id);
        let before = entry.map(|entry| std::mem::replace(&mut entry.timed, timed));
        registry.reschedule(self.id, Some(by));
        registry.wake_for(by);
        drop(registry);
        drop(before);
    }

    /// Asks for a check at this time at the latest.
    pub(crate) fn wake_by(&self, by: Instant) {
        if self.next.load(Ordering::Acquire) <= since_epoch(by) {
            return;
        }
        let mut registry = registry();
        registry.reschedule(self.id, Some(by));
        registry.wake_for(by);
    }

    /// Resumes the outbox once its socket takes more. Without an enrolled entry the socket is not
    /// watched, so that no socket is watched for ever. Fails if the system cannot watch one more.
    pub(crate) fn watch(&self, socket: &Arc<Socket>, outbox: Arc<dyn Resume>) -> io::Result<()> {
        registry().watch(self.id, socket, &outbox)
    }

    /// Ends the enrolment, and the watch with it. The background gives its reference to the socket
    /// back at once.
    pub(crate) fn dismiss(&self) {
        let mut registry = registry();
        let unwatched = registry.unwatch(self.id);
        let entry = registry.entries.remove(&self.id);
        if let Some(at) = entry.as_ref().and_then(|entry| entry.at) {
            registry.due.remove(&(at, self.id));
        }
        if entry.is_some() && registry.entries.is_empty() {
            let now = Instant::now();
            registry.unused_since = Some(now);
            registry.wake_for(now + LINGER);
        }
        drop(registry);
        drop((entry, unwatched));
    }
}

struct Registry {
    /// The poller that the thread waits with, while there is a thread.
    poller: Option<Arc<Poller>>,
    /// The end of the thread's sleep, while it sleeps.
    sleep: Option<Instant>,
    /// The time for which the thread was woken last. It looks then even if nothing is due any more.
    /// While connections come and go, the next one's deadline is later than that, and need not wake
    /// the thread.
    woken_for: Option<Instant>,
    entries: BTreeMap<u64, Entry>,
    /// The time since which there are no entries, if there are none.
    unused_since: Option<Instant>,
    due: BTreeSet<(Instant, u64)>,
    corks: Vec<Corked>,
}

struct Entry {
    timed: Arc<dyn Timed>,
    timer: Arc<Timer>,
    at: Option<Instant>,
    /// The outbox to resume when its socket takes more. The poller has the socket as long as this
    /// is set.
    stalled: Option<Arc<dyn Resume>>,
}

struct Corked {
    cork: Arc<dyn Ticking>,
    idle: u32,
}

impl Registry {
    const fn new() -> Self {
        Self {
            poller: None,
            sleep: None,
            woken_for: None,
            entries: BTreeMap::new(),
            unused_since: None,
            due: BTreeSet::new(),
            corks: Vec::new(),
        }
    }

    fn ensure_thread(&mut self) -> io::Result<()> {
        if self.poller.is_some() {
            return Ok(());
        }
        let poller = Arc::new(Poller::new()?);
        let thread = Thread {
            poller: Arc::clone(&poller),
            ready: VecDeque::new(),
            corks: Vec::new(),
        };
        let builder = thread::Builder::new().name("landline-background".into());
        builder.spawn(|| thread.run())?;
        self.poller = Some(poller);
        Ok(())
    }

    fn watch(&mut self, id: u64, socket: &Arc<Socket>, outbox: &Arc<dyn Resume>) -> io::Result<()> {
        let (Some(entry), Some(poller)) = (self.entries.get_mut(&id), &self.poller) else {
            return Ok(());
        };
        if entry.stalled.is_none() {
            poller.add(id, socket)?;
            entry.stalled = Some(Arc::clone(outbox));
        }
        Ok(())
    }

    /// Ends a watch. Returns the watched outbox and its socket, to be dropped without a lock.
    fn unwatch(&mut self, id: u64) -> Option<(Arc<dyn Resume>, Option<Arc<Socket>>)> {
        let outbox = self.entries.get_mut(&id)?.stalled.take()?;
        let socket = self.poller.as_ref().and_then(|poller| poller.remove(id));
        Some((outbox, socket))
    }

    /// Makes an entry due at `at`, or earlier if it was.
    fn reschedule(&mut self, id: u64, at: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let Some(at) = at else { return };
        if entry.at.is_some_and(|before| before <= at) {
            return;
        }
        if let Some(before) = entry.at.replace(at) {
            self.due.remove(&(before, id));
        }
        self.due.insert((at, id));
        entry.timer.next.store(since_epoch(at), Ordering::Release);
    }

    /// Takes the entries that are due. Until such an entry is scheduled again, each request for a
    /// look takes the registry's lock, so none is missed during the check.
    fn take_due(&mut self, now: Instant) -> Vec<(u64, Arc<dyn Timed>)> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, id));
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.at = None;
                entry.timer.next.store(u64::MAX, Ordering::Release);
                due.push((id, Arc::clone(&entry.timed)));
            }
        }
        due
    }

    /// Wakes the thread if it would sleep longer.
    fn wake_for(&mut self, by: Instant) {
        if self.sleep.is_none_or(|until| until <= by) {
            return;
        }
        self.sleep = None;
        self.woken_for = Some(by);
        if let Some(poller) = &self.poller {
            poller.wake();
        }
    }

    /// Returns when the thread ends unless an entry is enrolled by then.
    fn end(&self) -> Option<Instant> {
        self.unused_since.map(|since| since + LINGER)
    }

    /// Returns until when the thread may sleep.
    fn next_look(&mut self, now: Instant) -> Option<Instant> {
        self.woken_for.take_if(|by| *by <= now);
        let due = self.due.first().map(|(at, _)| *at);
        [due, self.woken_for, self.end()]
            .into_iter()
            .flatten()
            .min()
    }
}

/// The state of the background thread.
struct Thread {
    poller: Arc<Poller>,
    /// The sockets that take more and wait for their turn.
    ready: VecDeque<u64>,
    corks: Vec<Corked>,
}

impl Thread {
    fn run(mut self) {
        let mut next_tick = Instant::now();
        loop {
            let now = Instant::now();
            self.check_due(now);
            if now >= next_tick {
                self.tick_corks();
                next_tick = now + TICK;
            }
            let mut registry = registry();
            self.corks.append(&mut registry.corks);
            if registry.end().is_some_and(|end| now >= end) && self.corks.is_empty() {
                // Under the lock: the next enrolment finds no thread and starts one.
                registry.poller = None;
                return;
            }
            let tick = (!self.corks.is_empty()).then_some(next_tick);
            let until = [tick, registry.next_look(now)].into_iter().flatten().min();
            let until = until.unwrap_or_else(|| now + Duration::from_secs(24 * 60 * 60));
            registry.sleep = Some(until);
            drop(registry);
            self.sleep(until);
        }
    }

    fn check_due(&self, now: Instant) {
        let due = registry().take_due(now);
        for (id, timed) in due {
            // The checks before this one may have taken their time.
            let now = Instant::now();
            let next = guarded(|| timed.check(now)).unwrap_or(Some(now + Duration::from_secs(1)));
            registry().reschedule(id, next);
            guarded(|| drop(timed));
        }
    }

    fn tick_corks(&mut self) {
        self.corks.retain_mut(|corked| {
            let busy = guarded(|| corked.cork.tick()).unwrap_or(true);
            corked.idle = if busy { 0 } else { corked.idle + 1 };
            corked.idle < IDLE_TICKS || !corked.cork.stop_ticking()
        });
    }

    /// Sleeps until woken, until this time, or until full sockets take more, and resumes one of
    /// them. The others have their turns one by one, between the checks of the entries that are
    /// due.
    fn sleep(&mut self, until: Instant) {
        if self.ready.is_empty() {
            self.poller.wait(until, &mut self.ready);
        }
        let mut registry = registry();
        registry.sleep = None;
        let next = self.ready.pop_front();
        let stalled = next.and_then(|key| registry.unwatch(key));
        drop(registry);
        if let Some((outbox, socket)) = stalled {
            drop(socket);
            guarded(|| outbox.resume());
        }
    }
}

/// Runs code that may drop a program's payload. A panic of that drop must not end the thread that
/// keeps the time of all connections.
fn guarded<R>(run: impl FnOnce() -> R) -> Option<R> {
    let outcome = catch_unwind(AssertUnwindSafe(run));
    if outcome.is_err() {
        error!("a payload or logger panicked on the background thread");
    }
    outcome.ok()
}

/// Returns the nanoseconds from the process's first use of this to `instant`.
fn since_epoch(instant: Instant) -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = *EPOCH.get_or_init(Instant::now);
    u64::try_from(instant.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX - 1)
}
