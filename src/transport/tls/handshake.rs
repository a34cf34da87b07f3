//! A TLS handshake under way.

use std::io;

use super::session::APPETITE;
use super::{Engine, Session, Wire};
use crate::Error;
use crate::handshake::is_tls_record;

/// How far a handshake has come.
pub(super) enum Step {
    Done(Box<dyn Engine>),
    /// It waits for more from the peer.
    More(Box<dyn Handshake>),
}

/// A handshake under way.
pub(super) trait Handshake {
    /// Goes on with what has come onto the wire.
    fn advance(self: Box<Self>) -> Result<Step, Error>;
}

/// What to make of a peer whose first byte is no TLS.
pub(super) struct Mistake {
    /// What to answer, in plain.
    reply: &'static [u8],
    error: &'static str,
}

pub(super) const OF_SERVER: Mistake = Mistake {
    reply: b"",
    error: "the server does not speak TLS on this port, ws:// was probably meant",
};

pub(super) const OF_CLIENT: Mistake = Mistake {
    reply: b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Length: 45\r\n\r\n\
        this port speaks TLS: use https:// or wss://\n",
    error: "the client does not speak TLS, http:// or ws:// was probably meant",
};

/// The socket, as a handshake uses it.
pub(in crate::transport) trait Line {
    /// Sends everything, blocking.
    fn send(&self, bytes: &[u8]) -> io::Result<()>;
    /// Receives something, blocking; 0 is the end.
    fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<usize>;
}

const ENDED: &str = "the peer hung up during the TLS handshake";

/// Does a handshake, blocking.
pub(super) fn shake_hands(
    mut step: Step,
    wire: Wire,
    max_record: usize,
    mistake: &Mistake,
    line: &impl Line,
) -> Result<Session, Error> {
    let mut is_first = true;
    loop {
        line.send(&wire.take_outgoing()).map_err(Error::Io)?;
        let handshake = match step {
            Step::Done(engine) => return Ok(Session::new(engine, wire, max_record)),
            Step::More(handshake) => handshake,
        };
        let mut ciphertext = Vec::with_capacity(*APPETITE.start());
        if line.receive(&mut ciphertext).map_err(Error::Io)? == 0 {
            // Why, it has not said: a server that is being started again does so too.
            let ended = io::Error::new(io::ErrorKind::UnexpectedEof, ENDED);
            return Err(Error::Io(ended));
        }
        if std::mem::take(&mut is_first) && !is_tls_record(ciphertext[0]) {
            let _ = line.send(mistake.reply);
            return Err(Error::Tls(mistake.error.into()));
        }
        wire.feed(&ciphertext);
        step = handshake.advance().inspect_err(|_| {
            // The alert that says why.
            let _ = line.send(&wire.take_outgoing());
        })?;
    }
}
