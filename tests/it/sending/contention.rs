//! Whose turn it is: waiting costs no descriptor, nobody's work delays another's time, many senders
//! do not stand in each other's way. Each test counts in a process of its own.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

#[cfg(feature = "tls")]
use bytes::Bytes;
use landline::SendErrorKind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cost::raise_descriptors;
use crate::support::*;

const KIB: usize = 1 << 10;

/// More than the system takes for a peer that does not read: it stays in the queue.
const PLUG: usize = 256 * KIB;

/// Opens so many connections in either role whose socket and queue are full.
#[track_caller]
fn open_full(role: Role, count: usize) -> Vec<Meeting> {
    let config = patient().max_queue_messages(1).send_buffer(4 * KIB);
    let full = (0..count).map(|_| {
        let met = Meeting::deaf(role, config.clone(), |_| {});
        met.ws.try_send(vec![7; PLUG]).unwrap();
        let refused = met.ws.try_send("full").unwrap_err();
        assert_eq!(refused.kind(), SendErrorKind::Full);
        met
    });
    full.collect()
}

/// A sender that waits for room costs no descriptor, however many do, in either role.
#[test]
fn waiting_senders_cost_no_descriptor() {
    alone(|| {
        for role in ROLES {
            let full = open_full(role, 100);
            let before = open_fds();
            let senders: Vec<_> = full
                .iter()
                .map(|met| {
                    let ws = met.ws.clone();
                    let builder = thread::Builder::new().name("waits".into());
                    builder.spawn(move || ws.send("in line").is_ok()).unwrap()
                })
                .collect();
            settle_asleep("waits");
            assert_eq!(threads_named("waits").len(), senders.len());
            assert_eq!(open_fds(), before, "{role:?}");
            full.iter().for_each(|met| met.ws.abort());
            for sender in senders {
                assert!(!sender.join().unwrap(), "{role:?}");
            }
        }
    });
}

/// Where no descriptor is to be had, a sender that waits is still woken by the end, by a close, and
/// by room.
#[test]
fn waiting_needs_no_descriptor() {
    alone(|| {
        for role in ROLES {
            let mut full = open_full(role, 3);
            let limit = Rlimit {
                // All of these are taken. Fewer, and the system polls nothing any more.
                current: Some(4),
                ..getrlimit(Resource::Nofile)
            };
            let before = getrlimit(Resource::Nofile);
            setrlimit(Resource::Nofile, limit).unwrap();
            let senders: Vec<_> = full
                .iter()
                .map(|met| {
                    let ws = met.ws.clone();
                    thread::spawn(move || ws.send("in line").map_err(|error| error.kind()))
                })
                .collect();
            pause(
                ms(100),
                "without a descriptor nothing tells that they sleep",
            );
            full[0].ws.abort();
            full[1].ws.close();
            while !senders[2].is_finished() {
                full[2].peer.gulp(KIB);
            }
            settled("all are woken", || {
                senders.iter().all(|sender| sender.is_finished())
            });
            setrlimit(Resource::Nofile, before).unwrap();
            let closed = Err(SendErrorKind::Closed);
            let ends: Vec<_> = senders
                .into_iter()
                .map(|sender| sender.join().unwrap())
                .collect();
            assert_eq!(ends, [closed, closed, Ok(())], "{role:?}");
            full.iter().for_each(|met| met.ws.abort());
        }
    });
}

/// Reads all that comes and forgets it, until the connection ends.
fn swallow(mut stream: TcpStream) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut chunk = vec![0; 1 << 20];
        while uninterrupted(|| stream.read(&mut chunk)).is_ok_and(|length| length > 0) {}
    })
}

/// A thread that sleeps and counts how often it has: whatever delays it delays everybody.
#[cfg(feature = "tls")]
struct Ticks {
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

#[cfg(feature = "tls")]
impl Ticks {
    fn begin(interval: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut count = 0;
            while !end.load(Ordering::Relaxed) {
                pause(interval, "whatever delays this delays everybody");
                count += 1;
            }
            count
        });
        Self { over, thread }
    }

    fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// While one connection has 32 MiB to mask and to write over TLS, another is pinged about as often as
