//! The engine of the system, by native-tls: the only folder that names it.

mod error_words;
mod key_check;
mod pkcs8;

use std::fmt;
use std::io::{self, Read, Write};

use native_tls::{
    HandshakeError, MidHandshakeTlsStream, Protocol, TlsAcceptor, TlsConnector, TlsStream,
};

pub(super) use self::error_words::explain_name;
use self::error_words::{explain, tls};
use self::key_check::prove;
use self::pkcs8::{chain_pem, key_pem};
use super::handshake::{Handshake, Step};
use super::{Engine, Pipe, pem};
use crate::tls::IdentitySource;
use crate::{Error, Identity, ServerTls, TlsEngine, TlsOptions, TlsVersion};

/// A client's engine: a finished native-tls connector.
#[derive(Clone)]
pub(crate) struct NativeConnector(TlsConnector);

/// A server's engine: a finished native-tls acceptor.
#[derive(Clone)]
pub(crate) struct NativeAcceptor(TlsAcceptor);

impl fmt::Debug for NativeConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeConnector").finish_non_exhaustive()
    }
}

impl fmt::Debug for NativeAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeAcceptor").finish_non_exhaustive()
    }
}

pub(crate) struct Connector(TlsConnector);
pub(crate) struct Acceptor(TlsAcceptor);

impl TlsOptions {
    /// Takes a finished connector of the native-tls crate instead: all other options are its own.
    pub fn from_native_tls(connector: TlsConnector) -> Self {
        Self {
            finished: Some(NativeConnector(connector)),
            engine: Some(TlsEngine::Native),
            ..Self::new()
        }
    }
}

impl ServerTls {
    /// Takes a finished acceptor of the native-tls crate: all other settings are its own.
    pub fn from_native_tls(acceptor: TlsAcceptor) -> Self {
        Self {
            engine: Some(TlsEngine::Native),
            finished: Some(NativeAcceptor(acceptor)),
            ..Self::of(None)
        }
    }
}

impl Connector {
    pub(super) fn new(options: &TlsOptions) -> Result<Self, Error> {
        if let Some(NativeConnector(connector)) = &options.finished {
            return Ok(Self(connector.clone()));
        }
        if options.log_keys {
            return Err(only_rustls("logging keys"));
        }
        let mut builder = TlsConnector::builder();
        builder
            .min_protocol_version(Some(version(options.min_version)))
            .disable_built_in_roots(options.only_these_roots)
            .use_sni(options.sni)
            .danger_accept_invalid_certs(options.accept_invalid_certs)
            .danger_accept_invalid_hostnames(options.accept_invalid_hostnames);
        builder.request_alpns(&[ALPN]);
        for pem in &options.roots {
            let pem = pem::plain_lines(pem);
            let roots = native_tls::Certificate::stack_from_pem(&pem).map_err(tls)?;
            if roots.is_empty() {
                return Err(Error::Tls("no certificate in the roots to add".into()));
            }
            for certificate in roots {
                builder.add_root_certificate(certificate);
            }
        }
        if let Some(own) = &options.identity {
            let own = identity(own)?;
            prove(&TlsAcceptor::new(own.clone()).map_err(tls)?)?;
            builder.identity(own);
        }
        builder.build().map(Self).map_err(tls)
    }

    pub(super) fn begin(&self, host: &str, pipe: Pipe) -> Result<Step, Error> {
        step(self.0.connect(host, pipe))
    }
}

impl Acceptor {
    pub(super) fn new(options: &ServerTls) -> Result<Self, Error> {
        if let Some(NativeAcceptor(acceptor)) = &options.finished {
            return Ok(Self(acceptor.clone()));
        }
        for (is_wanted, what) in [
            (!options.others.is_empty(), "several certificates"),
            (
                !options.client_roots.is_empty(),
                "demanding client certificates",
            ),
            (options.log_keys, "logging keys"),
        ] {
            if is_wanted {
                return Err(only_rustls(what));
            }
        }
        let Some(own) = &options.identity else {
            return Err(Error::Tls("a server needs a certificate".into()));
        };
        let mut builder = TlsAcceptor::builder(identity(own)?);
        builder
            .min_protocol_version(Some(version(options.min_version)))
            .accept_alpn(&[ALPN]);
        let acceptor = builder.build().map_err(tls)?;
        prove(&acceptor)?;
        Ok(Self(acceptor))
    }

    pub(super) fn begin(&self, pipe: Pipe) -> Result<Step, Error> {
        step(self.0.accept(pipe))
    }
}

const ALPN: &str = "http/1.1";

fn only_rustls(what: &str) -> Error {
    Error::Tls(format!("{what}: only rustls can"))
}

fn version(version: TlsVersion) -> Protocol {
    match version {
        TlsVersion::Tls12 => Protocol::Tlsv12,
        TlsVersion::Tls13 => Protocol::Tlsv13,
    }
}

fn identity(identity: &Identity) -> Result<native_tls::Identity, Error> {
    match &*identity.0 {
        IdentitySource::Pem { chain, key } => {
            let (chain, key) = pem::identity(chain, key)?;
            native_tls::Identity::from_pkcs8(&chain_pem(&chain), &key_pem(&key)?)
        }
        IdentitySource::Pkcs12 { archive, password } => {
            native_tls::Identity::from_pkcs12(archive, password)
        }
    }
    .map_err(tls)
}

fn step(result: Result<TlsStream<Pipe>, HandshakeError<Pipe>>) -> Result<Step, Error> {
    match result {
        Ok(stream) => Ok(Step::Done(Box::new(Stream(stream)))),
        Err(HandshakeError::WouldBlock(handshake)) => Ok(Step::More(Box::new(handshake))),
        Err(HandshakeError::Failure(error)) => Err(tls(error)),
    }
}

impl Handshake for MidHandshakeTlsStream<Pipe> {
    fn resume(self: Box<Self>) -> Result<Step, Error> {
        step(self.handshake())
    }
}

struct Stream(TlsStream<Pipe>);

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(explain)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(explain)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(explain)
    }
}

impl Engine for Stream {
    fn has_buffered(&self) -> bool {
        // Windows' engine does not count records that it holds undecrypted: only a read tells.
        cfg!(windows) || self.0.buffered_read_size().unwrap_or(1) > 0
    }

    fn close_notify(&mut self) {
        let _ = self.0.shutdown();
    }

    /// Returns the first certificate alone: native-tls shows no more.
    fn peer_certificates(&self) -> Vec<Vec<u8>> {
        let first = self.0.peer_certificate().ok().flatten();
        first
            .and_then(|first| first.to_der().ok())
            .into_iter()
            .collect()
    }

    fn record_limit(&self) -> Option<u64> {
        None
    }
}
