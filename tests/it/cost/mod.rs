//! What connections cost: threads, wake-ups, memory, descriptors, signals. Each test counts in a
//! process of its own.

#[cfg(feature = "deflate")]
mod compression;
mod heads;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use landline::{Client, Config, SendErrorKind, Server};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::support::opcode::*;
use crate::support::*;

/// Nothing is ever due, so that nothing that wakes is excused.
fn timeless() -> Config {
    let hours = Duration::from_secs(10 * 60 * 60);
    Config::new()
        .ping_interval(None)
        .handshake_timeout(hours)
        .message_timeout(hours)
}

/// A server with 50 connections has 52 threads: one each, with its number in its name, one that
/// accepts and one in the background.
#[test]
fn connections_cost_a_thread_each() {
    alone(|| {
        let before = threads().len();
        let (sender, receiver) = mpsc::channel();
        let server = TestServer::with(timeless(), move |ws| _ = sender.send(ws.id()));
        let peers: Vec<_> = (0..50).map(|_| RawPeer::client_of(&server)).collect();
        let ids: BTreeSet<_> = peers.iter().map(|_| next(&receiver)).collect();
        assert_eq!(threads().len() - before, 52);
        let mut expected: BTreeSet<_> = ids.iter().map(|id| format!("landline-{id}")).collect();
        // The system keeps 15 bytes of a name.
        expected.extend(["landline-accept".into(), "landline-backgr".into()]);
        // A thread names itself when it first runs.
        settled("all have their names", || {
            let threads = threads_named("landline-").into_iter();
            threads.map(|thread| thread.name).collect::<BTreeSet<_>>() == expected
        });
        drop(peers);
        settled("the threads have ended", || threads().len() - before <= 2);
    });
}

/// A client connection has one thread if it calls back and none if it is read by the program.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes long: .ci/run cost")]
fn clients_cost_a_thread_if_they_call_back() {
    alone(|| {
        let raw = RawServer::new();
        let client = Client::new().config(timeless());
        let before = threads().len();
        let (_peer, _ws, _messages) = raw.meet_open(&client);
        settled("only the background is new", || {
            threads().len() - before == 1
        });
        let (peer, ws) = raw.meet(&client, |_| ());
        settled("it has its thread", || threads().len() - before == 2);
        let name = format!("landline-{}", ws.id());
        settled("it has its name", || threads_named(&name).len() == 1);
        drop((peer, ws));
    });
}

/// Once nothing happens, no thread of the library wakes: not the connections', not the one that
/// accepts, not the one in the background.
#[test]
fn idle_connections_never_wake() {
    alone(|| {
        let server = TestServer::echo_with(timeless());
        let mut peers: Vec<_> = (0..50).map(|_| RawPeer::client_of(&server)).collect();
        for peer in &mut peers {
            // A burst, so that something is held back and the background ticks.
            let burst = peer.encode(&Frame::text("hello")).repeat(10);
            peer.send_bytes(burst);
            (0..10).for_each(|_| assert_eq!(peer.read_frame(), Frame::text("hello")));
        }
        let raw = RawServer::new();
        let client = Client::new().config(timeless());
        let _clients: Vec<_> = (0..5).map(|_| raw.meet(&client, |_| ())).collect();
        settled("all threads are there", || {
            threads_named("landline-").len() == 57
        });
        // The ticks end a little after the last burst. From then on each second is like this one.
        let quiet = (0..10).any(|_| {
            let before = wakings();
            pause(ms(1000), "a second in which nobody wakes");
            let after = wakings();
            let woken: Vec<_> = after
                .iter()
                .filter(|entry| before.get(entry.0) != Some(entry.1))
                .collect();
            println!("woken within a second: {woken:?}");
            woken.is_empty()
        });
        assert!(quiet, "something wakes every second");
    });
}

/// Returns how often each of the library's threads has gone to sleep.
fn wakings() -> BTreeMap<String, u64> {
    threads_named("landline-")
        .into_iter()
        .map(|thread| (thread.name, thread.sleeps))
        .collect()
}

