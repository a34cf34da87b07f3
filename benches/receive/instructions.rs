//! How many instructions a message costs.

use std::env;
use std::error::Error;
use std::io::Read;
use std::process::{Command, Stdio};

use crate::load::{Load, WORKLOADS};
use crate::servers::CLIENTS;
use crate::shared::comparison::Load as _;
use crate::shared::options::Options;
use crate::shared::process::{Process, Program};
use crate::shared::workload::Workload;

/// Bytes of payload that the longer run receives beyond the shorter one.
const MORE: usize = 16 << 20;
/// The least and the most messages beyond.
const MESSAGES: [usize; 2] = [2_000, 20_000];

/// Prints a line for each workload that is chosen, bit by bit: a number takes seconds.
pub(crate) fn print_counts(options: &Options) -> Result<(), Box<dyn Error>> {
    let name = options.value("--client").unwrap_or_default();
    let of_name = |client: &&Program| name.is_empty() || client.name == name;
    let clients: Vec<_> = CLIENTS.iter().filter(of_name).collect();
    let profile = options.value("--profile").unwrap_or("/dev/null");
    print!("{:<22}", "instructions a message");
    clients
        .iter()
        .for_each(|client| print!("{:>12}", client.name));
    println!();
    let workloads = options.choose(WORKLOADS, |workload| workload.name)?;
    let plain = |workload: &&Workload| !workload.name.starts_with("wss");
    for workload in workloads.into_iter().filter(plain) {
        print!("{:<22}", workload.name);
        for client in &clients {
            print!("{:>12}", instructions_a_message(client, workload, profile)?);
        }
        println!();
    }
    Ok(())
}

fn instructions_a_message(
    client: &Program,
    workload: &Workload,
    profile: &str,
) -> Result<u64, Box<dyn Error>> {
    let few = (MORE / workload.size).clamp(MESSAGES[0], MESSAGES[1]);
    let less = count(client, workload, few, profile)?;
    let more = count(client, workload, 2 * few, profile)?;
    Ok(more.saturating_sub(less) / few as u64)
}

/// Counts the instructions of a client process that receives so many messages.
fn count(
    client: &Program,
    workload: &Workload,
    messages: usize,
    profile: &str,
) -> Result<u64, Box<dyn Error>> {
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={profile}"))
        .arg(env::current_exe()?)
        .stderr(Stdio::piped());
    let mut process = Process::start_by(command, client)?;
    let mut load = Load::connect(workload, process.address)?;
    load.feed(messages)?;
    // The process ends with its standard input, before the feed does.
    drop(process.child.stdin.take());
    let mut report = String::new();
    if let Some(mut stderr) = process.child.stderr.take() {
        stderr.read_to_string(&mut report)?;
    }
    let count = report
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, count) = count.ok_or(format!("valgrind says no count: {report}"))?;
    Ok(count.trim().parse()?)
}
