//! A TLS handshake under way.

use std::io;

use super::session::READ_SIZES;
use super::{Engine, Pipe, Session};
use crate::Error;
use crate::handshake::is_tls_record;

/// The state of a handshake after its last step.
pub(super) enum Step {
    Done(Box<dyn Engine>),
    /// More bytes must come from the peer.
    More(Box<dyn Handshake>),
}

/// A handshake under way.
pub(super) trait Handshake {
    /// Continues with the bytes that have come into the pipe.
    fn resume(self: Box<Self>) -> Result<Step, Error>;
}

/// The reply to a peer whose first byte is not TLS, and the error.
pub(super) struct Mistake {
    /// The reply in plain text.
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

/// The blocking calls that a handshake makes on the socket.
pub(in crate::transport) trait BlockingIo {
    /// Sends everything, blocking.
    fn send(&self, bytes: &[u8]) -> io::Result<()>;
    /// Receives something, blocking; 0 is the end.
    fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<usize>;
}

const ENDED: &str = "the peer hung up during the TLS handshake";

/// Does a handshake, blocking.
pub(super) fn shake_hands(
    mut step: Step,
    pipe: Pipe,
    max_record: usize,
    mistake: &Mistake,
    socket: &impl BlockingIo,
) -> Result<Session, Error> {
    let mut is_first = true;
    loop {
        socket.send(&pipe.take_outgoing()).map_err(Error::Io)?;
        let handshake = match step {
            Step::Done(engine) => return Ok(Session::new(engine, pipe, max_record)),
            Step::More(handshake) => handshake,
        };
        let mut ciphertext = Vec::with_capacity(*READ_SIZES.start());
        if socket.receive(&mut ciphertext).map_err(Error::Io)? == 0 {
            // The peer gives no reason. A server that restarts ends a handshake so too.
            let ended = io::Error::new(io::ErrorKind::UnexpectedEof, ENDED);
            return Err(Error::Io(ended));
        }
        if std::mem::take(&mut is_first) && !is_tls_record(ciphertext[0]) {
            let _ = socket.send(mistake.reply);
            return Err(Error::Tls(mistake.error.into()));
        }
        pipe.feed(&ciphertext);
        step = handshake.resume().inspect_err(|_| {
            // The alert tells the peer the reason.
            let _ = socket.send(&pipe.take_outgoing());
        })?;
    }
}
