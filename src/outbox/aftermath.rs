//! What is to be done once a queue is unlocked: [`Aftermath`].

use std::time::Instant;

use super::delivery::{Awaited, Promise};
use super::line::Bell;
use super::outgoing::Outgoing;
use super::writer::{Spent, Writer};
use super::{Outbox, Wire};
use crate::DeliveryError;
use crate::background::STEPS;

/// What a rule of the queue asks for and may not do itself: wake threads, take other locks, run foreign
/// code (L1).
pub(super) struct Aftermath<W> {
    bells: Vec<Bell>,
    awaited: Vec<Awaited>,
    spent: Spent,
    look_expected: Option<std::sync::Arc<W>>,
    close_expected: Option<(std::sync::Arc<W>, Instant)>,
    progress_expected: Option<(std::sync::Arc<W>, Instant)>,
    watched: Option<std::sync::Arc<W>>,
    writer: Option<Box<Writer<W>>>,
}

impl<W: Wire> Aftermath<W> {
    pub(super) fn new() -> Self {
        Self {
            bells: Vec::new(),
            awaited: Vec::new(),
            spent: Spent::default(),
            look_expected: None,
            close_expected: None,
            progress_expected: None,
            watched: None,
            writer: None,
        }
    }

    /// Wakes a thread.
    pub(super) fn ring(&mut self, bell: Bell) {
        self.bells.push(bell);
    }

    /// Wakes threads.
    pub(super) fn ring_all(&mut self, bells: impl IntoIterator<Item = Bell>) {
        self.bells.extend(bells);
    }

    /// Resolves a promise, and wakes whoever waits for it.
    pub(super) fn resolve(&mut self, promise: Promise, outcome: Result<(), DeliveryError>) {
        self.awaited.extend(promise.resolve(outcome));
    }

    /// Gives up what will not be written, and drops its payload.
    pub(super) fn give_up(&mut self, outgoing: Outgoing, why: DeliveryError) {
        let (payload, awaited) = outgoing.give_up(why);
        self.spent.add(payload);
        self.awaited.extend(awaited);
    }

    /// Has the background look at the connection.
    pub(super) fn expect_look(&mut self, wire: &Option<std::sync::Arc<W>>) {
        self.look_expected = wire.clone();
    }

    /// Has the background look again when the peer's Close is overdue.
    pub(super) fn expect_close(&mut self, since: Instant, wire: &Option<std::sync::Arc<W>>) {
        self.close_expected = wire.clone().map(|wire| (wire, since));
    }

    /// Has the background look again when progress is overdue.
    pub(super) fn expect_progress(&mut self, since: Instant, wire: &Option<std::sync::Arc<W>>) {
        self.progress_expected = wire.clone().map(|wire| (wire, since));
    }

    /// Has the background wait for the socket.
    pub(super) fn watch(&mut self, wire: &std::sync::Arc<W>) {
        self.watched = Some(std::sync::Arc::clone(wire));
    }

    /// Drops a writer that is not needed any more.
    pub(super) fn bury(&mut self, writer: Box<Writer<W>>) {
        self.writer = Some(writer);
    }

    /// Does all of it.
    pub(super) fn run(self, outbox: &std::sync::Arc<Outbox<W>>) {
        for bell in self.bells {
            bell.notify_all();
        }
        if let Some(wire) = self.look_expected {
            wire.expect(Instant::now());
        }
        if let Some((wire, since)) = self.close_expected {
            wire.expect(since + outbox.config.close_timeout);
        }
        if let Some((wire, since)) = self.progress_expected {
            wire.expect(since + outbox.config.write_timeout / STEPS);
        }
        if let Some(wire) = self.watched {
            wire.watch(outbox);
        }
        for awaited in self.awaited {
            awaited.wake();
        }
        self.spent.dispose();
        if let Some(mut writer) = self.writer {
            writer.take_spent().dispose();
        }
    }
}
