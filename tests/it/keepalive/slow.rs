//! Slow is not dead: peers behind a slow link read all the time, with default settings and in real
//! time.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use landline::{Client, Config, Group, Server, ServerBuilder, Timeout, WebSocket};
use rustix::net::sockopt;

use crate::support::*;

const KIB: usize = 1 << 10;

/// A peer that gets 3 MiB over 32 kB a second is not cut, though its pongs have to wait for what stands
/// before the pings: one message, and many.
#[test]
#[ignore = "takes two minutes"]
fn links_of_32_kb_a_second() {
    const MESSAGES: [(usize, usize); 2] = [(1, 3 << 20), (3 << 10, KIB)];
    thread::scope(|scope| {
        for (&way, (count, size)) in WAYS.iter().flat_map(|way| MESSAGES.map(|kind| (way, kind))) {
            scope.spawn(move || {
                let met = Linked::by(way, 32_000, Some(4 * KIB));
                let ws = met.ws.clone();
                let sending =
                    thread::spawn(move || (0..count).all(|_| ws.send(vec![0; size]).is_ok()));
                assert_eq!(
                    met.read(count * size),
                    count * size,
                    "{way:?}, {count} messages"
                );
                assert!(sending.join().unwrap());
            });
        }
    });
}

/// Peers that read 5, 10 or 40 KiB a second of all that there is are not cut within two minutes, and no
/// more are members of a group, to which less is sent than they read. No send waits in vain for room.
#[test]
#[ignore = "takes two minutes"]
fn readers_of_5_to_40_kib_a_second() {
    const PERIOD: Duration = Duration::from_secs(120);
    thread::scope(|scope| {
        for (&way, rate) in WAYS
            .iter()
            .flat_map(|way| [5, 10, 40].map(|rate| (way, rate)))
        {
            scope.spawn(move || {
                let met = Linked::by(way, rate * KIB, None);
                let begin = Instant::now();
                while begin.elapsed() < PERIOD {
                    let sent = met.ws.send(vec![0; KIB]);
                    let after = begin.elapsed();
                    assert!(
                        sent.is_ok(),
                        "{way:?} at {rate} KiB/s fails after {after:?}: {:?}",
                        sent.map_err(|error| error.kind())
                    );
                }
            });
        }
        scope.spawn(|| {
            let met: Vec<_> = WAYS
                .iter()
                .map(|&way| Linked::by(way, 40 * KIB, None))
                .collect();
            let group = Group::new();
            met.iter().for_each(|met| assert!(group.join(&met.ws)));
            let begin = Instant::now();
            while begin.elapsed() < PERIOD {
                group.send(vec![0; KIB]);
                pause(ms(50), "20 KiB a second");
            }
            let open = met.iter().filter(|met| met.ws.is_open()).count();
            assert_eq!(open, WAYS.len());
        });
    });
}

/// A peer that reads nothing is cut when `write_timeout` has passed, by default after 40 s and at
/// most a quarter of that more.
#[test]
#[ignore = "takes forty seconds"]
fn peers_that_read_nothing_are_cut_in_time() {
    thread::scope(|scope| {
        for &way in ALL_WAYS {
            scope.spawn(move || {
                let met = AnyMeeting::deaf(way, Config::new());
                let begin = Instant::now();
                while met.ws.send(vec![0; KIB]).is_ok() {}
                let event = met.ws.wait_closed_timeout(PATIENCE).unwrap();
                let after = begin.elapsed();
                assert_eq!(event.timeout(), Some(Timeout::Write), "{way:?}");
                let expected = Duration::from_secs(40)..Duration::from_secs(52);
                assert!(expected.contains(&after), "{way:?} after {after:?}");
            });
        }
    });
}

