//! Asking a server for the upgrade: [`Asking`].

use std::io;
use std::time::{Duration, Instant};

use http::Response;

use crate::connection::handshake::{Opening, READ_STEP};
use crate::handshake::{ClientHandshake, Negotiated, ResponseBody, ResponseHead};
use crate::transport::Interest;
use crate::{Error, Refusal};

/// An upgrade request and its answer, over the socket of a handshake.
pub(super) struct Asking<'a>(pub(super) &'a Opening);

/// The answer of a server to an upgrade request.
pub(super) enum Answer {
    /// The 101, and the bytes that came behind it.
    Upgraded {
        negotiated: Negotiated,
        pipelined: Vec<u8>,
    },
    /// A redirect or a refusal, and the part of its body that has come.
    Other(Response<()>, Vec<u8>),
}

/// The time that the body of a refusal has where the body does not say where it ends.
const ENDLESS_BODY: Duration = Duration::from_millis(500);
const ENDED: &str = "the server closed the connection instead of answering";

impl Asking<'_> {
    /// Asks for the upgrade. An answer other than a wrong 101 is not an error yet.
    pub(super) fn ask(&self, handshake: &ClientHandshake) -> Result<Answer, Error> {
        self.0
            .socket()
            .send_all(handshake.bytes())
            .map_err(|error| self.0.explain_io(error))?;
        let mut received = Vec::new();
        let mut coming = ResponseHead::default();
        let (response, length) = loop {
            let got = self
                .recv(&mut received)
                .map_err(|error| self.0.explain_io(error))?;
            if got == 0 {
                let ended = io::Error::new(io::ErrorKind::UnexpectedEof, ENDED);
                return Err(self.0.explain(Error::Io(ended)));
            }
            if let Some(parsed) = coming.parse(&received)? {
                break parsed;
            }
        };
        let behind = received.split_off(length);
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Answer::Other(response, behind));
        }
        Ok(Answer::Upgraded {
            negotiated: handshake.verify(response)?,
            pipelined: behind,
        })
    }

    /// Makes the error of an answer, with the beginning of its body. A body whose end is known has
    /// the handshake's deadline. Any other body ends with the connection, which many servers keep
    /// open: it has a moment.
    pub(super) fn refused(&self, response: Response<()>, received: Vec<u8>) -> Error {
        Error::Refused(Box::new(self.refusal(response, received)))
    }

    /// Reads the beginning of a refusal's body.
    pub(super) fn refusal(&self, response: Response<()>, mut received: Vec<u8>) -> Refusal {
        let mut body = ResponseBody::announced_by(&response);
        body.take(&received);
        let until = (!body.has_known_end()).then(|| Instant::now() + ENDLESS_BODY);
        while !body.is_over() {
            received.clear();
            if !matches!(self.recv_until(&mut received, until), Ok(1..)) {
                break;
            }
            body.take(&received);
        }
        let (head, ()) = response.into_parts();
        Refusal {
            status: head.status,
            headers: head.headers,
            body: body.into_bytes(),
            proxy: None,
        }
    }

    /// Receives until `until`, or until the handshake's own deadline.
    fn recv_until(&self, received: &mut Vec<u8>, until: Option<Instant>) -> io::Result<usize> {
        if until.is_none() {
            return self.recv(received);
        }
        received.reserve(READ_STEP);
        while self.0.socket().wait(Interest::Read, until).readable {
            // Over TLS the bytes that have come may be half a record.
            match self.0.socket().try_recv(received) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                got => return got,
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn recv(&self, received: &mut Vec<u8>) -> io::Result<usize> {
        received.reserve(READ_STEP);
        self.0.socket().recv_answering(received)
    }
}
