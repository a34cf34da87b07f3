//! The certificates that a server shows.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::error_words::tls;
use super::identity;
use crate::{Error, Identity, ServerTls};

/// A server's certificates, by the name that the client asks for.
#[derive(Debug)]
pub(super) struct Certificates {
    pub(super) default: Arc<CertifiedKey>,
    /// The certificates for names, which are in lower case.
    pub(super) by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    pub(super) fn new(options: &ServerTls, provider: &CryptoProvider) -> Result<Self, Error> {
        let Some(own) = &options.identity else {
            return Err(Error::Tls("a server needs a certificate".into()));
        };
        let mut by_name = HashMap::new();
        for (name, other) in &options.others {
            by_name.insert(plain_name(name), certified_key(other, provider)?);
        }
        let default = certified_key(own, provider)?;
        Ok(Self { default, by_name })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello
            .server_name()
            .and_then(|name| self.by_name.get(&plain_name(name)));
        Some(named.unwrap_or(&self.default).clone())
    }
}

/// Returns a name's canonical form. RFC 6066, section 3: names are compared without regard to case,
/// and have no dot at their end.
fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

pub(super) fn certified_key(
    own: &Identity,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, Error> {
    let (chain, key) = identity(own)?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(tls)?;
    Ok(Arc::new(certified))
}
