//! `wss://` over real sockets: what holds without TLS holds with it, and who is not who the client
//! asked for gets nothing.

mod certificates;
#[cfg(target_os = "linux")]
mod danger;
#[cfg(target_os = "linux")]
mod files;
mod handshakes;
#[cfg(feature = "rustls")]
mod key_updates;
#[cfg(feature = "rustls")]
mod owed;
mod streams;
