//! The calls of a program's callbacks, by the thread that drives the reading end.

use bytes::Bytes;

use super::Reader;
use crate::connection::callbacks::Borrowed;
use crate::connection::thread::as_connection_thread;
use crate::outbox::drive_with;
use crate::protocol::{Event, Opcode};
use crate::record::warn;
use crate::{CloseEvent, Failure, Message, Outcome, Text};

/// The callbacks that are out of their slots while a burst comes.
#[derive(Default)]
pub(super) struct BorrowedCallbacks {
    message: Borrowed<Message>,
    text: Borrowed<Text>,
    binary: Borrowed<Bytes>,
}

impl Reader {
    #[inline(never)]
    pub(super) fn handle_control(&mut self, event: Event) -> Result<(), CloseEvent> {
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
                // Our Close overtakes the queue. It must not overtake the messages that wait only
                // because of the cork.
                self.uncork();
                self.connection.answer_close(close);
                return Err(self.end_closed());
            }
            Event::Message(_) | Event::Chunk(_) => {}
        }
        Ok(())
    }

    /// Gives a message to the callback of its kind, or else to the callback for both kinds.
    #[inline(always)]
    pub(super) fn deliver(&mut self, message: &mut Option<Message>) {
        let slots = &self.connection.callbacks;
        let (ws, borrowed) = (&self.ws, &mut self.borrowed);
        let outcome = match message {
            Some(Message::Text(_)) if slots.text.is_set() => {
                let mut text = message.take().and_then(Message::into_text);
                let borrowed = &mut borrowed.text;
                slots.text.run(borrowed, "on_text", ws, &mut text)
            }
            Some(Message::Binary(_)) if slots.binary.is_set() => {
                let mut bytes = message.take().map(Message::into_bytes);
                let borrowed = &mut borrowed.binary;
                slots.binary.run(borrowed, "on_binary", ws, &mut bytes)
            }
            Some(_) if slots.message.is_set() => {
                let borrowed = &mut borrowed.message;
                slots.message.run(borrowed, "on_message", ws, message)
            }
            Some(_) => {
                self.warn_unheard();
                Ok(())
            }
            None => return,
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

    /// Runs a callback. Its failure closes only this connection.
    fn call(&mut self, callback: impl FnOnce(&mut Self) -> Outcome) {
        if let Err(failure) = as_connection_thread(|| callback(self)) {
            self.fail(failure);
        }
    }

    /// Puts back the callbacks that were borrowed for a burst.
    pub(super) fn put_callbacks_back(&mut self) {
        let slots = &self.connection.callbacks;
        let borrowed = &mut self.borrowed;
        let message = slots.message.put_back(&mut borrowed.message);
        let text = slots.text.put_back(&mut borrowed.text);
        let binary = slots.binary.put_back(&mut borrowed.binary);
        if let Err(failure) = message.and(text).and(binary) {
            self.fail(failure);
        }
    }

    /// Fails the connection with 1011. Later input is not delivered.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.discarding |= !self.connection.outbox.is_closing();
        // The Close overtakes the queue. It must not overtake the messages that wait only because
        // of the cork.
        self.uncork();
        self.connection.fail_callback(failure);
    }
}
