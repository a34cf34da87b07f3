//! What callbacks were called with, in order.

use std::sync::mpsc::{self, Receiver, Sender};

use landline::{CloseEvent, WebSocket};

use super::{PATIENCE, settled};

/// One call of a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The error as it shows itself.
    Error(String),
    Close(CloseEvent),
}

/// Records what happens, in order, from any thread.
pub(crate) struct Recorder<T = Event> {
    sender: Sender<T>,
    receiver: Receiver<T>,
}

impl<T: std::fmt::Debug> Recorder<T> {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { sender, receiver }
    }

    /// Returns what callbacks report to.
    pub(crate) fn sender(&self) -> Sender<T> {
        self.sender.clone()
    }

    /// Waits for the next event.
    #[track_caller]
    pub(crate) fn next(&self) -> T {
        next(&self.receiver)
    }

    /// Waits for the next event that is like this; those before it are dropped.
    #[track_caller]
    pub(crate) fn find(&self, is_it: impl Fn(&T) -> bool) -> T {
        loop {
            let event = self.next();
            if is_it(&event) {
                return event;
            }
        }
    }

    /// Returns what has happened since, without waiting.
    pub(crate) fn so_far(&self) -> Vec<T> {
        self.receiver.try_iter().collect()
    }
}

impl<T: std::fmt::Debug> Default for Recorder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder {
    /// Sets every callback of a connection to report here.
    pub(crate) fn record_all(&self, ws: &WebSocket) {
        let to = || self.sender();
        let (text, binary, ping, pong, error) = (to(), to(), to(), to(), to());
        ws.on_text(move |_, payload| report(&text, Event::Text(payload.as_str().into())));
        ws.on_binary(move |_, payload| report(&binary, Event::Binary(payload.into())));
        ws.on_ping(move |_, payload| report(&ping, Event::Ping(payload.into())));
        ws.on_pong(move |_, payload| report(&pong, Event::Pong(payload.into())));
        ws.on_error(move |_, failure| report(&error, Event::Error(failure.to_string())));
        self.record_close(ws);
    }

    /// Sets only `on_close` to report here.
    pub(crate) fn record_close(&self, ws: &WebSocket) {
        let close = self.sender();
        ws.on_close(move |_, event| report(&close, Event::Close(event)));
    }

    /// Waits for `on_close`; what came before it is dropped.
    #[track_caller]
    pub(crate) fn next_close(&self) -> CloseEvent {
        match self.find(|event| matches!(event, Event::Close(_))) {
            Event::Close(event) => event,
            other => unreachable!("{other:?}"),
        }
    }
}

/// Reports to a test that may be over.
fn report<T>(to: &Sender<T>, event: T) {
    let _ = to.send(event);
}

/// Waits for what a channel brings.
#[track_caller]
pub(crate) fn next<T>(receiver: &Receiver<T>) -> T {
    receiver
        .recv_timeout(PATIENCE)
        .expect("nothing came in time")
}

/// Waits for the end of a connection whose callbacks report here, and asserts that `on_close` ran
/// exactly once and last.
#[track_caller]
pub(crate) fn closed_once(events: &Recorder, ws: &WebSocket) -> CloseEvent {
    settled("the connection has ended", || ws.close_code().is_some());
    let mut so_far = events.so_far();
    let closes = so_far
        .iter()
        .filter(|event| matches!(event, Event::Close(_)))
        .count();
    assert_eq!(closes, 1, "{so_far:?}");
    match so_far.pop() {
        Some(Event::Close(event)) => event,
        other => panic!("on_close was not last, but {other:?}"),
    }
}
