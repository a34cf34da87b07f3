//! The engine by rustls: the one file that names it.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{
    ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
    danger::ClientCertVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct,
    RootCertStore, ServerConfig, ServerConnection, SignatureScheme, SupportedProtocolVersion,
    version,
};

use super::{Engine, Handshake, Step, Wire};
use crate::tls::IdentitySource;
use crate::{Error, Identity, ServerTls, TlsOptions, TlsVersion};

pub(crate) struct Connector(Arc<ClientConfig>);
pub(crate) struct Acceptor(Arc<ServerConfig>);

impl Connector {
    pub(super) fn new(options: &TlsOptions) -> Result<Self, Error> {
        if options.finished.is_some() {
            return Err(only_native("a finished native-tls connector"));
        }
        let provider = provider();
        let verifier = server_verifier(options, provider.clone())?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(options.min_version))
            .map_err(tls)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &options.identity {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (chain, key) = identity(own)?;
                builder.with_client_auth_cert(chain, key).map_err(tls)?
            }
        };
        config.enable_sni = options.sni;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn begin(&self, host: &str, wire: Wire) -> Result<Step, Error> {
        let connection = ClientConnection::new(self.0.clone(), server_name(host)?).map_err(tls)?;
        step(Stream::new(connection, wire))
    }
}

impl Acceptor {
    pub(super) fn new(options: &ServerTls) -> Result<Self, Error> {
        if options.finished.is_some() {
            return Err(only_native("a finished native-tls acceptor"));
        }
        let provider = provider();
        let certificates = Certificates::new(options, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(options.min_version))
            .map_err(tls)?;
        let builder = if options.client_roots.is_empty() {
            builder.with_no_client_auth()
        } else {
            builder.with_client_cert_verifier(client_verifier(&options.client_roots, provider)?)
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn begin(&self, wire: Wire) -> Result<Step, Error> {
        let connection = ServerConnection::new(self.0.clone()).map_err(tls)?;
        step(Stream::new(connection, wire))
    }
}

const ALPN: &[u8] = b"http/1.1";

/// The process's default is the program's business, and may be missing or ambiguous.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static TLS13_ALONE: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    match lowest {
        TlsVersion::Tls12 => rustls::ALL_VERSIONS,
        TlsVersion::Tls13 => &TLS13_ALONE,
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| Error::Tls(format!("no certificate can be for the host {host:?}")))
}

fn identity(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    match &*identity.0 {
        IdentitySource::Pem { chain, key } => {
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| unreadable("the private key", error))?;
            Ok((certificates(chain)?, key))
        }
        IdentitySource::Pkcs12 { .. } => Err(only_native("an identity in PKCS#12")),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable("a certificate", error))?;
    if found.is_empty() {
        return Err(unreadable("a certificate", "there is none in this PEM"));
    }
    Ok(found)
}

fn roots(pems: &[Vec<u8>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for pem in pems {
        for certificate in certificates(pem)? {
            roots
                .add(certificate)
                .map_err(|error| unreadable("a root certificate", error))?;
        }
    }
    Ok(roots)
}

fn unreadable(what: &str, error: impl Display) -> Error {
    Error::Tls(format!("{what} cannot be read: {error}"))
}

fn only_native(what: &str) -> Error {
    Error::Tls(format!("{what}: only native-tls can"))
}

/// Is who a server is, by the name that is asked for.
#[derive(Debug)]
struct Certificates {
    default: Arc<CertifiedKey>,
    /// In lower case.
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    fn new(options: &ServerTls, provider: &CryptoProvider) -> Result<Self, Error> {
        let Some(own) = &options.identity else {
            return Err(Error::Tls("a server needs a certificate".into()));
        };
        let mut by_name = HashMap::new();
        for (name, other) in &options.others {
            by_name.insert(plain_name(name), certified_key(other, provider)?);
        }
        let default = certified_key(own, provider)?;
        Ok(Self { default, by_name })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello
            .server_name()
            .and_then(|name| self.by_name.get(&plain_name(name)));
        Some(named.unwrap_or(&self.default).clone())
    }
}

/// RFC 6066, section 3: names are compared without regard to case, and have no dot at their end.
fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn certified_key(own: &Identity, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Error> {
    let (chain, key) = identity(own)?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(tls)?;
    Ok(Arc::new(certified))
}

fn client_verifier(
    pems: &[Vec<u8>],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pems)?), provider)
        .build()
        .map_err(|error| unreadable("the roots of clients", error))
}

/// Only what is dangerous is done here; the default is rustls's own.
fn server_verifier(
    options: &TlsOptions,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    if options.accept_invalid_certs {
        let roots = None;
        return Ok(Arc::new(Lenient { roots, provider }));
    }
    let roots = trusted_roots(options)?;
    if options.accept_invalid_hostnames {
        let roots = Some(roots);
        return Ok(Arc::new(Lenient { roots, provider }));
    }
    let strict = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(strict.map_err(|error| unreadable("the roots", error))?)
}

fn trusted_roots(options: &TlsOptions) -> Result<RootCertStore, Error> {
    let mut roots = roots(&options.roots)?;
    if options.only_these_roots {
        return Ok(roots);
    }
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    match system.errors.first() {
        Some(error) if roots.is_empty() => Err(unreadable("the system's roots", error)),
        _ => Ok(roots),
    }
}

