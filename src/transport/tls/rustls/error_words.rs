//! The errors of rustls, in words.

use rustls::{AlertDescription, CertificateError, InconsistentKeys, PeerIncompatible};

use crate::Error;
use crate::transport::tls::fault::Fault;

pub(super) fn tls(error: rustls::Error) -> Error {
    Error::Tls(describe(&error))
}

/// Describes an error in words that are different for different faults.
pub(super) fn describe(error: &rustls::Error) -> String {
    Fault::describe(fault(error), "rustls", error)
}

fn fault(error: &rustls::Error) -> Option<Fault> {
    match error {
        rustls::Error::InvalidCertificate(invalid) => certificate_fault(invalid),
        rustls::Error::AlertReceived(alert) => alert_fault(*alert),
        rustls::Error::PeerIncompatible(why) => incompatible_fault(why),
        rustls::Error::NoCertificatesPresented => Some(Fault::CertificateWanted),
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Some(Fault::KeyMismatch),
        _ => None,
    }
}

fn certificate_fault(invalid: &CertificateError) -> Option<Fault> {
    Some(match invalid {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Fault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Fault::NotYetValid
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            Fault::NoHost
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Fault::OtherHost
        }
        CertificateError::UnknownIssuer => Fault::UnknownIssuer,
        CertificateError::BadSignature => Fault::BadSignature,
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Fault::UnknownAlgorithm
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Fault::OtherPurpose
        }
        CertificateError::Revoked => Fault::Revoked,
        CertificateError::BadEncoding => Fault::Malformed,
        other => return Fault::in_text(&other.to_string(), &WEBPKI),
    })
}

/// The errors that only webpki has a name for, and that rustls passes on as text. `openssl req
/// -x509` makes certificates with the first of them.
const WEBPKI: [(&str, Fault); 5] = [
    ("CaUsedAsEndEntity", Fault::CaAsPeer),
    ("UnsupportedCertVersion", Fault::OldVersion),
    ("MaximumPathDepthExceeded", Fault::TooManyIntermediates),
    ("PathLenConstraintViolated", Fault::TooManyIntermediates),
    ("SignatureAlgorithmMismatch", Fault::UnknownAlgorithm),
];

/// Returns the fault that an alert reports (RFC 8446, section 6.2).
fn alert_fault(alert: AlertDescription) -> Option<Fault> {
    Some(match alert {
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            Fault::Refused
        }
        AlertDescription::ProtocolVersion => Fault::RefusedVersion,
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA => Fault::Distrusted,
        AlertDescription::CertificateRequired => Fault::CertificateWanted,
        AlertDescription::UnrecognisedName => Fault::NameUnknown,
        _ => return None,
    })
}

fn incompatible_fault(why: &PeerIncompatible) -> Option<Fault> {
    Some(match why {
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => Fault::NothingInCommon,
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => Fault::NoVersionInCommon,
        _ => return None,
    })
}
