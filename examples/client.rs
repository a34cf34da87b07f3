//! Talks to a server from the terminal: `client URL`, or `client URL --cacert FILE` to trust the PEM
//! certificates in a file too.
//!
//! What you type goes out line by line, what comes in is printed, Ctrl-D closes.
#![allow(clippy::print_stderr, reason = "a program that says how it ended")]

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::{env, fs, process};

use landline::{Client, TlsOptions};

fn main() {
    if let Err(error) = talk() {
        eprintln!("{error}");
        process::exit(1);
    }
}

fn talk() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (url, tls) = match arguments[..] {
        [url] => (url, TlsOptions::new()),
        [url, "--cacert", file] => (url, TlsOptions::new().add_roots(fs::read(file)?)),
        _ => return Err("usage: client URL [--cacert FILE]".into()),
    };
    let ws = Client::new().tls(tls).connect(url, |ws| {
        ws.on_message(|ws, message| match print(&message.to_string()) {
            // Whoever reads our output has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                ws.close();
                Ok(())
            }
            printed => printed,
        });
        ws.on_error(|_, error| eprintln!("{error}"));
        // Here, because the main thread may be waiting for a line that never comes.
        ws.on_close(|_, event| {
            eprintln!("{event}");
            process::exit(if event.is_ordinary() { 0 } else { 1 })
        });
    })?;
    for line in io::stdin().lines() {
        if ws.send(line?).is_err() {
            break;
        }
    }
    ws.close();
    ws.wait_closed()?;
    Ok(())
}

/// Prints a message. On a terminal, what would move the cursor or turn text around is escaped: the
/// server is not to draw on it.
fn print(message: &str) -> io::Result<()> {
    let mut out = io::stdout();
    if !out.is_terminal() {
        return writeln!(out, "{message}");
    }
    let shown = message.chars().map(|character| match character {
        ' '..='~' => character.to_string(),
        _ => character.escape_debug().to_string(),
    });
    writeln!(out, "{}", shown.collect::<String>())
}
