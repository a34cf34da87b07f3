//! TLS as a codec: an engine turns bytes from a wire in memory into plain ones and back. What it
//! does under its lock is arithmetic; the socket is read and written outside.
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
#[cfg_attr(not(feature = "rustls"), path = "rustls/off.rs")]
mod rustls;
mod sending;
mod session;
mod wire;

use std::io::{Read, Write};

pub(super) use self::handshake::Line;
use self::handshake::{Step, shake_hands};
pub(crate) use self::native::{NativeAcceptor, NativeConnector};
pub(super) use self::session::{Session, wants_input};
use self::wire::Wire;
use crate::tls::MAX_RECORD_SIZE;
use crate::{Error, ServerTls, TlsEngine, TlsOptions};

/// Connects as one set of options says.
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
    pub(super) fn connect(&self, host: &str, line: &impl Line) -> Result<Session, Error> {
        let wire = Wire::default();
        let step = self.begin(host, wire.clone())?;
        let shaken = shake_hands(step, wire, self.max_record, &handshake::OF_SERVER, line);
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

    fn begin(&self, host: &str, wire: Wire) -> Result<Step, Error> {
        // RFC 6066, section 3: a name is sent without the dot at its end, and no certificate has one.
        let host = host.strip_suffix('.').unwrap_or(host);
        match &self.engine {
            ConnectorEngine::Native(connector) => connector.begin(host, wire),
            ConnectorEngine::Rustls(connector) => connector.begin(host, wire),
        }
    }
}

/// Accepts as one server's settings say.
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

    /// Does the handshake with whoever has connected, blocking.
    pub(super) fn accept(&self, line: &impl Line) -> Result<Session, Error> {
        let wire = Wire::default();
        let step = self.begin(wire.clone())?;
        shake_hands(step, wire, self.max_record, &handshake::OF_CLIENT, line)
    }

    fn begin(&self, wire: Wire) -> Result<Step, Error> {
        match &self.engine {
            AcceptorEngine::Native(acceptor) => acceptor.begin(wire),
            AcceptorEngine::Rustls(acceptor) => acceptor.begin(wire),
        }
    }
}

/// Without either feature native-tls's stand-in says what is missing.
fn engine(chosen: Option<TlsEngine>) -> TlsEngine {
    let rustls_alone = cfg!(feature = "rustls") && !cfg!(feature = "tls");
    chosen.unwrap_or(if rustls_alone {
        TlsEngine::Rustls
    } else {
        TlsEngine::Native
    })
}

/// A TLS stream over a [`Wire`], past its handshake.
pub(super) trait Engine: Read + Write + Send {
    /// Tells whether plain bytes may be left that were taken from the wire already.
    fn has_buffered(&self) -> bool;
    /// Puts `close_notify` onto the wire.
    fn end(&mut self);
    /// Returns the certificates that the peer has shown, in DER, its own first.
    fn peer_certificates(&self) -> Vec<Vec<u8>>;
    /// Returns how many records may be written, where that is not boundless.
    fn record_limit(&self) -> Option<u64>;
}

/// Small enough for any device, and large enough that a record is not mostly its seal.
const MIN_RECORD_SIZE: usize = 64;

fn record_size(wanted: usize) -> Result<usize, Error> {
    if (MIN_RECORD_SIZE..=MAX_RECORD_SIZE).contains(&wanted) {
        return Ok(wanted);
    }
    Err(Error::Tls(format!(
        "records of {wanted} bytes: it may be {MIN_RECORD_SIZE} to {MAX_RECORD_SIZE}"
    )))
}
