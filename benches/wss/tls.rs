//! The streams that native-tls makes, at either end.

use std::error::Error;
use std::net::TcpStream;
use std::sync::LazyLock;

use native_tls::{TlsAcceptor, TlsConnector, TlsStream};

/// Makes what accepts, with a certificate of its own.
pub(crate) fn acceptor() -> Result<TlsAcceptor, Box<dyn Error>> {
    let (chain, key) = certificate()?;
    let identity = native_tls::Identity::from_pkcs8(chain.as_bytes(), key.as_bytes())?;
    Ok(TlsAcceptor::new(identity)?)
}

/// Makes a certificate and its key, in PEM.
pub(crate) fn certificate() -> Result<(String, String), Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// Does the TLS handshake of a client.
pub(crate) fn open_tls(stream: TcpStream) -> Result<TlsStream<TcpStream>, Box<dyn Error>> {
    // Made once, as it reads the system's roots, which takes longer than all that follows.
    static CONNECTOR: LazyLock<native_tls::Result<TlsConnector>> = LazyLock::new(|| {
        // The servers make a certificate each time they start.
        TlsConnector::builder()
            .danger_accept_invalid_certs(true)
            .build()
    });
    let connector = CONNECTOR.as_ref()?;
    Ok(connector.connect("localhost", stream)?)
}