/// A connection that has echoed a message and is idle costs a server at most 20 KiB, its thread's
/// stack included; unoptimized code needs more of the stack. The kernel's buffers are its own affair.
#[test]
fn idle_connections_cost_at_most_20_kib() {
    const COUNT: usize = addressable(2_000);
    const KIB: usize = if cfg!(debug_assertions) { 40 } else { 20 };
    const TEST: &str = "cost::idle_connections_cost_at_most_20_kib";
    if let Some(address) = part() {
        return hold_sockets(address.parse().unwrap(), COUNT);
    }
    alone(|| {
        raise_descriptors();
        let server = TestServer::echo_with(timeless());
        // What the first connections cost once is not what each costs.
        let warm: Vec<_> = (0..20).map(|_| echoed(server.local_addr())).collect();
        let before = resident_kib();
        let mut peers = Part::start(TEST, &server.local_addr().to_string(), &[]);
        assert_eq!(peers.hear(), "echoed");
        assert_eq!(server.connection_count(), COUNT + warm.len());
        let mut each = usize::MAX;
        settled("the connections are at rest", || {
            each = each.min((resident_kib() - before) as usize * 1024 / COUNT);
            each <= KIB * 1024
        });
        println!("an idle connection costs {:.1} KiB", each as f64 / 1024.0);
        peers.release();
        settled("all are gone", || server.connection_count() == warm.len());
    });
}

/// Plays the other process: holds connections that have echoed a message each.
pub(crate) fn hold_sockets(server: SocketAddr, count: usize) {
    hold_sockets_after(server, count, |_| ());
}

/// Plays the other process likewise, and does more with each connection.
fn hold_sockets_after(server: SocketAddr, count: usize, more: impl Fn(&mut TcpStream)) {
    raise_descriptors();
    let mut peers: Vec<_> = (0..count).map(|_| echoed(server)).collect();
    peers.iter_mut().for_each(more);
    tell("echoed");
    until_released();
}

/// Connections that have echoed a burst of 64 KiB each and are idle cost what others do, and the
/// large read buffers that the process keeps for all: 16 with connections, and 16 for the next.
///
/// On top of that comes what the allocator and the kernel count differently. A small read buffer in
/// memory that a burst has used is resident, and one in fresh memory hardly is. glibc keeps small
/// pieces for each thread, and what one burst has used in each of its arenas.
#[test]
fn bursts_leave_the_memory_of_a_pool_behind() {
    const COUNT: usize = 2_000;
    const KIB: usize = if cfg!(debug_assertions) { 40 } else { 20 };
    const READ_BUFFER: usize = 4;
    const CACHE_OF_A_THREAD: usize = 5;
    const POOL: usize = (16 + 16) * 128;
    const ARENAS: usize = 16 * 256;
    const TEST: &str = "cost::bursts_leave_the_memory_of_a_pool_behind";
    if let Some(address) = part() {
        return hold_sockets_after(address.parse().unwrap(), COUNT, echo_a_burst);
    }
    alone(|| {
        raise_descriptors();
        let server = TestServer::echo_with(timeless());
        let _warm: Vec<_> = (0..20).map(|_| echoed(server.local_addr())).collect();
        let before = resident_kib();
        let mut peers = Part::start(TEST, &server.local_addr().to_string(), &[]);
        assert_eq!(peers.hear(), "echoed");
        let mut more = usize::MAX;
        settled("the connections are at rest", || {
            more = more.min((resident_kib() - before) as usize);
            more <= COUNT * (KIB + READ_BUFFER + CACHE_OF_A_THREAD) + POOL + ARENAS
        });
        let each = more as f64 / COUNT as f64;
        println!("{each:.1} KiB a connection, the pool's included");
        peers.release();
    });
}

fn echo_a_burst(stream: &mut TcpStream) {
    const MESSAGES: usize = (64 << 10) / 38;
    let message = Frame::text("a message of a burst of 64 KiB..");
    stream
        .write_all(&message.bytes(true).repeat(MESSAGES))
        .unwrap();
    let mut echoed = vec![0; message.bytes(false).len() * MESSAGES];
    stream.read_exact(&mut echoed).unwrap();
    assert!(echoed == message.bytes(false).repeat(MESSAGES));
}

