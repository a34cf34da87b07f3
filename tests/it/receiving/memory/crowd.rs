//! A crowd of large messages against a server whose address space is bounded.

use std::fs;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use landline::{Client, Config};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{KIB, MIB, patient};
use crate::support::opcode::*;
use crate::support::*;

/// All that the server's process may map, its program included, which is larger with rustls.
const SPACE: usize = if cfg!(feature = "rustls") {
    640 * MIB
} else {
    512 * MIB
};
/// What each peer sends.
const LARGE: usize = 16 * MIB;
/// How long a message may wait where it is given up, at first.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Has glibc take no 64 MiB of address space for each of the first threads, so that more peers get in.
const ONE_ARENA: [&str; 2] = ["env", "MALLOC_ARENA_MAX=1"];

/// Serves in a process with a bounded address space until it is let go, and tells what it has needed.
fn serve(config: Config) {
    let limit = Rlimit {
        current: Some(SPACE as u64),
        ..getrlimit(Resource::As)
    };
    setrlimit(Resource::As, limit).unwrap();
    let server = TestServer::echo_with(config);
    tell(&server.local_addr().to_string());
    until_released();
    drop(server);
    tell(&peak_kib().to_string());
}

/// Returns the most memory that this process has had in RAM, in KiB.
fn peak_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().trim_end_matches(" kB");
    peak.parse().unwrap()
}

/// The server, who was there before the crowd, and the crowd.
struct Scene {
    server: Part,
    address: SocketAddr,
    probe: Probe,
    /// Holds little, and waits.
    small: RawPeer,
    /// With their sockets, to break off.
    peers: Vec<(RawPeer, TcpStream)>,
}

impl Scene {
    /// Has so many peers come, of which the server may refuse some. It is started by way of another
    /// program if one is named.
    #[track_caller]
    fn open(test: &str, part: &str, count: usize, by_way_of: &[&str]) -> Self {
        let mut server = Part::start(test, part, by_way_of);
        let address = server.hear().parse().unwrap();
        let probe = Probe::at(&Client::new(), &format!("ws://{address}"));
        let mut small = RawPeer::connect_to(address);
        small.upgrade();
        let peers = (0..count).filter_map(|_| knock_at(address)).collect();
        Self {
            server,
            address,
            probe,
            small,
            peers,
        }
    }

    /// Asserts that whoever sends little is served.
    #[track_caller]
    fn serves_who_holds_little(&mut self) {
        self.probe.keeps_up();
        self.small.send(&Frame::new(BINARY, vec![1; 60 * KIB]));
        assert_eq!(read_data(&mut self.small), 60 * KIB);
    }

    /// Waits until a newcomer gets in, and asserts that its message comes through.
    #[track_caller]
    fn serves_newcomers(&self) {
        let mut newcomer = None;
        settled("a newcomer gets in", || {
            newcomer = knock_at(self.address);
            newcomer.is_some()
        });
        let (mut newcomer, _) = newcomer.unwrap();
        newcomer.send(&Frame::new(BINARY, vec![1; MIB]));
        assert_eq!(read_data(&mut newcomer), MIB);
    }

    /// Lets the server go, asserts that it ends well, and checks what it has needed.
    #[track_caller]
    fn close(self) {
        let Self { server, probe, .. } = self;
        println!("the longest echoes: {:?}", probe.longest());
        drop(probe);
        let peak = server.finish().pop().unwrap().parse::<usize>().unwrap();
        println!("{} MiB at most in RAM", peak / KIB);
        assert!(peak / KIB < SPACE / 2 * 3 / 2 / MIB);
    }
}

/// How a large message has ended: what came back, the code of a Close or a length, and when.
enum Ending {
    Closed(u16, Instant),
    Echoed(usize),
    /// Without a word, as a sender is that stands still for `message_timeout`.
    Cut,
}

impl Scene {
    /// Has all of the crowd send a large message while it is seen to that others are served, and returns
    /// how each has ended.
    #[track_caller]
    fn send_all(&mut self) -> Vec<Ending> {
        let large = Frame::new(BINARY, vec![7; LARGE]).bytes(true);
        let peers = std::mem::take(&mut self.peers);
        thread::scope(|scope| {
            let sending = peers.into_iter().map(|(mut peer, _)| {
                let large = &large;
                scope.spawn(move || {
                    let _ = peer.try_send_bytes(large);
                    match peer.read_frame_or_end() {
                        Ok(frame) if frame.opcode == CLOSE => {
                            Ending::Closed(frame.close_code().unwrap(), Instant::now())
                        }
                        Ok(frame) => Ending::Echoed(frame.payload.len()),
                        Err(_) => Ending::Cut,
                    }
                })
            });
            let sending: Vec<_> = sending.collect();
            while sending.iter().any(|peer| !peer.is_finished()) {
                self.serves_who_holds_little();
                pause(ms(100), "the crowd is under way meanwhile");
            }
            let endings = sending.into_iter().map(|peer| peer.join().unwrap());
            endings.collect()
        })
    }
}

