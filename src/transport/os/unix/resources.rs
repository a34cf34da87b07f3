//! What the system allows a process.

use rustix::process::{Resource, getrlimit};

/// The limits of this process's resources, as far as there are any.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::transport) struct Resources {
    pub(in crate::transport) descriptors: Option<u64>,
    pub(in crate::transport) threads: Option<u64>,
    /// The bytes of address space that the process was given.
    pub(in crate::transport) address_space: Option<u64>,
}

impl Resources {
    /// Asks the system. Allocates nothing.
    pub(in crate::transport) fn find() -> Self {
        Self {
            descriptors: getrlimit(Resource::Nofile).current,
            threads: getrlimit(Resource::Nproc).current,
            address_space: getrlimit(Resource::As).current,
        }
    }
}