fn echoed(server: impl ToSocketAddrs + Display) -> TcpStream {
    let mut stream = TcpStream::connect(&server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let hello = Frame::text("hello");
    stream
        .write_all(upgrade_request(server).as_bytes())
        .unwrap();
    stream.write_all(&hello.bytes(true)).unwrap();
    let mut received = Vec::new();
    while !received.ends_with(&hello.bytes(false)) {
        let mut chunk = [0; 512];
        let length = uninterrupted(|| stream.read(&mut chunk)).unwrap();
        assert_ne!(length, 0, "{}", received.escape_ascii());
        received.extend_from_slice(&chunk[..length]);
    }
    stream
}

pub(crate) fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// A large message leaves nothing behind: a connection that has echoed 4 MiB and is idle costs
/// little more than one that has not.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes long: .ci/run cost")]
fn large_messages_leave_no_memory_behind() {
    alone(|| {
        const COUNT: usize = 40;
        let server = TestServer::echo_with(timeless());
        let mut peers: Vec<_> = (0..COUNT).map(|_| RawPeer::client_of(&server)).collect();
        let large = Frame::new(BINARY, vec![7; 4 << 20]);
        let mut echo = |peer: &mut RawPeer| {
            let mut sending = peer.stream.try_clone().unwrap();
            let bytes = peer.encode(&large);
            let writer = thread::spawn(move || sending.write_all(&bytes).unwrap());
            assert!(peer.read_frame() == large, "not echoed");
            writer.join().unwrap();
        };
        // The allocator keeps what the first few have used.
        peers[..4].iter_mut().for_each(&mut echo);
        let before = resident_kib();
        peers[4..].iter_mut().for_each(&mut echo);
        let more = resident_kib().saturating_sub(before) as usize;
        // If each kept its 4 MiB, these were 144.
        println!("{} connections keep {more} KiB more", COUNT - 4);
        assert!(more < 16 << 10, "{more} KiB more");
    });
}

/// After the last connection and the last server, no thread and no descriptor is left; the
/// background follows a little later.
#[test]
fn nothing_is_left_behind() {
    alone(|| {
        let before = Resources::now();
        for _ in 0..3 {
            let server = TestServer::echo_with(timeless());
            let client = Client::new().config(timeless());
            let mut handles = Vec::new();
            for _ in 0..10 {
                let ws = client.connect(server.url(), |_| ()).unwrap();
                let (handle, mut messages) = client.open(server.url()).unwrap();
                handle.send("hello").unwrap();
                assert_eq!(messages.recv().unwrap(), landline::Message::from("hello"));
                handles.extend([ws, handle]);
            }
            let refused = RawPeer::dial(&server);
            drop(server);
            // Kept handles keep nothing.
            handles.iter().for_each(|ws| {
                settled("the end", || ws.close_code().is_some());
                assert_eq!(ws.send("late").unwrap_err().kind(), SendErrorKind::Closed);
            });
            drop(refused);
            before_but_background(before, &handles);
        }
        settled("the background has ended", || {
            threads_named("landline-").is_empty()
        });
        before.settle_back();
    });
}

fn before_but_background(before: Resources, kept: &[landline::WebSocket]) {
    // The background's thread, the pair of sockets that wakes it, and what it waits with.
    Resources {
        threads: before.threads + 1,
        fds: before.fds + 3,
    }
    .settle_back();
    assert_eq!(kept.len(), 20);
}

/// No descriptor of the library's is handed down to the programs that a program starts.
#[test]
fn descriptors_are_closed_on_exec() {
    alone(|| {
        let before: BTreeSet<_> = descriptors().into_keys().collect();
        let server = TestServer::echo_with(timeless());
        let client = Client::new().config(timeless());
        let ws = client.connect(server.url(), |_| ()).unwrap();
        let (handle, _messages) = client.open(server.url()).unwrap();
        let unanswered = RawPeer::dial(&server);
        settled("all are accepted", || threads_named("landline-").len() >= 6);
        let new: Vec<_> = descriptors()
            .into_iter()
            .filter(|(fd, _)| !before.contains(fd))
            .collect();
        // The listener, two pairs of sockets to wake by, two ends of two connections, the raw ones; and
        // what the background waits with, if that has a descriptor.
        assert!(new.len() >= 11, "{new:?}");
        const CLOEXEC: u32 = 0o2_000_000;
        let handed_down: Vec<_> = new
            .iter()
            .filter(|(_, flags)| flags & CLOEXEC == 0)
            .collect();
        assert!(handed_down.is_empty(), "{handed_down:?}");
        drop((ws, handle, unanswered));
    });
}

/// Returns the flags of each descriptor.
fn descriptors() -> BTreeMap<u32, u32> {
    let infos = fs::read_dir("/proc/self/fdinfo").unwrap();
    let flags = |info: fs::DirEntry| {
        let text = fs::read_to_string(info.path()).ok()?;
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let number = info.file_name().to_string_lossy().parse().ok()?;
        Some((number, u32::from_str_radix(flags.trim(), 8).ok()?))
    };
    infos.filter_map(|info| flags(info.unwrap())).collect()
}

/// Writing to a connection that is broken raises no SIGPIPE, in either role. Rust programs ignore
/// it, but libraries in other programs may not; a signal that is blocked stays where it can be seen.
#[test]
fn no_sigpipe_is_raised() {
    const TEST: &str = "cost::no_sigpipe_is_raised";
    if part().is_none() {
        let mut child = Part::start(TEST, "blocked", &["env", "--block-signal=PIPE"]);
        assert_eq!(child.hear(), "no signal of landline's");
        return child.release();
    }
    let gate = mpsc::channel::<()>();
    let (sender, receiver) = mpsc::channel();
    let waiting = std::sync::Mutex::new(gate.1);
    let server = TestServer::start(Server::builder().config(timeless()).serve(
        move |ws, _messages, _| {
            let _ = sender.send(ws);
            // Nobody reads, so that it is a write that finds the connection broken.
            let _ = waiting.lock().unwrap().recv_timeout(PATIENCE);
            Ok(())
        },
    ));
    let peer = RawPeer::client_of(&server);
    break_off(peer);
    write_until_broken(&next(&receiver));
    let (peer, ws, messages) = RawServer::new().meet_open(&Client::new().config(timeless()));
    break_off(peer);
    write_until_broken(&ws);
    assert!(!sigpipe_is_pending(), "landline has raised SIGPIPE");
    drop((ws, messages, gate.0));
    tell("no signal of landline's");
    // What proves that it would have been seen.
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    rustix::io::write(&ours, b"x").unwrap_err();
    assert!(sigpipe_is_pending(), "it cannot be seen here");
    until_released();
}

/// Ends and then resets: a write then finds a broken pipe, not just a reset connection.
fn break_off(peer: RawPeer) {
    peer.send_fin();
    peer.reset();
}

#[track_caller]
fn write_until_broken(ws: &landline::WebSocket) {
    settled("a write finds it broken", || {
        ws.send("into the void").is_err()
    });
}

fn sigpipe_is_pending() -> bool {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok())
        .any(|status| {
            let pending = status
                .lines()
                .filter(|line| line.starts_with("SigPnd:") || line.starts_with("ShdPnd:"));
            let masks = pending.filter_map(|line| line.split_whitespace().nth(1));
            masks
                .map(|mask| u64::from_str_radix(mask, 16).unwrap())
                .any(|mask| mask & 0x1000 != 0)
        })
}

