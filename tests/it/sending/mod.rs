//! What leaves, in which order, and what becomes of it.

mod backpressure;
mod batches;
#[cfg(unix)]
mod contention;
mod counters;
mod deliveries;
mod drained;
mod echoes;
mod frames;
mod full_queue;
mod order;
mod overflow;
mod promptness;
mod slow_peers;
mod splitting;
mod writer;

use std::sync::mpsc::{self, Receiver, Sender};

use landline::{Config, Message, WebSocket};

use crate::support::*;

const CHUNK: usize = 4 << 10;

/// More than is encoded ahead and the buffers of a deaf peer's socket take, by far.
const BACKLOG: usize = 512 << 10;

/// Sends chunks to a deaf peer until there is a backlog; returns how many.
#[track_caller]
fn stuff(ws: &WebSocket) -> usize {
    let mut sent = 0;
    while ws.buffered_amount() < BACKLOG {
        ws.send([7; CHUNK]).unwrap();
        sent += 1;
    }
    sent
}

/// A connection with landline at both ends.
struct Line {
    /// The end that a server handles.
    served: WebSocket,
    client: WebSocket,
    heard_by_server: Receiver<Message>,
    heard_by_client: Receiver<Message>,
    _server: TestServer,
}

impl Line {
    #[track_caller]
    fn open(config: &Config) -> Self {
        let (sender, accepted) = mpsc::channel();
        let server = TestServer::with(config.clone(), move |ws| {
            let (messages, heard) = mpsc::channel();
            forward(ws, messages);
            let _ = sender.send((ws.clone(), heard));
        });
        let (messages, heard_by_client) = mpsc::channel();
        let client = landline::Client::new().config(config.clone());
        let client = client
            .connect(server.url(), |ws| forward(ws, messages))
            .unwrap();
        let (served, heard_by_server) = next(&accepted);
        Self {
            served,
            client,
            heard_by_server,
            heard_by_client,
            _server: server,
        }
    }

    /// Returns who sends and where it arrives, for either role of the sender.
    fn ways(&self) -> [(&WebSocket, &Receiver<Message>); 2] {
        [
            (&self.served, &self.heard_by_client),
            (&self.client, &self.heard_by_server),
        ]
    }
}

fn forward(ws: &WebSocket, to: Sender<Message>) {
    ws.on_message(move |_, message| drop(to.send(message)));
}
