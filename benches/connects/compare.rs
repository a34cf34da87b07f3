//! The comparison: turns and the tables.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::process;
use std::time::{Duration, Instant};

use crate::clients::{
    Connect, connect_by_landline, connect_by_tungstenite, connect_raw, open_by_landline,
};
use crate::process::{EchoServer, SERVE, ServerProcess, serve};
use crate::servers::{LANDLINE, TUNGSTENITE};

/// A client and a server, one of which is compared.
struct Pair {
    /// What the table calls the compared one.
    name: &'static str,
    connect: Connect,
    server: EchoServer,
    is_server: bool,
}

/// The first of each table is what the others are held against.
const TABLES: [&[Pair]; 2] = [
    &[
        Pair {
            name: "server tungstenite",
            connect: connect_raw,
            server: TUNGSTENITE,
            is_server: true,
        },
        Pair {
            name: "server landline",
            connect: connect_raw,
            server: LANDLINE,
            is_server: true,
        },
    ],
    &[
        Pair {
            name: "client tungstenite",
            connect: connect_by_tungstenite,
            server: TUNGSTENITE,
            is_server: false,
        },
        Pair {
            name: "client landline",
            connect: connect_by_landline,
            server: TUNGSTENITE,
            is_server: false,
        },
        Pair {
            name: "client landline-open",
            connect: open_by_landline,
            server: TUNGSTENITE,
            is_server: false,
        },
    ],
];

const WINDOW: Duration = Duration::from_millis(60);

/// The system counts processor time in hundredths of a second.
const TICK_US: f64 = 10_000.0;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_args()?;
    if let Some(server) = &options.serve {
        return serve(server);
    }
    for table in TABLES {
        let chosen = |pair: &&Pair| pair.name.contains(&options.only);
        let mut lines = table
            .iter()
            .filter(chosen)
            .map(Line::start)
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(connections) = options.connections {
            for line in &lines {
                (0..connections).try_for_each(|_| line.connect())?;
            }
            continue;
        }
        take_turns(&mut lines, &options)?;
        print_table(&lines);
    }
    Ok(())
}

struct Options {
    serve: Option<String>,
    only: String,
    connections: Option<usize>,
    windows: usize,
    length: Duration,
}

impl Options {
    fn from_args() -> Result<Self, Box<dyn Error>> {
        let measured = env::args().any(|arg| arg == "--bench");
        let mut options = Self {
            serve: None,
            only: String::new(),
            connections: None,
            windows: if measured { 40 } else { 1 },
            length: if measured { WINDOW } else { WINDOW / 20 },
        };
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} wants a value"));
            match arg.as_str() {
                SERVE => options.serve = Some(value()?),
                "--only" => options.only = value()?,
                "--connections" => options.connections = Some(value()?.parse()?),
                "--windows" => options.windows = value()?.parse::<usize>()?.max(1),
                "--bench" => {}
                // What cargo tells every test binary, filters included, is not for this one.
                _ if !measured => {}
                _ => {
                    let known = "--only <words>, --connections and --windows <count>";
                    return Err(format!("unknown argument {arg}: there are {known}").into());
                }
            }
        }
        Ok(options)
    }
}

/// A line of a table: what is measured of a pair.
struct Line {
    pair: &'static Pair,
    server: ServerProcess,
    /// Connections a second, of each window.
    rates: Vec<f64>,
    connections: usize,
    /// Processor time of the compared side.
    ticks: u64,
}

impl Line {
    fn start(pair: &'static Pair) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            pair,
            server: ServerProcess::start(&pair.server)?,
            rates: Vec::new(),
            connections: 0,
            ticks: 0,
        })
    }

    fn connect(&self) -> Result<(), Box<dyn Error>> {
        (self.pair.connect)(self.server.address)
    }

    fn measure(&mut self, length: Duration) -> Result<(), Box<dyn Error>> {
        let before = self.ticks_used()?;
        let begin = Instant::now();
        let mut connections = 0;
        while begin.elapsed() < length {
            self.connect()?;
            connections += 1;
        }
        self.rates
            .push(connections as f64 / begin.elapsed().as_secs_f64());
        self.connections += connections;
        self.ticks += self.ticks_used()? - before;
        Ok(())
    }

    /// Reads what the compared side has used so far, with the threads that have ended.
    fn ticks_used(&self) -> io::Result<u64> {
        let process = if self.pair.is_server {
            self.server.child.id()
        } else {
            process::id()
        };
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // Behind the name, which may hold anything, the 12th and 13th say user's and system's time.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let times = fields.split_whitespace().skip(11).take(2);
        Ok(times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum())
    }

    fn best(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }

    fn median(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }

    fn cpu_us(&self) -> f64 {
        self.ticks as f64 * TICK_US / self.connections as f64
    }
}

fn take_turns(lines: &mut [Line], options: &Options) -> Result<(), Box<dyn Error>> {
    for line in lines.iter() {
        line.connect()?;
    }
    let count = lines.len();
    for round in 0..options.windows {
        for turn in 0..count {
            // Everyone comes after everyone else, so that nobody always inherits the same caches.
            lines[(round + turn) % count].measure(options.length)?;
        }
    }
    Ok(())
}

/// Prints a line a pair. Ratios are the best window's and the median's, to those of the first line.
fn print_table(lines: &[Line]) {
    let Some(first) = lines.first() else {
        return;
    };
    let reference = format!("of {}", first.pair.name);
    println!(
        "\n{:<20} {:>8} {:>9}  {reference:>21}  {:>7}",
        "", "best/s", "median/s", "us CPU"
    );
    for line in lines {
        let (best, median) = (line.best(), line.median());
        let ratios = format!("{:.2}  {:.2}", best / first.best(), median / first.median());
        println!(
            "{:<20} {best:>8.0} {median:>9.0}  {ratios:>21}  {:>7.1}",
            line.pair.name,
            line.cpu_us()
        );
    }
}
