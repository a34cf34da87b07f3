//! A conversation of bare sockets, to judge others against.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::ms;

/// Two bare sockets in this process that speak every few milliseconds: what they suffer is the
/// machine's fault.
pub(crate) struct Control(Arc<Silences>);

/// The times without an answer, in microseconds.
struct Silences {
    begun: Instant,
    longest: AtomicU64,
    /// When the last answer came, after the beginning.
    heard: AtomicU64,
    over: AtomicBool,
}

impl Control {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let asking = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let answering = listener.accept().unwrap().0;
        let silences = Arc::new(Silences {
            begun: Instant::now(),
            longest: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let control = Self(Arc::clone(&silences));
        thread::spawn(move || ask(&asking, &silences));
        thread::spawn(move || answer(&answering));
        control
    }

    /// Returns the longest time so far without an answer. It may be going on: who asks may be the first
    /// to run behind a stall.
    pub(crate) fn longest_silence(&self) -> Duration {
        let longest = self.0.longest.load(Ordering::Relaxed);
        Duration::from_micros(longest.max(self.0.silence()))
    }
}

impl Silences {
    /// Returns how long ago the last answer came.
    fn silence(&self) -> u64 {
        let heard = Duration::from_micros(self.heard.load(Ordering::Relaxed));
        let silence = self.begun.elapsed().saturating_sub(heard);
        u64::try_from(silence.as_micros()).unwrap()
    }

    fn end_one(&self) {
        let silence = self.silence();
        self.longest.fetch_max(silence, Ordering::Relaxed);
        self.heard.fetch_add(silence, Ordering::Relaxed);
    }
}

/// Checks what a stall of the machine can spoil, such as that a deadline has not passed. A check that
/// fails proves nothing if a control was itself silent for so long, and is repeated.
#[track_caller]
pub(crate) fn unless_stalled(stall: Duration, check: impl Fn()) {
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        let control = Control::start();
        let Err(failure) = catch_unwind(AssertUnwindSafe(&check)) else {
            return;
        };
        if control.longest_silence() <= stall {
            resume_unwind(failure);
        }
    }
    panic!("this machine only stalls");
}

impl Drop for Control {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

fn ask(mut stream: &TcpStream, silences: &Silences) {
    while !silences.over.load(Ordering::Relaxed) {
        if stream.write_all(b"?").is_err() || stream.read_exact(&mut [0]).is_err() {
            return;
        }
        silences.end_one();
        thread::sleep(ms(2));
    }
}

fn answer(mut stream: &TcpStream) {
    let mut question = [0];
    while stream.read_exact(&mut question).is_ok() && stream.write_all(b"!").is_ok() {}
}
