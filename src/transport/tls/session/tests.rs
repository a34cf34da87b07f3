//! A session above an engine that does what it is told, letter by letter.

use std::cell::RefCell;
use std::io::{Read, Write};

use super::*;
use crate::tls::MAX_RECORD_SIZE;

/// An engine whose input is a script: `.` is a plain byte, `?` asks for an answer, `n` begins the
/// handshake anew, `f` finishes that.
struct Scripted {
    pipe: Pipe,
    is_renegotiating: bool,
    /// Whether it takes bytes and throws them away.
    swallows: bool,
}

/// What it answers: a record of no plain bytes.
const ANSWER: [u8; 7] = [22, 3, 3, 0, 2, 0, 0];

impl Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut letter = [0];
            self.pipe.read_exact(&mut letter)?;
            match letter[0] {
                b'?' => self.pipe.write_all(&ANSWER)?,
                b'n' => self.is_renegotiating = true,
                b'f' => self.is_renegotiating = false,
                plain => {
                    buffer[0] = plain;
                    return Ok(1);
                }
            }
        }
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // OpenSSL goes on with its handshake in a write too, and fails over data that it finds then.
        assert!(self.pipe.read(&mut [0]).is_err(), "it sees what has come");
        if self.is_renegotiating {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !self.swallows {
            let length = bytes.len() as u8;
            self.pipe.write_all(&[23, 3, 3, 0, length])?;
            self.pipe.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Engine for Scripted {
    fn has_buffered(&self) -> bool {
        false
    }

    fn close_notify(&mut self) {}

    fn peer_certificates(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn record_limit(&self) -> Option<u64> {
        None
    }
}

fn session(swallows: bool) -> Session {
    let pipe = Pipe::default();
    let engine = Scripted {
        pipe: pipe.clone(),
        is_renegotiating: false,
        swallows,
    };
    Session::new(Box::new(engine), pipe, MAX_RECORD_SIZE)
}

/// Receives what the socket gives in these pieces, one each time that it is asked.
fn recv(session: &Session, pieces: &[&str]) -> (Vec<u8>, io::Result<usize>) {
    let pieces = RefCell::new(pieces.iter());
    let mut buffer = Vec::with_capacity(64);
    let received = session.recv(&mut buffer, |ciphertext| {
        let piece = pieces
            .borrow_mut()
            .next()
            .expect("it asked the socket again");
        ciphertext.extend_from_slice(piece.as_bytes());
        Ok(piece.len())
    });
    (buffer, received)
}

/// Sends as much as a socket takes that has room for so many bytes.
fn send(session: &Session, bytes: &[u8], room: usize) -> (Vec<u8>, io::Result<usize>) {
    with_room(room, |take| session.try_send(&[IoSlice::new(bytes)], take))
}

fn flush(session: &Session, room: usize) -> (Vec<u8>, io::Result<()>) {
    with_room(room, |take| session.flush(take))
}

fn with_room<R>(
    room: usize,
    write: impl FnOnce(&dyn Fn(&[u8]) -> io::Result<usize>) -> R,
) -> (Vec<u8>, R) {
    let left = RefCell::new(Vec::new());
    let written = write(&|bytes| {
        let mut left = left.borrow_mut();
        let length = bytes.len().min(room - left.len());
        left.extend_from_slice(&bytes[..length]);
        match length {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            length => Ok(length),
        }
    });
    (left.into_inner(), written)
}

fn would_block<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.unwrap_err().kind() == io::ErrorKind::WouldBlock
}

/// What has come to be owed leaves before the socket is asked again, once for each time.
#[test]
fn what_is_owed_leaves_before_the_next_read() {
    let session = session(false);
    let (_, received) = recv(&session, &["?"]);
    assert!(would_block(received) && session.needs_flush());
    // A caller that cannot write it now reads on: nothing spins.
    assert_eq!(recv(&session, &["."]).1.unwrap(), 1);
    let (left, flushed) = flush(&session, 100);
    flushed.unwrap();
    assert_eq!(left, ANSWER);
    assert!(!session.needs_flush());
    // It stands behind what has come with it, too.
    assert_eq!(recv(&session, &[".?"]).0, b".");
    assert!(session.needs_flush());
}

/// What is owed leaves piece by piece through a full socket, before the plain bytes that wait, which
/// count once their record has left.
#[test]
fn what_is_owed_goes_first() {
    let session = session(false);
    let _ = recv(&session, &["?"]);
    let (left, sent) = send(&session, b"abc", 5);
    assert!(would_block(sent));
    let (more, sent) = send(&session, b"abc", 4);
    assert!(would_block(sent));
    let (rest, sent) = send(&session, b"abc", 100);
    assert_eq!(sent.unwrap(), 3);
    let record = [23, 3, 3, 0, 3, b'a', b'b', b'c'];
    assert_eq!([left, more, rest].concat(), [&ANSWER[..], &record].concat());
}

/// What a flush lets leave of a message counts with the message's next write.
#[test]
fn what_a_flush_takes_along_is_counted() {
    let session = session(false);
    assert!(would_block(send(&session, b"abc", 5).1));
    assert_eq!(flush(&session, 100).0, b"abc");
    let (left, sent) = send(&session, b"abc", 100);
    assert_eq!((left, sent.unwrap()), (vec![], 3));
}

/// A peer that asks for answers and reads none costs no memory without bound.
#[test]
fn what_is_owed_is_bounded() {
    let session = session(false);
    let flood = "?".repeat(1000);
    let asked = (0..1000).find(|_| !would_block(recv(&session, &[&flood]).1));
    let asked = asked.expect("it is bounded") * flood.len() * ANSWER.len();
    assert!(asked > MAX_OUTGOING && asked < 2 * MAX_OUTGOING, "{asked}");
}

/// A write that meets a handshake begun anew waits for input, says so, and may be tried again once
/// something has come; its bytes are sent once.
#[test]
fn renegotiation_lets_a_write_wait_for_input() {
    let session = session(false);
    assert_eq!(recv(&session, &["n?."]).0, b".");
    assert_eq!(flush(&session, 100).0, ANSWER);
    for _ in 0..2 {
        let (left, sent) = send(&session, b"abc", 100);
        assert!(left.is_empty() && wants_input(&sent.unwrap_err()));
        assert!(!session.needs_flush());
        // Data of the peer's from before it, which is delivered, ends nothing yet.
        assert_eq!(recv(&session, &["."]).0, b".");
        assert!(session.needs_flush());
    }
    let (_, received) = recv(&session, &["f?"]);
    assert!(would_block(received) && session.needs_flush());
    assert_eq!(send(&session, b"abc", 100).1.unwrap(), 3);
    assert!(!session.needs_flush());
}

/// A retry that nobody has anything for ends with a flush.
#[test]
fn flush_ends_a_retry() {
    let session = session(false);
    let _ = recv(&session, &["n."]);
    let _ = send(&session, b"abc", 100);
    let _ = recv(&session, &["f."]);
    assert!(session.needs_flush());
    flush(&session, 100).1.unwrap();
    assert!(!session.needs_flush());
}

/// Bytes that an engine takes without a record are an error, and do not count as sent.
#[test]
fn discarded_bytes_are_an_error() {
    let session = session(true);
    let (_, sent) = send(&session, b"abc", 100);
    assert!(sent.unwrap_err().to_string().contains("used up its keys"));
}
