//! Waits end when they say: for a message, for the end of a connection, for an iterator.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use landline::{
    Client, CloseCode, Config, RecvTimeoutError, SendErrorKind, TryRecvError, WaitError, WebSocket,
};

use crate::support::opcode::*;
use crate::support::*;

// Waiting for a message

/// Is what a peer sends without a pause, none of it a whole message.
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
    worst: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    fn of(wait: Duration) -> Self {
        let (worst, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (late, ended) = (Arc::clone(&worst), Arc::clone(&over));
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let begun = Instant::now();
                thread::sleep(wait);
                let lateness = (begun.elapsed() - wait).as_millis() as u64;
                late.fetch_max(lateness, Ordering::Relaxed);
            }
        });
        let thread = Some(thread);
        Self {
            worst,
            over,
            thread,
        }
    }

    /// Returns the worst so far, in milliseconds.
    fn worst(&self) -> Duration {
        ms(self.worst.load(Ordering::Relaxed))
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
    const ALLOWANCE: Duration = ms(1_000);
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
                let allowed = control.worst() + ALLOWANCE;
                assert!(late <= allowed, "{role:?}, {flood:?}: {late:?} late");

                let begun = Instant::now();
                assert_eq!(messages.try_recv(), Err(TryRecvError::Empty));
                let late = begun.elapsed();
                assert!(late <= allowed, "{role:?}, {flood:?}: {late:?} at hand");
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
    for role in ROLES {
        let mut met = Pulled::new(role, Config::new());
        let called = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&called);
        met.ws.on_ping(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            thread::sleep(ms(100));
        });
        let ping = met.peer.encode(&Frame::new(PING, ""));
        met.peer.send_bytes(ping.repeat(50));
        assert_eq!(
            met.messages.recv_timeout(ms(10)),
            Err(RecvTimeoutError::Timeout)
        );
        let called = called.load(Ordering::Relaxed);
        assert!(called <= 1, "{called} callbacks in 10 ms");
    }
}

/// `try_recv` gives what has come whole, in order, says that nothing has, and in the end how it ended.
#[test]
fn try_recv_gives_what_has_come() {
    for role in ROLES {
        let mut met = Pulled::new(role, Config::new());
        assert_eq!(met.messages.try_recv(), Err(TryRecvError::Empty));
        let large = "large ".repeat(200_000);
        let texts = ["one", "two", &large, "three"];
        let bytes: Vec<_> = texts
            .iter()
            .flat_map(|text| met.peer.encode(&Frame::text(text)))
            .collect();
        let (most, last) = bytes.split_at(bytes.len() - 1);
        let mut peer = met.peer.stream.try_clone().unwrap();
        let most = most.to_vec();
        let sending = thread::spawn(move || std::io::Write::write_all(&mut peer, &most).unwrap());
        for text in &texts[..3] {
            let mut come = None;
            settled("it has come", || {
                come = met.messages.try_recv().ok();
                come.is_some()
            });
            assert_eq!(come.unwrap().as_text(), Some(*text));
        }
        sending.join().unwrap();
        for _ in 0..20 {
            assert_eq!(met.messages.try_recv(), Err(TryRecvError::Empty));
        }
        met.peer.send_bytes(last);
        assert_eq!(met.messages.recv().unwrap().as_text(), Some("three"));
        met.peer.send_close(4001, "bye");
        met.peer.send_fin();
        let mut end = None;
        settled("it has ended", || {
            end = met
                .messages
                .try_recv()
                .err()
                .filter(|error| *error != TryRecvError::Empty);
            end.is_some()
        });
        let Some(TryRecvError::Closed(event)) = end else {
            panic!("no end")
        };
        assert_eq!(event.code(), CloseCode::from(4001));
        assert_eq!(met.messages.try_recv(), Err(TryRecvError::Closed(event)));
    }
}

// Waiting for the end

/// `wait_closed` is an error where nobody reads any more, though somebody did: a thread that has
/// ended reads no longer.
#[test]
fn waiting_for_a_thread_that_has_ended_is_an_error() {
    let raw = RawServer::new();
    let (mut peer, ws, mut messages) = raw.meet_open(&Client::new());
    peer.send_text("once");
    let reading = thread::spawn(move || {
        messages.recv().unwrap();
        messages
    });
    let messages = reading.join().unwrap();
    let waiting = ws.clone();
    let outcome = in_time("the wait has ended", move || waiting.wait_closed());
    assert_eq!(outcome, Err(WaitError::WouldDeadlock));
    // What the peer says last is answered, so that the end takes no time.
    drop(peer);
    drop(messages);
}

