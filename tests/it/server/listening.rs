//! Where a server listens.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use landline::{Error, Server, ServerBuilder};
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketType};

use crate::support::*;

fn echo() -> ServerBuilder {
    Server::builder().on_upgrade(|ws, _| ws.on_text(|ws, text| ws.send(text)))
}

/// A name with several addresses is listened for on all of them, with one port, and each serves.
#[test]
fn names_are_listened_for_on_all_their_addresses() {
    let v6: SocketAddr = "[::1]:0".parse().unwrap();
    let all: [SocketAddr; 3] =
        ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"].map(|address| address.parse().unwrap());
    let has_v6 = TcpListener::bind(v6).is_ok();
    let addresses: Vec<_> = all.into_iter().chain(has_v6.then_some(v6)).collect();
    let server = echo().bind(&addresses[..]).unwrap();
    let port = tcp_addr(&server).port();
    let bound: Vec<_> = server
        .local_addrs()
        .iter()
        .map(|own| (own.ip().unwrap(), own.port().unwrap()))
        .collect();
    let expected: Vec<_> = addresses
        .iter()
        .map(|address| (address.ip(), port))
        .collect();
    assert_eq!(bound, expected);
    for address in addresses {
        let (ws, mut messages) =
            landline::open(format!("ws://{}:{port}", host(address.ip()))).unwrap();
        ws.send("hello").unwrap();
        assert_eq!(
            messages.recv().unwrap().as_text(),
            Some("hello"),
            "{address}"
        );
    }
}

fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// `localhost` is reached by every address that the system has for it.
#[test]
fn localhost_is_reached_by_each_of_its_addresses() {
    let server = echo().bind("localhost:0").unwrap();
    let port = tcp_addr(&server).port();
    for address in ("localhost", port).to_socket_addrs().unwrap() {
        if TcpListener::bind((address.ip(), 0)).is_ok() {
            TcpStream::connect(address).unwrap();
        }
    }
}

