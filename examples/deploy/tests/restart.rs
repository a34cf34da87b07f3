//! The example `restart`: no connection is refused while one process replaces another.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured is worth knowing")]

mod support;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{Folder, PATIENCE, Program, settled};

const CONNECTS_PER_SECOND: u32 = 500;
const CALLERS: u32 = 4;

/// Connections that are opened one after the other, at a fixed rate, and who has greeted them.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    greeted: Mutex<BTreeMap<String, usize>>,
    failed: Mutex<Vec<String>>,
    opened: AtomicUsize,
}

impl Load {
    fn run(&self, server: SocketAddr) {
        let begin = Instant::now();
        for number in 0.. {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let due = begin + Duration::from_secs(1) * CALLERS * number / CONNECTS_PER_SECOND;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            match greeting(server) {
                Ok(by) => *self.greeted.lock().unwrap().entry(by).or_default() += 1,
                Err(error) => self.failed.lock().unwrap().push(error.to_string()),
            }
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until so many more connections have been opened.
    #[track_caller]
    fn go_on(&self, more: usize) {
        let until = self.opened.load(Ordering::Relaxed) + more;
        settled("connections are opened", || {
            self.opened.load(Ordering::Relaxed) >= until
        });
    }
}

/// Opens a connection, and returns what the server says first.
fn greeting(server: SocketAddr) -> Result<String, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(server)?;
    let client = landline::Client::new().dial_with(move |_, _, _| stream.try_clone());
    let (_ws, mut messages) = client.open(format!("ws://{server}"))?;
    let greeting = messages.recv_timeout(PATIENCE)?.to_string();
    messages.close();
    Ok(greeting)
}

/// Under 500 connects a second two restarts refuse none; each process goes on with the connections that
/// it has, and ends with the last of them. A successor that dies changes nothing.
#[test]
fn restarts_refuse_nobody() {
    let folder = Folder::new("restart");
    let path = folder.file("handover");
    let start = |address: &str| Program::start(env!("CARGO_BIN_EXE_restart"), &[address, &path]);
    let mut running = start("127.0.0.1:0");
    let url = running.line();
    let server: SocketAddr = url.strip_prefix("ws://").unwrap().parse().unwrap();
    let load = Load::default();
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| load.run(server));
        }
        let replaced = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..2 {
                let (held, mut heard) = landline::open(&url).unwrap();
                let by = heard.recv_timeout(PATIENCE).unwrap();
                assert_eq!(by.to_string(), format!("process {}", running.id()));
                load.go_on(500);
                // It has the socket, says nothing, and is gone.
                drop(UnixStream::connect(&path).unwrap());
                let mut next = start(&server.to_string());
                assert_eq!(next.line(), url);
                load.go_on(500);
                held.send("still there?").unwrap();
                let answer = heard.recv_timeout(PATIENCE).unwrap();
                assert_eq!(answer.as_text(), Some("still there?"));
                assert!(running.is_running());
                heard.close();
                drop(held);
                assert!(running.wait().success());
                running = next;
            }
            load.go_on(250);
        }));
        load.is_over.store(true, Ordering::Relaxed);
        replaced.unwrap();
    });
    let rate = load.opened.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
    let greeted = load.greeted.lock().unwrap();
    println!("{rate:.0} connects a second, greeted by {greeted:?}");
    assert_eq!(*load.failed.lock().unwrap(), Vec::<String>::new());
    assert_eq!(greeted.len(), 3);
}
