//! The comparison of servers, and of clients.

use std::error::Error;
use std::time::Duration;
use std::{fs, io, process};

use crate::clients::{
    Connect, connect_by_landline, connect_by_tungstenite, connect_raw, open_by_landline,
};
use crate::servers::{LANDLINE, TUNGSTENITE};
use crate::shared::options::Options;
use crate::shared::process::{Process, Program};
use crate::shared::table::{self, Column};
use crate::shared::usage::Usage;
use crate::shared::window::{Window, repeat, take_turns};

/// A client and a server, one of which is compared.
struct Pair {
    /// What the table calls the compared one.
    name: &'static str,
    connect: Connect,
    server: &'static Program,
    is_server: bool,
}

const PAIRS: &[Pair] = &[
    Pair {
        name: "server tungstenite",
        connect: connect_raw,
        server: &TUNGSTENITE,
        is_server: true,
    },
    Pair {
        name: "server landline",
        connect: connect_raw,
        server: &LANDLINE,
        is_server: true,
    },
    Pair {
        name: "client tungstenite",
        connect: connect_by_tungstenite,
        server: &TUNGSTENITE,
        is_server: false,
    },
    Pair {
        name: "client landline",
        connect: connect_by_landline,
        server: &TUNGSTENITE,
        is_server: false,
    },
    Pair {
        name: "client landline-open",
        connect: open_by_landline,
        server: &TUNGSTENITE,
        is_server: false,
    },
];

const WINDOW: Duration = Duration::from_millis(60);

/// The system counts processor time in hundredths of a second.
const TICK_NS: u64 = 10_000_000;

/// The processor time of a connection, over all windows: a tick is too coarse for one.
const CPU: Column = Column {
    head: "us CPU",
    cell: |windows| {
        let cpu_ns: u64 = windows.iter().map(|window| window.used.cpu_ns).sum();
        let connections: usize = windows.iter().map(|window| window.count).sum();
        format!("{:.1}", cpu_ns as f64 / 1e3 / connections as f64)
    },
};

pub(crate) fn compare(options: &Options) -> Result<(), Box<dyn Error>> {
    let chosen = options.choose(PAIRS, |pair| pair.name)?;
    let (servers, clients): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|pair| pair.is_server);
    for (title, pairs) in [("servers", servers), ("clients", clients)] {
        let runs = pairs.iter().map(|pair| Run::start(pair));
        let mut runs = runs.collect::<Result<Vec<_>, _>>()?;
        if let Some(connections) = options.number("--connections")? {
            for run in &runs {
                (0..connections).try_for_each(|_| run.connect())?;
            }
        } else if !runs.is_empty() {
            let length = options.window(WINDOW);
            let windows = take_turns(&mut runs, options.windows, |run| run.measure(length))?;
            let names: Vec<_> = pairs.iter().map(|pair| pair.name).collect();
            table::print(title, &names, &windows, &[CPU]);
        }
    }
    Ok(())
}

/// A pair whose server runs.
struct Run {
    pair: &'static Pair,
    server: Process,
}

impl Run {
    fn start(pair: &'static Pair) -> Result<Self, Box<dyn Error>> {
        let server = Process::start(pair.server)?;
        Ok(Self { pair, server })
    }

    fn connect(&self) -> Result<(), Box<dyn Error>> {
        (self.pair.connect)(self.server.address)
    }

    fn measure(&self, length: Duration) -> Result<Window, Box<dyn Error>> {
        let connect = || self.connect().map(|()| 1);
        Window::measure(|| self.usage(), || repeat(length, connect))
    }

    /// Reads what the compared side has used so far, with the threads that have ended.
    fn usage(&self) -> io::Result<Usage> {
        let process = if self.pair.is_server {
            self.server.child.id()
        } else {
            process::id()
        };
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // Behind the name, which may hold anything, the 12th and 13th say user's and system's time.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let times = fields.split_whitespace().skip(11).take(2);
        let ticks = times.filter_map(|ticks| ticks.parse::<u64>().ok());
        Ok(Usage {
            cpu_ns: ticks.sum::<u64>() * TICK_NS,
            switches: 0,
        })
    }
}
