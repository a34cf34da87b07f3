//! Blocking WebSockets, client and server.

mod background;
mod callbacks;
mod client;
mod close;
mod config;
mod connection;
mod error;
mod handshake;
mod header;
mod http;
mod message;
mod messages;
mod opening;
mod outbox;
mod protocol;
mod reader;
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
pub use crate::http::{Reply, Request, Upgrade};
pub use server::{Server, ServerBuilder, StopReport};
pub use websocket::WebSocket;
