//! `wss://` over real sockets: what holds without TLS holds with it, and who is not who the client
//! asked for gets nothing.

mod certificates;
mod handshakes;
#[cfg(feature = "rustls")]
mod owed;
mod streams;
