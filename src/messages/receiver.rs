//! Messages as a channel: [`Messages::into_receiver`].

use std::convert::Infallible;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};

use super::Messages;
use crate::Message;
use crate::connection::reader::Reader;
use crate::sync::{Mutex, lock};

impl Messages {
    /// Turns the messages into a channel that holds up to `capacity` of them, one of the crate
    /// `crossbeam-channel` 0.5, for `select!` over several connections, timers and whatever else is a
    /// channel. A thread of the connection's own
    /// reads from now on, and calls back `on_ping`, `on_pong`, `on_error` and `on_close`.
    ///
    /// - **A full channel slows the peer down**: nothing is read meanwhile, so the peer's pings are
    ///   not answered either, and its Close is seen only once there is room. A deadline,
    ///   [`abort`](crate::WebSocket::abort) and a server's stop end the connection also then.
    /// - **The end of the connection disconnects the channel**, behind the messages that it holds.
    ///   [`WebSocket::close_event`](crate::WebSocket::close_event) tells how it was.
    /// - **The handles alone keep a client's connection open** from now on. A receiver that is dropped
    ///   is noticed at the next message, and closes the connection with 1000.
    ///
    /// Handing a message to another thread costs about half a microsecond, some ten times what a short
    /// message costs in a callback.
    ///
    /// The channel's memory, some 50 bytes for each of its places, is allocated at once. It may hold as
    /// many of the largest messages as it has places.
    ///
    /// ```
    /// # let server = landline::Server::builder()
    /// #     .on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message)))
    /// #     .bind("127.0.0.1:0")?;
    /// # let (url, other_url) = (server.url(), server.url());
    /// use crossbeam_channel::{after, select};
    /// use std::time::Duration;
    ///
    /// let (ws, messages) = landline::open(url)?;
    /// let (other, others) = landline::open(other_url)?;
    /// let (messages, others) = (messages.into_receiver(64), others.into_receiver(64));
    /// ws.send("hello")?;
    /// select! {
    ///     recv(messages) -> message => println!("one says {}", message?),
    ///     recv(others) -> message => println!("the other says {}", message?),
    ///     recv(after(Duration::from_secs(30))) -> _ => println!("nobody says anything"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "a receiver that is dropped closes the connection at the next message"]
    pub fn into_receiver(mut self, capacity: usize) -> Receiver<Message> {
        let (sender, receiver) = bounded(capacity);
        let Some(mut reader) = self.reader.take() else {
            return receiver;
        };
        reader.stop_driving();
        if reader.event().is_none() {
            let feed = Feed::new(&reader, sender);
            // If no thread can be had, the connection is cut.
            let _ = reader
                .spawn(move |reader| reader.feed(|reader, message| feed.give(reader, message)));
        }
        // The token that keeps a client open goes here, once a thread reads.
        receiver
    }
}

/// The way of a connection's messages into a channel.
struct Feed {
    messages: Sender<Message>,
    /// Disconnected when the connection is cut.
    cut: Receiver<Infallible>,
}

impl Feed {
    fn new(reader: &Reader, messages: Sender<Message>) -> Self {
        let (uncut, cut) = bounded(0);
        let uncut = Mutex::new(Some(uncut));
        let outbox = &reader.connection().outbox;
        outbox.on_cut(move || drop(lock(&uncut).take()));
        Self { messages, cut }
    }

    /// Waits until the channel has taken the message, or the connection is cut. Returns false if
    /// nobody will receive it.
    fn give(&self, reader: &mut Reader, message: Message) -> bool {
        let message = match self.messages.try_send(message) {
            Ok(()) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
            Err(TrySendError::Full(message)) => message,
        };
        reader.pause();
        select! {
            send(self.messages, message) -> sent => sent.is_ok(),
            recv(self.cut) -> _ => true,
        }
    }
}
