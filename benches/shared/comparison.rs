//! The comparison of programs under load.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::thread::sched_getaffinity;

use crate::shared::options::Options;
use crate::shared::process::{Process, Program};
use crate::shared::table::{self, CPU, Column, median};
use crate::shared::usage::Usage;
use crate::shared::window::{Window, take_turns};
use crate::shared::workload::Workload;

/// What keeps a program busy.
pub(crate) trait Load: Sized {
    /// Connects, and sees that what comes is right.
    fn connect(workload: &Workload, program: SocketAddr) -> Result<Self, Box<dyn Error>>;

    /// Keeps the program busy for as long as `length`, then waits for all that is still to come.
    ///
    /// Returns how many messages that were and how long it took.
    fn run(&mut self, length: Duration) -> io::Result<(usize, Duration)>;
}

const COLUMNS: [Column; 3] = [
    CPU,
    Column {
        head: "switches",
        cell: |windows| {
            let switches = |window: &Window| window.used.switches as f64 / window.count as f64;
            format!("{:.3}", median(windows, switches))
        },
    },
    Column {
        head: "load",
        cell: |windows| {
            let share = |window: &Window| window.load.cpu_ns as f64 / window.took.as_nanos() as f64;
            format!("{:.0}%", median(windows, share) * 100.0)
        },
    },
];

/// Prints a table for each workload that is chosen.
pub(crate) fn compare<L: Load>(
    programs: &[Program],
    workloads: &'static [Workload],
    options: &Options,
) -> Result<(), Box<dyn Error>> {
    let allowed = sched_getaffinity(None)?;
    let names: Vec<_> = programs.iter().map(|program| program.name).collect();
    for workload in options.choose(workloads, |workload| workload.name)? {
        workload.cpus.settle(&allowed)?;
        let processes = programs.iter().map(Process::start);
        let processes = processes.collect::<Result<Vec<_>, _>>()?;
        let mut pairs = Vec::new();
        for (process, name) in processes.iter().zip(&names) {
            let load = L::connect(workload, process.address);
            let load = load.map_err(|error| format!("{name}: {error}"))?;
            pairs.push((load, process, name));
        }
        let length = options.window(workload.window);
        let windows = take_turns(&mut pairs, options.windows, |(load, process, name)| {
            let usage = || Usage::of_threads(process.child.id());
            let window = Window::measure(usage, || Ok(load.run(length)?));
            window.map_err(|error| format!("{name}: {error}").into())
        })?;
        table::print(workload.name, &names, &windows, &COLUMNS);
    }
    Ok(())
}
