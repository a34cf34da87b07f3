//! Streams that the program has or makes.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use landline::{Client, Config, Error, Socket, Timeout};

use super::{assert_echo, error_of};
use crate::support::*;

/// Makes a client that is handed what this makes.
fn given<S: Into<Socket>>(make: impl Fn() -> S + Send + Sync + 'static) -> Client {
    Client::new().dial_with(move |_, _, _| Ok(make()))
}

/// Any connected stream will do, whatever its mode, timeouts and place.
#[test]
fn connected_streams_are_taken() {
    let server = TestServer::echo();
    let address = tcp_addr(&server);
    let dial = move || TcpStream::connect(address).unwrap();
    assert_echo(&given(dial), "ws://localhost/");
    assert_echo(&given(move || OwnedFd::from(dial())), "ws://localhost/");
    let odd = move || {
        let stream = dial();
        stream.set_nonblocking(true).unwrap();
        stream.set_read_timeout(Some(ms(1))).unwrap();
        stream.set_write_timeout(Some(ms(1))).unwrap();
        rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::empty()).unwrap();
        stream
    };
    assert_echo(&given(odd), "ws://localhost/");
    let pair = move || {
        let (near, far) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut peer = tungstenite::accept(far).unwrap();
            while let Ok(message) = peer.read() {
                if message.is_text() {
                    peer.send(message).unwrap();
                }
            }
        });
        near
    };
    assert_echo(&given(pair), "ws://localhost/");
}

/// The closure gets the host without brackets, the port, and the deadline.
#[test]
fn closures_get_host_port_and_deadline() {
    let (told, heard) = mpsc::channel();
    let told = Mutex::new(told);
    let client = Client::new()
        .connect_timeout(Duration::from_secs(2))
        .dial_with(move |host, port, deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            let sent = told.lock().unwrap().send((host.to_owned(), port, left));
            sent.unwrap();
            Err::<TcpStream, _>(io::Error::new(ErrorKind::HostUnreachable, "not there"))
        });
    for (url, host, port) in [
        ("ws://Example.com/", "example.com", 80),
        ("ws://127.0.0.1:81/", "127.0.0.1", 81),
        ("ws://[::1]/", "::1", 80),
        ("ws://[fe80::1%25eth0]:9001/", "fe80::1%eth0", 9001),
    ] {
        let error = error_of(&client, url);
        let Error::Connect(source) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(source.kind(), ErrorKind::HostUnreachable);
        assert!(error.to_string().ends_with(": not there") && error.is_transient());
        let (heard_host, heard_port, left) = next(&heard);
        assert_eq!((&*heard_host, heard_port), (host, port));
        assert!(left <= Duration::from_secs(2));
    }
}

/// A descriptor that is no connected stream is an error of connecting, and is closed.
#[test]
fn other_descriptors_are_refused() {
    alone(|| {
        let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let unconnected = || {
            let (family, kind) = (
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::STREAM,
            );
            rustix::net::socket(family, kind, None).unwrap()
        };
        let clients = [
            given(listener),
            given(unconnected),
            given(|| OwnedFd::from(File::open("/dev/null").unwrap())),
            given(|| OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap())),
            given(|| OwnedFd::from(UnixDatagram::pair().unwrap().0)),
        ];
        error_of(&clients[0], "ws://localhost/");
        let before = Resources::now();
        for client in clients {
            let error = error_of(&client, "ws://localhost/");
            let Error::Connect(source) = &error else {
                panic!("{error:?}")
            };
            assert_eq!(source.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(!error.is_transient());
            assert!(
                error.to_string().contains("no connected stream socket"),
                "{error}"
            );
        }
        before.settle_back();
    });
}

/// A closure that panics is an error of connecting with its words.
#[test]
fn panics_are_errors() {
    let client = Client::new().dial_with(|_, _, _| -> io::Result<TcpStream> { panic!("no way") });
    let error = error_of(&client, "ws://localhost/");
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
    assert!(error.to_string().contains("no way"), "{error}");
}

/// A closure that does not return is left behind at the deadline, or by a cancel; only so many are, and
/// what they return late is closed.
#[test]
fn slow_closures_are_left_behind() {
    alone(|| {
        let before = Resources::now();
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let (peers, at_peers) = mpsc::channel();
        let peers = Mutex::new(peers);
        let opens = Arc::clone(&gate);
        let client = Client::new()
            .config(Config::new().handshake_timeout(ms(20)))
            .dial_with(move |_, _, _| {
                drop(opens.lock());
                let (near, far) = UnixStream::pair()?;
                peers.lock().unwrap().send(far).unwrap();
                Ok(near)
            });
        for _ in 0..16 {
            let error = error_of(&client, "ws://localhost/");
            let timed_out = matches!(error, Error::Timeout(Timeout::Handshake));
            assert!(timed_out, "{error:?}");
        }
        let error = error_of(&client, "ws://localhost/");
        let Error::Connect(source) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(source.kind(), ErrorKind::ResourceBusy);
        drop(closed);
        for _ in 0..16 {
            let mut peer = next(&at_peers);
            assert_eq!(io::Read::read(&mut peer, &mut [0]).unwrap(), 0);
        }
        before.settle_back();

        let closed = gate.lock().unwrap();
        let client = client.config(Config::new());
        let canceller = client.canceller();
        let waiting = thread::spawn(move || error_of(&client, "ws://localhost/"));
        settled("it runs", || !threads_named("landline-dial").is_empty());
        canceller.cancel();
        assert!(matches!(waiting.join().unwrap(), Error::Cancelled));
        drop(closed);
        drop(next(&at_peers));
        before.settle_back();
    });
}

/// TLS goes over a given stream, with the URL's host.
#[test]
#[cfg(feature = "tls")]
fn tls_goes_over_given_streams() {
    let server = secure_echo(Config::new());
    let address = tcp_addr(&server);
    let client = trusting().dial_with(move |_, _, _| TcpStream::connect(address));
    assert_echo(&client, "wss://localhost/");
    let error = error_of(&client, "wss://example.com/");
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
}

/// A child of ours may be the way, as `ssh -W` is: its standard input and output are one socket.
#[test]
fn children_carry_the_stream() {
    const SCRIPT: &str = "exec 3<>/dev/tcp/127.0.0.1/$0; cat <&3 & cat >&3; kill $!";
    let server = TestServer::echo();
    let port = tcp_addr(&server).port().to_string();
    let client = Client::new().dial_with(move |_, _, _| {
        let (near, far) = UnixStream::pair()?;
        let mut child = Command::new("bash")
            .args(["-c", SCRIPT, &port])
            .stdin(OwnedFd::from(far.try_clone()?))
            .stdout(OwnedFd::from(far))
            .spawn()?;
        thread::spawn(move || child.wait());
        Ok(near)
    });
    assert_echo(&client, "ws://localhost/");
}
