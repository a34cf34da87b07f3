//! The comparison: turns and the table.

use std::env;
use std::error::Error;
use std::time::Duration;

use rustix::thread::sched_getaffinity;

use crate::load::{Load, WORKLOADS};
use crate::process::{SERVE, ServerProcess, Usage, serve};
use crate::servers::SERVERS;
use crate::workload::Workload;

/// One window of one server.
struct Window {
    /// Messages a second.
    rate: f64,
    /// Processor time of the server a message, in microseconds.
    cpu: f64,
    /// Context switches of the server a message.
    switches: f64,
    /// Share of the window for which the load ran.
    load: f64,
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_args()?;
    if let Some(server) = &options.serve {
        return serve(server);
    }
    let allowed = sched_getaffinity(None)?;
    let chosen = |workload: &&Workload| workload.name.contains(&options.only);
    if !WORKLOADS.iter().any(|workload| chosen(&workload)) {
        return Err(format!("no workload is called {:?}", options.only).into());
    }
    for workload in WORKLOADS.iter().filter(chosen) {
        workload.cpus.settle(&allowed)?;
        let servers = SERVERS
            .iter()
            .map(ServerProcess::start)
            .collect::<Result<Vec<_>, _>>()?;
        let windows = take_turns(workload, &servers, &options)?;
        print_table(workload, &windows);
    }
    Ok(())
}

struct Options {
    serve: Option<String>,
    only: String,
    windows: usize,
    /// Windows are this much shorter.
    hurry: u32,
}

impl Options {
    fn from_args() -> Result<Self, Box<dyn Error>> {
        let measured = env::args().any(|arg| arg == "--bench");
        let (windows, hurry) = if measured { (30, 1) } else { (1, 20) };
        let mut options = Self {
            serve: None,
            only: String::new(),
            windows,
            hurry,
        };
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} wants a value"));
            match arg.as_str() {
                SERVE => options.serve = Some(value()?),
                "--only" => options.only = value()?,
                "--windows" => options.windows = value()?.parse::<usize>()?.max(1),
                "--bench" => {}
                // What cargo tells every test binary, filters included, is not for this one.
                _ if !measured => {}
                _ => {
                    return Err(format!(
                        "unknown argument {arg}: there are --only <word> and --windows <count>"
                    )
                    .into());
                }
            }
        }
        Ok(options)
    }
}

/// Measures the servers in turn, each as often as the options say; the result has one list a server.
fn take_turns(
    workload: &Workload,
    servers: &[ServerProcess],
    options: &Options,
) -> Result<Vec<Vec<Window>>, Box<dyn Error>> {
    let connect = |server: &ServerProcess| Load::connect(workload, server.address);
    let mut loads = servers.iter().map(connect).collect::<Result<Vec<_>, _>>()?;
    let length = workload.window / options.hurry;
    for load in &mut loads {
        load.run(length)?;
    }
    let mut windows: Vec<_> = servers.iter().map(|_| Vec::new()).collect();
    for round in 0..options.windows {
        for turn in 0..servers.len() {
            // Everyone comes after everyone else, so that nobody always inherits the same caches.
            let index = (round + turn) % servers.len();
            windows[index].push(measure(&servers[index], &mut loads[index], length)?);
        }
    }
    Ok(windows)
}

fn measure(
    server: &ServerProcess,
    load: &mut Load,
    length: Duration,
) -> Result<Window, Box<dyn Error>> {
    let (load_before, before) = (Usage::of_this_thread()?, server.usage()?);
    let (messages, took) = load.run(length)?;
    let (load_after, after) = (Usage::of_this_thread()?, server.usage()?);
    let messages = messages as f64;
    Ok(Window {
        rate: messages / took.as_secs_f64(),
        cpu: after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / 1e3 / messages,
        switches: after.switches.saturating_sub(before.switches) as f64 / messages,
        load: load_after.cpu_ns.saturating_sub(load_before.cpu_ns) as f64 / took.as_nanos() as f64,
    })
}

/// Prints a line a server. Pairs are the best window's and the median's; the last server is held
/// against each of the others.
fn print_table(workload: &Workload, windows: &[Vec<Window>]) {
    let rates: Vec<_> = windows.iter().map(|windows| Rates::of(windows)).collect();
    let references = SERVERS.iter().zip(&rates).take(SERVERS.len() - 1);
    println!("\n{}", workload.name);
    print!("{:<12} {:>9} {:>9}", "", "best/s", "median/s");
    for (reference, _) in references.clone() {
        print!("  {:>14}", format!("of {}", reference.name));
    }
    println!("  {:>9} {:>12} {:>6}", "us CPU", "switches", "load");
    for ((server, windows), own) in SERVERS.iter().zip(windows).zip(&rates) {
        print!("{:<12} {:>9.0} {:>9.0}", server.name, own.best, own.median);
        for (_, reference) in references.clone() {
            print!("  {:>14}", own.relative_to(reference));
        }
        println!(
            "  {:>9.2} {:>12.3} {:>5.0}%",
            median(windows, |window| window.cpu),
            median(windows, |window| window.switches),
            median(windows, |window| window.load) * 100.0,
        );
    }
}

/// Messages a second over the windows of one server.
struct Rates {
    best: f64,
    median: f64,
}

impl Rates {
    fn of(windows: &[Window]) -> Self {
        let best = windows.iter().map(|window| window.rate).fold(0.0, f64::max);
        Self {
            best,
            median: median(windows, |window| window.rate),
        }
    }

    fn relative_to(&self, other: &Self) -> String {
        format!(
            "{:.2}  {:.2}",
            self.best / other.best,
            self.median / other.median
        )
    }
}

fn median(windows: &[Window], value: fn(&Window) -> f64) -> f64 {
    let mut values: Vec<_> = windows.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
