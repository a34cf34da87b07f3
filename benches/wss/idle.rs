//! What a connection costs that does nothing.

use std::any::Any;
use std::error::Error;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;
use std::{fs, thread};

use crate::servers::{OTHERS, SERVERS};
use crate::shared::process::{Process, Program};
use crate::shared::stream::{open, upgrade};
use crate::shared::workload::PING_PONG;
use crate::tls::open_tls;

const CONNECTIONS: usize = 500;
/// So many come before, so that what they share is there already.
const EARLIER: usize = 16;

pub(crate) fn print_costs() -> Result<(), Box<dyn Error>> {
    println!("KiB of resident memory for each of {CONNECTIONS} idle connections");
    for server in OTHERS.iter().chain(SERVERS) {
        println!("{:<12} {:>6.1}", server.name, cost(server)?);
    }
    Ok(())
}

fn cost(server: &Program) -> Result<f64, Box<dyn Error>> {
    let process = Process::start(server)?;
    let is_plain = server.name.ends_with(" ws");
    let _earlier = connect(EARLIER, is_plain, process.address)?;
    let before = resident_kib(&process)?;
    let _connections = connect(CONNECTIONS, is_plain, process.address)?;
    let after = resident_kib(&process)?;
    Ok(after.saturating_sub(before) as f64 / CONNECTIONS as f64)
}

/// Opens so many connections on which one message has been echoed.
fn connect(
    count: usize,
    is_plain: bool,
    server: SocketAddr,
) -> Result<Vec<Box<dyn Any>>, Box<dyn Error>> {
    let connect = |_| -> Result<Box<dyn Any>, Box<dyn Error>> {
        let stream = open(server)?;
        if is_plain {
            Ok(Box::new(echo_once(stream)?))
        } else {
            Ok(Box::new(echo_once(open_tls(stream)?)?))
        }
    };
    (0..count).map(connect).collect()
}

fn echo_once<S: Read + Write>(stream: S) -> Result<S, Box<dyn Error>> {
    let mut stream = upgrade(stream)?.into_inner();
    stream.write_all(&PING_PONG.masked_frame())?;
    stream.read_exact(&mut PING_PONG.echoed_frame())?;
    Ok(stream)
}

fn resident_kib(process: &Process) -> Result<usize, Box<dyn Error>> {
    // The last echo has come; its thread has still to lie down.
    thread::sleep(Duration::from_millis(200));
    let status = fs::read_to_string(format!("/proc/{}/status", process.child.id()))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.ok_or("no VmRSS")?.trim().trim_end_matches(" kB");
    Ok(resident.parse()?)
}
