//! Whatever can fail in opening happens before the 101; after it, `on_close` always runs.

use std::sync::mpsc;
use std::thread;

use landline::{Client, CloseCode, Config, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::*;

/// A client that gets no thread after the 101 fails to connect, and the `on_close` that was set by
/// then has run.
#[test]
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
fn exhaust_memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    limit_memory(Some((kib + 256) << 10));
}

fn restore_memory() {
    limit_memory(getrlimit(Resource::As).maximum);
}

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
