//! TLS as a codec: an engine turns ciphertext from a pipe in memory into plain bytes, and plain bytes
//! into ciphertext. Under its lock it only computes; the socket is read and written outside of it.
#![cfg_attr(
    not(all(feature = "tls", feature = "rustls")),
    allow(dead_code, reason = "an engine that is off does not look at it")
)]

#[cfg(any(feature = "tls", feature = "rustls"))]
mod fault;
mod handshake;
#[cfg_attr(not(feature = "tls"), path = "native/off.rs")]
mod native;
#[cfg(any(feature = "tls", feature = "rustls"))]
mod pem;
mod pipe;
#[cfg_attr(not(feature = "rustls"), path = "rustls/off.rs")]
mod rustls;
mod sending;
mod session;

use std::io::{Read, Write};

pub(super) use self::handshake::BlockingIo;
use self::handshake::{Step, shake_hands};
pub(crate) use self::native::{NativeAcceptor, NativeConnector};
use self::pipe::Pipe;
pub(super) use self::session::{MOST_HELD, Session, wants_input};
use crate::tls::MAX_RECORD_SIZE;
use crate::{Error, ServerTls, TlsEngine, TlsOptions};

/// The client's side of TLS, by one set of options.
pub(crate) struct Connector {
    engine: ConnectorEngine,
    max_record: usize,
}

enum ConnectorEngine {
    Native(native::Connector),
    Rustls(rustls::Connector),
}

impl Connector {
    /// # Errors
    /// Returns [`Error::Tls`] for what the engine cannot do or cannot read.
    pub(crate) fn new(options: &TlsOptions) -> Result<Self, Error> {
        let engine = match engine(options.engine) {
            TlsEngine::Native => ConnectorEngine::Native(native::Connector::new(options)?),
            TlsEngine::Rustls => ConnectorEngine::Rustls(rustls::Connector::new(options)?),
        };
        let max_record = record_size(options.max_record_size)?;
        Ok(Self { engine, max_record })
    }

    /// Does the handshake with a server of this name or address, blocking.
    pub(super) fn connect(&self, host: &str, socket: &impl BlockingIo) -> Result<Session, Error> {
        let pipe = Pipe::default();
        let step = self.begin(host, pipe.clone())?;
        let shaken = shake_hands(step, pipe, self.max_record, &handshake::OF_SERVER, socket);
        shaken.map_err(|error| self.explain(host, error))
    }

    fn explain(&self, host: &str, error: Error) -> Error {
        match (&self.engine, error) {
            (ConnectorEngine::Native(_), Error::Tls(text)) => {
                Error::Tls(native::explain_name(host, text))
            }
            (_, error) => error,
        }
    }

    fn begin(&self, host: &str, pipe: Pipe) -> Result<Step, Error> {
        // RFC 6066, section 3: a name is sent without the dot at its end, and no certificate has one.
        let host = host.strip_suffix('.').unwrap_or(host);
        match &self.engine {
            ConnectorEngine::Native(connector) => connector.begin(host, pipe),
            ConnectorEngine::Rustls(connector) => connector.begin(host, pipe),
        }
    }
}

/// The server's side of TLS, by one server's settings.
pub(crate) struct Acceptor {
    engine: AcceptorEngine,
    max_record: usize,
}

enum AcceptorEngine {
    Native(native::Acceptor),
    Rustls(rustls::Acceptor),
}

impl Acceptor {
    /// # Errors
    /// Returns [`Error::Tls`] for what the engine cannot do or cannot read.
    pub(crate) fn new(options: &ServerTls) -> Result<Self, Error> {
        let engine = match engine(options.engine) {
            TlsEngine::Native => AcceptorEngine::Native(native::Acceptor::new(options)?),
            TlsEngine::Rustls => AcceptorEngine::Rustls(rustls::Acceptor::new(options)?),
        };
        let max_record = record_size(options.max_record_size)?;
        Ok(Self { engine, max_record })
    }

    /// Does the handshake with a client, blocking.
    pub(super) fn accept(&self, socket: &impl BlockingIo) -> Result<Session, Error> {
        let pipe = Pipe::default();
        let step = self.begin(pipe.clone())?;
        shake_hands(step, pipe, self.max_record, &handshake::OF_CLIENT, socket)
    }

    fn begin(&self, pipe: Pipe) -> Result<Step, Error> {
        match &self.engine {
            AcceptorEngine::Native(acceptor) => acceptor.begin(pipe),
            AcceptorEngine::Rustls(acceptor) => acceptor.begin(pipe),
        }
    }
}

/// Returns the engine to use. Without either feature, native-tls's stand-in reports the missing
/// feature.
fn engine(chosen: Option<TlsEngine>) -> TlsEngine {
    let rustls_alone = cfg!(feature = "rustls") && !cfg!(feature = "tls");
    chosen.unwrap_or(if rustls_alone {
        TlsEngine::Rustls
    } else {
        TlsEngine::Native
    })
}

/// A TLS stream over a [`Pipe`], past its handshake.
pub(super) trait Engine: Read + Write + Send {
    /// Tells whether the engine may hold plain bytes whose ciphertext it has already taken from the
    /// pipe.
    fn has_buffered(&self) -> bool;
    /// Puts `close_notify` into the pipe.
    fn close_notify(&mut self);
    /// Returns the certificates that the peer has shown, in DER, its own first.
    fn peer_certificates(&self) -> Vec<Vec<u8>>;
    /// Returns how many records the engine's keys allow, or `None` if they allow any number.
    fn record_limit(&self) -> Option<u64>;
}

/// The smallest record size: small enough for any device, and not mostly overhead.
const MIN_RECORD_SIZE: usize = 64;

fn record_size(wanted: usize) -> Result<usize, Error> {
    if (MIN_RECORD_SIZE..=MAX_RECORD_SIZE).contains(&wanted) {
        return Ok(wanted);
    }
    Err(Error::Tls(format!(
        "records of {wanted} bytes: it may be {MIN_RECORD_SIZE} to {MAX_RECORD_SIZE}"
    )))
}
