//! The example `service`: where it listens, and how it stops.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is left out is worth knowing")]

mod support;

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::Command;

use landline::{Client, CloseCode};
use rustix::process::Signal;
use support::{Folder, PATIENCE, Program};

/// Expects an echo, and then the end that the signal brings.
#[track_caller]
fn assert_stopped_by(signal: Signal, mut program: Program, clients: &[Client], url: &str) {
    let mut open = Vec::new();
    for client in clients {
        let (ws, mut messages) = client.open(url).unwrap();
        ws.send("hello").unwrap();
        let answer = messages.recv_timeout(PATIENCE).unwrap();
        assert_eq!(answer.as_text(), Some("hello"));
        open.push((ws, messages));
    }
    program.send(signal);
    for (_ws, mut messages) in open {
        let end = messages.recv_timeout(PATIENCE).unwrap_err();
        assert!(
            end.to_string().contains(&CloseCode::GOING_AWAY.to_string()),
            "{end}"
        );
    }
    assert!(program.wait().success());
}

/// It listens at the addresses that it is given, and Ctrl-C and SIGTERM stop it in order.
#[test]
fn signals_stop_it() {
    let folder = Folder::new("service");
    for (round, signal) in [Signal::INT, Signal::TERM].into_iter().enumerate() {
        let path = folder.file(&format!("{round}.sock"));
        let unix = format!("unix:{path}");
        let mut program = Program::start(env!("CARGO_BIN_EXE_service"), &["127.0.0.1:0", &unix]);
        let tcp = program.line();
        let tcp = tcp.strip_prefix("listening on ").unwrap().to_owned();
        assert_eq!(program.line(), format!("listening on {unix}"));
        let clients = [Client::new(), Client::new().unix_socket(&path)];
        assert_stopped_by(signal, program, &clients, &format!("ws://{tcp}"));
        assert!(!std::path::Path::new(&path).exists());
    }
}

/// Started by systemd's own program it takes the sockets that it is handed, of both kinds.
#[test]
fn systemd_hands_it_its_sockets() {
    const ACTIVATE: &str = "systemd-socket-activate";
    if Command::new(ACTIVATE).arg("--version").output().is_err() {
        return println!("there is no {ACTIVATE} here");
    }
    let folder = Folder::new("activation");
    let path = folder.file("a.sock");
    // It takes no port of the system's choice: one that was free a moment ago, then, of an address whose
    // ports nobody else is given.
    let free = TcpListener::bind("127.0.0.9:0").unwrap();
    let tcp = free.local_addr().unwrap().to_string();
    drop(free);
    let service = env!("CARGO_BIN_EXE_service");
    let arguments = ["-l", &tcp, "-l", &path, service, "unix:/nowhere"];
    let mut program = Program::start(ACTIVATE, &arguments);
    // It starts the service with the first connection. The file is there before anybody listens.
    let mut first = None;
    support::settled("it listens", || {
        first = UnixStream::connect(&path).ok();
        first.is_some()
    });
    assert_eq!(program.line(), format!("listening on {tcp}"));
    assert_eq!(program.line(), format!("listening on unix:{path}"));
    drop(first);
    let clients = [Client::new(), Client::new().unix_socket(&path)];
    assert_stopped_by(Signal::TERM, program, &clients, &format!("ws://{tcp}"));
}
