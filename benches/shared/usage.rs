//! What a thread or a process uses.

use std::ops::{AddAssign, Sub};
use std::path::Path;
use std::{fs, io};

/// Processor time and context switches since the beginning.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    pub(crate) switches: u64,
}

impl Usage {
    /// Reads what the calling thread has used.
    pub(crate) fn of_this_thread() -> io::Result<Self> {
        Self::of_task(Path::new("/proc/thread-self"))
    }

    /// Reads what all threads of a process have used that are there now. Exact while they sleep.
    pub(crate) fn of_threads(process: u32) -> io::Result<Self> {
        let mut total = Self::default();
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            total += Self::of_task(&task?.path())?;
        }
        Ok(total)
    }

    fn of_task(task: &Path) -> io::Result<Self> {
        let schedstat = fs::read_to_string(task.join("schedstat"))?;
        let status = fs::read_to_string(task.join("status"))?;
        let switches = status
            .lines()
            .filter_map(|line| line.split_once("ctxt_switches:"));
        Ok(Self {
            cpu_ns: number(schedstat.split(' ').next().unwrap_or_default()),
            switches: switches.map(|(_, count)| number(count)).sum(),
        })
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cpu_ns += other.cpu_ns;
        self.switches += other.switches;
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            switches: self.switches.saturating_sub(earlier.switches),
        }
    }
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_default()
}
