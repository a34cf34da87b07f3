//! The settings of TLS: identities, and which certificates are trusted.
#![cfg_attr(
    not(all(feature = "tls", feature = "rustls")),
    allow(dead_code, reason = "an engine that is off does not look at it")
)]

use std::fmt;
use std::sync::Arc;

/// The identity of one side: a certificate, its chain, and its private key.
///
/// Making one never fails; binding or connecting reports an identity that cannot be used.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<IdentitySource>);

pub(crate) enum IdentitySource {
    Pem { chain: Vec<u8>, key: Vec<u8> },
    Pkcs12 { archive: Vec<u8>, password: String },
}

impl Identity {
    /// Takes PEM: the certificate followed by those that signed it, and its private key in PKCS#8
    /// (`BEGIN PRIVATE KEY`), PKCS#1 (`BEGIN RSA PRIVATE KEY`) or SEC1 (`BEGIN EC PRIVATE KEY`), not
    /// encrypted. Other text around them is skipped. A file that holds both may be given twice.
    /// A key that does not match the first certificate is an error at
    /// [`bind`](crate::ServerBuilder::bind) and [`set_tls`](crate::Server::set_tls).
    pub fn from_pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let (chain, key) = (chain.into(), key.into());
        Self(Arc::new(IdentitySource::Pem { chain, key }))
    }

    /// Takes a PKCS#12 archive in DER, such as a `.p12` or `.pfx` file. For
    /// [`TlsEngine::Native`] alone.
    pub fn from_pkcs12(archive: impl Into<Vec<u8>>, password: impl Into<String>) -> Self {
        let (archive, password) = (archive.into(), password.into());
        Self(Arc::new(IdentitySource::Pkcs12 { archive, password }))
    }
}

impl fmt::Debug for Identity {
    /// Shows nothing, because half of it is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// The library that does the cryptography.
///
/// The two do not trust the same certificates. OpenSSL alone takes certificates of X.509 version 1, those that have the
/// host in their common name alone, keys on the curve P-521, RSA keys between 1024 and 2048 bits where
/// its security level allows them, and more than six intermediate certificates. Rustls alone takes an
/// intermediate certificate as the only root, and a name with an underscore under a wildcard, which
/// OpenSSL does not match. Rustls takes no self-signed certificate that is marked as a CA's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsEngine {
    /// The system's own library, by native-tls: OpenSSL on Linux. Feature `tls`.
    Native,
    /// Rustls. Feature `rustls`.
    Rustls,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// A client's settings of TLS: how it checks a server's certificate, and its own certificate.
///
/// The default is right for servers of the public internet: the system's roots, TLS 1.2 at least,
/// no client certificate.
///
/// ```
/// use landline::{Client, TlsOptions};
///
/// # let company_root = b"-----BEGIN CERTIFICATE-----";
/// let client = Client::new().tls(TlsOptions::new().add_roots(*company_root));
/// # let _ = client;
/// ```
#[derive(Clone, Debug)]
#[must_use = "options are for `Client::tls`"]
pub struct TlsOptions {
    pub(crate) roots: Vec<Vec<u8>>,
    pub(crate) only_these_roots: bool,
    pub(crate) identity: Option<Identity>,
    pub(crate) min_version: TlsVersion,
    pub(crate) sni: bool,
    pub(crate) accept_invalid_certs: bool,
    pub(crate) accept_invalid_hostnames: bool,
    pub(crate) log_keys: bool,
    pub(crate) max_record_size: usize,
    pub(crate) engine: Option<TlsEngine>,
    pub(crate) finished: Option<crate::transport::NativeConnector>,
}

impl TlsOptions {
    /// Makes the default options.
    pub fn new() -> Self {
        Self {
            roots: Vec::new(),
            only_these_roots: false,
            identity: None,
            min_version: TlsVersion::Tls12,
            sni: true,
            accept_invalid_certs: false,
            accept_invalid_hostnames: false,
            log_keys: false,
            max_record_size: MAX_RECORD_SIZE,
            engine: None,
            finished: None,
        }
    }

    /// Trusts these certificates too, in PEM, one or several. A further call adds certificates.
    pub fn add_roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// Trusts the [added](Self::add_roots) certificates alone, and not the system's.
    pub fn only_these_roots(mut self) -> Self {
        self.only_these_roots = true;
        self
    }

    /// Shows this certificate to servers that ask for one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sets the lowest version that is spoken; TLS 1.2 by default.
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Leaves the server's name out of the client's first message (RFC 6066, section 3), which
    /// everyone on the way can read. By default it is sent, unless it is an IP address.
    pub fn without_sni(mut self) -> Self {
        self.sni = false;
        self
    }