/// A process that is stopped under traffic and goes on loses no connection and no message: every
/// call that a signal interrupts is made again.
#[test]
fn stopping_and_going_on_closes_nothing() {
    const TEST: &str = "cost::stopping_and_going_on_closes_nothing";
    const ROUNDS: usize = 20;
    if part().is_some() {
        return echo_for_ever();
    }
    let mut child = Part::start(TEST, "traffic", &[]);
    let mut before = 0;
    for _ in 0..ROUNDS {
        child.stop();
        child.go_on();
        let count: u64 = child.hear().parse().unwrap();
        assert!(count > before);
        before = count;
    }
    child.release();
}

/// Plays the other process: echoes in every way there is, and tells of it now and then.
fn echo_for_ever() {
    let server = TestServer::echo_with(timeless());
    let client = Client::new().config(timeless().max_queue_bytes(64 << 10));
    let idle = client.connect(server.url(), |_| ()).unwrap();
    let (count, counted) = mpsc::channel();
    let busy = client.connect(server.url(), |ws| {
        ws.on_message(move |ws, message| {
            let _ = count.send(());
            ws.send(message)
        });
    });
    let busy = busy.unwrap();
    // Some large, so that writing is interrupted too.
    busy.send_all((0..20).map(|i| vec![7; 1 << i])).unwrap();
    let (ws, mut messages) = client.open(server.url()).unwrap();
    let (released, is_released) = mpsc::channel();
    thread::spawn(move || {
        until_released();
        let _ = released.send(());
    });
    let mut echoes: u64 = 0;
    while is_released.try_recv().is_err() {
        ws.send("hello").unwrap();
        assert_eq!(
            messages.recv_timeout(PATIENCE).unwrap(),
            landline::Message::from("hello")
        );
        next(&counted);
        echoes += 1;
        if echoes % 20 == 0 {
            tell(&echoes.to_string());
        }
    }
    assert!(idle.is_open() && busy.is_open() && ws.is_open());
    assert_eq!(server.connection_count(), 3);
    busy.abort();
}

