//! The engines against each other, in memory.

mod certificates;
mod records;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use std::collections::HashMap;
use std::io;

use rustls::sign::CertifiedKey;

use super::certificates::certified_key;
use super::*;
use crate::TlsEngine;
use crate::tls::MAX_RECORD_SIZE;
use crate::transport::tls::{self, AcceptorEngine, Engine, Session};

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

/// Bytes that are decrypted but not read are known, though the pipe is empty.
#[test]
fn what_is_left_is_known() {
    for (mut client, mut server) in opened() {
        client.write(&[7; 100]);
        client.pass_to(&server);
        let mut buffer = [0; 60];
        assert_eq!(server.engine.read(&mut buffer).unwrap(), 60);
        assert!(!server.pipe.has_incoming() && server.engine.has_buffered());
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
        client.engine.close_notify();
        client.pass_to(&server);
        let mut buffer = [0; 4];
        assert_eq!(server.engine.read(&mut buffer).unwrap(), 4);
        assert!(server.engine.has_buffered() || server.pipe.has_incoming());
        assert_eq!(server.engine.read(&mut buffer).unwrap(), 0);
        assert_eq!(server.engine.read(&mut buffer).unwrap(), 0);
    }
}

/// A stream that stops within a record has not ended: the engine waits for the rest.
#[test]
fn truncation_is_no_end() {
    for (mut client, mut server) in opened() {
        client.write(b"whole");
        let ciphertext = client.pipe.take_outgoing();
        let (first, rest) = ciphertext.split_at(ciphertext.len() - 1);
        server.pipe.feed(first);
        assert_eq!(server.read(), []);
        assert!(!server.engine.has_buffered());
        server.pipe.feed(rest);
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
    let mut ciphertext = client.pipe.take_outgoing();
    *ciphertext.last_mut().unwrap() ^= 1;
    server.pipe.feed(&ciphertext);
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
        client.engine.close_notify();
        let segment = client.pipe.take_outgoing();
        server.pipe.feed(&segment);
        let session = Session::new(server.engine, server.pipe, MAX_RECORD_SIZE);
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

/// A peer that sends noise or breaks off is refused at once, and told by an alert. Its
/// `close_notify`, which anybody can have put in, is not believed yet, and does not spin.
#[test]
fn a_handshake_may_go_wrong() {
    let ca = Ca::new("CA");
    let acceptor = Acceptor::new(&ServerTls::new(ca.sign(&["localhost"]))).unwrap();
    for noise in [&[22; 64][..], &[23, 3, 3, 0, 1, 0], &[20, 3, 3, 0, 1, 9]] {
        let pipe = Pipe::default();
        pipe.feed(noise);
        assert!(acceptor.begin(pipe.clone()).is_err(), "{noise:?}");
        assert_eq!(pipe.take_outgoing().first(), Some(&21), "{noise:?}");
    }
    let pipe = Pipe::default();
    pipe.feed(&[21, 3, 3, 0, 2, 1, 0]);
    assert!(matches!(acceptor.begin(pipe), Ok(Step::More(_))));
}

/// One side, past its handshake.
struct Side {
    engine: Box<dyn Engine>,
    pipe: Pipe,
}

impl Side {
    fn write(&mut self, bytes: &[u8]) {
        self.engine.write_all(bytes).unwrap();
        self.engine.flush().unwrap();
    }

    fn pass_to(&self, other: &Self) {
        other.pipe.feed(&self.pipe.take_outgoing());
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
    let (near, far) = (Pipe::default(), Pipe::default());
    let mut client = connector.begin(host, near.clone());
    let mut server = acceptor.begin(far.clone());
    for _ in 0..5 {
        far.feed(&near.take_outgoing());
        server = resume(server);
        near.feed(&far.take_outgoing());
        client = resume(client);
    }
    (side(client, near), side(server, far))
}

fn resume(step: Result<Step, Error>) -> Result<Step, Error> {
    match step? {
        Step::More(handshake) => handshake.resume(),
        done => Ok(done),
    }
}

#[track_caller]
fn side(step: Result<Step, Error>, pipe: Pipe) -> Result<Side, Error> {
    match step? {
        Step::Done(engine) => Ok(Side { engine, pipe }),
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