/// Reads a message among pings, and returns how long it is.
#[track_caller]
fn read_data(peer: &mut RawPeer) -> usize {
    loop {
        let frame = peer.read_frame();
        if frame.opcode != PING {
            assert_eq!(frame.opcode, BINARY);
            return frame.payload.len();
        }
    }
}

/// Comes as a newcomer: gets in, or 503.
#[track_caller]
fn knock_at(address: SocketAddr) -> Option<(RawPeer, TcpStream)> {
    let stream = TcpStream::connect(address).unwrap();
    let mut peer = RawPeer::over(stream.try_clone().unwrap());
    let head = peer.try_upgrade();
    let is_in = head.starts_with("HTTP/1.1 101 ");
    assert!(is_in || head.starts_with("HTTP/1.1 503 "), "{head}");
    is_in.then_some((peer, stream))
}

/// A crowd that sends all of its large messages but the last byte aborts nothing: whoever sends little is
/// served, and newcomers are served or get 503. When the crowd has broken off, they are served: an RST is
/// found at once, and an end that lies behind what nobody reads when the peer's system answers a ping.
#[test]
fn crowd_aborts_nothing() {
    const TEST: &str = "receiving::memory::crowd::crowd_aborts_nothing";
    if part().is_some() {
        let pinging = patient().ping_interval(ms(500));
        return serve(pinging.ping_timeout(Duration::from_secs(60 * 60)));
    }
    for (count, by_way_of) in [(22, &[][..]), (40, &[]), (40, &ONE_ARENA)] {
        let mut scene = Scene::open(TEST, "server", count, by_way_of);
        let large = Frame::new(BINARY, vec![7; LARGE]).bytes(true);
        let most = &large[..large.len() - 1];
        let peers = std::mem::take(&mut scene.peers);
        println!("{} of {count} are in", peers.len());
        let sent = AtomicUsize::new(0);
        thread::scope(|scope| {
            let mut streams = Vec::new();
            for (mut peer, stream) in peers {
                streams.push(stream);
                let sent = &sent;
                scope.spawn(move || {
                    for piece in most.chunks(64 * KIB) {
                        if peer.try_send_bytes(piece).is_err() {
                            return;
                        }
                        sent.fetch_add(piece.len(), Ordering::Relaxed);
                    }
                });
            }
            settled("all that there is room for has come", || {
                let before = sent.load(Ordering::Relaxed);
                pause(ms(500), "nothing more may come for a while");
                before > 0 && sent.load(Ordering::Relaxed) == before
            });
            println!("{} MiB sent", sent.load(Ordering::Relaxed) / MIB);
            scene.serves_who_holds_little();
            for _ in 0..5 {
                drop(knock_at(scene.address));
            }
            for (number, stream) in streams.into_iter().enumerate() {
                if number % 2 == 0 {
                    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
                }
                stream.shutdown(Shutdown::Both).unwrap();
            }
        });
        scene.serves_who_holds_little();
        scene.serves_newcomers();
        scene.close();
    }
}

/// Each of a crowd comes through whole or gets 1009, those one by one as `message_timeout` passes, and
/// whoever sends little is served all the while. How many there are of either is the machine's to say. That
/// one is given up although others come through, and that it is the largest, is shown where the sizes are
/// known: `largest_message_that_waits_is_given_up`.
#[test]
fn crowd_is_given_up_one_at_a_time() {
    const TEST: &str = "receiving::memory::crowd::crowd_is_given_up_one_at_a_time";
    if let Some(timeout) = part() {
        let timeout = ms(timeout.parse().unwrap());
        return serve(Config::new().ping_interval(None).message_timeout(timeout));
    }
    for by_way_of in [&[][..], &ONE_ARENA] {
        // A machine that is slow or stalls for the timeout makes senders that stand still: then once more,
        // with more time.
        let mut timeouts = (1..=5).map(|times| TIMEOUT * times);
        let is_shown = timeouts.any(|timeout| gives_up_one_at_a_time(TEST, timeout, by_way_of));
        assert!(is_shown, "senders are cut each time");
    }
}

/// Has a crowd send, and tells whether each of them got an answer.
#[track_caller]
fn gives_up_one_at_a_time(test: &str, timeout: Duration, by_way_of: &[&str]) -> bool {
    let part = timeout.as_millis().to_string();
    let control = Control::start();
    let mut scene = Scene::open(test, &part, 22, by_way_of);
    let (mut echoed, mut cut, mut given_up) = (0, 0, Vec::new());
    for ending in scene.send_all() {
        match ending {
            Ending::Echoed(length) => {
                assert_eq!(length, LARGE);
                echoed += 1;
            }
            Ending::Closed(code, at) => {
                assert_eq!(code, 1009);
                given_up.push(at);
            }
            Ending::Cut => cut += 1,
        }
    }
    println!(
        "{echoed} came through, {} are given up, {cut} cut",
        given_up.len()
    );
    given_up.sort();
    if let [first, .., last] = given_up[..] {
        let least = timeout * (given_up.len() as u32 - 1) / 2;
        // Peers that stood still have seen the first end late.
        let stalled = control.longest_silence();
        assert!(last - first + stalled >= least, "{:?}", last - first);
    }
    scene.serves_who_holds_little();
    scene.close();
    cut == 0
}
