//! How many instructions a message costs.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::load::{Load, WORKLOADS};
use crate::process::{EchoServer, SERVE};
use crate::servers::SERVERS;
use crate::workload::Workload;

/// Bytes of payload that the longer run receives beyond the shorter one.
const MORE: usize = 16 << 20;
/// The least and the most messages beyond.
const MESSAGES: [usize; 2] = [2_000, 20_000];

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let only = argument("--only").unwrap_or_default();
    print!("{:<22}", "instructions a message");
    SERVERS
        .iter()
        .for_each(|client| print!("{:>12}", client.name));
    println!();
    for workload in WORKLOADS
        .iter()
        .filter(|workload| workload.name.contains(&only) && !workload.name.starts_with("wss"))
    {
        print!("{:<22}", workload.name);
        for client in clients() {
            print!("{:>12}", instructions_a_message(client, workload)?);
        }
        println!();
    }
    Ok(())
}

/// Returns the one that `--client` names, or all.
fn clients() -> impl Iterator<Item = &'static EchoServer> {
    let name = argument("--client");
    SERVERS
        .iter()
        .filter(move |client| name.as_ref().is_none_or(|name| name == client.name))
}

fn argument(name: &str) -> Option<String> {
    env::args().skip_while(|arg| arg != name).nth(1)
}

fn instructions_a_message(client: &EchoServer, workload: &Workload) -> Result<u64, Box<dyn Error>> {
    let few = (MORE / workload.size).clamp(MESSAGES[0], MESSAGES[1]);
    let less = count(client, workload, few)?;
    let more = count(client, workload, 2 * few)?;
    Ok(more.saturating_sub(less) / few as u64)
}

/// Counts the instructions of a client process that receives so many messages.
fn count(client: &EchoServer, workload: &Workload, messages: usize) -> Result<u64, Box<dyn Error>> {
    let profile = argument("--profile").unwrap_or("/dev/null".to_owned());
    let mut child = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={profile}"))
        .arg(env::current_exe()?)
        .args([SERVE, client.name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut address)?;
    }
    let mut load = Load::connect(workload, address.trim().parse()?)?;
    load.feed(messages)?;
    // The process ends with its standard input, before the feed does.
    drop(child.stdin.take());
    let mut report = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut report)?;
    }
    child.wait()?;
    let count = report
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, count) = count.ok_or(format!("valgrind says no count: {report}"))?;
    Ok(count.trim().parse()?)
}
