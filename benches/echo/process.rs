//! A server in a process of its own, and what it uses.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs, process, thread};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::servers::{OTHERS, SERVERS};

/// The argument that makes this program one of its own servers.
pub(crate) const SERVE: &str = "--serve";

/// An echo server that can be run by name.
pub(crate) struct EchoServer {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// Serves for as long as the process lives, and calls [`announce`] as soon as it listens.
    pub(crate) serve: fn() -> Result<(), Box<dyn Error>>,
}

/// Where the load and a server run.
#[derive(Clone, Copy)]
pub(crate) enum Cpus {
    /// Both on the same CPU.
    One,
    /// Wherever the scheduler puts them.
    All,
}

impl Cpus {
    /// Moves the calling thread there, and with it every process that it starts from now on.
    pub(crate) fn settle(self, allowed: &CpuSet) -> io::Result<()> {
        let mut cpus = *allowed;
        if let Self::One = self {
            let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| allowed.is_set(cpu));
            cpus.clear();
            cpus.set(last.unwrap_or_default());
        }
        Ok(sched_setaffinity(None, &cpus)?)
    }
}

/// A running server; dropping it ends it.
pub(crate) struct ServerProcess {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl ServerProcess {
    pub(crate) fn start(server: &EchoServer) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(env::current_exe()?)
            .args([SERVE, server.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut address)?;
        }
        Ok(Self {
            child,
            address: address.trim().parse()?,
        })
    }

    /// Reads what all threads of the server have used so far. Exact while they sleep.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        let mut total = Usage::default();
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = Usage::of_task(&task?.path())?;
            total.cpu_ns += task.cpu_ns;
            total.switches += task.switches;
        }
        Ok(total)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Processor time and context switches since the beginning.
#[derive(Default)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    pub(crate) switches: u64,
}

impl Usage {
    /// Reads what the calling thread has used.
    pub(crate) fn of_this_thread() -> io::Result<Self> {
        Self::of_task(Path::new("/proc/thread-self"))
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

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_default()
}

/// Is the server of that name, inside the process that [`ServerProcess::start`] made.
pub(crate) fn serve(name: &str) -> Result<(), Box<dyn Error>> {
    let server = SERVERS
        .iter()
        .chain(OTHERS)
        .find(|server| server.name == name)
        .ok_or("no such server")?;
    thread::Builder::new().spawn(end_with_the_load)?;
    (server.serve)()
}

/// Tells the process that makes the load where this one serves.
pub(crate) fn announce(address: impl Display) {
    println!("{address}");
}

/// Ends this process when the one that makes the load is gone, however that ended.
fn end_with_the_load() {
    drop(io::stdin().read_to_end(&mut Vec::new()));
    process::exit(0);
}
