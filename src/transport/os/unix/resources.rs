//! What the system allows a process, as far as it sets a limit.

use rustix::process::{Resource, getrlimit};

/// Returns the number of descriptors.
pub(in crate::transport) fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Returns the number of threads of this user.
pub(in crate::transport) fn thread_limit() -> Option<u64> {
    getrlimit(Resource::Nproc).current
}

/// Returns the bytes of address space. Allocates nothing.
pub(in crate::transport) fn address_space_limit() -> Option<u64> {
    let set = getrlimit(Resource::As).current;
    REACH.map_or(set, |reach| Some(set.map_or(reach, |set| set.min(reach))))
}

/// The bytes of address space that a pointer reaches, where that is less than any machine has: systems
/// leave programs three of four GiB, and two on MIPS.
const REACH: Option<u64> = match (usize::BITS, cfg!(target_arch = "mips")) {
    (64.., _) => None,
    (_, true) => Some(2 << 30),
    (_, false) => Some(3 << 30),
};