/// A program that reconnects again and again does not start the background anew each time.
#[test]
fn reconnecting_reuses_the_background() {
    alone(|| {
        const TIMES: usize = 20;
        let raw = RawServer::new();
        let client = Client::new().config(timeless());
        let mut backgrounds = BTreeSet::new();
        for _ in 0..TIMES {
            let (peer, ws) = raw.meet(&client, |_| ());
            backgrounds.insert(background());
            drop((peer, ws));
        }
        // A machine that stalls between two may let it end.
        assert!(backgrounds.len() < TIMES / 2, "{backgrounds:?}");
    });
}

/// Returns the number of the background's thread, once it has its name.
fn background() -> String {
    let is_it = |task: &PathBuf| {
        let name = fs::read_to_string(task.join("comm"));
        name.is_ok_and(|name| name.starts_with("landline-backgr"))
    };
    let mut found = None;
    settled("the background runs", || {
        let mut tasks = fs::read_dir("/proc/self/task")
            .unwrap()
            .map(|task| task.unwrap().path());
        found = tasks.find(is_it);
        found.is_some()
    });
    found.unwrap().to_string_lossy().into_owned()
}

/// Dials of clients leave nothing behind when they fail.
#[test]
fn failed_connects_leave_nothing() {
    alone(|| {
        let dead = dead_port();
        let raw = RawServer::new();
        let before = Resources::now();
        for _ in 0..20 {
            landline::open(format!("ws://{dead}"))
                .map(drop)
                .unwrap_err();
            landline::open(format!("ws://localhost:{}", dead.port()))
                .map(drop)
                .unwrap_err();
            thread::scope(|scope| {
                let connecting = scope.spawn(|| landline::open(raw.url()).map(drop).unwrap_err());
                let mut peer = raw.accept();
                peer.read_head();
                peer.send_bytes("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
                connecting.join().unwrap();
            });
        }
        before.settle_back();
    });
}

/// However many handles are kept, the socket is closed with the connection.
#[test]
fn kept_handles_keep_no_socket() {
    for role in ROLES {
        let mut met = Meeting::of(role, timeless(), |_| {});
        let _kept: Vec<_> = (0..10).map(|_| met.ws.clone()).collect();
        met.peer.send_close(1000, "");
        assert_eq!(met.peer.read_close(), Some(1000));
        met.peer.send_fin();
        met.peer.read_eof();
    }
}
