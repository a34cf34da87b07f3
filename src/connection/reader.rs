//! The reading end of a connection: the loop that sleeps in `recv`, decodes and calls back.

mod calls;
mod ending;
mod input;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::ThreadId;

use self::calls::BorrowedCallbacks;
use super::thread::{as_connection_thread, start, this_thread};
use super::{Connection, Patience};
use crate::held::{Room, Share};
use crate::outbox::{Cork, SocketWire, drive_with};
use crate::protocol::{Chunk, Decoder, Event, Limits, Violation};
use crate::sync::Ordering;
use crate::transport::Socket;
use crate::{CloseCode, CloseEvent, Config, Message, RecvError, WebSocket};

/// The reading end of one connection (L2), driven by one thread at a time.
pub(crate) struct Reader {
    connection: Arc<Connection>,
    /// The socket. Given up when the connection has ended.
    socket: Option<Arc<Socket>>,
    decoder: Decoder,
    /// The memory of the message that is being received.
    share: Share,
    cork: Arc<Cork<SocketWire>>,
    /// The handle that callbacks get. It keeps no client open.
    ws: WebSocket,
    borrowed: BorrowedCallbacks,
    driver: Option<ThreadId>,
    /// The flag that the cork may hold something.
    cork_may_hold: bool,
    /// The flag that input is not delivered any more, after a failure of the program.
    discarding: bool,
    /// The number of decoded events, by which the background tells one message from the next.
    events: u64,
    warned: bool,
    /// The thread that waits to drive the connection once no other thread does. Given up at the
    /// end.
    home: Option<SyncSender<Box<Reader>>>,
}

/// An event for the program.
enum Incoming {
    Message(Message),
    Chunk(Chunk),
}

impl Reader {
    /// Takes over an open connection. `pipelined` are the bytes that came behind the handshake.
    pub(crate) fn new(
        connection: &Arc<Connection>,
        socket: Arc<Socket>,
        config: &Config,
        pipelined: Vec<u8>,
    ) -> Box<Self> {
        let received = pipelined.len() as u64;
        connection
            .reading
            .received
            .store(received, Ordering::Release);
        let mut decoder = Decoder::new(connection.role, Limits::from(config), pipelined);
        if let Some(agreed) = connection.negotiated.compression {
            decoder.accept_compressed(agreed.peer_context_takeover);
        }
        Box::new(Self {
            connection: Arc::clone(connection),
            socket: Some(socket),
            decoder,
            share: Share::new(connection.id),
            cork: Cork::new(),
            ws: WebSocket::for_callbacks(connection),
            borrowed: BorrowedCallbacks::default(),
            driver: None,
            cork_may_hold: false,
            discarding: false,
            events: 0,
            warned: false,
            home: None,
        })
    }

    /// Sets the thread to which [`leave`](Self::leave) gives the reading end back.
    pub(crate) fn set_home(&mut self, home: SyncSender<Box<Self>>) {
        self.home = Some(home);
    }

    /// Tells whether a thread waits for the reading end.
    pub(crate) fn has_home(&self) -> bool {
        self.home.is_some()
    }

    /// Gives the reading end to the thread that waits for it. If that thread has stopped waiting,
    /// the connection ends here.
    pub(crate) fn leave(mut self: Box<Self>) {
        if let Some(home) = self.home.take() {
            drop(home.send(self));
        }
    }

    /// Returns how the connection ended, once it has.
    pub(crate) fn event(&self) -> Option<CloseEvent> {
        // An open connection has its socket, and needs no lock for this.
        self.socket.is_none().then(|| self.connection.event())?
    }

    /// Runs `ask` for a program that calls `recv`. Once the connection has ended, returns how.
    pub(crate) fn ask<T>(
        &mut self,
        ask: impl FnOnce(&mut Self) -> Result<T, CloseEvent>,
    ) -> Result<T, CloseEvent> {
        if let Some(event) = self.event() {
            return Err(event);
        }
        self.connection.reading.count_visit();
        let asked = ask(self);
        self.connection.reading.count_visit();
        asked
    }

    /// Waits for the next message, for a program that calls `recv`.
    pub(crate) fn recv(&mut self) -> Result<Message, RecvError> {
        match self.take_at_hand() {
            Some(message) => Ok(message),
            None => self.await_message(),
        }
    }

    // Not inlined: a message of a burst needs none of its steps.
    #[inline(never)]
    fn await_message(&mut self) -> Result<Message, RecvError> {
        loop {
            let next = self.ask(|reader| reader.next(Patience::Endless));
            if let Some(message) = next.map_err(RecvError)? {
                return Ok(message);
            }
        }
    }

