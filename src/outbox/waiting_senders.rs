//! The senders that wait for room: [`Line`].

use std::collections::VecDeque;

use super::budget::Budget;
use super::outgoing::Outgoing;
use super::sync::{Arc, Condvar};

/// The senders that wait for room in a queue, in the order in which they came. Each waits there
/// with its message. A grant moves the message into the queue, so the order is kept without running
/// the sender.
#[derive(Default)]
pub(super) struct Line {
    waiting: VecDeque<Waiter>,
    last_ticket: u64,
    /// The bytes that have left the queue since the first sender became the first.
    left_bytes: u64,
    left_places: u64,
}

struct Waiter {
    ticket: u64,
    outgoing: Outgoing,
    bell: Bell,
}

/// The bell of one waiting thread, which sleeps under the queue's lock. It is rung after unlocking.
pub(super) type Bell = Arc<Condvar>;

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Joins the line. Returns the ticket of the place.
    pub(super) fn join(&mut self, outgoing: Outgoing, bell: Bell) -> u64 {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.waiting.push_back(Waiter {
            ticket,
            outgoing,
            bell,
        });
        ticket
    }

    /// Leaves the line. Returns the message at the place, or `None` if it was granted room.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Outgoing> {
        let place = self.position(ticket)?;
        if place == 0 {
            self.restart();
        }
        self.waiting.remove(place).map(|waiter| waiter.outgoing)
    }

    /// Tells whether a place is still waiting.
    pub(super) fn contains(&self, ticket: u64) -> bool {
        self.position(ticket).is_some()
    }

    /// Returns the bell of the first sender.
    pub(super) fn first_bell(&self) -> Option<Bell> {
        self.waiting.front().map(|waiter| Bell::clone(&waiter.bell))
    }

    /// Returns the bell of each sender.
    pub(super) fn bells(&self) -> impl Iterator<Item = Bell> {
        self.waiting.iter().map(|waiter| Bell::clone(&waiter.bell))
    }

    /// Counts what has left the queue, if a sender waits.
    pub(super) fn note_left(&mut self, bytes: u64, places: u64) {
        if self.is_empty() {
            return;
        }
        self.left_bytes += bytes;
        self.left_places += places;
    }

    /// Takes the first message if the limits have room for it. It also does so beyond the limits
    /// once a whole queue's worth has left since that message became the first: senders that never
    /// wait may have taken all the room.
    pub(super) fn grant(&mut self, budget: &Budget) -> Option<(Outgoing, Bell)> {
        let first = self.waiting.front()?;
        let overdue = budget.is_worth(self.left_bytes, self.left_places);
        if !overdue && !budget.fits(first.outgoing.weight()) {
            return None;
        }
        self.restart();
        let first = self.waiting.pop_front()?;
        Some((first.outgoing, first.bell))
    }

    /// Tells whether the first sender is to be admitted beyond the limits.
    pub(super) fn is_overdue(&self, budget: &Budget) -> bool {
        !self.is_empty() && budget.is_worth(self.left_bytes, self.left_places)
    }

    fn restart(&mut self) {
        self.left_bytes = 0;
        self.left_places = 0;
    }

    fn position(&self, ticket: u64) -> Option<usize> {
        let is_it = |waiter: &Waiter| waiter.ticket == ticket;
        self.waiting.iter().position(is_it)
    }
}
