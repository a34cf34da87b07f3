//! The input of a connection: what its thread sleeps for, and what it tells the background of it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::Reader;
use crate::connection::Patience;
use crate::sync::Ordering;
use crate::transport::{Interest, Socket};

impl Reader {
    /// Receives once; false if the patience ended first. An error is the end of the stream.
    pub(super) fn receive(&mut self, patience: &Patience) -> Result<bool, Option<io::Error>> {
        // If more input is likely, what the callbacks have sent may wait for the answers to it.
        if self.decoder.is_full() && self.receive_at_hand()? {
            return Ok(true);
        }
        let socket = self.own_socket()?;
        self.uncork();
        self.put_callbacks_back();
        self.report_progress();
        let asleep = &self.connection.reading.asleep;
        asleep.store(true, Ordering::Release);
        let received = self.sleep_and_receive(&socket, patience.deadline());
        let has_come = self.note_received(&socket, received);
        let asleep = &self.connection.reading.asleep;
        asleep.store(false, Ordering::Release);
        Ok(has_come? || patience.outlasts_silence())
    }

    /// Receives once, without waiting; false if nothing has come.
    pub(super) fn receive_at_hand(&mut self) -> Result<bool, Option<io::Error>> {
        let socket = self.own_socket()?;
        let received = socket.try_recv(self.decoder.spare());
        self.note_received(&socket, received)
    }

    fn own_socket(&mut self) -> Result<Arc<Socket>, Option<io::Error>> {
        if !self.connection.reading.stays() {
            self.leave_to_owner();
        }
        let socket = self.socket.clone();
        socket.ok_or_else(|| Some(io::ErrorKind::NotConnected.into()))
    }

    /// Counts received bytes. Returns false if there are none.
    fn note_received(
        &mut self,
        socket: &Socket,
        received: io::Result<usize>,
    ) -> Result<bool, Option<io::Error>> {
        if socket.needs_flush() {
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

    /// Gives up a socket of another process, to which its input belongs. A thread that reads to the
    /// end checks once, as a forked child does not have that thread.
    pub(super) fn leave_to_owner(&mut self) {
        if !self.connection.is_own() {
            drop(self.socket.take());
        }
    }

    /// Sleeps in `recv`, or in `poll` if a write is unfinished or there is a deadline.
    fn sleep_and_receive(
        &mut self,
        socket: &Socket,
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
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

    /// Tells the background once that something has begun to come, and how far a message has come.
    fn report_progress(&self) {
        let reading = &self.connection.reading;
        let number = match (
            self.decoder.has_begun_message(),
            self.decoder.is_mid_message(),
        ) {
            (true, _) => 2 * (reading.messages.load(Ordering::Relaxed) + 1),
            // Half a header or control frame: the next bytes are another event.
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
                    .wake_by(Instant::now() + self.connection.config.message_timeout);
            }
        }
    }
}
