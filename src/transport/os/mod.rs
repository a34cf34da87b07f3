//! All that differs between operating systems. Each system has the same names.
//!
//! | system | its streams | a thread that waits is woken by |
//! |---|---|---|
//! | Linux, Android, FreeBSD | block in `recv`; sending has `MSG_DONTWAIT` (`unix/blocking`) | `shutdown` |
//! | other Unixes | are polled, then read (`unix/polled`) | `shutdown` |
//! | Windows | are polled, then read (`windows/`) | an alarm in each set that is polled |
//!
//! `--cfg landline_portable` has Linux do as other Unixes do, so that their way is tested too.

#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    any(test, not(landline_portable))
))]
mod kernel_set;
mod polling;
mod receiving;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    any(test, not(landline_portable))
))]
pub(super) use kernel_set::KernelSet;
pub(crate) use polling::{Interest, Ready};
pub(super) use polling::{Source, wait_for_any};
pub(super) use rustix::fd::AsFd;
pub(crate) use rustix::fd::OwnedFd;
pub(super) use system::{
    BACKLOG, SocketFile, Stream, accept_failure, address_space_limit, descriptor_limit,
    is_connecting, is_unknown_family, keep_to_this_process, listen_at_name, listen_at_path,
    listens, name_of_unix_socket, set_listening_options, thread_limit, unix_socket,
};
pub(crate) use system::{Wake, pair, path_of};

/// The kind of a failure to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptFailure {
    /// No connection waits to be accepted.
    NoConnection,
    /// One connection is lost.
    Newcomer,
    /// The listening socket can accept no more connections.
    Listener,
    /// The error concerns the process, the system, or an unknown cause, and may pass: for example, the
    /// descriptors or the memory are used up.
    System,
}
