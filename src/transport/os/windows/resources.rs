//! What the system allows a process.

/// The limits of this process's resources, as far as there are any.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::transport) struct Resources {
    pub(in crate::transport) descriptors: Option<u64>,
    pub(in crate::transport) threads: Option<u64>,
    /// The bytes of address space that the process was given.
    pub(in crate::transport) address_space: Option<u64>,
}

/// The ports of the dynamic range, as Windows comes: from 49,152 on. Each stream's alarm takes one.
const DYNAMIC_PORTS: u64 = 16_384;

impl Resources {
    /// Returns what is known of each Windows. Allocates nothing.
    pub(in crate::transport) fn find() -> Self {
        Self {
            descriptors: Some(DYNAMIC_PORTS),
            ..Self::default()
        }
    }
}
