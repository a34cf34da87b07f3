//! Blocking WebSockets, client and server.

mod background;
mod callbacks;
mod client;
mod close;
mod config;
mod connection;
mod error;
mod handshake;
mod message;
mod messages;
mod opening;
mod outbox;
mod protocol;
mod reader;
mod request;
mod server;
mod sync;
mod transport;
mod websocket;

pub use client::{Client, connect, open};
pub use close::{CloseCode, CloseEvent, Initiator};
pub use config::Config;
pub use error::{
    Error, Failure, IntoOutcome, Outcome, RecvError, Refusal, SendError, SendErrorKind, Timeout,
    WaitError,
};
pub use message::{Message, Text};
pub use messages::Messages;
pub use request::Request;
pub use server::{Server, ServerBuilder, StopReport};
pub use websocket::WebSocket;
