//! The reading end of a connection: the loop that sleeps in `recv`, decodes and calls back.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::callbacks::catch;
use crate::connection::Connection;
use crate::held::{Room, Share};
use crate::life::Cause;
use crate::outbox::{Cork, SocketWire, drive_with};
use crate::patience::Patience;
use crate::protocol::{Chunk, Decoder, Event, Limits, Opcode, Role, Violation};
use crate::record::warn;
use crate::sync::Ordering;
use crate::transport::{Interest, Socket};
use crate::{CloseEvent, Config, Failure, Message, Outcome, WebSocket};

/// Reads one connection (L2), on whatever thread drives it.
pub(crate) struct Reader {
    connection: Arc<Connection>,
    /// Given up when the connection has ended.
    socket: Option<Arc<Socket>>,
    decoder: Decoder,
    /// The memory of the message that comes.
    share: Share,
    cork: Arc<Cork<SocketWire>>,
    /// What callbacks get; keeps no client open.
    ws: WebSocket,
    driver: Option<ThreadId>,
    /// Whether the cork may hold something.
    corked: bool,
    /// After a failure of the program's, what still comes is not delivered.
    discarding: bool,
    received: u64,
    /// Counts the messages, so that the background can tell one that has begun from the next.
    messages: u64,
    /// Counts what was decoded, likewise.
    events: u64,
    warned: bool,
}

/// What comes for the program.
enum Incoming {
    Message(Message),
    Chunk(Chunk),
}

/// The time for which the peer may be silent while we wait for the end of its side.
const SILENCE: Duration = Duration::from_secs(1);
/// The time for which we read on after a failure of ours, so that our Close arrives.
const LINGER: Duration = Duration::from_secs(5);

thread_local! {
    static ON_CONNECTION_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Tells whether the calling thread is a connection's own, or runs one of its callbacks.
pub(crate) fn on_connection_thread() -> bool {
    ON_CONNECTION_THREAD.try_with(Cell::get).unwrap_or_default()
}

/// Sets whether the calling thread is a connection's own, and returns whether it was.
fn set_connection_thread(is_own: bool) -> bool {
    ON_CONNECTION_THREAD
        .try_with(|own| own.replace(is_own))
        .unwrap_or_default()
}

/// Says that the calling thread is a connection's own while `run` runs.
pub(crate) fn as_connection_thread<R>(run: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_connection_thread(self.0);
        }
    }
    let _restore = Restore(set_connection_thread(true));
    run()
}

impl Reader {
    /// Takes over an open connection; `pipelined` came behind the handshake.
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
        Box::new(Self {
            connection: Arc::clone(connection),
            socket: Some(socket),
            decoder: Decoder::new(connection.role, Limits::from(config), pipelined),
            share: Share::new(connection.id),
            cork: Cork::new(),
            ws: WebSocket::for_callbacks(connection),
            driver: None,
            corked: false,
            discarding: false,
            received,
            messages: 0,
            events: 0,
            warned: false,
        })
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Dispatches everything to the callbacks until the connection has ended.
    pub(crate) fn dispatch(&mut self) -> CloseEvent {
        self.leave_to_owner();
        self.take_the_wheel();
        self.connection.reading.stay();
        as_connection_thread(|| {
            loop {
                match self.next_message(&Patience::Endless) {
                    Ok(Some(message)) => self.deliver(message),
                    Ok(None) => {}
                    Err(event) => return event,
                }
            }
        })
    }

    /// Drives the connection to its end, discarding what comes.
    pub(crate) fn run_out(&mut self) -> CloseEvent {
        self.discarding = true;
        self.dispatch()
    }

