//! Certificates and keys as files are.

use landline::{Client, Config, Error, Identity, Reply, Server, ServerTls, TlsEngine, TlsOptions};
use openssl::nid::Nid;

use crate::support::keys::*;
use crate::support::*;

/// Returns one key in each form that is met, with what the form is called.
fn forms() -> Vec<(&'static str, String, String)> {
    let rsa = SelfSigned::rsa(2048);
    let elliptic = SelfSigned::elliptic(Nid::X9_62_PRIME256V1);
    let (chain, key) = (elliptic.chain_pem(), pkcs8_pem(&elliptic.key));
    let sec1 = traditional_pem(&elliptic.key);
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let form = |what, chain: &str, key: &str| (what, chain.to_owned(), key.to_owned());
    let mark = "\u{feff}";
    vec![
        form("PKCS#8", &chain, &key),
        form("RSA in PKCS#8", &rsa.chain_pem(), &pkcs8_pem(&rsa.key)),
        form("PKCS#1", &rsa.chain_pem(), &traditional_pem(&rsa.key)),
        form("SEC1", &chain, &sec1),
        form(
            "SEC1 behind its curve",
            &chain,
            &(parameters.to_owned() + &sec1),
        ),
        form(
            "behind an empty line",
            &("\n".to_owned() + &chain),
            &("\n".to_owned() + &key),
        ),
        form(
            "behind a comment",
            &("# mine\n".to_owned() + &chain),
            &("# mine\n".to_owned() + &key),
        ),
        form(
            "behind a byte order mark",
            &(mark.to_owned() + &chain),
            &(mark.to_owned() + &key),
        ),
        form(
            "behind other text",
            &format!("subject=a\nissuer=b\n{chain}"),
            &format!("Bag Attributes\n    localKeyID: 01\nKey Attributes: <No Attributes>\n{key}"),
        ),
        form(
            "of Windows",
            &chain.replace('\n', "\r\n"),
            &key.replace('\n', "\r\n"),
        ),
        form(
            "indented",
            &chain.replace('\n', "\n  "),
            &key.replace('\n', "\n\t"),
        ),
        form(
            "in one file, the key first",
            &(key.clone() + &chain),
            &(key.clone() + &chain),
        ),
        form(
            "in one file, the certificate first",
            &(chain.clone() + &sec1),
            &(chain.clone() + &sec1),
        ),
        form(
            "two files with marks in one",
            &format!("{mark}{key}{mark}{chain}"),
            &format!("{mark}{chain}{mark}{key}"),
        ),
    ]
}

/// Starts a server that answers every request with 403.
fn serve(tls: impl Into<ServerTls>) -> Result<Server, Error> {
    let builder = Server::builder().tls(tls);
    builder
        .on_request(|_| Reply::forbidden())
        .bind("127.0.0.1:0")
}

/// Has a client connect that believes anybody; the handshake succeeds if the answer is 403.
#[track_caller]
fn assert_reached(server: &Server, options: TlsOptions, what: &str) {
    let client = Client::new().tls(options.danger_accept_invalid_certs());
    match connect_error(&client, server.url()) {
        Error::Refused(refusal) => assert_eq!(refusal.status, 403, "{what}"),
        error => panic!("{what}: {error}"),
    }
}

/// A key is taken in each form that files have, by each engine and in each role.
#[test]
fn keys_are_taken_as_files_have_them() {
    for engine in engines() {
        for (what, chain, key) in forms() {
            let what = format!("{what}, {engine:?}");
            let identity = Identity::from_pem(chain, key);
            let tls = ServerTls::new(identity.clone()).engine(engine);
            let server = serve(tls).unwrap_or_else(|error| panic!("{what}: {error}"));
            let options = TlsOptions::new().identity(identity).engine(engine);
            assert_reached(&server, options, &what);
        }
    }
}

