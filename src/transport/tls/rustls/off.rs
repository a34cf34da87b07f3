//! The stand-in for rustls without the feature: the same names, and an error that names the
//! feature.

use super::Pipe;
use super::handshake::Step;
use crate::{Error, ServerTls, TlsOptions};

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
    Error::Tls("the engine rustls needs landline's feature `rustls`".into())
}
