//! The reading end of a connection: the loop that sleeps in `recv`, decodes and calls back.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use log::warn;

use crate::callbacks::catch;
use crate::connection::Connection;
use crate::outbox::{Cork, Seal, SocketWire, drive_with};
use crate::protocol::{Chunk, Decoder, Event, Limits, Opcode, Role, Violation};
use crate::sync::Ordering;
use crate::transport::{Interest, Socket};
use crate::{CloseEvent, Config, Error, Failure, Message, Outcome, RecvError, WebSocket};

/// Reads one connection (L2), on whatever thread drives it.
pub(crate) struct Reader {
    connection: Arc<Connection>,
    /// Given up when the connection has ended.
    socket: Option<Arc<Socket>>,
    decoder: Decoder,
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

/// Is what comes for the program.
enum Incoming {
    Message(Message),
    Chunk(Chunk),
}

/// So long the peer may be silent while we wait for the end of its side.
const SILENCE: Duration = Duration::from_secs(1);
/// So long we read on after a failure of ours, so that our last words arrive.
const LINGER: Duration = Duration::from_secs(5);

thread_local! {
    static ON_CONNECTION_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Tells whether the calling thread is a connection's own, or runs one of its callbacks.
pub(crate) fn on_connection_thread() -> bool {
    ON_CONNECTION_THREAD.get()
}

/// Says that the calling thread is a connection's own while `run` runs.
pub(crate) fn as_connection_thread<R>(run: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ON_CONNECTION_THREAD.set(self.0);
        }
    }
    let _restore = Restore(ON_CONNECTION_THREAD.replace(true));
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
        self.take_the_wheel();
        as_connection_thread(|| {
            loop {
                match self.next_message(None) {
                    Ok(message) => self.deliver(message),
                    Err(RecvError::Timeout) => {}
                    Err(RecvError::Closed(event)) => return event,
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
        let name = format!("landline-{}", connection.id);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || drop(drive(&mut self)))?;
        connection.driven_by(thread.thread().id());
        Ok(())
    }

    /// Returns the next message, or the end; ping, pong, error and close callbacks run meanwhile.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Result<Message, RecvError> {
        self.take_the_wheel();
        self.next_message(deadline)
    }

    /// Returns what has come of the next message as soon as it has begun; what is left of one that
    /// was read before is skipped.
    pub(crate) fn first_chunk(&mut self) -> Result<Chunk, RecvError> {
        self.take_the_wheel();
        while self.decoder.is_streaming() {
            let skipped = self.chunk()?;
            self.decoder.reuse(skipped.bytes);
        }
        self.decoder.stream();
        self.chunk()
    }

    /// Returns the next chunk of a message that has begun; takes back the memory of the one before.
    pub(crate) fn next_chunk(&mut self, spent: Vec<u8>) -> Result<Chunk, RecvError> {
        self.take_the_wheel();
        self.decoder.reuse(spent);
        self.chunk()
    }

    fn chunk(&mut self) -> Result<Chunk, RecvError> {
        Ok(match self.advance(None)? {
            Incoming::Message(message) => message.into(),
            Incoming::Chunk(chunk) => chunk,
        })
    }

    /// Returns the next whole message; what is left of one that was read in chunks is skipped.
    fn next_message(&mut self, deadline: Option<Instant>) -> Result<Message, RecvError> {
        loop {
            match self.advance(deadline)? {
                Incoming::Message(message) => return Ok(message),
                Incoming::Chunk(chunk) => self.decoder.reuse(chunk.bytes),
            }
            // Chunks may come without a pause, and what they belong to may have no end.
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(RecvError::Timeout);
            }
        }
    }