/// A peer that pings every 4 s, and closes with 1011 where no pong comes within 4 s, gets 1 MiB over
/// 32 kB a second in short frames, with little in the kernel: pongs leave between them. In one frame it
/// is too much for its patience.
#[test]
#[ignore = "takes half a minute"]
fn pongs_leave_between_short_frames() {
    const LENGTH: usize = 1 << 20;
    let table = [(Some(8 * KIB), (LENGTH, None)), (None, (0, Some(1011)))];
    thread::scope(|scope| {
        for (role, (max_frame, expected)) in
            ROLES.iter().flat_map(|role| table.map(|row| (role, row)))
        {
            scope.spawn(move || {
                let config = Config::new().tcp_notsent_lowat(16 * KIB);
                let config = config.max_outgoing_frame(max_frame);
                let (peer, ws, _server) = meet_behind_link(*role, config);
                ws.send(vec![0; LENGTH]).unwrap();
                let pinging = Pinging::begin(&peer);
                let got = pinging.read(peer, LENGTH);
                assert_eq!(got, expected, "{role:?} in frames of {max_frame:?}");
                ws.abort();
            });
        }
    });
}

fn meet_behind_link(role: Role, config: Config) -> (RawPeer, WebSocket, Option<TestServer>) {
    let link = |target| link(target, 32_000, Some(4 * KIB));
    match role {
        Role::Server => {
            let (sender, receiver) = mpsc::channel();
            let builder = Server::builder().config(config);
            let server = TestServer::start(builder.on_upgrade(move |ws, _| {
                let _ = sender.send(ws.clone());
            }));
            let mut peer = RawPeer::connect_to(link(tcp_addr(&server)));
            peer.upgrade();
            (peer, next(&receiver), Some(server))
        }
        Role::Client => {
            let raw = RawServer::new();
            let url = format!("ws://{}", link(raw.local_addr()));
            let client = Client::new().config(config);
            let (peer, ws) = raw.answering(|_| client.connect(url, |_| ()).unwrap());
            (peer, ws, None)
        }
    }
}

/// The keepalive of a peer: a ping every 4 s, of which each has 4 s for its pong.
struct Pinging {
    pongs: mpsc::Sender<()>,
    thread: thread::JoinHandle<Option<u16>>,
}

impl Pinging {
    fn begin(peer: &RawPeer) -> Self {
        const PATIENT: Duration = Duration::from_secs(4);
        let mut stream = peer.stream.try_clone().unwrap();
        let ping = peer.encode(&Frame::new(opcode::PING, "4 s"));
        let close = peer.encode(&Frame::new(opcode::CLOSE, 1011_u16.to_be_bytes()));
        let (pongs, heard) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            // Nobody pongs unasked: this waits for the end, or for 4 s.
            while heard.recv_timeout(PATIENT) == Err(RecvTimeoutError::Timeout) {
                if stream.write_all(&ping).is_err() {
                    break;
                }
                match heard.recv_timeout(PATIENT) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        // It may be gone already.
                        let _ = stream.write_all(&close);
                        let _ = stream.shutdown(Shutdown::Both);
                        return Some(1011);
                    }
                }
            }
            None
        });
        Self { pongs, thread }
    }

    /// Reads a message of this length. Returns how much came in whole frames, and with which code the
    /// peer has closed, if it has.
    fn read(self, mut peer: RawPeer, length: usize) -> (usize, Option<u16>) {
        peer.stream.set_read_timeout(None).unwrap();
        let mut got = 0;
        while got < length {
            match peer.read_frame_or_end() {
                Ok(frame) if frame.opcode == opcode::PONG => drop(self.pongs.send(())),
                Ok(frame) if frame.opcode == opcode::PING => {}
                Ok(frame) => got += frame.payload.len(),
                Err(_) => break,
            }
        }
        drop(self.pongs);
        (got, self.thread.join().unwrap())
    }
}

/// Landline with default settings, and behind a slow link a peer that reads and answers pings.
struct Linked {
    ws: WebSocket,
    /// The bytes of each message that the peer got.
    got: Receiver<usize>,
    _server: Option<TestServer>,
}

