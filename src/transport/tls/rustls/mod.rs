//! The engine by rustls: the only folder that names it.

mod certificates;
mod error_words;
mod stream;
#[cfg(test)]
mod tests;
mod verifier;

use std::fmt::Display;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, KeyLogFile, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion, version,
};

use self::certificates::Certificates;
use self::error_words::tls;
use self::stream::{Stream, step};
use self::verifier::{client_verifier, server_verifier};
use super::handshake::Step;
use super::{Pipe, pem};
use crate::tls::IdentitySource;
use crate::{Error, Identity, ServerTls, TlsOptions, TlsVersion};

pub(crate) struct Connector(Arc<ClientConfig>);
pub(crate) struct Acceptor(Arc<ServerConfig>);

impl Connector {
    pub(super) fn new(options: &TlsOptions) -> Result<Self, Error> {
        if options.finished.is_some() {
            return Err(only_native("a finished native-tls connector"));
        }
        let provider = provider();
        let verifier = server_verifier(options, provider.clone())?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(options.min_version))
            .map_err(tls)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &options.identity {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (chain, key) = identity(own)?;
                builder.with_client_auth_cert(chain, key).map_err(tls)?
            }
        };
        config.enable_sni = options.sni;
        config.max_fragment_size = Some(fragment_size(options.max_record_size));
        if options.log_keys {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn begin(&self, host: &str, pipe: Pipe) -> Result<Step, Error> {
        let connection = ClientConnection::new(self.0.clone(), server_name(host)?).map_err(tls)?;
        step(Stream::new(connection, pipe))
    }
}

impl Acceptor {
    pub(super) fn new(options: &ServerTls) -> Result<Self, Error> {
        if options.finished.is_some() {
            return Err(only_native("a finished native-tls acceptor"));
        }
        let provider = provider();
        let certificates = Certificates::new(options, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(options.min_version))
            .map_err(tls)?;
        let builder = if options.client_roots.is_empty() {
            builder.with_no_client_auth()
        } else {
            builder.with_client_cert_verifier(client_verifier(&options.client_roots, provider)?)
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.max_fragment_size = Some(fragment_size(options.max_record_size));
        if options.log_keys {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn begin(&self, pipe: Pipe) -> Result<Step, Error> {
        let connection = ServerConnection::new(self.0.clone()).map_err(tls)?;
        step(Stream::new(connection, pipe))
    }
}

const ALPN: &[u8] = b"http/1.1";

/// Returns rustls's size of a record: it counts the header with the content.
fn fragment_size(record_size: usize) -> usize {
    record_size + 5
}

/// Returns the provider. The process's default belongs to the program, and may be missing or
/// ambiguous.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static TLS13_ALONE: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    match lowest {
        TlsVersion::Tls12 => rustls::ALL_VERSIONS,
        TlsVersion::Tls13 => &TLS13_ALONE,
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| Error::Tls(format!("no certificate can be for the host {host:?}")))
}

fn identity(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    match &*identity.0 {
        IdentitySource::Pem { chain, key } => pem::identity(chain, key),
        IdentitySource::Pkcs12 { .. } => Err(only_native("an identity in PKCS#12")),
    }
}

fn roots(pems: &[Vec<u8>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for pem in pems {
        for certificate in pem::certificates(pem)? {
            roots
                .add(certificate)
                .map_err(|error| unreadable("a root certificate", error))?;
        }
    }
    Ok(roots)
}

fn unreadable(what: &str, error: impl Display) -> Error {
    Error::Tls(format!("{what} cannot be read: {error}"))
}

fn only_native(what: &str) -> Error {
    Error::Tls(format!("{what}: only native-tls can"))
}
