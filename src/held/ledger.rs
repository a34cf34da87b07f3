//! The shares of the budget and the line of those that wait for room: without a lock and without a clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::sync::Condvar;

/// Counts what is held, and keeps the line of those who wait for room.
#[derive(Debug)]
pub(super) struct Ledger {
    used: usize,
    line: BTreeMap<Place, Waiter>,
    /// Whose message was given up and is still held: one at a time.
    leaving: Option<u64>,
    /// When somebody got room or was given up last.
    moved: Option<Instant>,
}

/// A place in line: first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) since: Instant,
    pub(super) connection: u64,
}

#[derive(Debug)]
struct Waiter {
    held: usize,
    more: usize,
    fate: Fate,
    /// Whether it could not allocate more now: it keeps its place, and nobody passes.
    is_stuck: bool,
    /// Its own, so that nobody is woken in vain.
    woken: Arc<Condvar>,
}

/// What becomes of somebody in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Waits,
    /// What it asked for is counted as held.
    Served,
    GivenUp,
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self {
            used: 0,
            line: BTreeMap::new(),
            leaving: None,
            moved: None,
        }
    }

    /// Takes so many bytes more, unless there is no room or somebody waits for it.
    pub(super) fn take(&mut self, more: usize, limit: usize) -> bool {
        let fits = self.line.is_empty() && self.fits(more, limit);
        if fits {
            self.used += more;
        }
        fits
    }

    /// Tells whether all of it is held, or somebody waits.
    pub(super) fn is_exhausted(&self, limit: usize) -> bool {
        self.used >= limit || !self.line.is_empty()
    }

    /// Waits from now on for so many bytes more than it holds; `woken` is told when its fate is decided.
    pub(super) fn join(&mut self, place: Place, held: usize, more: usize, woken: &Arc<Condvar>) {
        let waiter = Waiter {
            held,
            more,
            fate: Fate::Waits,
            is_stuck: false,
            woken: Arc::clone(woken),
        };
        self.line.insert(place, waiter);
    }

    pub(super) fn fate(&self, place: Place) -> Fate {
        self.line
            .get(&place)
            .map_or(Fate::Waits, |waiter| waiter.fate)
    }

    /// Returns when somebody got room or was given up last.
    pub(super) fn moved(&self) -> Option<Instant> {
        self.moved
    }

    /// Leaves the line.
    pub(super) fn leave(&mut self, place: Place) {
        let left = self.line.remove(&place);
        // It gives nothing back that would say that it has left.
        if left.is_some_and(|waiter| waiter.held == 0) {
            self.note_left(place.connection);
        }
    }

    /// Gives room to those in line, in their order, as far as there is some.
    pub(super) fn serve(&mut self, limit: usize) {
        let waiting = self.line.values_mut();
        for waiter in waiting.filter(|waiter| waiter.fate == Fate::Waits) {
            let used = self.used.saturating_add(waiter.more);
            if waiter.is_stuck || used > limit {
                return;
            }
            self.used = used;
            waiter.decide(Fate::Served);
        }
    }

    /// Notes whether somebody in line could not allocate more now; what it was given for that is given back.
    pub(super) fn set_stuck(&mut self, place: Place, is_stuck: bool) {
        let Some(waiter) = self.line.get_mut(&place) else {
            return;
        };
        waiter.is_stuck = is_stuck;
        if is_stuck && waiter.fate == Fate::Served {
            waiter.fate = Fate::Waits;
            self.used = self.used.saturating_sub(waiter.more);
        }
    }

    /// Notes that somebody got room, and has it.
    pub(super) fn note_moved(&mut self, now: Instant) {
        self.moved = Some(now);
    }

    /// Gives up the largest of the messages that wait, the last in line of several, unless one is given
    /// up already and has not left.
    pub(super) fn give_up_largest(&mut self, now: Instant) {
        if self.leaving.is_some() {
            return;
        }
        let waiting = self.line.iter_mut();
        let waiting = waiting.filter(|(_, waiter)| waiter.fate == Fate::Waits);
        if let Some((place, waiter)) = waiting.max_by_key(|(_, waiter)| waiter.held) {
            self.leaving = Some(place.connection);
            self.moved = Some(now);
            waiter.decide(Fate::GivenUp);
        }
    }

    /// Gives back what a connection has held.
    pub(super) fn give_back(&mut self, connection: u64, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
        self.note_left(connection);
        if let Some(mut first) = self.line.first_entry() {
            // It may try again.
            first.get_mut().is_stuck = false;
        }
    }

    pub(super) fn wake(&self, connection: u64) {
        let waiting = self.line.iter();
        let mut its = waiting.filter(|(place, _)| place.connection == connection);
        if let Some((_, waiter)) = its.next() {
            waiter.woken.notify_all();
        }
    }

    fn note_left(&mut self, connection: u64) {
        if self.leaving == Some(connection) {
            self.leaving = None;
        }
    }

    fn fits(&self, more: usize, limit: usize) -> bool {
        self.used.saturating_add(more) <= limit
    }
}

