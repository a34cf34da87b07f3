//! The errors of the system's engine, in words.

use std::fmt::Display;
use std::io;

use crate::Error;
use crate::transport::tls::fault::Fault;

pub(super) fn tls(error: native_tls::Error) -> Error {
    Error::Tls(describe(error))
}

/// Puts words before the text of an error, unless it is the system's.
pub(super) fn explain(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => error,
        kind => io::Error::new(kind, describe(error)),
    }
}

/// Adds to the refusal of a name a reason that OpenSSL's text leaves out.
pub(in crate::transport::tls) fn explain_name(host: &str, text: String) -> String {
    if host.contains('_') && text.contains("ostname mismatch") {
        return format!("{text}; OpenSSL matches no name with an underscore under a wildcard");
    }
    text
}

fn describe(error: impl Display) -> String {
    let own = error.to_string();
    Fault::describe(Fault::in_text(&own, &OPENSSL), "native-tls", own)
}

/// Parts of the texts of OpenSSL 1.1 and 3. A part that contains another one comes before it.
const OPENSSL: [(&str, Fault); 33] = [
    ("certificate has expired", Fault::Expired),
    ("certificate is not yet valid", Fault::NotYetValid),
    ("ostname mismatch", Fault::OtherHost),
    ("IP address mismatch", Fault::OtherHost),
    ("self-signed certificate", Fault::SelfSigned),
    ("self signed certificate", Fault::SelfSigned),
    (
        "unable to get local issuer certificate",
        Fault::UnknownIssuer,
    ),
    ("unable to get issuer certificate", Fault::UnknownIssuer),
    (
        "unable to verify the first certificate",
        Fault::UnknownIssuer,
    ),
    ("certificate chain too long", Fault::TooManyIntermediates),
    (
        "path length constraint exceeded",
        Fault::TooManyIntermediates,
    ),
    ("key too weak", Fault::WeakKey),
    ("md too weak", Fault::WeakKey),
    ("key too small", Fault::WeakKey),
    ("certificate signature failure", Fault::BadSignature),
    ("certificate purpose", Fault::OtherPurpose),
    ("certificate revoked", Fault::Revoked),
    (
        "peer did not return a certificate",
        Fault::CertificateWanted,
    ),
    ("alert certificate required", Fault::CertificateWanted),
    ("alert handshake failure", Fault::Refused),
    ("alert insufficient security", Fault::Refused),
    ("alert protocol version", Fault::RefusedVersion),
    ("alert bad certificate", Fault::Distrusted),
    ("alert unsupported certificate", Fault::Distrusted),
    ("alert certificate expired", Fault::Distrusted),
    ("alert certificate unknown", Fault::Distrusted),
    ("alert unknown ca", Fault::Distrusted),
    ("unrecognized name", Fault::NameUnknown),
    ("unsupported protocol", Fault::NoVersionInCommon),
    ("no protocols available", Fault::NoVersionInCommon),
    ("no shared cipher", Fault::NothingInCommon),
    ("no suitable signature algorithm", Fault::NothingInCommon),
    ("no suitable key share", Fault::NothingInCommon),
];
