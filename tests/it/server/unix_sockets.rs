//! Servers on Unix sockets: their files, and who may replace them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use landline::{Error, Server, ServerBuilder};

use crate::support::*;

fn echo() -> ServerBuilder {
    Server::builder().on_upgrade(|ws, _| ws.on_text(|ws, text| ws.send(text)))
}

/// Expects that text is echoed over a path.
#[track_caller]
fn assert_echoes(path: &Path) {
    let mut peer = RawPeer::over_unix(UnixStream::connect(path).unwrap());
    peer.upgrade();
    peer.send_text("hello");
    assert_eq!(peer.read_frame(), Frame::text("hello"));
}

#[track_caller]
fn assert_in_use(path: &Path) {
    let error = echo().bind(format!("unix:{}", path.display())).unwrap_err();
    let text = error.to_string();
    let expected = format!("cannot listen on unix:{}: another server", path.display());
    assert!(text.starts_with(&expected), "{text}");
    let Error::Bind(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

/// A server on a Unix socket tells its address and its URL, gives the file the mode that is asked for,
/// and removes the file and its lock when it stops.
#[test]
fn files_come_and_go_with_their_server() {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    let address = format!("unix:{}", path.display());
    for mode in [0o600, 0o666, 0o640] {
        let server = TestServer::of(echo().unix_mode(mode).bind(&*address).unwrap());
        assert_eq!(server.local_addr().to_string(), address);
        assert_eq!(server.url(), format!("ws+{address}"));
        let found = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode);
        assert_echoes(&path);
        assert_in_use(&path);
        server.stop();
        server.wait().unwrap();
        assert_eq!(folder.names(), Vec::<String>::new());
    }
    // What the umask leaves, as for any other listener.
    let server = TestServer::of(echo().bind(address).unwrap());
    let other = folder.file("b.sock");
    let _other = UnixListener::bind(&other).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&other));
    drop(server);
}

/// The file of a server that is gone is replaced. That of a running one is an error, whether or not it
/// takes the lock, and its clients notice nothing; and so is a file that is no socket, which is left
/// as it is.
#[test]
fn only_stale_files_are_replaced() {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    drop(UnixListener::bind(&path).unwrap());
    let address = format!("unix:{}", path.display());
    let server = TestServer::of(echo().bind(&*address).unwrap());
    assert_echoes(&path);
    assert_in_use(&path);
    assert_echoes(&path);
    drop(server);

    let foreign = UnixListener::bind(&path).unwrap();
    assert_in_use(&path);
    let _client = UnixStream::connect(&path).unwrap();
    // Nor is one whose backlog is full, nor a socket of another type.
    rustix::net::listen(&foreign, 0).unwrap();
    assert_in_use(&path);
    drop(foreign);
    fs::remove_file(&path).unwrap();
    let _datagrams = UnixDatagram::bind(&path).unwrap();
    assert_in_use(&path);
    fs::remove_file(&path).unwrap();

    fs::write(&path, "precious").unwrap();
    let error = echo().bind(&*address).unwrap_err().to_string();
    assert!(
        error.ends_with("there is a file that is no socket"),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

/// A file that somebody else has put in place of the server's own is left alone.
#[test]
fn foreign_files_stay() {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    let server = TestServer::of(echo().bind(format!("unix:{}", path.display())).unwrap());
    fs::rename(&path, folder.file("moved.sock")).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(server);
    assert_eq!(folder.names(), ["a.sock", "moved.sock"]);
}

/// Of servers that start at once over a stale file, one gets the path, and clients find it there.
#[test]
fn one_of_many_gets_a_stale_path() {
    const SERVERS: usize = 8;
    let folder = Folder::new();
    for round in 0..20 {
        let path = folder.file(&format!("{round}.sock"));
        drop(UnixListener::bind(&path).unwrap());
        let (start, bound) = (Barrier::new(SERVERS), Barrier::new(SERVERS + 1));
        let served = Barrier::new(SERVERS + 1);
        let winners = thread::scope(|scope| {
            let start = || {
                start.wait();
                let server = echo().bind(format!("unix:{}", path.display()));
                bound.wait();
                served.wait();
                server.map(TestServer::of).is_ok()
            };
            let servers = [(); SERVERS].map(|()| scope.spawn(start));
            bound.wait();
            let echoed = std::panic::catch_unwind(|| assert_echoes(&path));
            served.wait();
            echoed.unwrap();
            let servers = servers.into_iter().map(|server| server.join().unwrap());
            servers.filter(|has_bound| *has_bound).count()
        });
        assert_eq!(winners, 1);
        assert!(!path.exists());
    }
    assert_eq!(folder.names(), Vec::<String>::new());
}

/// A name of the abstract namespace has no file, and is free once its server has stopped.
#[test]
#[cfg(target_os = "linux")]
fn abstract_names_have_no_file() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let name = format!("landline-test-{}", std::process::id());
    for _ in 0..2 {
        let server = TestServer::of(echo().bind(format!("unix:@{name}")).unwrap());
        assert_eq!(server.local_addr().to_string(), format!("unix:@{name}"));
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let mut peer = RawPeer::over_unix(UnixStream::connect_addr(&address).unwrap());
        peer.upgrade();
        // An address that a server has told can be bound again.
        let error = echo().bind(server.local_addr()).unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
    }
}

/// Addresses without a name, and paths that are too long or lead nowhere, are errors that show them.
#[test]
fn bad_paths_are_errors() {
    let long = format!("/tmp/{}", "x".repeat(200));
    for address in [
        "unix:",
        "unix:@",
        "unix:/nowhere/a.sock",
        &format!("unix:{long}"),
    ] {
        let error = echo().bind(address).unwrap_err();
        assert!(matches!(error, Error::Bind(_)), "{error:?}");
        assert!(error.to_string().contains(address), "{error}");
    }
    assert!(!PathBuf::from(format!("{long}.lock")).exists());
}
