//! Servers whose certificates one engine alone takes, or nobody.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use landline::{Client, Error, TlsEngine, TlsOptions};
use openssl::nid::Nid;
use openssl::ssl::{SslAcceptor, SslMethod, SslVersion};
use openssl::x509::X509;

use crate::support::keys::*;
use crate::support::*;

/// Has a client connect to a server of OpenSSL's that is this and sets no store by safety. Returns the
/// error's text unless the handshake succeeds.
#[track_caller]
fn verdict(own: &SelfSigned, options: TlsOptions, change: Change) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}", listener.local_addr().unwrap());
    let acceptor = acceptor(own, change);
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let Ok(mut stream) = acceptor.accept(stream) else {
            return;
        };
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    });
    let error = connect_error(&Client::new().tls(options), url);
    serving.join().unwrap();
    match error {
        Error::Refused(_) => Ok(()),
        Error::Tls(text) => Err(text),
        error => panic!("{error:?}"),
    }
}

/// What makes a server odd beside its certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    OldVersion,
    OddSuite,
}

fn acceptor(own: &SelfSigned, change: Change) -> SslAcceptor {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    builder.set_security_level(0);
    builder.set_private_key(&own.key).unwrap();
    builder.set_certificate(&own.certificate).unwrap();
    match change {
        Change::Nothing => {}
        Change::OldVersion => {
            builder.set_min_proto_version(None).unwrap();
            builder
                .set_max_proto_version(Some(SslVersion::TLS1_1))
                .unwrap();
        }
        Change::OddSuite => {
            builder
                .set_max_proto_version(Some(SslVersion::TLS1_2))
                .unwrap();
            builder.set_cipher_list("AES128-SHA").unwrap();
        }
    }
    builder.build()
}

/// Returns certificates that no peer of the public internet has.
fn odd() -> Vec<(&'static str, SelfSigned)> {
    let elliptic_key = || elliptic(Nid::X9_62_PRIME256V1);
    vec![
        (
            "X.509 version 1",
            SelfSigned::new(elliptic_key(), X509Version::One),
        ),
        ("RSA of 1024 bits", SelfSigned::rsa(1024)),
        ("P-521", SelfSigned::elliptic(Nid::SECP521R1)),
        ("a wrong signature", badly_signed(SelfSigned::rsa(2048))),
    ]
}

fn badly_signed(own: SelfSigned) -> SelfSigned {
    let mut der = own.certificate.to_der().unwrap();
    // The signature is the last that there is.
    *der.last_mut().unwrap() ^= 1;
    let certificate = X509::from_der(&der).unwrap();
    SelfSigned { certificate, ..own }
}

/// `danger_accept_invalid_certs` accepts whatever a device shows, with each engine.
#[test]
fn danger_accepts_what_devices_show() {
    for engine in engines() {
        for (what, own) in odd() {
            let options = TlsOptions::new()
                .danger_accept_invalid_certs()
                .engine(engine);
            assert_eq!(
                verdict(&own, options, Change::Nothing),
                Ok(()),
                "{what}, {engine:?}"
            );
        }
    }
}

/// An error of TLS says in words what is wrong, names the engine, and has that one's own text behind.
#[test]
fn errors_say_in_words_what_is_wrong() {
    let all = odd();
    let sound = SelfSigned::elliptic(Nid::X9_62_PRIME256V1);
    let own = |at: usize| &all[at].1;
    let (nothing, native, rustls) = (Change::Nothing, TlsEngine::Native, TlsEngine::Rustls);
    let cases = [
        (native, &sound, nothing, "self-signed and not trusted"),
        (native, own(1), nothing, "too weak"),
        (
            native,
            &sound,
            Change::OldVersion,
            "versions that are allowed",
        ),
        (
            native,
            &sound,
            Change::OddSuite,
            "the peer refused the handshake",
        ),
        (rustls, own(0), nothing, "not of X.509 version 3"),
        (
            rustls,
            own(1),
            nothing,
            "a signature of the peer's is wrong, or by a key",
        ),
        (rustls, own(2), nothing, "the peer refused the handshake"),
        (rustls, &sound, nothing, "not trusted"),
        (
            rustls,
            &sound,
            Change::OldVersion,
            "versions that are allowed",
        ),
        (
            rustls,
            &sound,
            Change::OddSuite,
            "the peer refused the handshake",
        ),
    ];
    for (engine, own, change, says) in cases {
        if !engines().contains(&engine) {
            continue;
        }
        let mut options = TlsOptions::new().only_these_roots().engine(engine);
        options = options.add_roots(match (engine, says) {
            (TlsEngine::Rustls, "a signature of the peer's is wrong, or by a key") => {
                own.chain_pem()
            }
            _ => TRUSTED.pem(),
        });
        let text = verdict(own, options, change).unwrap_err();
        println!("{engine:?}: {text}");
        assert!(text.contains(says), "{engine:?}: {text:?} lacks {says:?}");
        let name = if engine == TlsEngine::Native {
            "native-tls: "
        } else {
            "rustls: "
        };
        assert!(text.contains(name), "{text}");
    }
}