/// `wait_closed` waits for as long as somebody reads, be it all the time or now and then.
#[test]
fn waiting_for_a_reader_has_no_end() {
    let raw = RawServer::new();
    for now_and_then in [false, true] {
        let (mut peer, ws, mut messages) = raw.meet_open(&Client::new());
        let reading = thread::spawn(move || {
            loop {
                let wait = if now_and_then { ms(1) } else { PATIENCE };
                match messages.recv_timeout(wait) {
                    Err(RecvTimeoutError::Closed(event)) => return event,
                    _ => thread::sleep(ms(if now_and_then { 500 } else { 0 })),
                }
            }
        });
        let waiting = thread::spawn(move || ws.wait_closed());
        // Longer than a wait goes on while nobody reads.
        thread::sleep(ms(7_000));
        assert!(!waiting.is_finished(), "{:?}", waiting.join());
        peer.send_close(4001, "");
        peer.send_fin();
        settled("both have ended", || {
            waiting.is_finished() && reading.is_finished()
        });
        assert_eq!(waiting.join().unwrap().unwrap(), reading.join().unwrap());
    }
}

/// Whoever drops the last handle while holding a lock that `on_close` takes waits for the closing
/// handshake only; `on_close` runs all the same.
#[test]
fn lock_that_on_close_takes_may_be_held() {
    let raw = RawServer::new();
    let client = Client::new().config(Config::new().close_timeout(PATIENCE * 2));
    let held = Arc::new(Mutex::new(()));
    let closes = Recorder::new();
    let (lock, sender) = (Arc::clone(&held), closes.sender());
    let (mut peer, ws) = raw.meet(&client, move |ws| {
        let (lock, sender) = (Arc::clone(&lock), sender.clone());
        ws.on_close(move |_, event| {
            drop(lock.lock());
            sender.send(event)
        });
    });
    let dropping = thread::spawn(move || {
        let guard = held.lock().unwrap();
        drop(ws);
        drop(guard);
    });
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    peer.send_fin();
    settled("the handle is dropped", || dropping.is_finished());
    dropping.join().unwrap();
    assert_eq!(closes.next().code(), CloseCode::NORMAL);
}

// on_close, however late

/// An `on_close` that is set after the end runs at once, where it is set, and is not kept; so does
/// one that is set inside another. What it calls works, and its panic is its own.
#[test]
fn on_close_after_the_end_runs_at_once() {
    for role in ROLES {
        let inner = Recorder::new();
        let sender = inner.sender();
        let (mut met, events) = Meeting::recorded_with(role, Config::new(), move |ws| {
            let sender = sender.clone();
            ws.on_close(move |ws, outer| {
                let here = thread::current().id();
                let (inside, sending) = (Arc::<AtomicBool>::default(), sender.clone());
                let ran = Arc::clone(&inside);
                ws.on_close(move |_, event| {
                    assert_eq!(thread::current().id(), here);
                    ran.store(true, Ordering::SeqCst);
                    sending.send(event)
                });
                assert!(
                    inside.load(Ordering::SeqCst),
                    "not before the setter returned"
                );
                sender.send(outer)
            });
        });
        met.peer.send_close(4001, "over");
        met.peer.send_fin();
        let (first, second) = (inner.next(), inner.next());
        assert_eq!((first.code(), first.reason()), (4001.into(), "over"));
        assert_eq!(first, second);
        settled("it has ended", || met.ws.close_code().is_some());
        assert!(events.so_far().is_empty());

        for _ in 0..3 {
            let late = Arc::<AtomicU64>::default();
            let ran = Arc::clone(&late);
            let expected = first.clone();
            met.ws.on_close(move |ws, event| {
                assert_eq!(event, expected);
                assert_eq!(ws.wait_closed(), Ok(event));
                assert_eq!(ws.send("late").unwrap_err().kind(), SendErrorKind::Closed);
                ws.on_text(|_, _| {});
                ran.fetch_add(1, Ordering::SeqCst);
                panic!("late");
            });
            assert_eq!(late.load(Ordering::SeqCst), 1);
            assert_eq!(Arc::strong_count(&late), 1, "it is kept");
        }
        assert!(inner.so_far().is_empty());
    }
}

