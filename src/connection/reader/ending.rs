//! The end of a reading: after a Close, a violation, a loss or a cut, or as nobody drives it any more.

use std::io;
use std::time::Duration;

use super::Reader;
use crate::CloseEvent;
use crate::connection::callbacks::catch;
use crate::connection::thread::as_connection_thread;
use crate::life::CloseCause;
use crate::protocol::{Event, Role, Violation};
use crate::transport::SILENCE;

/// The time in which a server may end its side before a client does. The side that ends first keeps
/// the pair of ports busy for a while, which a client that connects again has to avoid.
const PRECEDENCE: Duration = Duration::from_millis(5);

/// The number of reads that look for the peer's Close in the unread input of a cut connection.
const MAX_LEFTOVER_READS: usize = 64;

impl Reader {
    /// Ends the connection after the peer's Close: sends ours, and lets the server close first (RFC
    /// 6455, section 7.1.1).
    pub(super) fn end_closed(&mut self) -> CloseEvent {
        self.uncork();
        self.connection.outbox.note_end();
        self.connection.outbox.flush();
        if let Some(socket) = &self.socket {
            let is_client = self.connection.role == Role::Client;
            let has_ended = is_client && socket.discard_input(PRECEDENCE, PRECEDENCE);
            // Both Closes were exchanged: a server that waits for our end of the stream need not
            // wait longer.
            socket.finish_writing();
            let patience = if is_client { SILENCE } else { Duration::ZERO };
            if !has_ended {
                socket.discard_input(patience, patience);
            }
        }
        self.finish()
    }

    /// Ends the connection with a failure of the peer. The peer is told, and input is read for a
    /// moment more, so that a reset over unread input does not destroy the code.
    pub(super) fn end_violated(&mut self, violation: Violation) -> CloseEvent {
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

    /// Ends the connection with the end of the peer's input without a Close, or with an error of
    /// the socket. What was queued leaves, if the peer still takes it.
    pub(super) fn end_lost(&mut self, error: Option<io::Error>) -> CloseEvent {
        self.uncork();
        self.connection.outbox.note_end();
        match error {
            Some(error) => self.connection.outbox.lose(error),
            None => self.connection.outbox.end_input(),
        }
        self.finish()
    }

    /// Ends the connection after a cut: of the input that has arrived, only a Close still counts.
    pub(super) fn end_cut(&mut self) -> CloseEvent {
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
                // The bytes that TLS has to send are given up. The input that came with them may be
                // read.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && socket.needs_flush() => {
                }
                _ => break,
            }
        }
        self.finish()
    }

    /// Gives up the half received message and its memory.
    pub(super) fn give_up_message(&mut self) {
        self.decoder.end();
        self.share.give_back();
    }

    /// Gives up the socket and runs the last callbacks.
    fn finish(&mut self) -> CloseEvent {
        self.put_callbacks_back();
        self.give_up_message();
        drop(self.socket.take());
        let event = as_connection_thread(|| self.connection.finish(&self.ws));
        drop(self.home.take());
        event
    }
}

impl Drop for Reader {
    /// Ends a connection that no thread can drive any more. `on_close` runs even then.
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
