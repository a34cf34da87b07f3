//! Certificates and private keys in PEM.

use rustls_pki_types::pem::{self, PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;

/// A certificate, those that signed it, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads a certificate with those that signed it, and its key. Both may be in one file, between
/// other text.
pub(super) fn identity(chain: &[u8], key: &[u8]) -> Result<Identity, Error> {
    let (chain, key) = (plain_lines(chain), plain_lines(key));
    if is_swapped(&chain, &key) {
        return Err(unusable("the certificate and the private key are swapped"));
    }
    Ok((chain_in(&chain)?, key_in(&key)?))
}

/// Reads certificates.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    chain_in(&plain_lines(pem))
}

/// Removes spaces around lines and byte order marks, which the parser does not take.
pub(super) fn plain_lines(pem: &[u8]) -> Vec<u8> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let lines = pem.split(|byte| matches!(byte, b'\n' | b'\r'));
    let plain = lines.map(|line| {
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        line.trim_ascii()
    });
    plain.collect::<Vec<_>>().join(&b'\n')
}

fn chain_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut chain = Vec::new();
    for section in sections(pem) {
        match section {
            Ok((SectionKind::Certificate, der)) => chain.push(der.into()),
            Ok(_) => {}
            // A key in the same file, which is not read here.
            Err(_) if is_encrypted(pem) => {}
            Err(error) => {
                let what = format!("a certificate cannot be read: {error}");
                return Err(Error::Tls(what));
            }
        }
    }
    if !chain.is_empty() {
        return Ok(chain);
    }
    Err(unusable(if has_key(pem) {
        "there is a private key, but no certificate, where the certificate is expected"
    } else if looks_like_der(pem) {
        "the certificate is not PEM, but probably DER"
    } else {
        "there is no certificate in the PEM"
    }))
}

fn key_in(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    let keys = sections(pem).filter_map(|section| {
        let (kind, der) = section.ok()?;
        PrivateKeyDer::from_pem(kind, der)
    });
    let mut keys = keys;
    if let Some(key) = keys.next() {
        return Ok(key);
    }
    Err(unusable(if is_encrypted(pem) {
        "the private key is encrypted: decrypt it first (openssl pkey -in key.pem -out plain.pem)"
    } else if has_certificate(pem) {
        "there is a certificate, but no private key, where the private key is expected"
    } else if looks_like_der(pem) {
        "the private key is not PEM, but probably DER"
    } else {
        match sections(pem).find_map(Result::err) {
            Some(error) => {
                return Err(Error::Tls(format!(
                    "the private key cannot be read: {error}"
                )));
            }
            None => "there is no private key in the PEM",
        }
    }))
}

fn is_swapped(chain: &[u8], key: &[u8]) -> bool {
    has_key(chain) && !has_certificate(chain) && has_certificate(key) && !has_key(key)
}

fn has_certificate(pem: &[u8]) -> bool {
    sections(pem).any(|section| matches!(section, Ok((SectionKind::Certificate, _))))
}

fn has_key(pem: &[u8]) -> bool {
    let is_key = |section| match section {
        Ok((kind, der)) => PrivateKeyDer::from_pem(kind, der).is_some(),
        Err(_) => false,
    };
    is_encrypted(pem) || sections(pem).any(is_key)
}

/// Tells whether there is a key in encrypted PKCS#8, or of the older kind with a header (RFC 1421).
fn is_encrypted(pem: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    let mut marks = marks.into_iter();
    marks.any(|mark| pem.windows(mark.len()).any(|bytes| bytes == mark))
}

/// Tells whether the input begins as a sequence in DER, and not as text.
fn looks_like_der(pem: &[u8]) -> bool {
    pem.starts_with(b"\x30\x82")
}

fn sections(pem: &[u8]) -> pem::SliceIter<'_, (SectionKind, Vec<u8>)> {
    PemObject::pem_slice_iter(pem)
}

fn unusable(what: &str) -> Error {
    Error::Tls(what.into())
}
