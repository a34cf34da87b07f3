//! The check that a server's key fits its certificate: native-tls itself does not compare them.

use std::sync::LazyLock;

use native_tls::{TlsAcceptor, TlsConnector};

use super::step;
use crate::Error;
use crate::transport::tls::Pipe;
use crate::transport::tls::handshake::Step;

/// A connector that accepts any certificate. It is made once, because native-tls reads the system's
/// roots for every connector, which takes most of the time.
static ACCEPTS_ANY: LazyLock<Result<TlsConnector, String>> = LazyLock::new(|| {
    let mut builder = TlsConnector::builder();
    builder
        .danger_accept_invalid_certs(true)
        .danger_accept_invalid_hostnames(true)
        .disable_built_in_roots(true);
    builder.build().map_err(|error| error.to_string())
});

/// The most flights of each side.
const FLIGHTS: usize = 5;

/// Does a handshake in memory. Its client checks by the certificate that the signature is by the
/// key.
pub(super) fn prove(acceptor: &TlsAcceptor) -> Result<(), Error> {
    let connector = ACCEPTS_ANY
        .as_ref()
        .map_err(|error| Error::Tls(error.clone()))?;
    let (near, far) = (Pipe::default(), Pipe::default());
    let mut client = step(connector.connect("localhost", near.clone()))?;
    far.feed(&near.take_outgoing());
    let mut server = step(acceptor.accept(far.clone())).map_err(unusable)?;
    for _ in 0..FLIGHTS {
        near.feed(&far.take_outgoing());
        client = resume(client).map_err(unusable)?;
        far.feed(&near.take_outgoing());
        server = resume(server).map_err(unusable)?;
    }
    match (client, server) {
        (Step::Done(_), Step::Done(_)) => Ok(()),
        _ => Err(Error::Tls(
            "native-tls came to no end of a handshake".into(),
        )),
    }
}

fn resume(step: Step) -> Result<Step, Error> {
    match step {
        Step::More(handshake) => handshake.resume(),
        done => Ok(done),
    }
}

fn unusable(error: Error) -> Error {
    Error::Tls(format!(
        "no handshake succeeds with this certificate and private key, mostly as the key does not \
         match the first certificate of the chain: {error}"
    ))
}
