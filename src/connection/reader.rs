//! The reading end of a connection: the loop that sleeps in `recv`, decodes and calls back.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::callbacks::{Borrowed, catch};
use super::{Connection, Patience};
use crate::held::{Room, Share};
use crate::life::CloseCause;
use crate::outbox::{Cork, SocketWire, drive_with};
use crate::protocol::{Chunk, Decoder, Event, Limits, Opcode, Role, Violation};
use crate::record::warn;
use crate::sync::Ordering;
use crate::transport::{Interest, SILENCE, Socket};
use crate::{CloseEvent, Config, Failure, Message, Outcome, Text, WebSocket};

/// Reads one connection (L2), on whatever thread drives it.
pub(crate) struct Reader {
    connection: Arc<Connection>,
    /// Given up when the connection has ended.
    socket: Option<Arc<Socket>>,
    decoder: Decoder,
    /// The memory of the message that comes.
    share: Share,
    cork: Arc<Cork<SocketWire>>,
    /// The handle that callbacks get; keeps no client open.
    ws: WebSocket,
    borrowed: BorrowedCallbacks,
    driver: Option<ThreadId>,
    /// Whether the cork may hold something.
    corked: bool,
    /// After a failure of the program's, what still comes is not delivered.
    discarding: bool,
    /// Counts what was decoded, so that the background can tell what has begun from what comes next.
    events: u64,
    warned: bool,
    /// Where the thread waits that drives it once nobody else does. Given up at the end.
    home: Option<SyncSender<Box<Reader>>>,
}

/// The callbacks that are out of their slots while a burst comes.
#[derive(Default)]
struct BorrowedCallbacks {
    message: Borrowed<Message>,
    text: Borrowed<Text>,
    binary: Borrowed<Bytes>,
}

/// An event for the program.
enum Incoming {
    Message(Message),
    Chunk(Chunk),
}

/// The time in which a server may end its side before a client does: who ends first keeps the pair of
/// ports busy for a while, which a client that connects again has to look past.
const PRECEDENCE: Duration = Duration::from_millis(5);

thread_local! {
    static ON_CONNECTION_THREAD: Cell<bool> = const { Cell::new(false) };
    /// The thread's own number, which is asked for with each message that is pulled.
    static THREAD: Cell<Option<ThreadId>> = const { Cell::new(None) };
}

