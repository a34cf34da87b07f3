//! The one form of keys and certificates that native-tls reads on every system.

use data_encoding::BASE64_MIME;
use pkcs8::PrivateKeyInfoRef;
use pkcs8::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use pkcs8::der::{self, Decode, Encode};
use pkcs8::spki::AlgorithmIdentifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sec1::EcPrivateKey;

use crate::Error;

/// The algorithm of RSA keys (RFC 8017, appendix A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// The algorithm of elliptic-curve keys (RFC 5480, section 2.1.1).
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// Writes certificates as PEM.
pub(super) fn chain_pem(chain: &[CertificateDer<'_>]) -> Vec<u8> {
    chain
        .iter()
        .flat_map(|certificate| pem("CERTIFICATE", certificate))
        .collect()
}

/// Writes a key as PEM in PKCS#8 (RFC 5208).
pub(super) fn key_pem(key: &PrivateKeyDer<'_>) -> Result<Vec<u8>, Error> {
    let der = match key {
        PrivateKeyDer::Pkcs1(key) => wrap(RSA, AnyRef::NULL, key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(key) => wrap_sec1(key.secret_sec1_der()),
        other => Ok(other.secret_der().to_vec()),
    };
    let der =
        der.map_err(|error| Error::Tls(format!("the private key cannot be read: {error}")))?;
    Ok(pem("PRIVATE KEY", &der))
}

/// Wraps a SEC1 key. RFC 5915, section 3: the key names its curve.
fn wrap_sec1(key: &[u8]) -> der::Result<Vec<u8>> {
    let parameters = EcPrivateKey::from_der(key)?.parameters;
    let curve = parameters.and_then(|parameters| parameters.named_curve());
    let curve = curve.ok_or(der::ErrorKind::Failed)?;
    wrap(ELLIPTIC_CURVE, (&curve).into(), key)
}

fn wrap(oid: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> der::Result<Vec<u8>> {
    let parameters = Some(parameters);
    let algorithm = AlgorithmIdentifier { oid, parameters };
    PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(key)?).to_der()
}

/// Writes PEM (RFC 7468, section 2).
fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let body = BASE64_MIME.encode(der);
    format!("-----BEGIN {label}-----\r\n{body}-----END {label}-----\r\n").into_bytes()
}
