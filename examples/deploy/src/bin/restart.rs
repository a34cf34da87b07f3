//! A server that is replaced without refusing a connection: `restart ADDRESS PATH`.
//!
//! Start it again with the same path: the new process asks the old one for its listening socket over
//! the Unix socket at that path, and accepts; then the old one stops accepting, and ends with the last
//! of its connections. Both have the same socket all the time, so connections that wait in it wait
//! for whoever accepts next. (With `SO_REUSEPORT` each process would have a socket of its own, and
//! what waits in the old one would be reset.)
//!
//! Who may write to the file at the path may take the socket: put it into a folder of the service's.
#![allow(clippy::print_stdout, reason = "a program that says what it does")]

use std::env;
use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process;
use std::thread;
use std::time::Duration;

use landline::Server;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(address), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("restart ADDRESS PATH".into());
    };
    let predecessor = UnixStream::connect(&path).ok();
    let listener = match &predecessor {
        Some(predecessor) => receive_listener(predecessor)?,
        None => TcpListener::bind(address)?,
    };
    let server = Server::builder()
        .on_upgrade(|ws, _request| {
            ws.on_message(|ws, message| ws.send(message));
            ws.send(format!("process {}", process::id()))
        })
        .bind(listener.try_clone()?)?;
    println!("{}", server.url());

    let successors = listen_for_successors(&path)?;
    if let Some(mut predecessor) = predecessor {
        predecessor.write_all(b"!")?;
    }
    let stopping = server.clone();
    ctrlc::set_handler(move || stopping.stop_within(Duration::from_secs(2)))?;
    let leaving = server.clone();
    thread::spawn(move || {
        for successor in successors.incoming().flatten() {
            // One that dies before it accepts changes nothing.
            if hand_over(successor, &listener).is_ok() {
                return leaving.stop_accepting();
            }
        }
    });
    server.wait()?;
    Ok(())
}

/// Listens at the path in place of the predecessor, whose file is replaced at one stroke.
fn listen_for_successors(path: &str) -> io::Result<UnixListener> {
    let fresh = format!("{path}.{}", process::id());
    let successors = UnixListener::bind(&fresh)?;
    fs::rename(&fresh, path)?;
    Ok(successors)
}

/// Sends the listening socket, and waits until the successor accepts.
fn hand_over(mut successor: UnixStream, listener: &TcpListener) -> io::Result<()> {
    let fds = [listener.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        &successor,
        &[IoSlice::new(b"?")],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    successor.set_read_timeout(Some(Duration::from_secs(10)))?;
    successor.read_exact(&mut [0])
}

fn receive_listener(predecessor: &UnixStream) -> io::Result<TcpListener> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let parts = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(predecessor, parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let sent = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let none = || {
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the predecessor sent no socket",
        )
    };
    sent.map(|fd: OwnedFd| fd.into()).ok_or_else(none)
}