/// A setting of `on_close` that races with the end runs exactly once, by the one or the other.
#[test]
fn on_close_that_races_with_the_end_runs_once() {
    const ROUNDS: u64 = 500;
    let mut seed = 1;
    let mut by_setter = 0;
    for role in ROLES {
        for round in 0..ROUNDS {
            let met = Meeting::of(role, Config::new(), |_| {});
            let ran = Arc::<AtomicU64>::default();
            let counted = Arc::clone(&ran);
            let (ws, spins) = (met.ws.clone(), random(&mut seed) % 20_000);
            let start = Arc::new(std::sync::Barrier::new(2));
            let starting = Arc::clone(&start);
            let setting = thread::spawn(move || {
                starting.wait();
                (0..spins).for_each(|_| std::hint::spin_loop());
                let this = thread::current().id();
                let here = Arc::<AtomicBool>::default();
                let was_here = Arc::clone(&here);
                ws.on_close(move |_, _| {
                    was_here.store(thread::current().id() == this, Ordering::SeqCst);
                    counted.fetch_add(1, Ordering::SeqCst);
                });
                here.load(Ordering::SeqCst)
            });
            start.wait();
            met.ws.abort();
            settled("it has ended", || {
                met.ws.close_code().is_some() && setting.is_finished()
            });
            by_setter += u64::from(setting.join().unwrap());
            let ran = ran.load(Ordering::SeqCst);
            assert_eq!(ran, 1, "{role:?}, round {round}, {spins} spins");
        }
    }
    println!("{by_setter} of {} ran in their setter", 2 * ROUNDS);
}

/// Returns the next of a row of numbers (xorshift).
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

// Waiting for an iterator

/// What an iterator has given leaves while `send_all` waits for the next, also for one that never
/// gives it before the peer has answered.
#[test]
fn send_all_holds_nothing_back_for_a_slow_iterator() {
    for role in ROLES {
        let (answer, answers) = mpsc::channel();
        let mut met = Meeting::of(role, Config::new(), move |ws| {
            let answer = answer.clone();
            ws.on_text(move |_, text| answer.send(text));
        });
        let ws = met.ws.clone();
        let sending = thread::spawn(move || {
            let questions = (0..20).inspect(|number| {
                if *number > 0 {
                    next(&answers);
                }
            });
            ws.send_all(questions.map(|number| number.to_string()))
        });
        for number in 0..20 {
            assert_eq!(met.peer.read_frame(), Frame::text(&number.to_string()));
            met.peer.send_text("go on");
        }
        settled("all is sent", || sending.is_finished());
        sending.join().unwrap().unwrap();
    }
}

/// The same in a callback, while more input is at hand, and to another connection as well.
#[test]
fn send_all_in_a_callback_holds_nothing_back_either() {
    for role in ROLES {
        let mut other = Meeting::of(role, Config::new(), |_| {});
        let (go_on, gone_on) = mpsc::channel();
        let (gone_on, there) = (Arc::new(Mutex::new(gone_on)), other.ws.clone());
        let mut met = Meeting::of(role, Config::new(), move |ws| {
            let (gone_on, there) = (Arc::clone(&gone_on), there.clone());
            ws.on_text(move |ws, _| {
                for ws in [ws, &there] {
                    let words = ["one", "two", "three"].into_iter();
                    ws.send_all(words.inspect(|_| next(&gone_on.lock().unwrap())))
                        .unwrap();
                }
            });
        });
        let burst = met.peer.encode(&Frame::text("begin")).repeat(2);
        met.peer.send_bytes(burst);
        for _ in 0..2 {
            for peer in [&mut met.peer, &mut other.peer] {
                for word in ["one", "two", "three"] {
                    go_on.send(()).unwrap();
                    assert_eq!(peer.read_frame(), Frame::text(word));
                }
            }
        }
    }
}

/// An iterator may read the very connection that its messages go to.
#[test]
fn send_all_may_be_fed_by_its_own_connection() {
    for role in ROLES {
        let mut met = Pulled::new(role, Config::new());
        let ws: WebSocket = met.ws.clone();
        let echoing = thread::spawn(move || {
            let texts = std::iter::from_fn(|| met.messages.recv().ok());
            ws.send_all(texts)
        });
        for number in 0..20 {
            met.peer.send_text(&number.to_string());
            assert_eq!(met.peer.read_frame(), Frame::text(&number.to_string()));
        }
        met.peer.send_close(1000, "");
        met.peer.send_fin();
        settled("it has ended", || echoing.is_finished());
        echoing.join().unwrap().unwrap();
    }
}
