//! How much the operating system allows this process.

use std::fmt;
use std::fs;

use super::cgroups::ControlGroups;
use super::os::{address_space_limit, descriptor_limit, thread_limit};
use super::read_number;

/// What the system allows this process, as far as it says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    descriptors: Option<u64>,
    threads: Option<u64>,
    maps: Option<u64>,
    /// The tasks of all processes in its control groups.
    pids: Option<u64>,
    /// The bytes of its address space.
    address_space: Option<u64>,
    /// The bytes of memory of its control groups.
    memory: Option<u64>,
    /// The bytes of memory of the machine.
    physical: Option<u64>,
}

/// The most refused connections that a server keeps for a moment.
const MOST_LINGERING: u64 = 64;

impl Limits {
    /// Asks the system.
    pub(crate) fn find() -> Self {
        let groups = ControlGroups::of_this_process();
        Self {
            descriptors: descriptor_limit(),
            threads: lowest([
                thread_limit(),
                system_number("kernel/threads-max"),
                system_number("kernel/pid_max"),
            ]),
            maps: system_number("vm/max_map_count"),
            pids: groups.lowest("pids", "pids.max", "pids.max"),
            address_space: address_space_limit(),
            // Version 1 says by a large number that there is no limit.
            memory: groups
                .lowest("memory", "memory.limit_in_bytes", "memory.max")
                .filter(|bytes| *bytes < 1 << 60),
            physical: physical_memory(),
        }
    }

    /// Returns 0.8 of the connections that the system has room for: a server refuses beyond it,
    /// instead of running into an abort. So many bytes of the address space are left to what peers make
    /// the process hold.
    pub(crate) fn max_connections(&self, budget: usize) -> usize {
        // A Rust thread takes four maps: its stack, the guard page, and the same for its signal stack
        // (rust-lang/rust#78497).
        let maps = self.maps.map(|maps| maps / 4);
        let left = self
            .address_space
            .map(|bytes| bytes.saturating_sub(budget as u64));
        let spaces = left.map(|bytes| bytes / CONNECTION);
        let lowest = lowest([self.descriptors, self.threads, maps, self.pids, spaces]);
        let connections = lowest.unwrap_or(u64::from(u32::MAX)) / 5 * 4;
        usize::try_from(connections).unwrap_or(usize::MAX).max(1)
    }

    /// Returns how many refused connections may have a descriptor beside the connections: well
    /// within the fifth of the descriptors that is left.
    pub(crate) fn max_lingering(&self) -> usize {
        let share = self.descriptors.map_or(MOST_LINGERING, |all| all / 16);
        share.clamp(1, MOST_LINGERING) as usize
    }
}

/// What a connection takes of the address space, in bytes: its thread's stack, the one for signals and
/// their guards, and what it may hold uncounted. What allocators take for threads is theirs to say:
/// see `held::space`.
const CONNECTION: u64 = (2 << 20) + (64 << 10) + (320 << 10);

impl Limits {
    /// Returns the bytes of memory that this process may have.
    pub(crate) fn memory(&self) -> Option<usize> {
        let least = lowest([self.address_space, self.memory, self.physical])?;
        Some(usize::try_from(least).unwrap_or(usize::MAX))
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = [
            ("descriptors", self.descriptors),
            ("threads", self.threads),
            ("memory maps", self.maps),
            ("tasks in the control groups", self.pids),
            ("bytes of address space", self.address_space),
            ("bytes of memory in the control groups", self.memory),
            ("bytes of memory in all", self.physical),
        ];
        for (number, (what, limit)) in found.into_iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            match limit {
                Some(limit) => write!(f, "{comma}{limit} {what}")?,
                None => write!(f, "{comma}unlimited {what}")?,
            }
        }
        Ok(())
    }
}

fn lowest<const N: usize>(limits: [Option<u64>; N]) -> Option<u64> {
    limits.into_iter().flatten().min()
}

/// Returns the bytes of memory that the machine has.
fn physical_memory() -> Option<u64> {
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    let mut lines = memory.lines();
    let total = lines.find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn system_number(name: &str) -> Option<u64> {
    read_number(format!("/proc/sys/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cap stays below the descriptors that the process may have, the lingering included.
    #[test]
    fn leaves_room_for_the_program() {
        let found = Limits::find();
        let descriptors = descriptor_limit().unwrap_or(u64::MAX);
        let taken = found.max_connections(0) + found.max_lingering();
        assert!((taken as u64) < descriptors, "{found}");
    }

    /// The lowest limit decides; where the system names none, a large number does.
    #[test]
    fn lowest_limit_decides() {
        let unlimited = Limits::default();
        assert!(unlimited.max_connections(0) > 1_000_000_000);
        assert_eq!(unlimited.max_lingering(), 64);
        for (limits, connections, lingering) in [
            (with(1_024, 30_000, 65_530, 30_000), 816, 64),
            (with(256, 30_000, 65_530, 30_000), 204, 16),
            (with(8, 30_000, 65_530, 30_000), 4, 1),
            (with(20_000, 500, 65_530, 30_000), 400, 64),
            (with(20_000, 30_000, 1_000, 30_000), 200, 64),
            (with(20_000, 30_000, 65_530, 100), 80, 64),
            (with(20_000, 30_000, 65_530, 1), 1, 64),
        ] {
            let found = (limits.max_connections(0), limits.max_lingering());
            assert_eq!(found, (connections, lingering), "{limits}");
        }
    }

    /// What was found is told in one line.
    #[test]
    fn limits_are_told() {
        let limits = Limits {
            pids: None,
            ..with(1_024, 500, 65_530, 0)
        };
        let told = "1024 descriptors, 500 threads, 65530 memory maps, \
            unlimited tasks in the control groups, unlimited bytes of address space, \
            unlimited bytes of memory in the control groups, unlimited bytes of memory in all";
        assert_eq!(limits.to_string(), told);
    }

    fn with(descriptors: u64, threads: u64, maps: u64, pids: u64) -> Limits {
        Limits {
            descriptors: Some(descriptors),
            threads: Some(threads),
            maps: Some(maps),
            pids: Some(pids),
            ..Limits::default()
        }
    }

    /// The stacks of the connections leave the budget its address space.
    #[test]
    fn budget_keeps_its_address_space() {
        let limits = Limits {
            address_space: Some(512 << 20),
            ..Limits::default()
        };
        assert_eq!(limits.max_connections(256 << 20), 84);
        assert_eq!(limits.max_connections(usize::MAX), 1);
    }

    /// The least of what bounds memory counts, and nothing allows more than the machine has.
    #[test]
    fn least_memory_counts() {
        let found = Limits::find();
        let memory = found.memory().map(|bytes| bytes as u64);
        assert!(memory <= found.physical, "{found}");
        // A 32-bit program cannot even address the memory of most machines.
        if cfg!(target_pointer_width = "32") {
            assert!(memory <= Some(3 << 30), "{found}");
            assert!(found.max_connections(1 << 30) < 1000, "{found}");
        }
        for (bounds, least) in [
            ([None, None, None], None),
            ([Some(3), None, Some(4)], Some(3)),
            ([Some(3), Some(2), Some(4)], Some(2)),
            ([None, None, Some(4)], Some(4)),
        ] {
            let [address_space, memory, physical] = bounds;
            let limits = Limits {
                address_space,
                memory,
                physical,
                ..Limits::default()
            };
            assert_eq!(limits.memory(), least, "{limits}");
        }
    }
}
