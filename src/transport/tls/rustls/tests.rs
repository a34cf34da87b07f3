//! The engines against each other, in memory.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use std::collections::HashMap;
use std::io::{self, IoSlice};

use rustls::SupportedCipherSuite;
use rustls::sign::CertifiedKey;

use super::certificates::certified_key;
use super::*;
use crate::TlsEngine;
use crate::protocol::Role;
use crate::tls::MAX_RECORD_SIZE;
use crate::transport::tls::{self, AcceptorEngine, ConnectorEngine, Engine, Session, wants_input};

/// Whatever the engines and the version, each side reads what the other wrote, in order, over
/// many records.
#[test]
fn data_goes_both_ways() {
    let ca = Ca::new("CA");
    let data: Vec<u8> = (0..300_000_u32).map(|at| at as u8).collect();
    for (connector, acceptor) in pairs(&ca) {
        let (mut client, mut server) = open(&connector, &acceptor);
        for _ in 0..3 {
            client.write(&data);
            client.pass_to(&server);
            assert!(server.read() == data);
            server.write(&data);
            server.pass_to(&client);
            assert!(client.read() == data);
        }
    }
}

/// Bytes that are decrypted but not read are known, though the wire is empty.
#[test]
fn what_is_left_is_known() {
    for (mut client, mut server) in opened() {
        client.write(&[7; 100]);
        client.pass_to(&server);
        let mut buffer = [0; 60];
        assert_eq!(server.engine.read(&mut buffer).unwrap(), 60);
        assert!(!server.wire.has_incoming() && server.engine.has_buffered());
        assert_eq!(server.engine.read(&mut buffer).unwrap(), 40);
        assert!(!server.engine.has_buffered());
        assert_eq!(server.read(), []);
    }
}

/// `close_notify` is the end, behind all that was written before.
#[test]
fn close_notify_is_the_end() {
    for (mut client, mut server) in opened() {
        client.write(b"last");
        client.engine.end();
        client.pass_to(&server);
        let mut buffer = [0; 4];
        assert_eq!(server.engine.read(&mut buffer).unwrap(), 4);
        assert!(server.engine.has_buffered() || server.wire.has_incoming());
        assert_eq!(server.engine.read(&mut buffer).unwrap(), 0);
        assert_eq!(server.engine.read(&mut buffer).unwrap(), 0);
    }
}

/// A stream that stops within a record has not ended: the engine waits for the rest.
#[test]
fn truncation_is_no_end() {
    for (mut client, mut server) in opened() {
        client.write(b"whole");
        let ciphertext = client.wire.take_outgoing();
        let (first, rest) = ciphertext.split_at(ciphertext.len() - 1);
        server.wire.feed(first);
        assert_eq!(server.read(), []);
        assert!(!server.engine.has_buffered());
        server.wire.feed(rest);
        assert_eq!(server.read(), b"whole");
    }
}