    /// Accepts every certificate: expired, signed by anyone, of X.509 version 1, with a weak key,
    /// with a wrong signature. Anyone on the way can then read and change everything. Rustls then
    /// checks nothing at all; OpenSSL still checks that the server has the key of its certificate.
    pub fn danger_accept_invalid_certs(mut self) -> Self {
        self.accept_invalid_certs = true;
        self
    }

    /// Accepts certificates for other hosts: everyone who has any valid certificate can then pose
    /// as the server.
    pub fn danger_accept_invalid_hostnames(mut self) -> Self {
        self.accept_invalid_hostnames = true;
        self
    }

    /// Writes the keys of its connections into the file named by the environment variable
    /// `SSLKEYLOGFILE`, for tools such as Wireshark. Everyone who can read that file can read all
    /// traffic. For [`TlsEngine::Rustls`] alone.
    pub fn danger_log_keys(mut self) -> Self {
        self.log_keys = true;
        self
    }

    /// Sets the most bytes of content in a record that is sent, for servers with small buffers (RFC
    /// 8449): 64 to 16,384, which is the default.
    pub fn max_record_size(mut self, bytes: usize) -> Self {
        self.max_record_size = bytes;
        self
    }

    /// Chooses the engine; by default [`TlsEngine::Native`] if its feature is on.
    pub fn engine(mut self, engine: TlsEngine) -> Self {
        self.engine = Some(engine);
        self
    }
}

/// The most bytes of content in a record (RFC 8446, section 5.1).
pub(crate) const MAX_RECORD_SIZE: usize = 16 << 10;

impl Default for TlsOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A server's settings of TLS: its certificates, and whether clients must show theirs. An
/// [`Identity`] turns into one.
#[derive(Clone, Debug)]
#[must_use = "options are for `ServerBuilder::tls`"]
pub struct ServerTls {
    pub(crate) identity: Option<Identity>,
    pub(crate) others: Vec<(String, Identity)>,
    pub(crate) client_roots: Vec<Vec<u8>>,
    pub(crate) min_version: TlsVersion,
    pub(crate) log_keys: bool,
    pub(crate) max_record_size: usize,
    pub(crate) engine: Option<TlsEngine>,
    pub(crate) finished: Option<crate::transport::NativeAcceptor>,
}

impl ServerTls {
    /// Makes the settings of a server that shows this certificate for all names.
    pub fn new(identity: Identity) -> Self {
        Self::of(Some(identity))
    }

    pub(crate) fn of(identity: Option<Identity>) -> Self {
        Self {
            identity,
            others: Vec::new(),
            client_roots: Vec::new(),
            min_version: TlsVersion::Tls12,
            log_keys: false,
            max_record_size: MAX_RECORD_SIZE,
            engine: None,
            finished: None,
        }
    }

    /// Shows another certificate to clients that ask for this name (RFC 6066, section 3). For
    /// [`TlsEngine::Rustls`] alone.
    pub fn identity_for(mut self, name: impl Into<String>, identity: Identity) -> Self {
        self.others.push((name.into(), identity));
        self
    }

    /// Lets in only clients with a certificate that one of these roots, in PEM, has signed.
    /// [`Request::peer_certificates`](crate::Request::peer_certificates) returns it. For
    /// [`TlsEngine::Rustls`] alone.
    pub fn require_client_certificates(mut self, roots: impl Into<Vec<u8>>) -> Self {
        self.client_roots.push(roots.into());
        self
    }

    /// Sets the lowest version that is spoken; TLS 1.2 by default. The highest is TLS 1.2 with
    /// [`TlsEngine::Native`] on OpenSSL, as native-tls sets it up.
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Writes the keys of its connections into the file named by the environment variable
    /// `SSLKEYLOGFILE`, for tools such as Wireshark. Everyone who can read that file can read all
    /// traffic. For [`TlsEngine::Rustls`] alone.
    pub fn danger_log_keys(mut self) -> Self {
        self.log_keys = true;
        self
    }

    /// Sets the most bytes of content in a record that is sent, for clients with small buffers (RFC
    /// 8449): 64 to 16,384, which is the default.
    pub fn max_record_size(mut self, bytes: usize) -> Self {
        self.max_record_size = bytes;
        self
    }

    /// Chooses the engine; by default [`TlsEngine::Native`] if its feature is on.
    pub fn engine(mut self, engine: TlsEngine) -> Self {
        self.engine = Some(engine);
        self
    }
}

impl From<Identity> for ServerTls {
    fn from(identity: Identity) -> Self {
        Self::new(identity)
    }
}
