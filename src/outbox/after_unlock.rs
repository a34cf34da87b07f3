//! The tasks to be done once a queue is unlocked: [`AfterUnlock`].

use std::sync::Arc;
use std::time::Instant;

use super::delivery::{Awaited, Promise};
use super::disposal::{dispose, dispose_all};
use super::outgoing::Outgoing;
use super::waiting_senders::Bell;
use super::writer::Writer;
use super::{Outbox, Wire};
use crate::background::STEPS;
use crate::{DeliveryError, Message};

/// The tasks that a rule of the queue asks for and may not do under the lock: wake threads, take
/// other locks, run foreign code (L1). It is usually empty.
pub(super) struct AfterUnlock<W: Wire>(Vec<Task<W>>);

enum Task<W: Wire> {
    Ring(Bell),
    Wake(Awaited),
    Dispose(Message),
    Look(Arc<W>),
    ExpectClose(Arc<W>, Instant),
    ExpectProgress(Arc<W>, Instant),
    Watch(Arc<W>),
    Bury(Box<Writer<W>>),
}

impl<W: Wire> AfterUnlock<W> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Wakes a thread.
    pub(super) fn ring(&mut self, bell: Bell) {
        self.0.push(Task::Ring(bell));
    }

    /// Wakes threads.
    pub(super) fn ring_all(&mut self, bells: impl IntoIterator<Item = Bell>) {
        self.0.extend(bells.into_iter().map(Task::Ring));
    }

    /// Resolves a promise, and wakes the threads that wait for it.
    pub(super) fn resolve(&mut self, promise: Promise, outcome: Result<(), DeliveryError>) {
        self.0.extend(promise.resolve(outcome).map(Task::Wake));
    }

    /// Gives up a message that will not be written, and drops its payload.
    pub(super) fn give_up(&mut self, outgoing: Outgoing, why: DeliveryError) {
        let (payload, awaited) = outgoing.give_up(why);
        self.0.extend(awaited.map(Task::Wake));
        self.0.extend(payload.map(Task::Dispose));
    }

    /// Asks the background for a look at the connection.
    pub(super) fn expect_look(&mut self, wire: &Option<Arc<W>>) {
        self.0.extend(wire.clone().map(Task::Look));
    }

    /// Asks the background for a look when the peer's Close is overdue.
    pub(super) fn expect_close(&mut self, since: Instant, wire: &Option<Arc<W>>) {
        let wire = wire.clone();
        self.0
            .extend(wire.map(|wire| Task::ExpectClose(wire, since)));
    }

    /// Asks the background for a look when progress is overdue.
    pub(super) fn expect_progress(&mut self, since: Instant, wire: &Option<Arc<W>>) {
        let wire = wire.clone();
        self.0
            .extend(wire.map(|wire| Task::ExpectProgress(wire, since)));
    }

    /// Asks the background to wait for the socket.
    pub(super) fn watch(&mut self, wire: &Arc<W>) {
        self.0.push(Task::Watch(Arc::clone(wire)));
    }

    /// Drops a writer that is not needed any more.
    pub(super) fn drop_writer(&mut self, writer: Box<Writer<W>>) {
        self.0.push(Task::Bury(writer));
    }

    /// Does all tasks.
    pub(super) fn run(self, outbox: &Arc<Outbox<W>>) {
        if !self.0.is_empty() {
            self.run_tasks(outbox);
        }
    }

    // Not inlined: a connection that only sleeps would keep the stack that the tasks need.
    #[inline(never)]
    fn run_tasks(self, outbox: &Arc<Outbox<W>>) {
        let config = &outbox.config;
        for task in self.0 {
            match task {
                Task::Ring(bell) => bell.notify_all(),
                Task::Wake(awaited) => awaited.wake(),
                Task::Dispose(payload) => dispose(payload),
                Task::Look(wire) => wire.wake_by(Instant::now()),
                Task::ExpectClose(wire, since) => wire.wake_by(since + config.close_timeout),
                Task::ExpectProgress(wire, since) => {
                    wire.wake_by(since + config.write_timeout / STEPS);
                }
                Task::Watch(wire) => wire.watch(outbox),
                Task::Bury(mut writer) => {
                    let mut spent = Vec::new();
                    writer.take_spent(&mut spent);
                    dispose_all(spent);
                }
            }
        }
    }
}