/// Roots are read behind a byte order mark, which hid the first of them.
#[test]
fn roots_are_read_behind_a_byte_order_mark() {
    let server = secure_echo(Config::new());
    for engine in engines() {
        let roots = "\u{feff}".to_owned() + &TRUSTED.pem();
        let options = TlsOptions::new().only_these_roots().add_roots(roots);
        let client = Client::new().tls(options.engine(engine));
        assert!(client.open(server.url()).is_ok(), "{engine:?}");
    }
}

/// What cannot be used is refused at `bind` and at `set_tls` with words that say which it is, and a
/// running server stays who it was.
#[test]
fn unusable_keys_are_told_apart() {
    let (rsa, other) = (
        SelfSigned::rsa(2048),
        SelfSigned::elliptic(Nid::X9_62_PRIME256V1),
    );
    let (chain, key) = (rsa.chain_pem(), pkcs8_pem(&rsa.key));
    let mismatch = "does not match the first certificate";
    let cases = [
        (chain.clone(), encrypted_pem(&rsa.key), "is encrypted"),
        (
            chain.clone(),
            traditional_encrypted_pem(&rsa.key),
            "is encrypted",
        ),
        (key.clone(), chain.clone(), "are swapped"),
        (encrypted_pem(&rsa.key), chain.clone(), "are swapped"),
        (chain.clone(), chain.clone(), "no private key"),
        (key.clone(), key.clone(), "no certificate"),
        (String::new(), key.clone(), "no certificate"),
        (chain.clone(), "key".into(), "no private key"),
        (chain.clone(), pkcs8_pem(&other.key), mismatch),
        (chain.clone(), traditional_pem(&self::rsa(2048)), mismatch),
        (other.chain_pem() + &chain, key.clone(), mismatch),
    ];
    for engine in engines() {
        let server = serve(ServerTls::new(rsa.identity()).engine(engine)).unwrap();
        for (chain, key, says) in &cases {
            let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes());
            let tls = ServerTls::new(identity).engine(engine);
            for error in [
                serve(tls.clone()).unwrap_err(),
                server.set_tls(tls).unwrap_err(),
            ] {
                let Error::Tls(text) = error else {
                    panic!("{error:?}");
                };
                assert!(text.contains(says), "{engine:?}: {text:?} lacks {says:?}");
            }
            assert_reached(&server, TlsOptions::new(), "the old certificate");
        }
    }
}

/// Files in DER are told from PEM that says nothing.
#[test]
fn der_is_recognised() {
    let rsa = SelfSigned::rsa(2048);
    let (chain, key) = (
        rsa.certificate.to_der().unwrap(),
        rsa.key.private_key_to_der().unwrap(),
    );
    for engine in engines() {
        for identity in [
            Identity::from_pem(chain.clone(), pkcs8_pem(&rsa.key)),
            Identity::from_pem(rsa.chain_pem(), key.clone()),
        ] {
            let error = serve(ServerTls::new(identity).engine(engine)).unwrap_err();
            assert!(error.to_string().contains("probably DER"), "{error}");
        }
    }
}

/// A client's key that does not match its certificate is an error, and no certificate that is not
/// shown in silence.
#[test]
fn clients_keys_are_compared_too() {
    let server = secure_echo(Config::new());
    let (own, other) = (SelfSigned::rsa(2048), SelfSigned::rsa(2048));
    for engine in engines() {
        let identity = Identity::from_pem(own.chain_pem(), pkcs8_pem(&other.key));
        let options = TlsOptions::new().identity(identity).engine(engine);
        let error = connect_error(&Client::new().tls(options), server.url());
        assert!(
            matches!(&error, Error::Tls(text) if text.contains("does not match")),
            "{error}"
        );
    }
}

/// A server that could speak with nobody is none.
#[test]
fn settings_that_suit_nobody_are_refused() {
    let tls = ServerTls::new(LOCAL.identity()).engine(TlsEngine::Native);
    let bound = serve(tls.min_version(landline::TlsVersion::Tls13));
    let error = bound.unwrap_err();
    assert!(
        matches!(&error, Error::Tls(text) if text.contains("no handshake")),
        "{error}"
    );
}
