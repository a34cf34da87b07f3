//! The operating system's side: sockets, waiting for them, and reaching an address.
//!
//! All code that differs between operating systems is in this folder.

mod address_space;
mod cgroups;
mod dial;
mod limits;
mod link;
mod listener;
mod lookup;
mod poller;
mod readiness;
mod socket;
mod stream_socket;
mod tls;
mod unix;
mod wake;

use std::fs;
use std::path::Path;

pub(crate) use address_space::AddressSpace;
pub(crate) use dial::dial;
pub(crate) use limits::Limits;
pub(crate) use listener::{AcceptError, ListenOptions, Listener, Place};
pub(crate) use lookup::{is_own_name, look_up, look_up_zone};
pub(crate) use poller::Poller;
#[cfg(test)]
pub(crate) use poller::tests::{Deaf, cpu_time};
use readiness::poll_all;
pub(crate) use readiness::{Interest, Ready};
pub(crate) use socket::{SILENCE, Socket, wants_input};
pub(crate) use tls::{Acceptor, Connector, NativeAcceptor, NativeConnector};
pub(crate) use unix::{dial_unix, is_socket_path};
pub(crate) use wake::Wake;

/// Reads a file of the system that holds a number. Returns `None` if there is no such file, or if
/// it says that there is no limit.
fn read_number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
