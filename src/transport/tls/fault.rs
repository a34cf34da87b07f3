//! The faults that an engine reports, in words: [`Fault`].

use std::fmt;

/// A fault of a handshake or a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Expired,
    NotYetValid,
    OtherHost,
    NoHost,
    UnknownIssuer,
    SelfSigned,
    CaAsPeer,
    OldVersion,
    UnknownAlgorithm,
    WeakKey,
    BadSignature,
    TooManyIntermediates,
    OtherPurpose,
    Revoked,
    Malformed,
    NoVersionInCommon,
    NothingInCommon,
    Refused,
    RefusedVersion,
    Distrusted,
    CertificateWanted,
    NameUnknown,
    KeyMismatch,
}

impl Fault {
    /// Makes the text of an error: the fault in words, the name of the engine, and the engine's own
    /// text.
    pub(super) fn describe(fault: Option<Self>, engine: &str, own: impl fmt::Display) -> String {
        match fault {
            Some(fault) => format!("{fault} ({engine}: {own})"),
            None => format!("{engine}: {own}"),
        }
    }

    /// Recognises a fault in an engine's text.
    pub(super) fn in_text(text: &str, marks: &[(&str, Self)]) -> Option<Self> {
        let found = marks.iter().find(|(mark, _)| text.contains(mark));
        found.map(|(_, fault)| *fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the peer's certificate has expired",
            Self::NotYetValid => "the peer's certificate is not yet valid",
            Self::OtherHost => "the peer's certificate is for another host",
            Self::NoHost => {
                "the peer's certificate names no host: a common name alone does not count"
            }
            Self::UnknownIssuer => {
                "the peer's certificate is self-signed, or signed by a CA that is not trusted"
            }
            Self::SelfSigned => "the peer's certificate, or one that signed it, is self-signed and not trusted",
            Self::CaAsPeer => {
                "the peer's certificate is self-signed as a CA's own, which rustls takes from no peer"
            }
            Self::OldVersion => "the peer's certificate is not of X.509 version 3",
            Self::UnknownAlgorithm => {
                "the peer's certificate has a key or signature of a kind that is not supported"
            }
            Self::WeakKey => "the peer's certificate has a key or signature that is too weak",
            Self::BadSignature => {
                "a signature of the peer's is wrong, or by a key that is not supported, such as RSA \
                 below 2048 bits"
            }
            Self::TooManyIntermediates => {
                "too many certificates stand between the peer's and one that is trusted"
            }
            Self::OtherPurpose => "the peer's certificate is not meant for this use",
            Self::Revoked => "the peer's certificate has been revoked",
            Self::Malformed => "the peer's certificate cannot be read",
            Self::NoVersionInCommon => "no version of TLS is spoken by both sides",
            Self::NothingInCommon => {
                "no cipher suite, key exchange or signature is known to both sides"
            }
            Self::Refused => {
                "the peer refused the handshake, mostly as there is no cipher suite, key exchange or \
                 signature in common"
            }
            Self::RefusedVersion => "the peer speaks none of the TLS versions that are allowed here",
            Self::Distrusted => "the peer does not trust our certificate",
            Self::CertificateWanted => "the other side must show a certificate and has shown none",
            Self::NameUnknown => "the peer does not serve a host of this name",
            Self::KeyMismatch => {
                "the private key does not match the first certificate of the chain"
            }
        })
    }
}
