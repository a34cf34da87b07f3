//! Connections that the program takes one by one: [`Incoming`].

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Server;
use crate::outbox::uncork_thread;
use crate::sync::{Mutex, lock};
use crate::{Messages, Request, WebSocket};

/// The connections of a server, which the program takes one by one:
/// [`bind_incoming`](super::ServerBuilder::bind_incoming) gives it.
///
/// Each is open already: its handshake was done on a thread of its own, so that a slow one holds
/// up no other. The thread that reads its [`Messages`] drives it. It closes with 1000 when its
/// messages and the last of its handles are dropped, and these drops do not wait. A panic of the
/// thread that reads closes it with 1011.
///
/// At most 128 connections wait to be taken; further ones get 503 instead of the 101.
///
/// It keeps the server running, and ends when the server has been stopped, or
/// [accepts](Server::stop_accepting) no more.
///
/// A test is the script of the server's side, in the test's own thread:
///
/// ```
/// use landline::Server;
///
/// let (server, mut incoming) = Server::builder().bind_incoming("127.0.0.1:0")?;
/// let url = server.url();
/// let client = std::thread::spawn(move || -> landline::Outcome {
///     let (ws, mut messages) = landline::open(url + "/scores")?;
///     ws.send("who leads?")?;
///     assert_eq!(messages.recv()?.as_text(), Some("Ada"));
///     Ok(())
/// });
///
/// let (ws, mut messages, request) = incoming.next().ok_or("the server has stopped")?;
/// assert_eq!(request.path(), "/scores");
/// assert_eq!(messages.recv()?.as_text(), Some("who leads?"));
/// ws.send("Ada")?;
/// assert_eq!(messages.close().code(), 1000);
/// client.join().map_err(|_| "the client panicked")??;
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
#[must_use = "the server stops when this and the last of its handles are dropped"]
pub struct Incoming {
    // Dropped first: who waits to be taken is told that the server goes away.
    _server: Server,
    receiver: Receiver<Taken>,
}

type Taken = (WebSocket, Messages, Request);

impl Incoming {
    pub(super) fn new(server: Server, receiver: Receiver<Taken>) -> Self {
        Self {
            _server: server,
            receiver,
        }
    }

    /// Borrows the channel from which the connections come, for
    /// [`select!`](https://docs.rs/crossbeam-channel/0.5/crossbeam_channel/macro.select.html) and for
    /// waits with a timeout. It disconnects when the iterator would end. A clone of it does not keep
    /// the server running.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<(WebSocket, Messages, Request)> {
        &self.receiver
    }
}

impl Iterator for Incoming {
    type Item = (WebSocket, Messages, Request);

    /// Waits for the next connection, however long it takes to come.
    fn next(&mut self) -> Option<Self::Item> {
        uncork_thread();
        self.receiver.recv().ok()
    }
}

impl FusedIterator for Incoming {}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("waiting", &self.receiver.len())
            .finish_non_exhaustive()
    }
}

/// The number of connections that may wait to be taken.
const MOST_UNTAKEN: usize = 128;

/// The server's end of an [`Incoming`].
#[derive(Clone)]
pub(super) struct Intake(Arc<Mutex<Entry>>);

struct Entry {
    /// `None` once no more connections are let in.
    sender: Option<Sender<Taken>>,
    /// The number of places that belong to connections which are not in the channel yet.
    reserved: usize,
}

/// A place among those that wait to be taken.
pub(super) struct Place {
    entry: Arc<Mutex<Entry>>,
    sender: Sender<Taken>,
}

impl Intake {
    pub(super) fn new() -> (Self, Receiver<Taken>) {
        let (sender, receiver) = bounded(MOST_UNTAKEN);
        let entry = Entry {
            sender: Some(sender),
            reserved: 0,
        };
        (Self(Arc::new(Mutex::new(entry))), receiver)
    }

    /// Takes a place, or returns `None` if there is none.
    pub(super) fn reserve(&self) -> Option<Place> {
        let mut entry = lock(&self.0);
        let sender = entry.sender.clone()?;
        if sender.len() + entry.reserved >= MOST_UNTAKEN {
            return None;
        }
        entry.reserved += 1;
        Some(Place {
            entry: Arc::clone(&self.0),
            sender,
        })
    }

    /// Ends the channel behind the places that are taken.
    pub(super) fn close(&self) {
        let sender = lock(&self.0).sender.take();
        drop(sender);
    }
}

impl Place {
    /// Puts a connection into the place. If nobody takes any more, it is dropped.
    pub(super) fn fill(self, connection: Taken) {
        // The place has kept room for it. For a moment it counts twice, which keeps a newcomer out at
        // most.
        let refused = self.sender.try_send(connection);
        drop(self);
        drop(refused);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.entry).reserved -= 1;
    }
}