    /// Drives on a thread of the connection's own.
    pub(crate) fn drive_apart(
        mut self: Box<Self>,
        drive: fn(&mut Self) -> CloseEvent,
    ) -> io::Result<()> {
        let connection = Arc::clone(&self.connection);
        // Before the thread has begun: if it cannot be had, this is the end.
        connection.reading.stay();
        let name = format!("landline-{}", connection.id);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || drop(drive(&mut self)))?;
        connection.driven_by(thread.thread().id());
        Ok(())
    }

    /// Returns the next message, `None` once the patience is at its end, or how the connection has
    /// ended; ping, pong, error and close callbacks run meanwhile.
    pub(crate) fn next(&mut self, patience: Patience) -> Result<Option<Message>, CloseEvent> {
        self.take_the_wheel();
        self.next_message(&patience)
    }

    /// Returns what has come of the next message as soon as it has begun; what is left of one that
    /// was read before is skipped.
    pub(crate) fn first_chunk(&mut self) -> Result<Chunk, CloseEvent> {
        self.take_the_wheel();
        while self.decoder.is_streaming() {
            let skipped = self.chunk()?;
            self.decoder.reuse(skipped.bytes);
        }
        self.decoder.stream();
        self.chunk()
    }

    /// Returns the next chunk of a message that has begun; takes back the memory of the one before.
    pub(crate) fn next_chunk(&mut self, spent: Vec<u8>) -> Result<Chunk, CloseEvent> {
        self.take_the_wheel();
        self.decoder.reuse(spent);
        self.chunk()
    }

    fn chunk(&mut self) -> Result<Chunk, CloseEvent> {
        loop {
            match self.advance(&Patience::Endless)? {
                Some(Incoming::Message(message)) => return Ok(message.into()),
                Some(Incoming::Chunk(chunk)) => return Ok(chunk),
                None => {}
            }
        }
    }

    /// Returns the next whole message; what is left of one that was read in chunks is skipped.
    fn next_message(&mut self, patience: &Patience) -> Result<Option<Message>, CloseEvent> {
        while let Some(incoming) = self.advance(patience)? {
            match incoming {
                Incoming::Message(message) => return Ok(Some(message)),
                Incoming::Chunk(chunk) => self.decoder.reuse(chunk.bytes),
            }
            // Chunks may come without a pause, and what they belong to may have no end.
            if !patience.outlasts_input() {
                break;
            }
        }
        Ok(None)
    }

    fn advance(&mut self, patience: &Patience) -> Result<Option<Incoming>, CloseEvent> {
        let mut looked = false;
        loop {
            if self.connection.outbox.is_cut() {
                return Err(self.end_cut());
            }
            match self.decoder.next() {
                Ok(Some(event)) => {
                    let incoming = self.handle(event)?;
                    if incoming.is_some() || !patience.outlasts_input() {
                        return Ok(incoming);
                    }
                }
                Ok(None) if self.wants_memory() => match self.make_room(patience) {
                    Ok(Room::Made | Room::Cut) => {}
                    Ok(Room::Late) => return Ok(None),
                    Ok(Room::Refused) => return Err(self.end_violated(Violation::NO_ROOM)),
                    Err(violation) => return Err(self.end_violated(violation)),
                },
                // However late it is, what has come is looked at once.
                Ok(None) if looked && !patience.outlasts_input() => return Ok(None),
                Ok(None) => match self.read(patience) {
                    Ok(true) => looked = true,
                    Ok(false) => return Ok(None),
                    Err(error) => return Err(self.end_lost(error)),
                },
                Err(violation) => return Err(self.end_violated(violation)),
            }
        }
    }

    fn wants_memory(&self) -> bool {
        self.decoder.wanted().is_some()
    }

    /// Gives the message that comes the memory that it wants, for which it may have to wait. Meanwhile
    /// the peer is not read, and its silence does not count.
    fn make_room(&mut self, patience: &Patience) -> Result<Room, Violation> {
        let Some(bytes) = self.decoder.wanted() else {
            return Ok(Room::Made);
        };
        if !self.share.try_grow(bytes) {
            self.uncork();
            let outbox = &self.connection.outbox;
            let room = self.share.grow(
                bytes,
                self.connection.config.message_timeout,
                patience.deadline(),
                || outbox.is_cut(),
            );
            if room != Room::Made {
                return Ok(room);
            }
        }
        let grown = self.decoder.grow(bytes);
        self.share.settle();
        grown.map(|()| Room::Made)
    }

    /// Says that this thread drives now, and that what it sends may be gathered.
    pub(crate) fn take_the_wheel(&mut self) {
        let thread = thread::current().id();
        if self.driver != Some(thread) {
            self.driver = Some(thread);
            self.connection.driven_by(thread);
        }
        drive_with(Some(&self.cork));
    }

    /// Lets go, so that another thread may drive.
    pub(crate) fn let_go(&mut self) {
        if self.driver.take() == Some(thread::current().id()) {
            drive_with(None);
        }
        self.uncork();
    }

    fn handle(&mut self, event: Event) -> Result<Option<Incoming>, CloseEvent> {
        let more = self.decoder.has_event();
        self.cork.set_active(more);
        self.corked |= more;
        self.events += 1;
        match event {
            Event::Message(message) => {
                self.share.give_back();
                self.count_message();
                return Ok((!self.discarding).then_some(Incoming::Message(message)));
            }
            Event::Chunk(chunk) => {
                self.share.give_back();
                if chunk.is_last {
                    self.count_message();
                }
                return Ok((!self.discarding).then_some(Incoming::Chunk(*chunk)));
            }
            Event::Ping(payload) => {
                self.connection
                    .outbox
                    .send_control(Opcode::Pong, payload.clone());
                self.call(|reader| {
                    reader
                        .connection
                        .callbacks
                        .ping
                        .run("on_ping", &reader.ws, payload)
                });
            }
            Event::Pong(payload) => {
                self.connection.outbox.note_pong(&payload);
                self.call(|reader| {
                    reader
                        .connection
                        .callbacks
                        .pong
                        .run("on_pong", &reader.ws, payload)
                });
            }
            Event::Close(close) => {
                // Our Close overtakes what is queued; what only the cork holds is not to be.
                self.uncork();
                self.connection.answer_close(close);
                return Err(self.end_closed());
            }
        }
        Ok(None)
    }

    fn count_message(&mut self) {
        self.messages += 1;
        let counted = &self.connection.reading.messages;
        counted.store(self.messages, Ordering::Relaxed);
    }

    /// Gives a message to its callback: the one of its kind, or else the one for both.
    fn deliver(&mut self, message: Message) {
        let Self { connection, ws, .. } = &*self;
        let slots = &connection.callbacks;
        let outcome = match message {
            Message::Text(text) if slots.text.is_set() => slots.text.run("on_text", ws, text),
            Message::Binary(bytes) if slots.binary.is_set() => {
                slots.binary.run("on_binary", ws, bytes)
            }
            message if slots.message.is_set() => slots.message.run("on_message", ws, message),
            _ => {
                self.warn_unheard();
                Ok(())
            }
        };
        if let Err(failure) = outcome {
            self.fail(failure);
        }
        // The callback may have driven another connection.
        drive_with(Some(&self.cork));
    }

    fn warn_unheard(&mut self) {
        if !std::mem::replace(&mut self.warned, true) {
            warn!(
                "connection {}: a message came that no callback is set for",
                self.connection.id
            );
        }
    }

    /// Runs a callback; its failure closes this connection and nothing else.
    fn call(&mut self, callback: impl FnOnce(&mut Self) -> Outcome) {
        if let Err(failure) = as_connection_thread(|| callback(self)) {
            self.fail(failure);
        }
    }

    /// Fails the connection with 1011; what still comes is not delivered.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.discarding |= !self.connection.outbox.is_closing();
        // The Close overtakes what is queued; what only the cork holds is not to be.
        self.uncork();
        self.connection.fail_callback(failure);
    }

    /// Reads once; false if the patience ended first. An error is the end of the stream.
    fn read(&mut self, patience: &Patience) -> Result<bool, Option<io::Error>> {
        self.uncork();
        if !self.connection.reading.stays() {
            self.leave_to_owner();
        }
        let Some(socket) = self.socket.clone() else {
            return Err(Some(io::ErrorKind::NotConnected.into()));
        };
        self.report_progress();
        self.connection
            .reading
            .asleep
            .store(true, Ordering::Release);
        let received = self.recv(&socket, patience.deadline());
        if socket.owes() {
            self.connection.outbox.flush_wire();
        }
        self.connection
            .reading
            .asleep
            .store(false, Ordering::Release);
        match received {
            Ok(0) => Err(None),
            Ok(length) => {
                self.received += length as u64;
                self.connection
                    .reading
                    .received
                    .store(self.received, Ordering::Release);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(patience.outlasts_silence())
            }
            Err(error) => Err(Some(error)),
        }
    }

    /// Gives up a socket that is another process's: what comes is for that one. A thread that reads to the
    /// end asks once, as a forked child does not have it.
    fn leave_to_owner(&mut self) {
        if !self.connection.is_own() {
            drop(self.socket.take());
        }
    }

    /// Sleeps in `recv`; or in `poll`, over an unfinished write or under a deadline.
    fn recv(&mut self, socket: &Socket, deadline: Option<Instant>) -> io::Result<usize> {
        let outbox = &self.connection.outbox;
        if outbox.is_stalled() && outbox.begin_polling().is_some() {
            let ready = socket.wait(Interest::ReadOrWrite, deadline);
            outbox.end_polling(ready.writable);
            return socket.try_recv(self.decoder.spare());
        }
        if deadline.is_some() {
            socket.wait(Interest::Read, deadline);
            return socket.try_recv(self.decoder.spare());
        }
        socket.recv(self.decoder.spare())
    }

    /// Tells the background of what has begun to come, once for each, and how far a message is.
    fn report_progress(&self) {
        let number = match (
            self.decoder.has_begun_message(),
            self.decoder.is_mid_message(),
        ) {
            (true, _) => 2 * (self.messages + 1),
            // Half a header or control frame: whatever comes then is something else.
            (false, true) => 2 * self.events + 1,
            (false, false) => 0,
        };
        let reading = &self.connection.reading;
        if number != 0 {
            reading
                .payload
                .store(self.decoder.payload(), Ordering::Release);
        }
        if reading.mid_message.load(Ordering::Relaxed) != number {
            reading.mid_message.store(number, Ordering::Release);
            if number != 0 {
                self.connection
                    .timer
                    .expect(Instant::now() + self.connection.config.message_timeout);
            }
        }
    }

    fn uncork(&mut self) {
        if std::mem::take(&mut self.corked) {
            self.cork.set_active(false);
            self.cork.uncork();
        }
    }

    /// Ends after the peer's Close: ours goes out, and the server closes first (RFC 6455, section
    /// 7.1.1).
    fn end_closed(&mut self) -> CloseEvent {
        self.uncork();
        self.connection.outbox.note_end();
        self.connection.outbox.flush();
        if let Some(socket) = &self.socket {
            // Both Closes are there: servers that wait for our end of the stream need not any more.
            socket.finish_writing();
            match self.connection.role {
                Role::Server => socket.discard_input(Duration::ZERO, Duration::ZERO),
                Role::Client => socket.discard_input(SILENCE, SILENCE),
            }
        }
        self.finish()
    }

    /// Ends with a failure of the peer's: it is told, and we read on a little, so that a reset over
    /// unread input does not destroy the code.
    fn end_violated(&mut self, violation: Violation) -> CloseEvent {
        self.uncork();
        self.give_up_message();
        self.connection.outbox.note_end();
        self.connection.fail_violated(violation);
        self.connection.outbox.flush();
        if let Some(socket) = &self.socket {
            socket.finish_writing();
            socket.discard_input(SILENCE, LINGER);
        }
        self.finish()
    }

    /// Ends with the peer's input, without a Close, or with an error of the socket's. What was queued
    /// leaves, if the peer still takes it.
    fn end_lost(&mut self, error: Option<io::Error>) -> CloseEvent {
        self.uncork();
        self.connection.outbox.note_end();
        match error {
            Some(error) => self.connection.outbox.lose(error),
            None => self.connection.outbox.end_input(),
        }
        self.finish()
    }

    /// Ends after a cut: of what has arrived by then, only a Close still counts.
    fn end_cut(&mut self) -> CloseEvent {
        self.uncork();
        for _ in 0..MAX_LEFTOVER_READS {
            while let Ok(Some(event)) = self.decoder.next() {
                if let Event::Close(close) = event {
                    self.connection.answer_close(close);
                    return self.finish();
                }
            }
            if let Some(bytes) = self.decoder.wanted() {
                if self.share.try_grow(bytes) && self.decoder.grow(bytes).is_ok() {
                    continue;
                }
                break;
            }
            let Some(socket) = &self.socket else { break };
            match socket.try_recv(self.decoder.spare()) {
                Ok(1..) => {}
                // What TLS owes goes nowhere any more; what came with it may be read.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && socket.owes() => {}
                _ => break,
            }
        }
        self.finish()
    }

    /// Gives up what has come, with its memory.
    fn give_up_message(&mut self) {
        self.decoder.end();
        self.share.give_back();
    }

    /// Gives up the socket and tells the program.
    fn finish(&mut self) -> CloseEvent {
        self.give_up_message();
        drop(self.socket.take());
        as_connection_thread(|| self.connection.finish(&self.ws))
    }
}

/// So often what a cut connection still holds is read, in search of the peer's Close.
const MAX_LEFTOVER_READS: usize = 64;

impl Drop for Reader {
    /// Ends a connection that nobody can drive any more: even so, `on_close` runs.
    fn drop(&mut self) {
        if self.socket.is_some() && self.connection.is_own() {
            self.connection.outbox.cut(Cause::Aborted);
            let _ = catch(|| {
                self.finish();
                Ok(())
            });
        }
    }
}
