//! Keys and certificates of kinds that rcgen does not make, by OpenSSL.

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};

use landline::Identity;

/// A key, and a self-signed certificate for `127.0.0.1`.
pub(crate) struct SelfSigned {
    pub(crate) key: PKey<Private>,
    pub(crate) certificate: X509,
}

/// Numbers the versions of X.509 as they are on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum X509Version {
    One = 0,
    Three = 2,
}

impl SelfSigned {
    pub(crate) fn new(key: PKey<Private>, version: X509Version) -> Self {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_nid(Nid::COMMONNAME, "127.0.0.1")
            .unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(version as i32).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        let (from, to) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(9));
        builder.set_not_before(&from.unwrap()).unwrap();
        builder.set_not_after(&to.unwrap()).unwrap();
        if version == X509Version::Three {
            let mut names = SubjectAlternativeName::new();
            let names = names
                .ip("127.0.0.1")
                .build(&builder.x509v3_context(None, None));
            builder.append_extension(names.unwrap()).unwrap();
        }
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let certificate = builder.build();
        Self { key, certificate }
    }

    pub(crate) fn rsa(bits: u32) -> Self {
        Self::new(rsa(bits), X509Version::Three)
    }

    pub(crate) fn elliptic(curve: Nid) -> Self {
        Self::new(elliptic(curve), X509Version::Three)
    }

    pub(crate) fn chain_pem(&self) -> String {
        text(self.certificate.to_pem().unwrap())
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(self.chain_pem(), pkcs8_pem(&self.key))
    }
}

pub(crate) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

pub(crate) fn elliptic(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// Writes a key as `BEGIN PRIVATE KEY`.
pub(crate) fn pkcs8_pem(key: &PKey<Private>) -> String {
    text(key.private_key_to_pem_pkcs8().unwrap())
}

/// Writes a key as `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY`.
pub(crate) fn traditional_pem(key: &PKey<Private>) -> String {
    text(match key.rsa() {
        Ok(rsa) => rsa.private_key_to_pem().unwrap(),
        Err(_) => key.ec_key().unwrap().private_key_to_pem().unwrap(),
    })
}

/// Writes a key encrypted, as `BEGIN ENCRYPTED PRIVATE KEY`.
pub(crate) fn encrypted_pem(key: &PKey<Private>) -> String {
    let cipher = Cipher::aes_128_cbc();
    text(
        key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret")
            .unwrap(),
    )
}

/// Writes an RSA key encrypted in the older way, with a header.
pub(crate) fn traditional_encrypted_pem(key: &PKey<Private>) -> String {
    let (rsa, cipher) = (key.rsa().unwrap(), Cipher::aes_128_cbc());
    text(
        rsa.private_key_to_pem_passphrase(cipher, b"secret")
            .unwrap(),
    )
}

fn text(pem: Vec<u8>) -> String {
    String::from_utf8(pem).unwrap()
}
