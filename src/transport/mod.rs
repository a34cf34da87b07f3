//! The operating system's side: sockets, waiting for them, and reaching an address.
//!
//! All that differs between operating systems is in `os`.

mod address_space;
mod cgroups;
mod dial;
mod limits;
mod link;
mod listener;
mod lookup;
mod os;
mod poller;
mod socket;
mod stream_socket;
mod tls;
mod unix;

use std::fs;
use std::path::Path;

pub(crate) use address_space::AddressSpace;
pub(crate) use dial::dial;
pub(crate) use limits::Limits;
pub(crate) use listener::{AcceptError, ListenOptions, Listener, Place};
pub(crate) use lookup::{is_own_name, look_up, look_up_zone};
pub(crate) use os::{Interest, OwnedFd, Ready, Wake, pair, path_of};
pub(crate) use poller::Poller;
#[cfg(test)]
pub(crate) use poller::tests::Deaf;
#[cfg(all(
    test,
    any(target_os = "linux", target_os = "android"),
    not(landline_portable)
))]
pub(crate) use poller::tests::cpu_time;
pub(crate) use socket::{SILENCE, Socket, wants_input};
pub(crate) use tls::{Acceptor, Connector, NativeAcceptor, NativeConnector};
pub(crate) use unix::{dial_unix, is_socket_path};

/// Reads a file of the system that holds a number. Returns `None` if there is no such file, or if
/// it says that there is no limit.
fn read_number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
