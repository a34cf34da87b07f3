//! Joins the terminal, a TCP port and a WebSocket: `bridge URL [ADDR]`. Each line that is typed, or
//! that comes over TCP, goes to the WebSocket, and each of its messages to all of them. Ctrl-D ends it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "that is its output"
)]

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use std::{env, thread};

use crossbeam_channel::{Receiver, Sender, bounded, select};

fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: bridge URL [ADDR]")?;
    let address = env::args().nth(2);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"))?;
    eprintln!("listening on {}", listener.local_addr()?);
    let (ws, messages) = landline::open(url)?;
    let messages = messages.into_receiver(16);
    let (typing, typed) = bounded(16);
    thread::spawn(move || read_lines(io::stdin().lock(), &typing));
    let (sender, lines) = bounded(16);
    let newcomers = accept(listener, sender);
    let mut clients: Vec<TcpStream> = Vec::new();
    loop {
        select! {
            recv(typed) -> line => match line {
                Ok(line) => ws.send(line)?,
                Err(_) => break, // Ctrl-D
            },
            recv(lines) -> line => ws.send(line?)?,
            recv(newcomers) -> client => clients.push(client?),
            recv(messages) -> message => {
                let Ok(message) = message else { break };
                println!("{message}");
                // Whoever reads nothing for a second is left out from then on.
                clients.retain_mut(|client| writeln!(client, "{message}").is_ok());
            }
        }
    }
    ws.close();
    eprintln!("{}", ws.wait_closed()?);
    Ok(())
}

/// Hands out each client that connects, and sends its lines on.
fn accept(listener: TcpListener, sender: Sender<String>) -> Receiver<TcpStream> {
    let (coming, newcomers) = bounded(16);
    thread::spawn(move || -> io::Result<()> {
        for client in listener.incoming() {
            let (client, sender) = (client?, sender.clone());
            client.set_write_timeout(Some(Duration::from_secs(1)))?;
            let reading = BufReader::new(client.try_clone()?);
            if coming.send(client).is_err() {
                break;
            }
            thread::spawn(move || read_lines(reading, &sender));
        }
        Ok(())
    });
    newcomers
}

/// Sends lines on, as long as there are any and somebody takes them.
fn read_lines(from: impl BufRead, to: &Sender<String>) {
    let mut lines = from.lines().map_while(Result::ok);
    while lines.next().is_some_and(|line| to.send(line).is_ok()) {}
}