fn this_thread() -> ThreadId {
    let known = THREAD.try_with(Cell::get).ok().flatten();
    known.unwrap_or_else(|| {
        let thread = thread::current().id();
        let _ = THREAD.try_with(|known| known.set(Some(thread)));
        thread
    })
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
            borrowed: BorrowedCallbacks::default(),
            driver: None,
            corked: false,
            discarding: false,
            events: 0,
            warned: false,
            home: None,
        })
    }

    /// Names the thread that gets it back by [`leave`](Self::leave).
    pub(crate) fn set_home(&mut self, home: SyncSender<Box<Self>>) {
        self.home = Some(home);
    }

    /// Leaves it to the thread that waits for it. If that waits no longer, the connection ends here.
    pub(crate) fn leave(mut self: Box<Self>) {
        if let Some(home) = self.home.take() {
            drop(home.send(self));
        }
    }

    /// Returns how the connection has ended, if it has.
    pub(crate) fn event(&self) -> Option<CloseEvent> {
        // Most have their socket still, and need not ask under a lock.
        self.socket.is_none().then(|| self.connection.event())?
    }

    /// Asks for what comes next, for a program that pulls; once the connection has ended, tells how.
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

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Dispatches everything to the callbacks until the connection has ended.
    pub(crate) fn dispatch(&mut self) -> CloseEvent {
        self.leave_to_owner();
        self.begin_driving();
        self.connection.reading.stay();
        as_connection_thread(|| {
            loop {
                while let Some(message) = self.next_of_burst() {
                    self.deliver(message);
                }
                match self.next_message(&Patience::Endless) {
                    Ok(Some(message)) => self.deliver(message),
                    Ok(None) => {}
                    Err(event) => return event,
                }
            }
        })
    }

    /// Drives the connection to its end, discarding what comes.
    pub(crate) fn discard_until_closed(&mut self) -> CloseEvent {
        self.discarding = true;
        self.dispatch()
    }

    /// Drives on a thread of the connection's own.
    pub(crate) fn spawn(mut self: Box<Self>, drive: fn(&mut Self) -> CloseEvent) -> io::Result<()> {
        let connection = Arc::clone(&self.connection);
        // Before the thread has begun: if it cannot be had, this is the end.
        connection.reading.stay();
        let name = format!("landline-{}", connection.id);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || drop(drive(&mut self)))?;
        connection.set_driver(Some(thread.thread().id()));
        Ok(())
    }

    /// Returns the next message, `None` once the patience is at its end, or how the connection has
    /// ended; ping, pong, error and close callbacks run meanwhile.
    pub(crate) fn next(&mut self, patience: Patience) -> Result<Option<Message>, CloseEvent> {
        self.begin_driving();
        match self.next_of_burst() {
            None => self.next_message(&patience),
            message => Ok(message),
        }
    }

    /// Returns the next message if it is there as most are, in a few steps. Whatever else comes is left
    /// to [`next_message`](Self::next_message).
    #[inline(always)]
    fn next_of_burst(&mut self) -> Option<Message> {
        if self.discarding || self.connection.outbox.is_cut() {
            return None;
        }
        let message = self.decoder.next_whole_message()?;
        self.note_event();
        self.count_message();
        Some(message)
    }

    /// Returns what has come of the next message as soon as it has begun; what is left of one that
    /// was read before is skipped.
    pub(crate) fn first_chunk(&mut self) -> Result<Chunk, CloseEvent> {
        self.begin_driving();
        while self.decoder.is_streaming() {
            let skipped = self.chunk()?;
            self.decoder.reuse(skipped.bytes);
        }
        self.decoder.stream();
        self.chunk()
    }

    /// Returns the next chunk of a message that has begun; takes back the memory of the one before.
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

    /// Returns the next whole message; what is left of one that was read in chunks is skipped.
    #[inline(never)]
    fn next_message(&mut self, patience: &Patience) -> Result<Option<Message>, CloseEvent> {
        while let Some(incoming) = self.next_incoming(patience)? {
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

    fn next_incoming(&mut self, patience: &Patience) -> Result<Option<Incoming>, CloseEvent> {
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
                    Ok(Room::Made | Room::Cut | Room::Lost) => {}
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
    /// the peer is not read, and its silence does not count. If it is gone and the rest of the message can
    /// never come, nothing of it is kept, and the next read finds the end.
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

    /// Says that this thread drives now, and that what it sends may be gathered.
    pub(crate) fn begin_driving(&mut self) {
        let thread = this_thread();
        if self.driver != Some(thread) {
            self.driver = Some(thread);
            self.connection.set_driver(Some(thread));
        }
        drive_with(Some(&self.cork));
    }

    /// Lets go, so that another thread may drive.
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

    /// Counts an event, and says whether what is sent over it may wait for the next.
    #[inline(always)]
    fn note_event(&mut self) {
        let more = self.decoder.has_whole_frame() || self.decoder.is_full();
        self.cork.set_active(more);
        self.corked |= more;
        self.events += 1;
    }

    #[inline(never)]
    fn handle_control(&mut self, event: Event) -> Result<(), CloseEvent> {
        match event {
            Event::Ping(payload) => {
                self.connection
                    .outbox
                    .send_control(Opcode::Pong, payload.clone());
                self.call(|reader| {
                    let slot = &reader.connection.callbacks.ping;
                    slot.run_once("on_ping", &reader.ws, payload)
                });
            }
            Event::Pong(payload) => {
                self.connection.outbox.note_pong(&payload);
                self.call(|reader| {
                    let slot = &reader.connection.callbacks.pong;
                    slot.run_once("on_pong", &reader.ws, payload)
                });
            }
            Event::Close(close) => {
                // Our Close overtakes what is queued; what only the cork holds is not to be.
                self.uncork();
                self.connection.answer_close(close);
                return Err(self.end_closed());
            }
            Event::Message(_) | Event::Chunk(_) => {}
        }
        Ok(())
    }

    fn count_message(&mut self) {
        let messages = &self.connection.reading.messages;
        // This thread alone counts: it need not be added in one step.
        messages.store(messages.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Gives a message to its callback: the one of its kind, or else the one for both.
    #[inline(always)]
    fn deliver(&mut self, message: Message) {
        let slots = &self.connection.callbacks;
        let (ws, borrowed) = (&self.ws, &mut self.borrowed);
        let outcome = match message {
            Message::Text(text) if slots.text.is_set() => {
                slots.text.run(&mut borrowed.text, "on_text", ws, text)
            }
            Message::Binary(bytes) if slots.binary.is_set() => {
                slots
                    .binary
                    .run(&mut borrowed.binary, "on_binary", ws, bytes)
            }
            message if slots.message.is_set() => {
                slots
                    .message
                    .run(&mut borrowed.message, "on_message", ws, message)
            }
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

    #[inline(never)]
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

    /// Puts back the callbacks that the burst has kept out of their slots.
    fn put_callbacks_back(&mut self) {
        let slots = &self.connection.callbacks;
        let borrowed = &mut self.borrowed;
        let message = slots.message.put_back(&mut borrowed.message);
        let text = slots.text.put_back(&mut borrowed.text);
        let binary = slots.binary.put_back(&mut borrowed.binary);
        if let Err(failure) = message.and(text).and(binary) {
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
        if !self.connection.reading.stays() {
            self.leave_to_owner();
        }
        let Some(socket) = self.socket.clone() else {
            return Err(Some(io::ErrorKind::NotConnected.into()));
        };
        if self.decoder.is_full() {
            // There is probably more, and what the callbacks have sent may wait for what that leads to.
            let received = socket.try_recv(self.decoder.spare());
            if self.note_received(&socket, received)? {
                return Ok(true);
            }
        }
        self.uncork();
        self.put_callbacks_back();
        self.report_progress();
        let asleep = &self.connection.reading.asleep;
        asleep.store(true, Ordering::Release);
        let received = self.recv(&socket, patience.deadline());
        let has_come = self.note_received(&socket, received);
        let asleep = &self.connection.reading.asleep;
        asleep.store(false, Ordering::Release);
        Ok(has_come? || patience.outlasts_silence())
    }

    /// Counts what has come; false if nothing has.
    fn note_received(
        &mut self,
        socket: &Socket,
        received: io::Result<usize>,
    ) -> Result<bool, Option<io::Error>> {
        if socket.owes() {
            self.connection.outbox.flush_wire();
        }
        match received {
            Ok(0) => Err(None),
            Ok(length) => {
                let counted = &self.connection.reading.received;
                let before = counted.load(Ordering::Relaxed);
                counted.store(before + length as u64, Ordering::Release);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
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
        let reading = &self.connection.reading;
        let number = match (
            self.decoder.has_begun_message(),
            self.decoder.is_mid_message(),
        ) {
            (true, _) => 2 * (reading.messages.load(Ordering::Relaxed) + 1),
            // Half a header or control frame: whatever comes then is something else.
            (false, true) => 2 * self.events + 1,
            (false, false) => 0,
        };
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
            let is_client = self.connection.role == Role::Client;
            let has_ended = is_client && socket.discard_input(PRECEDENCE, PRECEDENCE);
            // Both Closes are there: servers that wait for our end of the stream need not any more.
            socket.finish_writing();
            let patience = if is_client { SILENCE } else { Duration::ZERO };
            if !has_ended {
                socket.discard_input(patience, patience);
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
            socket.finish_and_linger();
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
        self.put_callbacks_back();
        self.give_up_message();
        drop(self.socket.take());
        let event = as_connection_thread(|| self.connection.finish(&self.ws));
        drop(self.home.take());
        event
    }
}

/// The number of reads for which the peer's Close is searched in what a cut connection still holds.
const MAX_LEFTOVER_READS: usize = 64;

impl Drop for Reader {
    /// Ends a connection that nobody can drive any more: even so, `on_close` runs.
    fn drop(&mut self) {
        if self.socket.is_some() && self.connection.is_own() {
            self.connection.outbox.cut(CloseCause::Aborted);
            let _ = catch(|| {
                self.finish();
                Ok(())
            });
        }
    }
}
