//! A healthy connection, judged against another on an untouched server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use landline::{Client, Server};

use super::{TestServer, ms, settled};

/// Echoes all the while with the server under test and with a control: machines stall, and what
/// delays both is nobody's fault.
pub(crate) struct Probe {
    probe: Pulse,
    control: Pulse,
    _untouched: TestServer,
}

/// The number of echoes that show that a client is served.
const ECHOES: u64 = 50;
/// How many times as many the control may make meanwhile.
const ALLOWANCE: u64 = 40;

impl Probe {
    /// Begins to echo with a server that sends every message back.
    #[track_caller]
    pub(crate) fn of(server: &Server) -> Self {
        Self::by(&Client::new(), server)
    }

    /// Begins likewise, by a client that the server needs.
    #[track_caller]
    pub(crate) fn by(client: &Client, server: &Server) -> Self {
        Self::at(client, &server.url())
    }

    /// Begins likewise, with a server of any process.
    #[track_caller]
    pub(crate) fn at(client: &Client, url: &str) -> Self {
        let untouched = TestServer::echo();
        let control = Pulse::of(&Client::new(), &untouched.url());
        Self {
            probe: Pulse::of(client, url),
            control,
            _untouched: untouched,
        }
    }

    /// Asserts that from now on the probe is served about as well as its control.
    #[track_caller]
    pub(crate) fn keeps_up(&self) {
        let (probe, control) = (self.probe.count(), self.control.count());
        settled("the probe is served", || {
            self.probe.count() >= probe + ECHOES
        });
        let controls = self.control.count() - control;
        assert!(
            controls <= ECHOES * ALLOWANCE,
            "{ECHOES} echoes against {controls}"
        );
    }

    /// Returns how long the longest echo has taken so far, and the control's.
    pub(crate) fn longest(&self) -> (Duration, Duration) {
        let longest = |pulse: &Pulse| Duration::from_micros(pulse.longest.load(Ordering::Relaxed));
        (longest(&self.probe), longest(&self.control))
    }
}

/// One connection that echoes, a short message each few milliseconds.
struct Pulse {
    echoes: Arc<AtomicU64>,
    /// In microseconds.
    longest: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    #[track_caller]
    fn of(client: &Client, url: &str) -> Self {
        let (ws, mut messages) = client.open(url).unwrap();
        let (echoes, longest) = (Arc::default(), Arc::default());
        let over = Arc::new(AtomicBool::new(false));
        let (count, most, end): (Arc<AtomicU64>, Arc<AtomicU64>, _) =
            (Arc::clone(&echoes), Arc::clone(&longest), Arc::clone(&over));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let start = Instant::now();
                if ws.send("tick").is_err() || messages.recv().is_err() {
                    return;
                }
                most.fetch_max(start.elapsed().as_micros() as u64, Ordering::Relaxed);
                count.fetch_add(1, Ordering::Relaxed);
                thread::sleep(ms(2));
            }
        });
        Self {
            echoes,
            longest,
            over,
            thread: Some(thread),
        }
    }

    fn count(&self) -> u64 {
        self.echoes.load(Ordering::Relaxed)
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take().filter(|_| !thread::panicking()) {
            let _ = thread.join();
        }
    }
}
