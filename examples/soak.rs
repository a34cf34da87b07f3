//! Holds connections to an echo server for a time, with default settings: `soak URL IDLE TALKING SECONDS`.
//!
//! Idle ones say nothing until the time is over, the others ask now and then. It prints a line for all it sees,
//! on which `.ci/soak` builds: `opened`, `answered MILLISECONDS`, and `cut: HOW` for a connection that ends too early.
#![allow(clippy::print_stdout, reason = "a program that says what it sees")]

use std::error::Error;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, thread};

/// No answer for this long is none at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest pause of one that talks.
const PAUSE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [url, idle, talking, seconds] = &args[..] else {
        return Err("usage: soak URL IDLE TALKING SECONDS".into());
    };
    let (idle, talking): (u32, u32) = (idle.parse()?, talking.parse()?);
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    thread::scope(|scope| {
        for _ in 0..idle {
            scope.spawn(|| report(stay_idle(url, end)));
        }
        for _ in 0..talking {
            scope.spawn(|| report(talk(url, end)));
        }
    });
    Ok(())
}

fn report(held: Result<(), Box<dyn Error>>) {
    if let Err(error) = held {
        println!("cut: {error}");
    }
}

/// Is called when something comes, as most programs are.
fn stay_idle(url: &str, end: Instant) -> Result<(), Box<dyn Error>> {
    let (tell, told) = mpsc::channel();
    let ws = landline::connect(url, |ws| {
        let tell_end = tell.clone();
        ws.on_message(move |_, message| tell.send(Ok(message)));
        ws.on_close(move |_, event| tell_end.send(Err(event.to_string())));
    })?;
    println!("opened");
    match told.recv_timeout(end.saturating_duration_since(Instant::now())) {
        Err(RecvTimeoutError::Timeout) => {}
        Err(error) => return Err(error.into()),
        Ok(Err(event)) => return Err(event.into()),
        Ok(Ok(message)) => return Err(format!("{message} came unasked").into()),
    }
    let asked = Instant::now();
    ws.send("still there?")?;
    told.recv_timeout(PATIENCE)??;
    report_answer(asked);
    Ok(())
}

/// Calls for what comes.
fn talk(url: &str, end: Instant) -> Result<(), Box<dyn Error>> {
    let (ws, mut messages) = landline::open(url)?;
    println!("opened");
    while Instant::now() < end {
        match messages.recv_timeout(rand::random_range(Duration::ZERO..PAUSE)) {
            Err(landline::RecvTimeoutError::Timeout) => {}
            Err(error) => return Err(error.into()),
            Ok(message) => return Err(format!("{message} came unasked").into()),
        }
        let asked = Instant::now();
        ws.send("are you there?")?;
        messages.recv_timeout(PATIENCE)?;
        report_answer(asked);
    }
    Ok(())
}

fn report_answer(asked: Instant) {
    println!("answered {}", asked.elapsed().as_millis());
}