impl Waiter {
    fn decide(&mut self, fate: Fate) {
        self.fate = fate;
        self.woken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: usize = 100;

    /// A ledger of which so much is used, and those who wait, by what they hold and what they want
    /// more: each connection a millisecond after the one before, numbered from 0.
    struct Scene {
        ledger: Ledger,
        start: Instant,
    }

    impl Scene {
        fn new(used: usize, waiting: &[(usize, usize)]) -> Self {
            let mut ledger = Ledger::new();
            assert!(ledger.take(used, LIMIT));
            let mut scene = Self {
                ledger,
                start: Instant::now(),
            };
            for (connection, (held, more)) in waiting.iter().enumerate() {
                scene.join(connection as u64, *held, *more);
            }
            scene
        }

        fn place(&self, connection: u64) -> Place {
            Place {
                since: self.start + Duration::from_millis(connection),
                connection,
            }
        }

        fn join(&mut self, connection: u64, held: usize, more: usize) {
            let place = self.place(connection);
            self.ledger.join(place, held, more, &Arc::default());
            self.ledger.serve(LIMIT);
        }

        fn leave(&mut self, connection: u64) {
            self.ledger.leave(self.place(connection));
            self.ledger.serve(LIMIT);
        }

        fn give_back(&mut self, connection: u64, bytes: usize) {
            self.ledger.give_back(connection, bytes);
            self.ledger.serve(LIMIT);
        }

        /// One letter for each who waits, or did.
        #[track_caller]
        fn assert_fates(&self, expected: &str) {
            let fates: String = (0..expected.len() as u64)
                .map(
                    |connection| match self.ledger.fate(self.place(connection)) {
                        Fate::Waits => 'w',
                        Fate::Served => 's',
                        Fate::GivenUp => 'g',
                    },
                )
                .collect();
            assert_eq!(fates, expected, "{:?}", self.ledger);
        }
    }

    /// Room is given in order: a small wish does not pass a large one.
    #[test]
    fn line_is_served_in_order() {
        let mut scene = Scene::new(100, &[(40, 40), (10, 10), (10, 10)]);
        scene.assert_fates("www");
        scene.give_back(9, 30);
        scene.assert_fates("www");
        assert!(!scene.ledger.take(1, LIMIT), "passed those who wait");
        scene.give_back(9, 20);
        scene.assert_fates("ssw");
        assert!(scene.ledger.is_exhausted(LIMIT));
    }

    /// A waiter that leaves the line makes way, and one that comes back has its old place.
    #[test]
    fn leaving_makes_way_and_keeps_the_place() {
        let mut scene = Scene::new(80, &[(40, 40), (10, 30)]);
        scene.leave(0);
        scene.assert_fates("ww");
        scene.join(0, 40, 40);
        scene.give_back(9, 40);
        scene.assert_fates("sw");
        scene.leave(0);
        scene.give_back(0, 40);
        scene.assert_fates("ws");
    }

    /// The largest that waits is given up, and no other until it has given back its room, which goes to
    /// those in line.
    #[test]
    fn largest_is_given_up_one_at_a_time() {
        let mut scene = Scene::new(100, &[(10, 10), (40, 40), (30, 30), (20, 20)]);
        scene.ledger.give_up_largest(scene.start);
        scene.assert_fates("wgww");
        scene.ledger.give_up_largest(scene.start);
        scene.assert_fates("wgww");
        scene.leave(1);
        scene.ledger.give_up_largest(scene.start);
        scene.assert_fates("wwww");
        scene.give_back(1, 40);
        scene.assert_fates("swsw");
        scene.ledger.give_up_largest(scene.start);
        scene.assert_fates("swsg");
    }

    /// Of equals the last in line is given up; one that has nothing to give back has left at once.
    #[test]
    fn last_of_equals_is_given_up() {
        let mut scene = Scene::new(100, &[(0, 10), (0, 10)]);
        scene.ledger.give_up_largest(scene.start);
        scene.assert_fates("wg");
        scene.leave(1);
        scene.ledger.give_up_largest(scene.start);
        scene.assert_fates("gw");
    }

    /// A waiter that cannot allocate what it was given waits at its place, and none passes it; it tries again when
    /// something is given back.
    #[test]
    fn who_is_stuck_keeps_the_place() {
        let mut scene = Scene::new(60, &[(20, 20), (10, 10)]);
        scene.assert_fates("ss");
        scene.ledger.set_stuck(scene.place(0), true);
        assert_eq!(scene.ledger.used, 70);
        scene.leave(1);
        scene.ledger.give_up_largest(scene.start);
        scene.assert_fates("g");
        let mut scene = Scene::new(80, &[(20, 20), (10, 10)]);
        scene.ledger.set_stuck(scene.place(0), true);
        scene.ledger.serve(LIMIT);
        scene.assert_fates("ww");
        scene.give_back(9, 10);
        scene.assert_fates("ss");
    }

    /// All that is given back is there again, whatever came between.
    #[test]
    fn nothing_is_lost_or_made() {
        let mut scene = Scene::new(60, &[(60, 60)]);
        assert!(scene.ledger.is_exhausted(LIMIT), "somebody waits");
        scene.give_back(0, 60);
        scene.assert_fates("s");
        scene.leave(0);
        assert!(scene.ledger.take(40, LIMIT));
        assert!(scene.ledger.is_exhausted(LIMIT));
        assert!(!scene.ledger.take(1, LIMIT));
        scene.give_back(0, 60);
        scene.give_back(1, 40);
        assert_eq!(scene.ledger.used, 0);
        assert!(!scene.ledger.take(LIMIT + 1, LIMIT), "more than all");
        assert!(!scene.ledger.take(usize::MAX, usize::MAX) || scene.ledger.used == usize::MAX);
    }
}