/// An address without a host says what to write.
#[test]
fn addresses_without_a_host_say_what_to_write() {
    for address in [":9001", "*:9001", "9001", "127.0.0.1"] {
        let error = echo().bind(address).unwrap_err();
        assert!(matches!(error, Error::Bind(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("0.0.0.0:9001"), "{address}: {text}");
    }
}

/// An address that this machine does not have is left out; one that is taken is an error; and nothing
/// else stays bound then.
#[test]
fn taken_addresses_are_errors() {
    let none = "192.0.2.1:0".parse().unwrap();
    let own: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let server = echo().bind(&[none, own][..]).unwrap();
    let taken = tcp_addr(&server);
    assert_eq!(taken.ip(), own.ip());
    let other = SocketAddr::from(([127, 0, 0, 2], taken.port()));
    let error = echo().bind(&[other, taken][..]).unwrap_err();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
    TcpListener::bind(other).unwrap();
}

/// A server listens at any number of places of one kind or another, tells the first and all of them, and
/// serves each.
#[test]
fn servers_listen_at_many_places() {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    let unix = format!("unix:{}", path.display());
    let server = TestServer::of(echo().bind(["127.0.0.2:0", &unix, "127.0.0.1:0"]).unwrap());
    let shown: Vec<_> = server
        .local_addrs()
        .iter()
        .map(|own| own.to_string())
        .collect();
    let port = tcp_addr(&server).port();
    let ports = [
        format!("127.0.0.2:{port}"),
        unix,
        format!("127.0.0.1:{port}"),
    ];
    assert_eq!(shown, ports);
    assert_eq!(server.url(), format!("ws://127.0.0.2:{port}"));
    let dial = |address: &str| RawPeer::over(TcpStream::connect(address).unwrap());
    let unix = RawPeer::over_unix(UnixStream::connect(&path).unwrap());
    for mut peer in [dial(&ports[0]), dial(&ports[2]), unix] {
        peer.upgrade();
        peer.send_text("hello");
        assert_eq!(peer.read_frame(), Frame::text("hello"));
    }
    // The stop ends all of them.
    server.stop();
    server.wait().unwrap();
    assert!(TcpStream::connect(&*ports[2]).is_err());
    assert!(UnixStream::connect(&path).is_err());
}

/// A listener that the program has made or was handed is taken as it is, in each of its forms; it does
/// not reach programs that this one starts, and the file of a Unix socket stays.
#[test]
fn given_listeners_are_taken() {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
    for (socket, is_tcp) in [
        (OwnedFd::from(tcp()), true),
        (UnixListener::bind(&path).unwrap().into(), false),
    ] {
        rustix::io::fcntl_setfd(&socket, FdFlags::empty()).unwrap();
        let shared = socket.try_clone().unwrap();
        let server = TestServer::of(echo().bind(socket).unwrap());
        let own = &server.local_addrs()[0];
        assert_eq!(own.socket_addr().is_some(), is_tcp);
        let mut peer = match own.socket_addr() {
            Some(address) => RawPeer::over(TcpStream::connect(address).unwrap()),
            None => RawPeer::over_unix(UnixStream::connect(&path).unwrap()),
        };
        peer.upgrade();
        // Close-on-exec is each descriptor's own: the copy made it so, the server's is looked up.
        assert!(own_listeners_close_on_exec());
        drop((server, shared));
    }
    assert!(path.exists());
    let listeners = [tcp(), tcp()];
    let expected: Vec<_> = listeners
        .each_ref()
        .map(|own| own.local_addr().unwrap())
        .into();
    let server = TestServer::of(echo().bind(listeners).unwrap());
    let bound = server.local_addrs().iter();
    assert_eq!(
        bound
            .map(|own| own.socket_addr().unwrap())
            .collect::<Vec<_>>(),
        expected
    );
    fs::remove_file(&path).unwrap();
    let server = echo().bind(UnixListener::bind(&path).unwrap()).unwrap();
    assert_eq!(server.url(), format!("ws+unix:{}", path.display()));
}

/// Tells whether every listening socket of this process closes on `exec`.
fn own_listeners_close_on_exec() -> bool {
    let fds = fs::read_dir("/proc/self/fdinfo").unwrap();
    fds.flatten().all(|entry| {
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        let target = Path::new("/proc/self/fd").join(entry.file_name());
        let is_socket = fs::read_link(target).is_ok_and(|to| to.starts_with("socket:"));
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        const CLOEXEC: u32 = 0o2000000;
        !is_socket || flags.is_none_or(|flags| flags & CLOEXEC != 0)
    })
}

/// What is no listening stream socket is refused, by name, and so is a list of nothing.
#[test]
fn what_does_not_listen_is_refused() {
    let stream = |fd: std::io::Result<OwnedFd>| fd.unwrap();
    let bound = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let not_a_socket = io::Error::from(Errno::NOTSOCK).to_string().to_lowercase();
    for (fd, why) in [
        (
            stream(UdpSocket::bind("127.0.0.1:0").map(Into::into)),
            "no stream socket",
        ),
        (
            stream(UnixStream::pair().map(|(near, _)| near.into())),
            "does not listen",
        ),
        (bound, "does not listen"),
        (
            stream(fs::File::open("/dev/null").map(Into::into)),
            &not_a_socket,
        ),
    ] {
        let error = echo().bind(fd).unwrap_err();
        assert!(matches!(error, Error::Bind(_)), "{error:?}");
        let error = error.to_string().to_lowercase();
        assert!(
            error.contains("the given socket") && error.contains(why),
            "{error}"
        );
    }
    let error = echo().bind(Vec::<String>::new()).unwrap_err();
    assert!(error.to_string().contains("there is no address"), "{error}");
}

/// `[::]` alone stands for IPv4 too where the system has it so; beside an IPv4 address of the same port
/// for IPv6 alone, and a different port changes nothing.
#[test]
fn all_addresses_of_ipv6_take_ipv4_as_the_system_has_it() {
    let setting = fs::read_to_string("/proc/sys/net/ipv6/bindv6only");
    let (Ok(setting), Ok(_)) = (setting, TcpListener::bind("[::]:0")) else {
        return println!("there is no IPv6 here");
    };
    let takes_ipv4 = setting.trim() == "0";
    let server = TestServer::of(echo().bind("[::]:0").unwrap());
    let port = tcp_addr(&server).port();
    let v4 = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(TcpStream::connect(v4).is_ok(), takes_ipv4);
    drop(server);
    let server = TestServer::of(echo().bind(["[::]:0", "127.0.0.2:0"]).unwrap());
    let port = tcp_addr(&server).port();
    assert!(TcpStream::connect(("127.0.0.2", port)).is_ok());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    drop(server);
    let other = free_address();
    let server = TestServer::of(
        echo()
            .bind(["[::]:0".to_owned(), other.to_string()])
            .unwrap(),
    );
    let port = tcp_addr(&server).port();
    assert_eq!(TcpStream::connect(("127.0.0.1", port)).is_ok(), takes_ipv4);
}

/// With `reuse_port` two servers listen at one port; without it the second is refused.
#[test]
fn ports_are_shared_on_request() {
    let first = TestServer::of(echo().reuse_port().bind("127.0.0.1:0").unwrap());
    let error = echo().bind(first.local_addr()).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    let second = TestServer::of(echo().reuse_port().bind(first.local_addr()).unwrap());
    assert_eq!(first.local_addr(), second.local_addr());
    let mut peers = Vec::new();
    settled("both have taken connections", || {
        peers.push(RawPeer::client_of(&first));
        first.connection_count() > 0 && second.connection_count() > 0
    });
}

/// One DEBUG record at `bind` tells what limits were found.
#[test]
fn limits_are_told_once() {
    alone(|| {
        let logger = Logger::install(|_| {});
        let server = TestServer::echo();
        RawPeer::client_of(&server);
        let records = logger.so_far();
        let told: Vec<_> = records
            .iter()
            .filter(|record| record.starts_with("DEBUG the system allows "))
            .collect();
        assert_eq!(told.len(), 1, "{records:#?}");
        for limit in ["descriptors", "threads", "memory maps", "control groups"] {
            assert!(told[0].contains(limit), "{told:?}");
        }
    });
}
