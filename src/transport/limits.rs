//! How many connections the operating system allows.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Returns 0.8 of what descriptors, threads and memory maps allow this process: a server refuses
/// beyond it, instead of running into an abort.
pub(crate) fn max_connections() -> usize {
    // A Rust thread takes four maps: its stack, the guard page, and the same for its signal stack
    // (rust-lang/rust#78497).
    let maps = system_number("vm/max_map_count").map(|maps| maps / 4);
    let ceilings = [
        getrlimit(Resource::Nofile).current,
        getrlimit(Resource::Nproc).current,
        system_number("kernel/threads-max"),
        system_number("kernel/pid_max"),
        cgroup_pids(),
        maps,
    ];
    let lowest = ceilings
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(u64::from(u32::MAX));
    usize::try_from(lowest / 5 * 4).unwrap_or(usize::MAX).max(1)
}

fn system_number(name: &str) -> Option<u64> {
    number_in(&format!("/proc/sys/{name}"))
}

/// Returns the lowest number of tasks that this process's control group (version 2) or one above it
/// allows.
fn cgroup_pids() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let ancestors = std::path::Path::new(path).ancestors();
    ancestors
        .filter_map(|group| number_in(&format!("/sys/fs/cgroup/{}/pids.max", group.display())))
        .min()
}

/// Reads a file that holds a number; `None` where there is no such file, or it says "max".
fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cap stays below the descriptors that the process may have.
    #[test]
    fn leaves_room_for_the_program() {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!((max_connections() as u64) < descriptors);
    }
}