/// What comes before a broken record is delivered; then both sides learn of it.
#[test]
fn a_broken_record_is_told_behind_the_good_ones() {
    let (mut client, mut server) = opened().remove(0);
    client.write(b"good");
    client.pass_to(&server);
    client.write(b"bad");
    let mut ciphertext = client.wire.take_outgoing();
    *ciphertext.last_mut().unwrap() ^= 1;
    server.wire.feed(&ciphertext);
    let mut buffer = [0; 16];
    assert_eq!(server.engine.read(&mut buffer).unwrap(), 4);
    assert!(server.engine.has_buffered());
    for _ in 0..2 {
        let error = server.engine.read(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    assert!(server.engine.write(b"more").is_err());
    server.pass_to(&client);
    let error = client.engine.read(&mut buffer).unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
}

/// Fifty records and the end in one segment are delivered without asking the socket again.
#[test]
fn a_burst_needs_no_second_segment() {
    for (mut client, server) in opened() {
        for at in 0..50 {
            client.write(&[at; 1000]);
        }
        client.engine.end();
        let segment = client.wire.take_outgoing();
        server.wire.feed(&segment);
        let session = Session::new(server.engine, server.wire, MAX_RECORD_SIZE);
        let mut received = Vec::new();
        loop {
            let mut buffer = Vec::with_capacity(700);
            let silent = |_: &mut Vec<u8>| panic!("it asked the socket");
            if session.recv(&mut buffer, silent).unwrap() == 0 {
                break;
            }
            received.extend(buffer);
        }
        assert!(received == (0..50).flat_map(|at| [at; 1000]).collect::<Vec<_>>());
    }
}

/// The name that is asked for picks the certificate; without one, or with another, it is the
/// first.
#[test]
fn sni_picks_the_certificate() {
    let ca = Ca::new("CA");
    let server = ServerTls::new(ca.sign(&["a.test"])).identity_for("B.test", ca.sign(&["b.test"]));
    let acceptor = acceptor(server.engine(TlsEngine::Rustls));
    for connector in connectors(|| ca.trusted()) {
        for (host, is_right) in [("a.test", true), ("b.test", true), ("c.test", false)] {
            let (client, _) = shake(&connector, host, &acceptor);
            assert_eq!(client.is_ok(), is_right, "{host}");
        }
    }
    for connector in connectors(|| ca.trusted().without_sni()) {
        assert!(shake(&connector, "a.test", &acceptor).0.is_ok());
        assert!(shake(&connector, "b.test", &acceptor).0.is_err());
    }
}

/// Where clients must show a certificate, none and one of another CA are refused.
#[test]
fn client_certificates_are_demanded() {
    let (ca, other) = (Ca::new("CA"), Ca::new("another CA"));
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let server = ServerTls::new(ca.sign(&["localhost"]))
            .require_client_certificates(ca.pem.as_bytes())
            .min_version(version);
        let acceptor = acceptor(server.engine(TlsEngine::Rustls));
        let known = connectors(|| ca.trusted().identity(ca.sign(&["a client"])));
        for connector in known {
            open(&connector, &acceptor);
        }
        for connector in connectors(|| ca.trusted()) {
            let (_, server) = shake(&connector, "localhost", &acceptor);
            assert_tls(server, "sent no certificates");
        }
        let unknown = ca.trusted().identity(other.sign(&["a client"]));
        let unknown = tls::Connector::new(&unknown.engine(TlsEngine::Rustls)).unwrap();
        let (client, server) = shake(&unknown, "localhost", &acceptor);
        assert!(server.is_err());
        // With TLS 1.3 the client was done before it was judged.
        if let Ok(mut client) = client {
            let error = client.engine.read(&mut [0; 16]).unwrap_err();
            assert!(error.to_string().contains("alert"), "{error}");
        }
    }
}

/// Each bad certificate is refused with words of its own, and the server is told by an alert.
#[test]
fn bad_certificates_are_told_apart() {
    let (ca, other) = (Ca::new("CA"), Ca::new("another CA"));
    let expired = ca.sign_with(&["localhost"], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = ca.sign_with(&["localhost"], |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let cases = [
        (ca.sign(&["other.test"]), "for another host"),
        (ca.sign(&["127.0.0.1"]), "for another host"),
        (expired, "has expired"),
        (early, "not yet valid"),
        (other.sign(&["localhost"]), "a CA that is not trusted"),
        (self_signed(&["localhost"], IsCa::NoCa), "self-signed"),
        (self_signed(&["localhost"], IS_CA), "self-signed"),
    ];
    let connector = &connectors(|| ca.trusted())[0];
    for (identity, words) in cases {
        let acceptor = acceptor(ServerTls::new(identity).engine(TlsEngine::Rustls));
        let (client, server) = shake(connector, "localhost", &acceptor);
        assert_tls(client, words);
        assert_tls(server, "alert");
    }
}

/// More certificates than rustls follows stand between a server's and the root.
#[test]
fn too_many_intermediates_are_told() {
    let root = Ca::new("CA");
    let options = connector(root.trusted());
    let (mut issuer, mut chain) = (root, String::new());
    for number in 0..8 {
        let name = format!("intermediate {number}");
        let next = issuer.sign_ca(&name);
        chain = next.pem.clone() + &chain;
        issuer = next;
    }
    let mut params = params("a host", &["localhost"]);
    params.is_ca = IsCa::NoCa;
    let key = KeyPair::generate().unwrap();
    let own = params.signed_by(&key, &issuer.issuer).unwrap().pem();
    let identity = Identity::from_pem(own + &chain, key.serialize_pem());
    let acceptor = acceptor(ServerTls::new(identity).engine(TlsEngine::Rustls));
    assert_tls(
        shake(&options, "localhost", &acceptor).0,
        "too many certificates",
    );
}

/// Addresses are hosts too, and a certificate must name them.
#[test]
fn addresses_are_hosts() {
    let ca = Ca::new("CA");
    let connector = &connectors(|| ca.trusted())[0];
    let named = acceptor(ServerTls::new(ca.sign(&["127.0.0.1", "::1"])).engine(TlsEngine::Rustls));
    let unnamed = acceptor(ServerTls::new(ca.sign(&["localhost"])).engine(TlsEngine::Rustls));
    for host in ["127.0.0.1", "::1"] {
        assert!(shake(connector, host, &named).0.is_ok(), "{host}");
        assert_tls(shake(connector, host, &unnamed).0, "for another host");
    }
    for host in ["", "a b", "[::1]", "a..b"] {
        assert!(connector.begin(host, Wire::default()).is_err(), "{host}");
    }
}

/// Danger skips what it names and nothing else.
#[test]
fn danger_skips_what_it_names() {
    let (ca, other) = (Ca::new("CA"), Ca::new("another CA"));
    let expired = ca.sign_with(&["localhost"], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let any_host = connector(ca.trusted().danger_accept_invalid_hostnames());
    let anyone = connector(ca.trusted().danger_accept_invalid_certs());
    let cases = [
        (ca.sign(&["other.test"]), true),
        (other.sign(&["localhost"]), false),
        (expired, false),
        (self_signed(&["localhost"], IS_CA), false),
    ];
    for (identity, is_for_any_host) in cases {
        let acceptor = acceptor(ServerTls::new(identity).engine(TlsEngine::Rustls));
        let (client, _) = shake(&any_host, "localhost", &acceptor);
        assert_eq!(client.is_ok(), is_for_any_host);
        assert!(shake(&anyone, "localhost", &acceptor).0.is_ok());
    }
}

/// A certificate for whatever host must be shown by who has its key; where any certificate will do, a
/// key says nothing more.
#[test]
fn other_names_need_the_key() {
    let ca = Ca::new("CA");
    let (chain, _) = identity(&ca.sign(&["localhost"])).unwrap();
    let (_, key) = identity(&ca.sign(&["localhost"])).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let stolen = Arc::new(CertifiedKey::new(chain, key));
    for version in [&version::TLS12, &version::TLS13] {
        let acceptor = rustls_acceptor(stolen.clone(), version);
        let any_host = connector(ca.trusted().danger_accept_invalid_hostnames());
        assert_tls(shake(&any_host, "localhost", &acceptor).0, "BadSignature");
        let anyone = connector(ca.trusted().danger_accept_invalid_certs());
        assert!(shake(&anyone, "localhost", &acceptor).0.is_ok());
    }
}

/// A host with a dot at its end is asked for, and known, without it (RFC 6066, section 3).
#[test]
fn the_dot_at_the_end_is_left_out() {
    let ca = Ca::new("CA");
    let acceptor = acceptor(ServerTls::new(ca.sign(&["a.test"])).engine(TlsEngine::Rustls));
    for connector in connectors(|| ca.trusted()) {
        let wire = Wire::default();
        let _step = connector.begin("a.test.", wire.clone()).unwrap();
        let hello = wire.take_outgoing();
        let has = |name: &[u8]| hello.windows(name.len()).any(|bytes| bytes == name);
        assert!(has(b"a.test") && !has(b"a.test."));
        assert!(shake(&connector, "a.test.", &acceptor).0.is_ok());
    }
}

/// OpenSSL matches no name with an underscore under a wildcard, and the error says so.
#[test]
#[cfg(feature = "tls")]
fn underscores_are_explained() {
    let ca = Ca::new("CA");
    let acceptor = acceptor(ServerTls::new(ca.sign(&["*.example.org"])).engine(TlsEngine::Native));
    let [rustls, native] = &connectors(|| ca.trusted())[..] else {
        panic!("there are two engines");
    };
    let host = "my_host.example.org";
    assert!(shake(rustls, host, &acceptor).0.is_ok());
    for (host, is_explained) in [(host, true), ("my-host.example.com", false)] {
        let Err(error) = shake(native, host, &acceptor).0 else {
            panic!("OpenSSL matches {host}");
        };
        let text = native.explain(host, error).to_string();
        assert_eq!(
            text.contains("an underscore under a wildcard"),
            is_explained,
            "{text}"
        );
    }
}

/// A client that asks for TLS 1.3 does not speak TLS 1.2, nor does such a server.
#[test]
fn the_lowest_version_is_kept() {
    let ca = Ca::new("CA");
    let own = certified_key(&ca.sign(&["localhost"]), &provider()).unwrap();
    let old = rustls_acceptor(own, &version::TLS12);
    for connector in connectors(|| ca.trusted().min_version(TlsVersion::Tls13)) {
        let (client, server) = shake(&connector, "localhost", &old);
        assert!(client.is_err() && server.is_err());
    }
}

/// What cannot be read, or only the other engine can, is an error.
#[test]
fn what_cannot_be_had_is_an_error() {
    let ca = Ca::new("CA");
    let good = ca.sign(&["localhost"]);
    let IdentitySource::Pem { chain, key } = &*good.0 else {
        panic!("it is PEM");
    };
    let foreign_key = KeyPair::generate().unwrap().serialize_pem();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        (Identity::from_pkcs12(*b"", ""), "only native-tls"),
        (
            Identity::from_pem(*b"", key.clone()),
            "no certificate in the PEM",
        ),
        (Identity::from_pem(chain.clone(), *b""), "private key"),
        (Identity::from_pem(chain.clone(), foreign_key), "key"),
        (Identity::from_pem(broken, key.clone()), "certificate"),
    ];
    for (identity, words) in cases {
        assert_tls(Acceptor::new(&ServerTls::new(identity.clone())), words);
        let client = Connector::new(&ca.trusted().identity(identity));
        assert!(words == "certificate" || words == "key" || client.is_err());
    }
    let broken = TlsOptions::new().only_these_roots().add_roots(broken);
    assert_tls(Connector::new(&broken), "root certificate");
    let none = TlsOptions::new().only_these_roots();
    assert_tls(Connector::new(&none), "roots");
}

/// A peer that sends noise or breaks off is refused at once, and told by an alert. Its
/// `close_notify`, which anybody can have put in, is not believed yet, and does not spin.
#[test]
fn a_handshake_may_go_wrong() {
    let ca = Ca::new("CA");
    let acceptor = Acceptor::new(&ServerTls::new(ca.sign(&["localhost"]))).unwrap();
    for noise in [&[22; 64][..], &[23, 3, 3, 0, 1, 0], &[20, 3, 3, 0, 1, 9]] {
        let wire = Wire::default();
        wire.feed(noise);
        assert!(acceptor.begin(wire.clone()).is_err(), "{noise:?}");
        assert_eq!(wire.take_outgoing().first(), Some(&21), "{noise:?}");
    }
    let wire = Wire::default();
    wire.feed(&[21, 3, 3, 0, 2, 1, 0]);
    assert!(matches!(acceptor.begin(wire), Ok(Step::More(_))));
}

/// Is one side past its handshake.
struct Side {
    engine: Box<dyn Engine>,
    wire: Wire,
}

impl Side {
    fn write(&mut self, bytes: &[u8]) {
        self.engine.write_all(bytes).unwrap();
        self.engine.flush().unwrap();
    }

    fn pass_to(&self, other: &Self) {
        other.wire.feed(&self.wire.take_outgoing());
    }

    /// Returns all that can be read just now.
    #[track_caller]
    fn read(&mut self) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), [0; 5000]);
        loop {
            match self.engine.read(&mut buffer) {
                Ok(0) => panic!("it ended"),
                Ok(length) => all.extend(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return all,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Passes on what each says until both have come to an end.
#[track_caller]
fn shake(
    connector: &tls::Connector,
    host: &str,
    acceptor: &tls::Acceptor,
) -> (Result<Side, Error>, Result<Side, Error>) {
    let (near, far) = (Wire::default(), Wire::default());
    let mut client = connector.begin(host, near.clone());
    let mut server = acceptor.begin(far.clone());
    for _ in 0..5 {
        far.feed(&near.take_outgoing());
        server = advance(server);
        near.feed(&far.take_outgoing());
        client = advance(client);
    }
    (side(client, near), side(server, far))
}

fn advance(step: Result<Step, Error>) -> Result<Step, Error> {
    match step? {
        Step::More(handshake) => handshake.advance(),
        done => Ok(done),
    }
}

#[track_caller]
fn side(step: Result<Step, Error>, wire: Wire) -> Result<Side, Error> {
    match step? {
        Step::Done(engine) => Ok(Side { engine, wire }),
        Step::More(_) => panic!("the handshake does not come to an end"),
    }
}

#[track_caller]
fn open(connector: &tls::Connector, acceptor: &tls::Acceptor) -> (Side, Side) {
    let (client, server) = shake(connector, "localhost", acceptor);
    (client.unwrap_or_else(fail), server.unwrap_or_else(fail))
}

#[track_caller]
fn fail(error: Error) -> Side {
    panic!("{error}")
}

#[track_caller]
fn assert_tls<T>(result: Result<T, Error>, words: &str) {
    match result {
        Err(Error::Tls(what)) => assert!(what.contains(words), "{what:?} lacks {words:?}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is no error; it lacks {words:?}"),
    }
}

fn opened() -> Vec<(Side, Side)> {
    let ca = Ca::new("CA");
    let pairs = pairs(&ca).into_iter();
    pairs
        .map(|(client, server)| open(&client, &server))
        .collect()
}

/// Returns rustls with itself and with the other engine, for TLS 1.2 and 1.3.
fn pairs(ca: &Ca) -> Vec<(tls::Connector, tls::Acceptor)> {
    let own = certified_key(&ca.sign(&["localhost"]), &provider()).unwrap();
    let mut pairs = Vec::new();
    for version in [&version::TLS12, &version::TLS13] {
        for connector in connectors(|| ca.trusted()) {
            pairs.push((connector, rustls_acceptor(own.clone(), version)));
        }
    }
    if cfg!(feature = "tls") {
        let server = ServerTls::new(ca.sign(&["localhost"])).engine(TlsEngine::Native);
        pairs.push((connector(ca.trusted()), acceptor(server)));
    }
    pairs
}

/// Returns a client of each engine that there is, rustls first.
fn connectors(options: impl Fn() -> TlsOptions) -> Vec<tls::Connector> {
    let mut all = vec![connector(options())];
    if cfg!(feature = "tls") {
        all.push(tls::Connector::new(&options().engine(TlsEngine::Native)).unwrap());
    }
    all
}

fn connector(options: TlsOptions) -> tls::Connector {
    tls::Connector::new(&options.engine(TlsEngine::Rustls)).unwrap()
}

fn acceptor(server: ServerTls) -> tls::Acceptor {
    tls::Acceptor::new(&server).unwrap()
}

/// Returns a server that speaks this version alone.
fn rustls_acceptor(
    default: Arc<CertifiedKey>,
    version: &'static SupportedProtocolVersion,
) -> tls::Acceptor {
    let by_name = HashMap::new();
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Certificates { default, by_name }));
    tls::Acceptor {
        engine: AcceptorEngine::Rustls(Acceptor(Arc::new(config))),
        max_record: MAX_RECORD_SIZE,
    }
}

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

const IS_CA: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IS_CA;
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    fn sign_ca(&self, name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IS_CA;
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    fn trusted(&self) -> TlsOptions {
        TlsOptions::new()
            .only_these_roots()
            .add_roots(self.pem.as_bytes())
    }

    fn sign(&self, names: &[&str]) -> Identity {
        self.sign_with(names, |_| {})
    }

    fn sign_with(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Identity {
        let mut params = params("a host", names);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::from_pem(certificate.pem(), key.serialize_pem())
    }
}

fn self_signed(names: &[&str], is_ca: IsCa) -> Identity {
    let mut params = params("oneself", names);
    params.is_ca = is_ca;
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Identity::from_pem(certificate.pem(), key.serialize_pem())
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}

/// Returns a server and a client that share AES-GCM and TLS 1.2, and may use a key for so many records.
fn wearing(limit: u64) -> (tls::Acceptor, tls::Connector) {
    let ca = Ca::new("CA");
    let server = ServerTls::new(ca.sign(&["localhost"])).engine(TlsEngine::Rustls);
    let (mut acceptor, mut connector) = (acceptor(server), connector(ca.trusted()));
    let suite = SupportedCipherSuite::Tls12(Box::leak(Box::new(limited_suite(limit))));
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![suite],
        ..ring::default_provider()
    });
    if let AcceptorEngine::Rustls(Acceptor(config)) = &mut acceptor.engine {
        let versions = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS12]);
        let resolver = config.cert_resolver.clone();
        let limited = versions.unwrap().with_no_client_auth();
        *config = Arc::new(limited.with_cert_resolver(resolver));
    }
    if let ConnectorEngine::Rustls(Connector(config)) = &mut connector.engine {
        let versions = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS12]);
        let verifier = server_verifier(&ca.trusted(), provider).unwrap();
        let limited = versions.unwrap().dangerous();
        let limited = limited.with_custom_certificate_verifier(verifier);
        *config = Arc::new(limited.with_no_client_auth());
    }
    (acceptor, connector)
}

