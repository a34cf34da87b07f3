//! The state of a kept client, for all who read it and wait for it: [`StateBoard`].

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::session_state::SessionState;
use crate::sync::{Condvar, Mutex, lock, wait};

/// The state of a kept client.
pub(super) struct StateBoard {
    current: Mutex<Current>,
    changed: Condvar,
    /// Takes the newest state: an older one that nobody has received makes way.
    states: Receiver<SessionState>,
}

struct Current {
    state: SessionState,
    /// The number of changes so far.
    changes: u64,
    /// Given up when the client has stopped.
    sender: Option<Sender<SessionState>>,
}

impl StateBoard {
    pub(super) fn new() -> Self {
        let (sender, states) = bounded(1);
        Self {
            current: Mutex::new(Current {
                state: SessionState::Connecting,
                changes: 0,
                sender: Some(sender),
            }),
            changed: Condvar::new(),
            states,
        }
    }

    /// Returns the state, and the number of changes up to it.
    pub(super) fn read(&self) -> (SessionState, u64) {
        let current = lock(&self.current);
        (current.state.clone(), current.changes)
    }

    /// Returns the channel that the states go to.
    pub(super) fn states(&self) -> Receiver<SessionState> {
        self.states.clone()
    }

    /// Changes the state, and tells all who wait.
    pub(super) fn set(&self, state: SessionState) {
        let mut current = lock(&self.current);
        let before = std::mem::replace(&mut current.state, state.clone());
        current.changes += 1;
        let overtaken = self.states.try_recv();
        let is_last = matches!(state, SessionState::Stopped(_));
        // There is room: states are sent under this lock alone.
        let sent = current.sender.as_ref().map(|sender| sender.try_send(state));
        if is_last {
            current.sender = None;
        }
        drop(current);
        self.changed.notify_all();
        // L1: a state may hold the last handle of a connection.
        drop((before, overtaken, sent));
    }

    /// Waits until there are more changes than these. Returns false at the deadline.
    pub(super) fn wait_for_change(&self, seen: u64, deadline: Option<Instant>) -> bool {
        let mut current = lock(&self.current);
        while current.changes == seen {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            current = wait(&self.changed, current, deadline);
        }
        true
    }
}
