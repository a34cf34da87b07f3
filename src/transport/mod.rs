//! The operating system's side: sockets, waiting for them, and reaching an address.
//!
//! Everything that differs between operating systems stands in this folder.

mod dial;
mod limits;
mod listener;
mod lookup;
mod poller;
mod readiness;
mod socket;
mod stream_socket;
mod tls;
mod wake;

pub(crate) use dial::dial;
pub(crate) use limits::max_connections;
pub(crate) use listener::Listener;
pub(crate) use lookup::look_up;
pub(crate) use poller::Poller;
#[cfg(test)]
pub(crate) use poller::tests::{Deaf, cpu_time};
use readiness::poll_all;
pub(crate) use readiness::{Interest, Ready};
pub(crate) use socket::{Socket, wants_input};
pub(crate) use tls::{Acceptor, Connector, NativeAcceptor, NativeConnector};
pub(crate) use wake::Wake;
