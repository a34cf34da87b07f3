use std::os::unix::net::UnixListener;
use std::{env, fs, process, thread};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A server whose queue is full is waited for, until the deadline, and reached once it accepts.
#[test]
fn full_queues_are_waited_for() {
    let path = env::temp_dir().join(format!("landline-full-{}", process::id()));
    let _ = fs::remove_file(&path);
    let socket = unix_socket().unwrap();
    socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let dial = |patience| dial_unix(&path, Instant::now() + patience, &Canceller::new());
    let held = dial(PATIENCE).unwrap();
    let error = dial(Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    thread::scope(|scope| {
        let reached = scope.spawn(|| dial(PATIENCE).unwrap());
        let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
        drop(listener.accept().unwrap());
        drop((held, reached.join().unwrap()));
    });
    fs::remove_file(&path).unwrap();
}

/// A path that is too long for the system, or empty, is none.
#[test]
fn paths_are_bounded() {
    assert!(is_socket_path(Path::new("/run/app.sock")));
    assert!(!is_socket_path(Path::new("")));
    assert!(!is_socket_path(Path::new(&"x".repeat(200))));
}
