//! How much of its address space a process has left, where that is bounded.

use std::fs::File;
use std::io::{ErrorKind, Read};

use super::os::address_space_limit;

/// The free part of a process's bounded address space (`RLIMIT_AS`, or the width of its pointers), and its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressSpace {
    /// The bytes that are left.
    pub(crate) free: usize,
    pub(crate) threads: usize,
}

impl AddressSpace {
    /// Asks the system. Returns `None` if it sets no bound, or does not report the used part. Allocates
    /// nothing.
    pub(crate) fn of_this_process() -> Option<Self> {
        let limit = address_space_limit()?;
        let mut stat = [0; 1024];
        match File::open("/proc/self/stat").and_then(|mut file| file.read(&mut stat)) {
            Ok(length) => Self::parse(&stat[..length], limit),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            // A process without a descriptor left counts as one without room for more memory.
            Err(_) => Some(Self {
                free: 0,
                threads: 0,
            }),
        }
    }

    /// Reads a `/proc/PID/stat`: see proc(5).
    fn parse(stat: &[u8], limit: u64) -> Option<Self> {
        // The second field is the program's name, and may hold anything.
        let name_end = stat.iter().rposition(|byte| *byte == b')')?;
        let fields = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
        let mut fields = fields.split_ascii_whitespace().skip(THREADS - 3);
        let threads = fields.next()?.parse().ok()?;
        let size: u64 = fields.nth(SIZE - THREADS - 1)?.parse().ok()?;
        let free = limit.saturating_sub(size);
        Some(Self {
            free: usize::try_from(free).unwrap_or(usize::MAX),
            threads,
        })
    }
}

/// The numbers of the fields that tell the threads and the bytes of the address space, from 1.
const THREADS: usize = 20;
const SIZE: usize = 23;

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields are found behind a name that looks like some.
    #[test]
    fn fields_are_found() {
        let stat =
            b"7 (a) 1 (b) S 1 7 7 0 -1 4194560 97 0 0 0 0 1 0 0 20 0 12 0 433 7000000 204 1844\n";
        let expected = AddressSpace {
            free: 1_000_000,
            threads: 12,
        };
        assert_eq!(AddressSpace::parse(stat, 8_000_000), Some(expected));
        let used_up = AddressSpace {
            free: 0,
            ..expected
        };
        assert_eq!(AddressSpace::parse(stat, 6_000_000), Some(used_up));
        for malformed in ["", "7 (a", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4194560 97"] {
            assert_eq!(AddressSpace::parse(malformed.as_bytes(), 8), None);
        }
    }
}
