//! Waiting for many sockets at once, each under a key.
//!
//! Linux keeps the set in the kernel. On other systems every wait passes it to the kernel. Both
//! versions are tested on every system that has both, so that the less used one stays right.

#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    any(test, not(landline_portable))
))]
mod kernel;
#[cfg(any(
    test,
    landline_portable,
    not(any(target_os = "linux", target_os = "android"))
))]
mod poll;
#[cfg(test)]
pub(crate) mod tests;

#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    not(landline_portable)
))]
pub(crate) use kernel::Poller;
#[cfg(any(
    landline_portable,
    not(any(target_os = "linux", target_os = "android"))
))]
pub(crate) use poll::Poller;
