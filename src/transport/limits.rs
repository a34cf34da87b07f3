//! How much the operating system allows this process.

use std::fmt;

use rustix::process::{Resource, getrlimit};

use super::cgroups::ControlGroups;
use super::read_number;

/// What the system allows this process, as far as it says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    descriptors: Option<u64>,
    threads: Option<u64>,
    maps: Option<u64>,
    /// The tasks of all processes in its control groups.
    pids: Option<u64>,
}

/// The most refused connections that a server keeps for a moment.
const MOST_LINGERING: u64 = 64;

impl Limits {
    /// Asks the system.
    pub(crate) fn find() -> Self {
        Self {
            descriptors: getrlimit(Resource::Nofile).current,
            threads: lowest([
                getrlimit(Resource::Nproc).current,
                system_number("kernel/threads-max"),
                system_number("kernel/pid_max"),
            ]),
            maps: system_number("vm/max_map_count"),
            pids: ControlGroups::of_this_process().lowest("pids", "pids.max", "pids.max"),
        }
    }

    /// Returns 0.8 of the connections that the system has room for: a server refuses beyond it,
    /// instead of running into an abort.
    pub(crate) fn max_connections(&self) -> usize {
        // A Rust thread takes four maps: its stack, the guard page, and the same for its signal stack
        // (rust-lang/rust#78497).
        let maps = self.maps.map(|maps| maps / 4);
        let lowest = lowest([self.descriptors, self.threads, maps, self.pids]);
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

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = [
            ("descriptors", self.descriptors),
            ("threads", self.threads),
            ("memory maps", self.maps),
            ("tasks in the control groups", self.pids),
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
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let taken = found.max_connections() + found.max_lingering();
        assert!((taken as u64) < descriptors, "{found}");
    }

    /// The lowest limit decides; where the system names none, a large number does.
    #[test]
    fn lowest_limit_decides() {
        let unlimited = Limits::default();
        assert!(unlimited.max_connections() > 1_000_000_000);
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
            let found = (limits.max_connections(), limits.max_lingering());
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
            unlimited tasks in the control groups";
        assert_eq!(limits.to_string(), told);
    }

    fn with(descriptors: u64, threads: u64, maps: u64, pids: u64) -> Limits {
        Limits {
            descriptors: Some(descriptors),
            threads: Some(threads),
            maps: Some(maps),
            pids: Some(pids),
        }
    }
}
