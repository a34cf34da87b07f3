//! A conversation of bare sockets, to judge others against.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::ms;

/// Two bare sockets in this process that speak every few milliseconds: what they suffer is the
/// machine's fault.
pub(crate) struct Control {
    longest: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Control {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let asking = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let answering = listener.accept().unwrap().0;
        let control = Self {
            longest: Arc::default(),
            over: Arc::default(),
        };
        let (longest, over) = (Arc::clone(&control.longest), Arc::clone(&control.over));
        thread::spawn(move || ask(&asking, &longest, &over));
        thread::spawn(move || answer(&answering));
        control
    }

    /// Returns the longest time so far without an answer.
    pub(crate) fn longest_silence(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Relaxed))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn ask(mut stream: &TcpStream, longest: &AtomicU64, over: &AtomicBool) {
    let mut heard = Instant::now();
    while !over.load(Ordering::Relaxed) {
        if stream.write_all(b"?").is_err() || stream.read_exact(&mut [0]).is_err() {
            return;
        }
        let silence = u64::try_from(heard.elapsed().as_micros()).unwrap();
        longest.fetch_max(silence, Ordering::Relaxed);
        heard = Instant::now();
        thread::sleep(ms(2));
    }
}

fn answer(mut stream: &TcpStream) {
    let mut question = [0];
    while stream.read_exact(&mut question).is_ok() && stream.write_all(b"!").is_ok() {}
}