fn limited_suite(limit: u64) -> rustls::Tls12CipherSuite {
    let whole = ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let SupportedCipherSuite::Tls12(whole) = whole else {
        panic!("it is of TLS 1.2");
    };
    rustls::Tls12CipherSuite {
        common: rustls::crypto::CipherSuiteCommon {
            suite: whole.common.suite,
            hash_provider: whole.common.hash_provider,
            confidentiality_limit: limit,
        },
        prf_provider: whole.prf_provider,
        kx: whole.kx,
        sign: whole.sign,
        aead_alg: whole.aead_alg,
    }
}

/// With AES-GCM in TLS 1.2 a key may be used for so many records (RFC 9325, section 4.4). Before that
/// the connection says that it is worn out; beyond it a write is an error, and what counts as sent has
/// arrived.
#[test]
fn used_up_keys_are_told_before_and_behind() {
    const LIMIT: u64 = 1 << 11;
    let (acceptor, connector) = wearing(LIMIT);
    for role in [Role::Client, Role::Server] {
        let (client, server) = open(&connector, &acceptor);
        let (near, mut far) = match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        let wire = near.wire.clone();
        let session = Session::new(near.engine, near.wire, MAX_RECORD_SIZE);
        let (mut sent, mut worn_at, mut arrived) = (0, None, 0);
        let error = loop {
            let left = std::cell::RefCell::new(Vec::new());
            let outcome = session.try_send(&[IoSlice::new(b"12345678")], |bytes| {
                left.borrow_mut().extend_from_slice(bytes);
                Ok(bytes.len())
            });
            far.wire.feed(&left.take());
            match outcome {
                Ok(plain) => sent += plain,
                Err(error) => break error,
            }
            arrived += far.read().len();
            assert_eq!(arrived, sent);
            if session.is_worn_out() {
                worn_at.get_or_insert(sent as u64 / 8);
            }
        };
        let (sent, worn_at) = (sent as u64 / 8, worn_at.expect("it said so before"));
        assert_eq!(worn_at, LIMIT - LIMIT / 64, "{role:?}");
        assert!(worn_at < sent && sent < LIMIT, "{role:?}: {sent}");
        assert!(error.to_string().contains("used up its keys"), "{error}");
        assert!(!wants_input(&error) && wire.owed() == 0);
    }
}

