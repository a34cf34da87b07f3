//! The thread of a client that stays connected with callbacks.

use std::sync::Arc;

use super::session_state::SessionState;
use super::sessions::Sessions;
use super::state_board::StateBoard;
use crate::connection::callbacks::named;
use crate::{Error, Outcome, WebSocket};

/// Keeps a connection until there will be no further one, and tells the board where it stands.
pub(super) fn keep(
    mut sessions: Sessions,
    board: &StateBoard,
    mut set_up: impl FnMut(&WebSocket) -> Outcome,
) {
    // A panic of a callback of the program's settings ends the client, and is told.
    let stopped = named("a callback of the sessions", || {
        Ok(keep_on(&mut sessions, &mut set_up))
    });
    let error = stopped.unwrap_or_else(|failure| Error::Callback(failure.into_text()));
    let stopped = SessionState::Stopped(Arc::new(error));
    let _ = named("on_state", || {
        sessions.tell_program(stopped.clone());
        Ok(())
    });
    // L1: the closures of the program go where no lock is held, and before the end is told.
    let _ = named("a closure of the client", || {
        drop((sessions, set_up));
        Ok(())
    });
    board.set(stopped);
}

/// Returns the error that ends it.
fn keep_on(sessions: &mut Sessions, set_up: &mut impl FnMut(&WebSocket) -> Outcome) -> Error {
    loop {
        let (ws, messages) = match sessions.open_next() {
            Ok(session) => session,
            Err(error) => return error,
        };
        messages.dispatch_with(&mut *set_up, || sessions.tell_connected(&ws));
    }
}
