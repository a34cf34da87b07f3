//! The servers that are compared.

use std::error::Error;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use landline::{Config, Server};

use crate::shared::frames::{answer_batches, split_frames};
use crate::shared::process::Program;
use crate::shared::servers::{accept_each, serve_landline, upgrade};

/// All of them. The last is measured against the others.
pub(crate) const SERVERS: &[Program] = &[
    Program {
        name: "limit",
        serve: || serve_by_hand(write_together),
    },
    Program {
        name: "mutex",
        serve: || serve_by_hand(write_each),
    },
    Program {
        name: "landline",
        serve: send_each,
    },
];

/// So often a message comes back.
pub(crate) const TIMES: usize = 1_000;
/// As many as ever send at a time.
const THREADS: usize = 16;

/// What one thread sends for one message.
type Job = Box<dyn FnOnce() + Send>;

/// Starts the threads that send.
fn start_senders() -> Result<Sender<Job>, Box<dyn Error>> {
    let (jobs, waiting) = channel::<Job>();
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..THREADS {
        let waiting = Arc::clone(&waiting);
        thread::Builder::new().spawn(move || {
            while let Some(job) = next(&waiting) {
                job();
            }
        })?;
    }
    Ok(jobs)
}

fn next(waiting: &Mutex<Receiver<Job>>) -> Option<Job> {
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.recv().ok()
}

fn send_each() -> Result<(), Box<dyn Error>> {
    let jobs = start_senders()?;
    let builder = Server::builder()
        // The load answers none, and would count them.
        .config(Config::new().ping_interval(None))
        .on_upgrade(move |ws, _request| {
            let jobs = jobs.clone();
            ws.on_message(move |ws, message| {
                let ws = ws.clone();
                jobs.send(Box::new(move || {
                    // It fails when the load has gone.
                    let _ = (0..TIMES).try_for_each(|_| ws.send(&message));
                }))
            });
        });
    serve_landline(builder)
}

/// Writes one frame [`TIMES`] times; fails when the load has gone.
type WriteTimes = fn(&Mutex<TcpStream>, &[u8]) -> io::Result<()>;

fn serve_by_hand(write: WriteTimes) -> Result<(), Box<dyn Error>> {
    let jobs = start_senders()?;
    accept_each(move |stream| answer(stream, &jobs, write))
}

fn answer(stream: TcpStream, jobs: &Sender<Job>, write: WriteTimes) -> Result<(), Box<dyn Error>> {
    let stream = upgrade(stream)?;
    let writer = Arc::new(Mutex::new(stream.try_clone()?));
    answer_batches(stream, |_, frames| {
        for frame in split_frames(frames) {
            let (writer, frame) = (Arc::clone(&writer), frame.to_vec());
            jobs.send(Box::new(move || drop(write(&writer, &frame))))?;
        }
        Ok(())
    })
}

fn write_together(stream: &Mutex<TcpStream>, frame: &[u8]) -> io::Result<()> {
    let frames = frame.repeat(TIMES);
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    stream.write_all(&frames)
}

fn write_each(stream: &Mutex<TcpStream>, frame: &[u8]) -> io::Result<()> {
    (0..TIMES).try_for_each(|_| {
        let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(frame)
    })
}