/// a thread that sleeps in between can count.
#[test]
#[cfg(feature = "tls")]
fn long_queue_does_not_delay_anothers_pings() {
    const INTERVAL: Duration = ms(10);
    const CHUNK: usize = 1 << 20;
    const CHUNKS: u64 = 32;
    alone(|| {
        let lively = patient().ping_interval(INTERVAL).ping_timeout(4 * PATIENCE);
        let (pinged, _events) = Meeting::recorded(Role::Server, lively);
        let _peer = swallow(pinged.peer.stream.try_clone().unwrap());
        // This one takes all that is written to it.
        let config = patient().max_queue_bytes(1 << 30);
        let (peer, busy, _messages) = meet_open(Way::Secure(Role::Client), config);
        let chunk = Bytes::from(vec![7; CHUNK]);
        (0..CHUNKS).for_each(|_| busy.try_send(chunk.clone()).unwrap());
        let left = busy.counters().messages_out;
        assert!(left < CHUNKS / 4, "{left} have left already");
        let pings = || pinged.ws.counters().bytes_out;
        settled("it is pinged", || pings() > 0);
        let before = pings();
        let _reading = swallow(peer.tcp().try_clone().unwrap());
        let control = Ticks::begin(INTERVAL);
        for chunks in 1..=CHUNKS {
            settled("all of it leaves", || {
                busy.counters().messages_out >= chunks
            });
        }
        let ticks = control.end();
        // A ping of ours is ten bytes.
        let pings = (pings() - before) / 10;
        println!("{pings} pings in {ticks} ticks");
        // Behind the queue there would be hardly any. On a slow machine, whose threads that have much to do
        // are late for others than those that sleep, there is still one between two chunks.
        let least = (ticks / 3).min(CHUNKS);
        assert!(pings >= least, "{pings} pings in {ticks} ticks");
        busy.abort();
    });
}

/// What the background does each millisecond for a burst that is held back costs the same, however
/// many full sockets wait.
#[test]
#[cfg(all(target_os = "linux", not(landline_portable)))]
fn full_sockets_cost_a_burst_nothing() {
    alone(|| {
        raise_descriptors();
        let server = TestServer::with(patient(), |ws| {
            ws.on_text(|ws, text| {
                let sent = ws.send(text);
                pause(ms(3), "for so long the rest of the burst is held back");
                sent
            });
        });
        let mut peer = RawPeer::client_of(&server);
        let mut cost = || {
            let before = background();
            for _ in 0..20 {
                let burst = peer.encode(&Frame::text("burst")).repeat(10);
                peer.send_bytes(burst);
                (0..10).for_each(|_| drop(peer.read_frame()));
            }
            let after = background();
            (after.0 - before.0, after.1 - before.1)
        };
        cost();
        let (alone, ticks) = cost();
        let full = open_full(Role::Server, 400);
        let (beside, ticks_beside) = cost();
        println!("alone {alone:?} for {ticks} ticks, beside 400: {beside:?} for {ticks_beside}");
        let (alone, beside) = (
            alone.as_nanos() as u64 / ticks.max(1),
            beside.as_nanos() as u64 / ticks_beside.max(1),
        );
        assert!(
            beside <= 2 * alone + 5_000,
            "{beside} ns a tick beside full sockets, {alone} without"
        );
        full.iter().for_each(|met| met.ws.abort());
    });
}

/// Returns for how long the background has run, and how often it went to sleep.
#[track_caller]
fn background() -> (Duration, u64) {
    let mut threads = Vec::new();
    settled("the background runs", || {
        threads = threads_named("landline-backgr");
        threads.len() == 1
    });
    (threads[0].cpu, threads[0].sleeps)
}

/// Sixteen threads that send into one connection go to sleep far less than once a message.
#[test]
fn many_senders_do_not_stand_in_each_others_way() {
    const SENDERS: u64 = 16;
    const EACH: u64 = 2_000;
    alone(|| {
        for role in ROLES {
            let met = Meeting::of(role, patient(), |_| {});
            let reading = swallow(met.peer.stream.try_clone().unwrap());
            let slept = Arc::new(AtomicU64::new(0));
            let go = Arc::new(AtomicBool::new(false));
            let senders: Vec<_> = (0..SENDERS)
                .map(|_| {
                    let (ws, slept, go) = (met.ws.clone(), Arc::clone(&slept), Arc::clone(&go));
                    thread::spawn(move || {
                        while !go.load(Ordering::Acquire) {
                            thread::yield_now();
                        }
                        let before = own_sleeps();
                        (0..EACH)
                            .for_each(|_| ws.send("32 bytes, as one often sends them").unwrap());
                        slept.fetch_add(own_sleeps() - before, Ordering::Relaxed);
                    })
                })
                .collect();
            go.store(true, Ordering::Release);
            for sender in senders {
                in_time("all is sent", move || sender.join().unwrap());
            }
            let (slept, sent) = (slept.load(Ordering::Relaxed), SENDERS * EACH);
            println!("{role:?}: {slept} sleeps for {sent} messages");
            assert!(
                slept <= sent / 2,
                "{role:?}: {slept} sleeps for {sent} messages"
            );
            met.ws.abort();
            reading.join().unwrap();
        }
    });
}

/// Returns how often the calling thread has gone to sleep.
fn own_sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let sleeps = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    sleeps.unwrap().trim().parse().unwrap()
}
