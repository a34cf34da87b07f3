//! A process of its own for each that is compared.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::{env, process, thread};

/// The argument that makes a bench one of its own programs.
const SERVE: &str = "--serve";

/// A server, or a client that serves its load, which can be run by name.
pub(crate) struct Program {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// Serves for as long as the process lives, and calls [`announce`] as soon as it listens.
    pub(crate) serve: fn() -> Result<(), Box<dyn Error>>,
}

/// A running program; dropping it ends it.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    pub(crate) fn start(program: &Program) -> Result<Self, Box<dyn Error>> {
        Self::start_by(Command::new(env::current_exe()?), program)
    }

    /// Starts a program by a command that runs this bench.
    pub(crate) fn start_by(
        mut command: Command,
        program: &Program,
    ) -> Result<Self, Box<dyn Error>> {
        let mut child = command
            .args([SERVE, program.name])
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
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Is one of the programs, and returns no more, inside the process that [`Process::start`] made.
pub(crate) fn serve_if_asked<'a>(
    programs: impl IntoIterator<Item = &'a Program>,
) -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    if args.next().as_deref() != Some(SERVE) {
        return Ok(());
    }
    let name = args.next().ok_or("which program?")?;
    let program = programs.into_iter().find(|program| program.name == name);
    thread::Builder::new().spawn(end_with_the_load)?;
    (program.ok_or("no such program")?.serve)()?;
    process::exit(0);
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
