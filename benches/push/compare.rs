//! The comparison: turns and the table.

use std::env;
use std::error::Error;
use std::process;
use std::time::{Duration, Instant};

use crate::clients::{CLIENTS, Client, Push, TOGETHER};
use crate::process::{SERVE, ServerProcess, Usage, serve};
use crate::servers::SERVERS;

/// Bytes of payload in a message.
const SIZES: [usize; 5] = [32, 1 << 10, 16 << 10, 64 << 10, 1 << 20];

const WINDOW: Duration = Duration::from_millis(60);

/// One window of one client.
#[derive(Clone, Copy)]
struct Window {
    /// Messages a second.
    rate: f64,
    /// Processor time of the client a message, in microseconds.
    cpu: f64,
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_args()?;
    if let Some(server) = &options.serve {
        return serve(server);
    }
    let chosen = |client: &&Client| client.name.contains(&options.only);
    let clients: Vec<_> = CLIENTS.iter().filter(chosen).collect();
    let peer = ServerProcess::start(&SERVERS[0])?;
    let sizes = SIZES.into_iter().filter(|size| options.has(*size));
    for size in sizes {
        let connect = |client: &&Client| (client.connect)(peer.address, size);
        let mut pushes = clients.iter().map(connect).collect::<Result<Vec<_>, _>>()?;
        if let Some(messages) = options.messages {
            for push in &mut pushes {
                push(messages)?;
            }
            // Without the ends, which cost more than many messages.
            drop(peer);
            process::exit(0);
        }
        let windows = take_turns(&mut pushes, size, &options)?;
        print_table(size, &clients, &windows);
    }
    Ok(())
}

struct Options {
    serve: Option<String>,
    only: String,
    size: Option<usize>,
    messages: Option<usize>,
    windows: usize,
    length: Duration,
}

impl Options {
    fn from_args() -> Result<Self, Box<dyn Error>> {
        let measured = env::args().any(|arg| arg == "--bench");
        let mut options = Self {
            serve: None,
            only: String::new(),
            size: None,
            messages: None,
            windows: if measured { 30 } else { 1 },
            length: if measured { WINDOW } else { WINDOW / 20 },
        };
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} wants a value"));
            match arg.as_str() {
                SERVE => options.serve = Some(value()?),
                "--only" => options.only = value()?,
                "--size" => options.size = Some(value()?.parse()?),
                "--messages" => options.messages = Some(value()?.parse()?),
                "--windows" => options.windows = value()?.parse::<usize>()?.max(1),
                "--bench" => {}
                // What cargo tells every test binary, filters included, is not for this one.
                _ if !measured => {}
                _ => {
                    let known = "--only <word>, --size, --messages and --windows <count>";
                    return Err(format!("unknown argument {arg}: there are {known}").into());
                }
            }
        }
        Ok(options)
    }

    fn has(&self, size: usize) -> bool {
        self.size.is_none_or(|only| only == size)
    }
}

/// Measures the clients in turn; the result has one list a client.
fn take_turns(
    pushes: &mut [Push],
    size: usize,
    options: &Options,
) -> Result<Vec<Vec<Window>>, Box<dyn Error>> {
    // Time is asked for as seldom as that a window is not much longer than it should be.
    let step = TOGETHER * (64_usize << 10).div_ceil(size * TOGETHER);
    for push in pushes.iter_mut() {
        measure(push, step, options.length)?;
    }
    let mut windows: Vec<_> = pushes.iter().map(|_| Vec::new()).collect();
    for round in 0..options.windows {
        for turn in 0..pushes.len() {
            // Everyone comes after everyone else, so that nobody always inherits the same caches.
            let index = (round + turn) % pushes.len();
            windows[index].push(measure(&mut pushes[index], step, options.length)?);
        }
    }
    Ok(windows)
}

fn measure(push: &mut Push, step: usize, length: Duration) -> Result<Window, Box<dyn Error>> {
    let before = Usage::of_this_thread()?;
    let begin = Instant::now();
    let mut messages = 0;
    while begin.elapsed() < length {
        push(step)?;
        messages += step;
    }
    let took = begin.elapsed();
    let used = Usage::of_this_thread()?.cpu_ns - before.cpu_ns;
    Ok(Window {
        rate: messages as f64 / took.as_secs_f64(),
        cpu: used as f64 / 1e3 / messages as f64,
    })
}

/// Prints a line a client. Pairs are the best window's and the median's, held against each client
/// before.
fn print_table(size: usize, clients: &[&Client], windows: &[Vec<Window>]) {
    println!("\n{size} B");
    print!("{:<18} {:>10} {:>10}", "", "best/s", "median/s");
    for client in clients.iter().rev().skip(1).rev() {
        print!("  {:>20}", format!("of {}", client.name));
    }
    println!("  {:>9}", "us CPU");
    for (index, client) in clients.iter().enumerate() {
        let rate = |windows: &[Window]| (best(windows), median(windows, |window| window.rate));
        let own = rate(&windows[index]);
        print!("{:<18} {:>10.0} {:>10.0}", client.name, own.0, own.1);
        for other in &windows[..clients.len() - 1] {
            let other = rate(other);
            let pair = format!("{:.2}  {:.2}", own.0 / other.0, own.1 / other.1);
            print!("  {pair:>20}");
        }
        println!("  {:>9.3}", median(&windows[index], |window| window.cpu));
    }
}

fn best(windows: &[Window]) -> f64 {
    windows.iter().map(|window| window.rate).fold(0.0, f64::max)
}

fn median(windows: &[Window], value: fn(&Window) -> f64) -> f64 {
    let mut values: Vec<_> = windows.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
