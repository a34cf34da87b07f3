//! Blocking WebSockets, client and server.

mod close;
mod config;
mod error;
mod handshake;
mod message;
mod protocol;

pub use close::{CloseCode, CloseEvent, Initiator};
pub use config::Config;
pub use error::{
    Error, Failure, IntoOutcome, Outcome, RecvError, Refusal, SendError, SendErrorKind, Timeout,
    WaitError,
};
pub use message::{Message, Text};
