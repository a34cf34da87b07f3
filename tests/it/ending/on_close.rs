//! `on_close` runs once for each connection that was opened, however it ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use landline::{Client, CloseCode, Config, SendErrorKind, Server};
#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::*;

/// A client that gets no thread after the 101 fails to connect, and the `on_close` that was set by
/// then has run.
#[test]
#[cfg(unix)]
fn client_without_a_thread_calls_on_close() {
    alone(|| {
        let raw = RawServer::new();
        let events = Recorder::new();
        let (release, released) = mpsc::channel::<()>();
        let connected = thread::scope(|scope| {
            // It lives on meanwhile: the stack of a thread that has ended would be had again.
            let raw = &raw;
            scope.spawn(move || {
                let _peer = raw.upgrade_with(&[]);
                let _ = released.recv();
            });
            let connected = Client::new().connect(raw.url(), |ws| {
                events.record_close(ws);
                exhaust_memory();
            });
            restore_memory();
            drop(release);
            connected.map(drop)
        });
        assert!(connected.is_err(), "there was a thread after all");
        assert_eq!(events.next_close().code(), CloseCode::ABNORMAL);
    });
}

/// Leaves no room for the stack of one more thread.
#[cfg(unix)]
fn exhaust_memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    limit_memory(Some((kib + 256) << 10));
}

#[cfg(unix)]
fn restore_memory() {
    limit_memory(getrlimit(Resource::As).maximum);
}

#[cfg(unix)]
fn limit_memory(current: Option<u64>) {
    let limit = Rlimit {
        current,
        ..getrlimit(Resource::As)
    };
    setrlimit(Resource::As, limit).unwrap();
}

/// A peer that leaves at any moment after its request: either nobody hears of it, or `on_close` runs
/// once for each `on_upgrade`.
#[test]
fn on_close_follows_each_on_upgrade() {
    let (sender, upgraded) = mpsc::channel();
    let config = Config::new().send_buffer(4 << 10);
    let builder = Server::builder().config(config).on_upgrade(move |ws, _| {
        let events = Recorder::new();
        events.record_all(ws);
        let _ = sender.send(events);
        // The 101 has left, whatever the program does next.
        panic!("on_upgrade");
    });
    let server = TestServer::start(builder);
    const PEERS: usize = 200;
    for number in 0..PEERS {
        let mut peer = RawPeer::dial(&server);
        peer.send_bytes(upgrade_request(server.local_addr()));
        if number % 2 == 0 {
            peer.reset();
        } else {
            peer.send_fin();
        }
    }
    settled("all are gone", || server.connection_count() == 0);
    drop(server);
    let mut closed = 0;
    while let Ok(events) = upgraded.recv() {
        events.next_close();
        assert_eq!(events.so_far(), []);
        closed += 1;
    }
    println!("{closed} of {PEERS} were upgraded");
}

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
    at_once(ROLES, |role| {
        const ROUNDS: u64 = 500;
        let mut seed = 1;
        let mut by_setter = 0;
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
        println!("{role:?}: {by_setter} of {ROUNDS} ran in their setter");
    });
}

/// Returns the next of a row of numbers (xorshift).
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}
