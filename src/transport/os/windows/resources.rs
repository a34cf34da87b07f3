//! What the system allows a process, as far as it sets a limit.

/// Returns the number of ports in the dynamic range, as Windows comes: from 49,152 on. Each stream's
/// alarm takes one. Handles as such are not limited.
pub(in crate::transport) fn descriptor_limit() -> Option<u64> {
    Some(16_384)
}

/// Returns `None`: memory alone limits threads.
pub(in crate::transport) fn thread_limit() -> Option<u64> {
    None
}

/// Returns the bytes of address space that a pointer reaches, where that is less than any machine has:
/// the system leaves programs two of four GiB. Allocates nothing.
pub(in crate::transport) fn address_space_limit() -> Option<u64> {
    (usize::BITS < 64).then_some(2 << 30)
}