/// No other engine, version or suite has such a limit.
#[test]
fn other_keys_do_not_wear_out() {
    for (client, server) in opened() {
        let tls12 = |engine: &dyn Engine| engine.record_limit();
        for limit in [tls12(&*client.engine), tls12(&*server.engine)] {
            assert!(limit.is_none_or(|limit| limit == 1 << 24), "{limit:?}");
        }
        drop((client, server));
    }
}

/// A record holds as much as was set and no more, in both roles and with each engine.
#[test]
fn records_are_as_short_as_wanted() {
    const SIZE: usize = 512;
    let ca = Ca::new("CA");
    let engines = [TlsEngine::Rustls, TlsEngine::Native];
    for engine in engines
        .into_iter()
        .take(1 + usize::from(cfg!(feature = "tls")))
    {
        let options = ca.trusted().engine(engine).max_record_size(SIZE);
        let connector = tls::Connector::new(&options).unwrap();
        let own = ServerTls::new(ca.sign(&["localhost"])).engine(engine);
        let acceptor = tls::Acceptor::new(&own.max_record_size(SIZE)).unwrap();
        let (client, server) = open(&connector, &acceptor);
        for (side, size) in [
            (client, connector.max_record),
            (server, acceptor.max_record),
        ] {
            let session = Session::new(side.engine, side.wire, size);
            let lengths = record_lengths(&session, &[&[7; 3], &[8; 2 * SIZE]]);
            let seal = lengths[0] - SIZE;
            assert!(seal < 64, "{lengths:?}");
            assert_eq!(lengths, [SIZE + seal, SIZE + seal, 3 + seal], "{engine:?}");
        }
        for size in [0, 63, MAX_RECORD_SIZE + 1] {
            let options = ca.trusted().engine(engine).max_record_size(size);
            assert_tls(tls::Connector::new(&options), "records of");
        }
    }
}

/// A header and what stands behind it share a record.
#[test]
fn a_header_shares_its_record() {
    for (client, server) in opened() {
        for side in [client, server] {
            let session = Session::new(side.engine, side.wire, MAX_RECORD_SIZE);
            let lengths = record_lengths(&session, &[&[7; 10], &[8; 40_000]]);
            let full = lengths.iter().filter(|length| **length >= MAX_RECORD_SIZE);
            assert_eq!((lengths.len(), full.count()), (3, 2), "{lengths:?}");
        }
    }
}

/// Sends the parts and returns how long the records are that leave.
fn record_lengths(session: &Session, parts: &[&[u8]]) -> Vec<usize> {
    let left = std::cell::RefCell::new(Vec::new());
    let parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let plain = session.try_send(&parts, |bytes| {
        left.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    });
    assert_eq!(plain.unwrap(), parts.iter().map(|part| part.len()).sum());
    let (bytes, mut lengths, mut at) = (left.take(), Vec::new(), 0);
    while at < bytes.len() {
        let length = usize::from(u16::from_be_bytes([bytes[at + 3], bytes[at + 4]]));
        lengths.push(length);
        at += 5 + length;
    }
    lengths
}
