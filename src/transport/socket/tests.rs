//! Sockets as pairs: Unix sockets, which do all that a connection asks of one; on Windows, TCP.

use std::thread;

use super::*;
use crate::transport;

const PATIENCE: Duration = Duration::from_secs(60);

fn pair() -> [Socket; 2] {
    transport::pair()
        .unwrap()
        .map(|stream| Socket::new(stream).unwrap())
}

fn received(socket: &Socket) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(64);
    socket.recv(&mut buffer).unwrap();
    buffer
}

/// A pair does all that a connection asks of it; Unix sockets take no option of TCP's.
#[test]
fn pairs_do_what_a_connection_asks() {
    let [near, far] = pair();
    assert_eq!(near.local_addr(), far.peer_addr());
    assert_eq!(near.local_addr().is_unix(), cfg!(unix));
    near.set_send_buffer(16 << 10).unwrap();
    near.set_notsent_lowat(128 << 10).unwrap();
    let mut buffer = Vec::with_capacity(64);
    let error = far.try_recv(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(!far.look().readable);
    let parts = [b"one ", b"two "].map(|part| IoSlice::new(part));
    assert_eq!(near.try_send(&parts).unwrap(), 8);
    near.send_all(b"three").unwrap();
    let deadline = Instant::now() + PATIENCE;
    assert!(far.wait(Interest::Read, Some(deadline)).readable);
    assert_eq!(received(&far), b"one two three");
    near.finish_writing();
    assert_eq!(received(&far), b"");
    far.send_all(b"last words").unwrap();
    assert_eq!(received(&near), b"last words");
}

/// A full socket refuses bytes at once, and is ready again when its peer has read.
#[test]
fn full_sockets_refuse_bytes_and_recover() {
    let [near, far] = pair();
    let chunk = [7; 4096];
    let error = loop {
        if let Err(error) = near.try_send(&[IoSlice::new(&chunk)]) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(!near.look().writable);
    let mut buffer = Vec::with_capacity(1 << 20);
    while far.try_recv(&mut buffer).is_ok() {}
    assert!(near.look().writable);
    near.try_send(&[IoSlice::new(&chunk)]).unwrap();
}

/// A cut wakes the thread that reads, and its peer finds the end.
#[test]
fn cuts_wake_readers() {
    let [near, far] = pair();
    thread::scope(|scope| {
        let reading = scope.spawn(|| received(&near));
        near.cut();
        assert_eq!(reading.join().unwrap(), b"");
    });
    assert_eq!(received(&far), b"");
    assert!(near.try_send(&[IoSlice::new(b"late")]).is_err());
}

/// A Unix socket's addresses are its names, in the file system or in Linux's abstract namespace.
#[cfg(target_os = "linux")]
#[test]
fn unix_sockets_tell_their_names() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    let unique = format!(
        "landline-{}-{:?}",
        std::process::id(),
        thread::current().id()
    );
    let path = std::env::temp_dir().join(&unique);
    let names = [
        (
            SocketAddr::from_pathname(&path).unwrap(),
            format!("unix:{}", path.display()),
        ),
        (
            SocketAddr::from_abstract_name(&unique).unwrap(),
            format!("unix:@{unique}"),
        ),
    ];
    for (name, shown) in names {
        let listener = UnixListener::bind_addr(&name).unwrap();
        let near = Socket::new(UnixStream::connect_addr(&name).unwrap()).unwrap();
        let far = Socket::new(listener.accept().unwrap().0).unwrap();
        assert_eq!(near.peer_addr().to_string(), shown);
        assert_eq!(far.local_addr(), near.peer_addr());
        assert_eq!(far.peer_addr(), &Address::unnamed());
    }
    std::fs::remove_file(path).unwrap();
}

/// Where the peer's input has ended is told without reading it, whether it has left or only has no more to
/// say; as long as it has not ended, anything may come.
#[test]
fn ends_before_what_will_not_come() {
    let leaves: [fn(Socket) -> Option<Socket>; 2] = [
        |far| {
            drop(far);
            None
        },
        |far| {
            far.finish_writing();
            Some(far)
        },
    ];
    for leave in leaves {
        let [near, far] = pair();
        far.send_all(b"five.").unwrap();
        assert!(!near.ends_before(usize::MAX));
        let _rest = leave(far);
        // Wine 8 tells the end only once all before it is read.
        assert!(near.ends_before(6) || cfg!(windows));
        assert!(!near.ends_before(5));
        assert_eq!(received(&near), b"five.");
        assert!(near.ends_before(1));
        assert!(!near.ends_before(0));
    }
}
