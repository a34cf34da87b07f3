//! Deadlines of `recv_timeout`, whatever comes meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use landline::{Config, RecvTimeoutError, TryRecvError};

use crate::support::opcode::*;
use crate::support::*;

/// What a peer sends without a pause, none of it a whole message.
#[derive(Clone, Copy, Debug)]
enum Flood {
    Pings,
    Pongs,
    /// Pings behind half a message.
    PingsInside,
    /// Fragments of one byte.
    Fragments,
    /// The payload of a message that is skipped.
    Skipped,
}

const FLOODS: [Flood; 5] = [
    Flood::Pings,
    Flood::Pongs,
    Flood::PingsInside,
    Flood::Fragments,
    Flood::Skipped,
];

impl Flood {
    /// Returns what comes once, and what then comes again and again.
    fn bytes(self, peer: &RawPeer) -> (Vec<u8>, Vec<u8>) {
        let frame = |frame: &Frame| peer.encode(frame);
        let half = frame(&Frame::text("half").unfinished());
        let many = |bytes: Vec<u8>| bytes.repeat(2_000);
        match self {
            Self::Pings => (Vec::new(), many(frame(&Frame::new(PING, "ping")))),
            Self::Pongs => (Vec::new(), many(frame(&Frame::new(PONG, "pong")))),
            Self::PingsInside => (half, many(frame(&Frame::new(PING, "ping")))),
            Self::Fragments => (
                half,
                many(frame(&Frame::new(CONTINUATION, "x").unfinished())),
            ),
            Self::Skipped => {
                let mut whole = frame(&Frame::new(BINARY, vec![0; 1 << 20]));
                whole.truncate(whole.len() - (1 << 20));
                // Its length is made as large as one may be.
                whole[2..10].copy_from_slice(&(1_u64 << 40).to_be_bytes());
                (whole, vec![0; 16 << 10])
            }
        }
    }

    /// Sends on a thread of its own, until the other side has gone.
    fn begin(self, mut peer: RawPeer) -> JoinHandle<()> {
        let (begin, more) = self.bytes(&peer);
        // What it is answered with is read, or the flood would stop over it.
        let mut answers = peer.stream.try_clone().unwrap();
        let reading =
            thread::spawn(move || drop(std::io::copy(&mut answers, &mut std::io::sink())));
        thread::spawn(move || {
            let _ = peer.try_send_bytes(begin);
            while peer.try_send_bytes(&more).is_ok() {}
            reading.join().unwrap();
        })
    }
}

/// Measures by how much the machine is late, for a wait of that length.
struct Control {
    /// In milliseconds.
    worst: Arc<AtomicU64>,
    waits: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    fn of(wait: Duration) -> Self {
        let (worst, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let waits = Arc::<AtomicU64>::default();
        let (late, ended) = (Arc::clone(&worst), Arc::clone(&over));
        let counted = Arc::clone(&waits);
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let begun = Instant::now();
                pause(wait, "by how much this is late is the machine's fault");
                let lateness = (begun.elapsed() - wait).as_millis() as u64;
                late.fetch_max(lateness, Ordering::Relaxed);
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let thread = Some(thread);
        Self {
            worst,
            waits,
            over,
            thread,
        }
    }

    /// Tells whether the machine is about as late as that, be it with the wait that is under way.
    fn is_as_late(&self, late: Duration) -> bool {
        // Whoever sleeps is woken sooner than whoever has much to do; a flood that counts has no end.
        const ALLOWANCE: Duration = ms(5_000);
        let is_it = || late <= ms(self.worst.load(Ordering::Relaxed)) + ALLOWANCE;
        let waits = self.waits.load(Ordering::Relaxed);
        is_it() || {
            settled("the control's wait is over", || {
                self.waits.load(Ordering::Relaxed) > waits
            });
            is_it()
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// `recv_timeout` returns in time, and `try_recv` at once, whatever the peer sends without a pause
/// that is no whole message: judged against a plain sleep beside it.
#[test]
fn floods_hold_up_no_deadline() {
    const WAIT: Duration = ms(50);
    for role in ROLES {
        for flood in FLOODS {
            let config = Config::new().max_fragments(usize::MAX);
            let pulled = Pulled::new(role, config);
            let (ws, mut messages) = (pulled.ws.clone(), pulled.messages);
            let flooding = flood.begin(pulled.peer);
            if matches!(flood, Flood::Skipped) {
                drop(messages.recv_reader().unwrap());
            }
            let control = Control::of(WAIT);
            for _ in 0..5 {
                let begun = Instant::now();
                let answer = messages.recv_timeout(WAIT);
                assert_eq!(
                    answer,
                    Err(RecvTimeoutError::Timeout),
                    "{role:?}, {flood:?}"
                );
                let late = begun.elapsed().saturating_sub(WAIT);
                assert!(
                    control.is_as_late(late),
                    "{role:?}, {flood:?}: {late:?} late"
                );

                let begun = Instant::now();
                assert_eq!(messages.try_recv(), Err(TryRecvError::Empty));
                let late = begun.elapsed();
                assert!(
                    control.is_as_late(late),
                    "{role:?}, {flood:?}: {late:?} at hand"
                );
            }
            ws.abort();
            in_time("it ends", move || while messages.recv().is_ok() {});
            settled("the flood has ended", || flooding.is_finished());
            flooding.join().unwrap();
        }
    }
}

/// Callbacks that take their time do not add up: between two of them the deadline is looked at.
#[test]
fn slow_callbacks_hold_up_a_deadline_once() {
    at_once(ROLES, |role| {
        let mut met = Pulled::new(role, Config::new());
        let called = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&called);
        met.ws.on_ping(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            pause(ms(100), "the callback takes its time");
        });
        let ping = met.peer.encode(&Frame::new(PING, ""));
        met.peer.send_bytes(ping.repeat(50));
        assert_eq!(
            met.messages.recv_timeout(ms(10)),
            Err(RecvTimeoutError::Timeout)
        );
        let called = called.load(Ordering::Relaxed);
        assert!(called <= 1, "{called} callbacks in 10 ms");
    });
}
