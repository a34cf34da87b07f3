//! Talks to a server from the terminal: `client URL`.
//!
//! What you type goes out line by line, what comes in is printed, Ctrl-D closes.
#![allow(clippy::print_stderr, reason = "a program that says how it ended")]

use std::error::Error;
use std::io::{self, Write};
use std::{env, process};

fn main() {
    if let Err(error) = talk() {
        eprintln!("{error}");
        process::exit(1);
    }
}

fn talk() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: client URL")?;
    let ws = landline::connect(url, |ws| {
        ws.on_message(|_, message| writeln!(io::stdout(), "{message}"));
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
