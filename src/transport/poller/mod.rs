//! Waiting for many sockets at once, each under a key.
//!
//! Linux keeps the set in the kernel, elsewhere every wait hands it over anew. Both are tested
//! wherever both can be had, so that the one that is used less stays true.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod poll;
#[cfg(test)]
pub(crate) mod tests;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use epoll::Poller;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use poll::Poller;