    fn advance(&mut self, deadline: Option<Instant>) -> Result<Incoming, RecvError> {
        loop {
            if self.connection.outbox.is_sealed() {
                return Err(RecvError::Closed(self.end_cut()));
            }
            match self.decoder.next() {
                Ok(Some(event)) => {
                    if let Some(incoming) = self.handle(event)? {
                        return Ok(incoming);
                    }
                }
                Ok(None) => match self.read(deadline) {
                    Ok(true) => {}
                    Ok(false) => return Err(RecvError::Timeout),
                    Err(error) => {
                        self.connection.outbox.seal(Seal::Lost(error));
                    }
                },
                Err(violation) => return Err(RecvError::Closed(self.end_violated(violation))),
            }
        }
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

    fn handle(&mut self, event: Event) -> Result<Option<Incoming>, RecvError> {
        let more = self.decoder.has_event();
        self.cork.set_active(more);
        self.corked |= more;
        self.events += 1;
        match event {
            Event::Message(message) => {
                self.count_message();
                return Ok((!self.discarding).then_some(Incoming::Message(message)));
            }
            Event::Chunk(chunk) => {
                if chunk.is_last {
                    self.count_message();
                }
                return Ok((!self.discarding).then_some(Incoming::Chunk(*chunk)));
            }
            Event::Ping(payload) => {
                self.connection
                    .outbox
                    .send_control(Opcode::Pong, payload.clone());
                self.call(|reader| reader.connection.callbacks.ping.run(&reader.ws, payload));
            }
            Event::Pong(payload) => {
                self.connection.outbox.note_pong(&payload);
                self.call(|reader| reader.connection.callbacks.pong.run(&reader.ws, payload));
            }
            Event::Close(close) => {
                // Our Close overtakes what is queued; what only the cork holds is not to be.
                self.uncork();
                self.connection.answer_close(close);
                return Err(RecvError::Closed(self.end_closed()));
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
            Message::Text(text) if slots.text.is_set() => slots.text.run(ws, text),
            Message::Binary(bytes) if slots.binary.is_set() => slots.binary.run(ws, bytes),
            message if slots.message.is_set() => slots.message.run(ws, message),
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

    /// Reads once; false if the deadline passed first. An error is the end of the stream.
    fn read(&mut self, deadline: Option<Instant>) -> Result<bool, Option<io::Error>> {
        self.uncork();
        let Some(socket) = self.socket.clone() else {
            return Err(None);
        };
        self.report_progress();
        self.connection
            .reading
            .asleep
            .store(true, Ordering::Release);
        let received = self.recv(&socket, deadline);
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
                Ok(deadline.is_none_or(|deadline| Instant::now() < deadline))
            }
            Err(error) => Err(Some(error)),
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
        self.connection.outbox.flush_close();
        if let Some(socket) = &self.socket {
            match self.connection.role {
                Role::Server => {
                    socket.finish_writing();
                    socket.drain(Duration::ZERO, Duration::ZERO);
                }
                Role::Client => {
                    socket.say_end();
                    socket.drain(SILENCE, SILENCE);
                }
            }
        }
        self.connection.outbox.seal(Seal::Finished);
        self.finish()
    }

    /// Ends with a failure of the peer's: it is told, and we read on a little, so that a reset over
    /// unread input does not destroy the code.
    fn end_violated(&mut self, violation: Violation) -> CloseEvent {
        let Violation { code, what } = violation;
        self.uncork();
        self.connection
            .fail(code, what, Error::Protocol { code, what });
        self.connection.outbox.flush_close();
        if let Some(socket) = &self.socket {
            socket.finish_writing();
            socket.drain(SILENCE, LINGER);
        }
        self.connection.outbox.seal(Seal::Finished);
        self.finish()
    }

    /// Ends after a cut or a loss: of what has arrived by then, only a Close still counts.
    fn end_cut(&mut self) -> CloseEvent {
        self.uncork();
        for _ in 0..MAX_LEFTOVER_READS {
            while let Ok(Some(event)) = self.decoder.next() {
                if let Event::Close(close) = event {
                    self.connection.answer_close(close);
                    return self.finish();
                }
            }
            let left = self
                .socket
                .as_ref()
                .map(|socket| socket.try_recv(self.decoder.spare()));
            if !matches!(left, Some(Ok(1..))) {
                break;
            }
        }
        self.finish()
    }

    /// Gives up the socket and tells the program.
    fn finish(&mut self) -> CloseEvent {
        drop(self.socket.take());
        as_connection_thread(|| self.connection.finish(&self.ws))
    }
}

/// So often what a cut connection still holds is read, in search of the peer's Close.
const MAX_LEFTOVER_READS: usize = 64;

impl Drop for Reader {
    /// Ends a connection that nobody can drive any more: even so, `on_close` runs.
    fn drop(&mut self) {
        if self.socket.is_some() {
            self.connection.outbox.seal(Seal::Aborted);
            let _ = catch(|| {
                self.finish();
                Ok(())
            });
        }
    }
}
