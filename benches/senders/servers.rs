//! The servers that are compared.

use std::error::Error;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use landline::{Config, Server};

use crate::by_hand::{accept_each, answer_batches, upgrade};
use crate::process::{EchoServer, announce};

/// All of them. The last is measured against the others.
pub(crate) const SERVERS: &[EchoServer] = &[
    EchoServer {
        name: "limit",
        serve: || serve_by_hand(write_together),
    },
    EchoServer {
        name: "mutex",
        serve: || serve_by_hand(write_each),
    },
    EchoServer {
        name: "landline",
        serve: serve_landline,
    },
];

/// Those that can be started and are compared with nothing: none.
pub(crate) const OTHERS: &[EchoServer] = &[];

/// So often a message comes back.
pub(crate) const TIMES: usize = 1_000;
/// As many as ever send at a time.
const THREADS: usize = 16;

/// Is what one thread sends for one message.
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

fn serve_landline() -> Result<(), Box<dyn Error>> {
    let jobs = start_senders()?;
    let server = Server::builder()
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
        })
        .bind("127.0.0.1:0")?;
    announce(server.local_addr());
    server.wait()?;
    Ok(())
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
    answer_batches(stream, |_, mut frames| {
        while let [_, length, ..] = frames {
            // Its header has two bytes: the load sends small messages.
            let (frame, rest) = frames.split_at(2 + usize::from(*length));
            let (writer, frame) = (Arc::clone(&writer), frame.to_vec());
            let job = Box::new(move || drop(write(&writer, &frame)));
            jobs.send(job)
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            frames = rest;
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
