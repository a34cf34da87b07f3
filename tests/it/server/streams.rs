//! Connections that the program hands to a server.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use landline::{Error, Server, ServerBuilder};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::support::*;

fn echo() -> ServerBuilder {
    Server::builder().on_upgrade(|ws, _| ws.on_text(|ws, text| ws.send(text)))
}

#[track_caller]
fn assert_echoes(peer: &mut RawPeer) {
    peer.upgrade();
    peer.send_text("hello");
    assert_eq!(peer.read_frame(), Frame::text("hello"));
}

/// Returns both ends of a TCP connection.
fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// A running server serves streams that it is handed, of each kind and in any mode, beside those that
/// it accepts; they count, and are stopped with it.
#[test]
fn servers_take_streams() {
    let server = TestServer::start(echo());
    let mut peers = Vec::new();
    let (near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    far.set_read_timeout(Some(ms(1))).unwrap();
    server.serve_stream(far).unwrap();
    peers.push(RawPeer::over_unix(near));
    let (near, far) = tcp_pair();
    server.serve_stream(far).unwrap();
    peers.push(RawPeer::over(near));
    let (near, far) = UnixStream::pair().unwrap();
    fcntl_setfd(&far, FdFlags::empty()).unwrap();
    let far = OwnedFd::from(far);
    server.serve_stream(far).unwrap();
    peers.push(RawPeer::over_unix(near));
    peers.push(RawPeer::dial(&server));
    peers.iter_mut().for_each(assert_echoes);
    assert_eq!(server.connection_count(), 4);
    server.stop();
    for peer in &mut peers {
        assert_eq!(peer.read_close(), Some(1001));
        peer.send_close(1001, "");
    }
    assert_eq!(server.wait().unwrap().closed().len(), 4);
    let (_near, far) = UnixStream::pair().unwrap();
    let error = server.serve_stream(far).unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
}

/// A descriptor that is handed over does not reach the programs that this one starts.
#[test]
fn streams_close_on_exec() {
    let (near, far) = UnixStream::pair().unwrap();
    let copy = rustix::io::dup(&far).unwrap();
    assert!(!fcntl_getfd(&copy).unwrap().contains(FdFlags::CLOEXEC));
    drop(far);
    let server = TestServer::start(echo());
    use std::os::fd::AsRawFd;
    let number = copy.as_raw_fd();
    server.serve_stream(copy).unwrap();
    assert_echoes(&mut RawPeer::over_unix(near.try_clone().unwrap()));
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = u32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
    assert_ne!(flags & 0o2000000, 0, "{info}");
}

/// What is no connected stream is an error, and so is a stream beyond the limit of connections.
#[test]
fn what_is_no_stream_is_refused() {
    let server = TestServer::start(echo().max_connections(1));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect("127.0.0.1:9").unwrap();
    for fd in [
        OwnedFd::from(listener),
        udp.into(),
        File::open("/dev/null").unwrap().into(),
    ] {
        let error = server.serve_stream(fd).unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        assert!(error.to_string().contains("no connected stream"), "{error}");
    }
    let (near, far) = UnixStream::pair().unwrap();
    server.serve_stream(far).unwrap();
    assert_echoes(&mut RawPeer::over_unix(near.try_clone().unwrap()));
    let (_near, far) = UnixStream::pair().unwrap();
    let error = server.serve_stream(far).unwrap_err();
    assert_eq!(error.to_string(), "1 is the limit");
}

/// A server of one stream listens nowhere, serves it, and has ended when that has; without a thread to
/// accept.
#[test]
fn one_stream_is_served_without_listening() {
    alone(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let server = echo().serve_stream(far).unwrap();
        assert!(server.local_addrs().is_empty());
        let mut peer = RawPeer::over_unix(near);
        assert_echoes(&mut peer);
        assert_eq!(threads_named("landline-accept").len(), 0);
        let waiting = {
            let server = server.clone();
            std::thread::spawn(move || server.wait().unwrap())
        };
        peer.send_close(1000, "");
        assert_eq!(peer.read_close(), Some(1000));
        in_time("the server ends", move || waiting.join().unwrap());
        // A handshake that fails ends it too.
        let (near, far) = UnixStream::pair().unwrap();
        let server = echo().serve_stream(far).unwrap();
        drop(near);
        in_time("the server ends", move || server.wait().unwrap());
    });
}

/// `stop_accepting` closes the listening sockets and nothing else: handshakes under way are finished,
/// connections stay, and the wait ends with the last of them.
#[test]
fn accepting_can_be_stopped_alone() {
    let server = TestServer::start(echo());
    let mut open = RawPeer::client_of(&server);
    let mut slow = RawPeer::dial(&server);
    slow.send_bytes("GET / HTTP/1.1\r\n");
    // The thread of the slow one has begun, as the next one's has.
    RawPeer::client_of(&server);
    server.stop_accepting();
    server.stop_accepting();
    let address = server.local_addr();
    settled("nobody listens", || {
        TcpStream::connect(address.clone()).is_err()
    });
    slow.send_bytes(upgrade_request("localhost").replace("GET / HTTP/1.1\r\n", ""));
    assert!(slow.read_head().contains(" 101 "));
    for peer in [&mut open, &mut slow] {
        peer.send_text("hello");
        assert_eq!(peer.read_frame(), Frame::text("hello"));
    }
    let (near, far) = UnixStream::pair().unwrap();
    server.serve_stream(far).unwrap();
    let mut handed = RawPeer::over_unix(near);
    assert_echoes(&mut handed);
    let waiting = {
        let server = server.handle();
        std::thread::spawn(move || server.wait().unwrap())
    };
    for mut peer in [open, slow] {
        peer.send_close(1000, "");
        assert_eq!(peer.read_close(), Some(1000));
    }
    assert_echoing(&mut handed);
    assert!(!waiting.is_finished());
    handed.send_close(1000, "");
    let report = in_time("the wait ends", move || waiting.join().unwrap());
    assert!(report.stuck().is_empty());
}

#[track_caller]
fn assert_echoing(peer: &mut RawPeer) {
    peer.send_text("again");
    assert_eq!(peer.read_frame(), Frame::text("again"));
}

/// A stop after `stop_accepting` tells the rest 1001, and its deadline counts.
#[test]
fn stops_follow_the_end_of_accepting() {
    let server = TestServer::start(echo());
    let mut peer = RawPeer::client_of(&server);
    server.stop_accepting();
    server.stop_within(ms(200));
    assert_eq!(peer.read_close(), Some(1001));
    let handle = server.handle();
    // The peer does not answer.
    let report = in_time("the stop", move || handle.wait().unwrap());
    assert_eq!((report.closed().len(), report.cut().len()), (0, 1));
    assert_eq!(report.cut()[0].path(), "/");
}
