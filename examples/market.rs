//! Follows the prices of some symbols, and stays connected: `market URL SYMBOL...`. Ctrl-D ends it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output")]

use std::{env, io, thread};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let url = arguments.next().ok_or("usage: market URL SYMBOL...")?;
    let symbols: Vec<String> = arguments.collect();
    let client = landline::Client::new();
    let canceller = client.canceller();
    thread::spawn(move || {
        io::stdin().lines().for_each(drop);
        canceller.cancel();
    });
    for session in client.sessions(url) {
        let (ws, messages) = session?;
        let subscriptions = symbols.iter().map(|symbol| format!("subscribe {symbol}"));
        if ws.send_all(subscriptions).is_ok() {
            for message in messages {
                println!("{}", message?);
            }
        }
        eprintln!("{:?}", ws.close_event());
    }
    Ok(())
}