/// Lets servers in that should not be. That the server has its certificate's key is checked all the
/// same.
#[derive(Debug)]
struct Lenient {
    /// Certificates must lead to one of these, for whatever host; without, any will do.
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(certificate)?,
                roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Is one connection's state and its wire, from its first byte on.
struct Stream {
    connection: Connection,
    wire: Wire,
    /// Whether a read finds something without more from the wire: bytes, the end, or what broke it.
    has_buffered: bool,
    /// What broke it; told behind the bytes that came before.
    broken: Option<rustls::Error>,
}

fn step(mut stream: Stream) -> Result<Step, Error> {
    stream.say().map_err(Error::Io)?;
    while stream.connection.is_handshaking() {
        match stream.take_some() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Step::More(Box::new(stream)));
            }
            Err(error) => return Err(Error::Tls(error.to_string())),
            Ok(()) => {}
        }
        if let Some(error) = stream.broken {
            return Err(tls(error));
        }
    }
    Ok(Step::Done(Box::new(stream)))
}

impl Stream {
    fn new(connection: impl Into<Connection>, wire: Wire) -> Self {
        let mut connection = connection.into();
        // All that it has to say is put onto the wire at once: nothing waits inside.
        connection.set_buffer_limit(None);
        Self {
            connection,
            wire,
            has_buffered: false,
            broken: None,
        }
    }

    /// Takes some of what has come onto the wire, and puts onto it what that asks for. `WouldBlock`
    /// when nothing has come.
    fn take_some(&mut self) -> io::Result<()> {
        if self.connection.read_tls(&mut self.wire)? == 0 {
            // Else a handshake would wait for it forever.
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer ended TLS with close_notify",
            ));
        }
        if let Err(error) = self.connection.process_new_packets() {
            self.broken = Some(error);
        }
        self.look();
        // After an error, too: the alert that says why.
        self.say()
    }

    fn look(&mut self) {
        let found = self.connection.reader().into_first_chunk().is_ok();
        self.has_buffered = found || self.broken.is_some();
    }

    /// Puts onto the wire all that there is to say.
    fn say(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.wire)?;
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        match &self.broken {
            None => Ok(()),
            Some(error) => Err(io::Error::new(io::ErrorKind::InvalidData, describe(error))),
        }
    }
}

impl Handshake for Stream {
    fn advance(self: Box<Self>) -> Result<Step, Error> {
        step(*self)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    self.look();
                    return done;
                }
            }
            self.check()?;
            self.take_some()?;
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let length = self.connection.writer().write(bytes)?;
        if length == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.say()?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.say()
    }
}

impl Engine for Stream {
    fn has_buffered(&self) -> bool {
        self.has_buffered
    }

    fn end(&mut self) {
        self.connection.send_close_notify();
        // To memory: it cannot fail.
        let _ = self.say();
    }
}

fn tls(error: rustls::Error) -> Error {
    Error::Tls(describe(&error))
}

/// Says what is wrong with a certificate in words that can be told apart.
fn describe(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(invalid) = error else {
        return error.to_string();
    };
    let what = match invalid {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not yet valid"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another host"
        }
        CertificateError::UnknownIssuer => "is self-signed, or signed by a CA that is not trusted",
        // So webpki says that it is marked as a CA's: `openssl req -x509` makes such.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "is self-signed as a CA's own, which rustls takes from no peer"
        }
        _ => return error.to_string(),
    };
    format!("the peer's certificate {what} ({invalid})")
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
    };

    use super::*;
    use crate::TlsEngine;
    use crate::transport::tls::{self, Session};

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
            let session = Session::new(server.engine, server.wire);
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
        let server =
            ServerTls::new(ca.sign(&["a.test"])).identity_for("B.test", ca.sign(&["b.test"]));
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

    /// Addresses are hosts too, and a certificate must name them.
    #[test]
    fn addresses_are_hosts() {
        let ca = Ca::new("CA");
        let connector = &connectors(|| ca.trusted())[0];
        let named =
            acceptor(ServerTls::new(ca.sign(&["127.0.0.1", "::1"])).engine(TlsEngine::Rustls));
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

    /// Not even danger lets in a server that has a certificate but not its key.
    #[test]
    fn danger_asks_for_the_key() {
        let ca = Ca::new("CA");
        let (chain, _) = identity(&ca.sign(&["localhost"])).unwrap();
        let (_, key) = identity(&ca.sign(&["localhost"])).unwrap();
        let key = provider().key_provider.load_private_key(key).unwrap();
        let stolen = Arc::new(CertifiedKey::new(chain, key));
        for version in [&version::TLS12, &version::TLS13] {
            let acceptor = rustls_acceptor(stolen.clone(), version);
            let any_host = ca.trusted().danger_accept_invalid_hostnames();
            for options in [any_host, ca.trusted().danger_accept_invalid_certs()] {
                let (client, _) = shake(&connector(options), "localhost", &acceptor);
                assert_tls(client, "BadSignature");
            }
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
            (Identity::from_pem(*b"", key.clone()), "none in this PEM"),
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
        tls::Acceptor::Rustls(Acceptor(Arc::new(config)))
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
}