impl Linked {
    /// Meets over a link of so many bytes a second, whose buffers are as small as that if it says so.
    fn by(way: Way, rate: usize, buffer: Option<usize>) -> Self {
        let link = |target| link(target, rate, buffer);
        let (mut reading, ws, server) = match way {
            Way::Plain(Role::Server) => {
                Self::of_server(Server::builder(), TestServer::start, |server| {
                    let mut peer = RawPeer::connect_to(link(tcp_addr(server)));
                    peer.upgrade();
                    AnyPeer::Plain(peer)
                })
            }
            Way::Plain(Role::Client) => {
                let raw = RawServer::new();
                let url = format!("ws://{}", link(raw.local_addr()));
                let (peer, ws) = raw.answering(|_| landline::connect(url, |_| ()).unwrap());
                (AnyPeer::Plain(peer), ws, None)
            }
            #[cfg(feature = "tls")]
            Way::Secure(Role::Server) => Self::of_server(Server::builder(), secure, |server| {
                let raw = RawPeer::connect_to(link(tcp_addr(server)));
                let mut peer = TlsPeer::over(raw);
                peer.upgrade();
                AnyPeer::Secure(Box::new(peer))
            }),
            #[cfg(feature = "tls")]
            Way::Secure(Role::Client) => {
                let raw = RawServer::new();
                let url = format!("wss://{}", link(raw.local_addr()));
                let (peer, ws) = TlsPeer::meet_by(&raw, &url, &trusting(), |_| ());
                (AnyPeer::Secure(Box::new(peer)), ws, None)
            }
            #[cfg(all(feature = "tls", feature = "rustls"))]
            Way::Rustls(_) => panic!("the peers are OpenSSL's"),
        };
        let (sender, got) = mpsc::channel();
        thread::spawn(move || {
            while let Some(frame) = reading.read_frame_or_end() {
                match frame.opcode {
                    // Landline may be gone.
                    opcode::PING => {
                        drop(reading.try_send(&Frame::new(opcode::PONG, frame.payload)));
                    }
                    _ => drop(sender.send(frame.payload.len())),
                }
            }
        });
        Self {
            ws,
            got,
            _server: server,
        }
    }

    fn of_server(
        builder: ServerBuilder,
        start: fn(ServerBuilder) -> TestServer,
        dial: impl FnOnce(&Server) -> AnyPeer,
    ) -> (AnyPeer, WebSocket, Option<TestServer>) {
        let (sender, receiver) = mpsc::channel();
        let builder = builder.on_upgrade(move |ws, _| {
            let _ = sender.send(ws.clone());
        });
        let server = start(builder);
        let peer = dial(&server);
        (peer, next(&receiver), Some(server))
    }

    /// Waits until the peer has got so many bytes, and returns how many it got.
    fn read(&self, bytes: usize) -> usize {
        let mut got = 0;
        while got < bytes {
            let Ok(length) = self.got.recv_timeout(10 * PATIENCE) else {
                break;
            };
            got += length;
        }
        got
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.ws.abort();
    }
}

/// Listens, and passes one connection on to `target`, both ways at so many bytes a second.
fn link(target: SocketAddr, rate: usize, buffer: Option<usize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    if let Some(bytes) = buffer {
        sockopt::set_socket_recv_buffer_size(&listener, bytes).unwrap();
    }
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let near = listener.accept().unwrap().0;
        let far = TcpStream::connect(target).unwrap();
        if let Some(bytes) = buffer {
            sockopt::set_socket_recv_buffer_size(&far, bytes).unwrap();
        }
        let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
        thread::spawn(move || pass_on(near, far, rate));
        pass_on(back.0, back.1, rate);
    });
    address
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, rate: usize) {
    const STEPS: usize = 20;
    let mut chunk = vec![0; rate / STEPS];
    let mut next = Instant::now();
    while let Ok(length @ 1..) = uninterrupted(|| from.read(&mut chunk)) {
        if to.write_all(&chunk[..length]).is_err() {
            break;
        }
        // What was slept too long is made up for.
        let earliest = Instant::now() - Duration::from_secs(1);
        next = next.max(earliest) + Duration::from_secs(1) * length as u32 / rate as u32;
        let time = next.saturating_duration_since(Instant::now());
        pause(time, "the link passes on so many bytes a second");
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
