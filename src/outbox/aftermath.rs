//! What is to be done once a queue is unlocked: [`Aftermath`].

use std::time::Instant;

use super::delivery::Promise;
use super::line::Bell;
use super::outgoing::Outgoing;
use super::writer::{Spent, Writer};
use super::{Outbox, Wire};
use crate::DeliveryError;

/// What a rule of the queue asks for and may not do itself: wake threads, take other locks, run foreign
/// code (L1).
pub(super) struct Aftermath<W> {
    bells: Vec<Bell>,
    delivered: Vec<Promise>,
    given_up: Vec<(Outgoing, DeliveryError)>,
    broken: Vec<(Promise, DeliveryError)>,
    close_expected: Option<(std::sync::Arc<W>, Instant)>,
    progress_expected: Option<(std::sync::Arc<W>, Instant)>,
    watched: Option<std::sync::Arc<W>>,
    writer: Option<Box<Writer<W>>>,
}

impl<W: Wire> Aftermath<W> {
    pub(super) fn new() -> Self {
        Self {
            bells: Vec::new(),
            delivered: Vec::new(),
            given_up: Vec::new(),
            broken: Vec::new(),
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

    /// Tells whoever waits that a message is with the kernel.
    pub(super) fn deliver(&mut self, promise: Promise) {
        self.delivered.push(promise);
    }

    /// Tells whoever waits that something will not be written, and drops its payload.
    pub(super) fn give_up(&mut self, outgoing: Outgoing, why: DeliveryError) {
        self.given_up.push((outgoing, why));
    }

    /// Tells those who wait that it will not come.
    pub(super) fn give_up_all(&mut self, promises: Vec<Promise>, why: DeliveryError) {
        let broken = promises.into_iter().map(|promise| (promise, why));
        self.broken.extend(broken);
    }

    /// Has the background look again when the peer's Close, or the end of its input, is overdue.
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
        if let Some((wire, since)) = self.close_expected {
            wire.expect(since + outbox.config.close_timeout);
        }
        if let Some((wire, since)) = self.progress_expected {
            wire.expect(since + outbox.config.write_timeout);
        }
        if let Some(wire) = self.watched {
            wire.watch(outbox);
        }
        for promise in self.delivered {
            promise.resolve(Ok(()));
        }
        for (promise, why) in self.broken {
            promise.resolve(Err(why));
        }
        let mut spent = Spent::default();
        for (outgoing, why) in self.given_up {
            spent.add(outgoing.give_up(why));
        }
        spent.dispose();
        if let Some(mut writer) = self.writer {
            writer.take_spent().dispose();
        }
    }
}