    /// Returns the next message of a burst, if it is there.
    #[inline(always)]
    fn take_at_hand(&mut self) -> Option<Message> {
        // Without a socket the connection has ended.
        self.socket.as_ref()?;
        self.connection.reading.count_short_visit();
        self.begin_driving();
        self.next_of_burst()
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Dispatches all messages to the callbacks until the connection has ended.
    pub(crate) fn dispatch(&mut self) -> CloseEvent {
        self.leave_to_owner();
        self.begin_driving();
        self.connection.reading.stay();
        as_connection_thread(|| {
            loop {
                self.deliver_burst();
                match self.next_message(&Patience::Endless) {
                    Ok(message) => self.deliver_alone(message),
                    Err(event) => return event,
                }
            }
        })
    }

    // Not inlined, and so is what follows: it would take stack from every connection that sleeps.
    #[inline(never)]
    fn deliver_burst(&mut self) {
        loop {
            let mut message = self.next_of_burst();
            if message.is_none() {
                return;
            }
            self.deliver(&mut message);
        }
    }

    #[inline(never)]
    fn deliver_alone(&mut self, mut message: Option<Message>) {
        self.deliver(&mut message);
    }

    /// Drives the connection to its end, and discards all input.
    pub(crate) fn discard_until_closed(&mut self) -> CloseEvent {
        self.discarding = true;
        self.dispatch()
    }

    /// Gives all messages to `take` until the connection has ended. Once `take` wants no more, and
    /// returns false, the connection closes with 1000.
    pub(crate) fn feed(&mut self, mut take: impl FnMut(&mut Self, Message) -> bool) -> CloseEvent {
        self.leave_to_owner();
        self.begin_driving();
        self.connection.reading.stay();
        loop {
            let message = match self.next(Patience::Endless) {
                Ok(Some(message)) => message,
                Ok(None) => continue,
                Err(event) => return event,
            };
            if !take(self, message) {
                self.connection.close(CloseCode::NORMAL, "");
                self.connection.limit_closing();
                return self.discard_until_closed();
            }
        }
    }

    /// Lets go of what this thread holds, before it waits for something else than the socket.
    pub(crate) fn pause(&mut self) {
        self.uncork();
        self.put_callbacks_back();
    }

    /// Drives the connection on a thread of its own.
    pub(crate) fn spawn(
        mut self: Box<Self>,
        drive: impl FnOnce(&mut Self) -> CloseEvent + Send + 'static,
    ) -> io::Result<()> {
        let connection = Arc::clone(&self.connection);
        start(&connection, move || drop(drive(&mut self)))
    }

    /// Returns the next message, `None` once the patience has ended, or how the connection ended.
    /// Ping, pong, error and close callbacks run meanwhile.
    pub(crate) fn next(&mut self, patience: Patience) -> Result<Option<Message>, CloseEvent> {
        self.begin_driving();
        match self.next_at_hand() {
            None => self.next_message(&patience),
            message => Ok(message),
        }
    }

    // Not inlined: it would take stack from every connection that sleeps.
    #[inline(never)]
    fn next_at_hand(&mut self) -> Option<Message> {
        self.next_of_burst()
    }

    /// Returns the next message of a burst in a few steps, if it is there as most are. All else comes by
    /// [`next_message`](Self::next_message).
    #[inline(always)]
    fn next_of_burst(&mut self) -> Option<Message> {
        if self.discarding || self.connection.outbox.is_cut() {
            return None;
        }
        let message = self.decoder.next_whole_message();
        if message.is_some() {
            self.note_event();
            self.count_message();
        }
        message
    }

    /// Returns the part of the next message that has come, as soon as it has begun. The unread rest
    /// of the message before is skipped.
    pub(crate) fn first_chunk(&mut self) -> Result<Chunk, CloseEvent> {
        self.begin_driving();
        while self.decoder.is_streaming() {
            let skipped = self.chunk()?;
            self.decoder.reuse(skipped.bytes);
        }
        self.decoder.stream();
        self.chunk()
    }

    /// Returns the next chunk of a message that has begun, and takes back the memory of the chunk
    /// before.
    pub(crate) fn next_chunk(&mut self, spent: Vec<u8>) -> Result<Chunk, CloseEvent> {
        self.begin_driving();
        self.decoder.reuse(spent);
        self.chunk()
    }

    fn chunk(&mut self) -> Result<Chunk, CloseEvent> {
        loop {
            match self.next_incoming(&Patience::Endless)? {
                Some(Incoming::Message(message)) => return Ok(message.into()),
                Some(Incoming::Chunk(chunk)) => return Ok(chunk),
                None => {}
            }
        }
    }

    /// Returns the next whole message. The unread rest of a message that was read in chunks is
    /// skipped.
    #[inline(never)]
    fn next_message(&mut self, patience: &Patience) -> Result<Option<Message>, CloseEvent> {
        while let Some(incoming) = self.next_incoming(patience)? {
            match incoming {
                Incoming::Message(message) => return Ok(Some(message)),
                Incoming::Chunk(chunk) => self.decoder.reuse(chunk.bytes),
            }
            // Chunks may come without a pause, and their message may have no end.
            if !patience.outlasts_input() {
                break;
            }
        }
        Ok(None)
    }

    fn next_incoming(&mut self, patience: &Patience) -> Result<Option<Incoming>, CloseEvent> {
        let mut looked = false;
        loop {
            if self.connection.outbox.is_cut() {
                return Err(self.end_cut());
            }
            if self.decoder.is_cut_short() {
                let message = self.complete_at_hand()?;
                if message.is_some() {
                    return Ok(message.map(Incoming::Message));
                }
            }
            match self.decoder.next() {
                Ok(Some(event)) => {
                    let incoming = self.handle(event)?;
                    if incoming.is_some() || !patience.outlasts_input() {
                        return Ok(incoming);
                    }
                }
                Ok(None) if self.wants_memory() => match self.make_room(patience) {
                    Ok(Room::Made | Room::Cut | Room::Lost) => {}
                    Ok(Room::Late) => return Ok(None),
                    Ok(Room::Refused) => return Err(self.end_violated(Violation::NO_ROOM)),
                    Err(violation) => return Err(self.end_violated(violation)),
                },
                // Input that has come is looked at once, however late it is.
                Ok(None) if looked && !patience.outlasts_input() => return Ok(None),
                Ok(None) => match self.receive(patience) {
                    Ok(true) => {
                        if let Some(message) = self.next_at_hand() {
                            return Ok(Some(Incoming::Message(message)));
                        }
                        looked = true;
                    }
                    Ok(false) => return Ok(None),
                    Err(error) => return Err(self.end_lost(error)),
                },
                Err(violation) => return Err(self.end_violated(violation)),
            }
        }
    }

    /// Receives the rest of a message of which a part is in the full read buffer, if it has come.
    #[inline(never)]
    fn complete_at_hand(&mut self) -> Result<Option<Message>, CloseEvent> {
        match self.receive_at_hand() {
            Ok(true) => Ok(self.next_of_burst()),
            Ok(false) => Ok(None),
            // What has come is judged before the end.
            Err(error) => match self.decoder.next() {
                Err(violation) => Err(self.end_violated(violation)),
                Ok(_) => Err(self.end_lost(error)),
            },
        }
    }

    fn wants_memory(&self) -> bool {
        self.decoder.wanted().is_some()
    }

    /// Reserves the memory that the next message needs, for which it may have to wait. Meanwhile
    /// nothing is read from the peer, and the peer's silence does not count. If the peer is gone and the
    /// rest of the message can never come, nothing of it is kept, and the next read finds the end.
    fn make_room(&mut self, patience: &Patience) -> Result<Room, Violation> {
        let Some(bytes) = self.decoder.wanted() else {
            return Ok(Room::Made);
        };
        if !self.share.try_grow(bytes) {
            self.uncork();
            let (outbox, socket) = (&self.connection.outbox, &self.socket);
            let missing = self.decoder.missing();
            let is_lost = || {
                let socket = socket.as_ref();
                socket.is_some_and(|socket| socket.ends_before(missing))
            };
            let room = self.share.grow(
                bytes,
                self.connection.config.message_timeout,
                patience.deadline(),
                || outbox.is_cut(),
                is_lost,
            );
            if room == Room::Lost {
                self.give_up_message();
            }
            if room != Room::Made {
                return Ok(room);
            }
        }
        let grown = self.decoder.grow(bytes);
        self.share.settle();
        grown.map(|()| Room::Made)
    }

    /// Makes this thread the driver, whose sends may be gathered.
    pub(crate) fn begin_driving(&mut self) {
        let thread = this_thread();
        if self.driver != Some(thread) {
            self.driver = Some(thread);
            self.connection.set_driver(Some(thread));
        }
        drive_with(Some(&self.cork));
    }

    /// Stops driving, so that another thread may drive.
    pub(crate) fn stop_driving(&mut self) {
        if self.driver.take() == Some(this_thread()) {
            drive_with(None);
        }
        self.uncork();
    }

    fn handle(&mut self, event: Event) -> Result<Option<Incoming>, CloseEvent> {
        self.note_event();
        match event {
            Event::Message(message) => {
                self.share.give_back();
                self.count_message();
                Ok((!self.discarding).then_some(Incoming::Message(message)))
            }
            Event::Chunk(chunk) => {
                self.share.give_back();
                if chunk.is_last {
                    self.count_message();
                }
                Ok((!self.discarding).then_some(Incoming::Chunk(*chunk)))
            }
            event => self.handle_control(event).map(|()| None),
        }
    }

    /// Counts an event, and decides whether what is sent during it may wait for the next.
    #[inline(always)]
    fn note_event(&mut self) {
        let more = self.decoder.has_whole_frame() || self.decoder.is_full();
        self.cork.set_active(more);
        self.cork_may_hold |= more;
        self.events += 1;
    }

    fn count_message(&mut self) {
        let messages = &self.connection.reading.messages;
        // Only this thread counts, so no atomic addition is needed.
        messages.store(messages.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn uncork(&mut self) {
        if std::mem::take(&mut self.cork_may_hold) {
            self.cork.set_active(false);
            self.cork.uncork();
        }
    }
}
