//! Waiting for many sockets at once, each under a key.
//!
//! Linux keeps the set in the kernel. On other systems every wait passes it to the kernel. Both
//! versions are tested on every system that has both, so that the less used one stays right.

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
