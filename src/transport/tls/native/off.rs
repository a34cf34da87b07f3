//! The stand-in for native-tls without the feature: the same names, and an error that names the
//! feature.

use super::Pipe;
use super::handshake::Step;
use crate::{Error, ServerTls, TlsOptions};

/// A type without a value.
#[derive(Clone, Debug)]
pub(crate) enum NativeConnector {}

/// A type without a value.
#[derive(Clone, Debug)]
pub(crate) enum NativeAcceptor {}

pub(crate) enum Connector {}
pub(crate) enum Acceptor {}

impl Connector {
    pub(super) fn new(_: &TlsOptions) -> Result<Self, Error> {
        Err(missing())
    }

    pub(super) fn begin(&self, _: &str, _: Pipe) -> Result<Step, Error> {
        match *self {}
    }
}

impl Acceptor {
    pub(super) fn new(_: &ServerTls) -> Result<Self, Error> {
        Err(missing())
    }

    pub(super) fn begin(&self, _: Pipe) -> Result<Step, Error> {
        match *self {}
    }
}

fn missing() -> Error {
    let what = if cfg!(feature = "rustls") {
        "the engine native-tls needs landline's feature `tls`"
    } else {
        "landline was built without TLS: it needs its feature `tls` or `rustls`"
    };
    Error::Tls(what.into())
}

pub(super) fn explain_name(_: &str, text: String) -> String {
    text
}
