//! What TLS has to say that no message carries, by a peer that is made by hand.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use landline::{Client, Config, TlsEngine, WebSocket};
use rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, ServerConfig, ServerConnection,
    SupportedCipherSuite, SupportedProtocolVersion, version,
};
use tungstenite::handshake::derive_accept_key;

use crate::support::*;

/// A server that has done its TLS handshake with a client of landline's.
struct ByHand {
    tcp: TcpStream,
    tls: ServerConnection,
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client waits for its 101.
    Asking,
    Open,
}

const PHASES: [Phase; 2] = [Phase::Asking, Phase::Open];

/// Has a client with this engine meet a server of this version, and says something to it.
#[track_caller]
fn meet(
    engine: TlsEngine,
    version: &'static SupportedProtocolVersion,
    phase: Phase,
    say: impl FnOnce(ByHand) + Send + 'static,
) {
    let server = RawServer::new();
    let url = secure_url(&server);
    // No ping takes along what is owed, and no deadline ends the wait for it.
    let config = Config::new()
        .ping_interval(None)
        .handshake_timeout(2 * PATIENCE);
    let options = trust(&TRUSTED).engine(engine);
    let client = Client::new().config(config).tls(options);
    let connecting = thread::spawn(move || client.connect(url, |_: &WebSocket| {}));
    let mut by_hand = ByHand::accept(&server, version);
    by_hand.answer(phase);
    let open = (phase == Phase::Open).then(|| connecting.join().unwrap().unwrap());
    in_time("it is answered at once", move || say(by_hand));
    drop(open);
}

impl ByHand {
    fn accept(server: &RawServer, version: &'static SupportedProtocolVersion) -> Self {
        let mut tcp = server.accept().stream;
        let mut tls = ServerConnection::new(Arc::new(config(version))).unwrap();
        tls.complete_io(&mut tcp).unwrap();
        assert!(!tls.is_handshaking());
        Self { tcp, tls }
    }

    /// Reads the request, and answers it where the connection is to be open.
    fn answer(&mut self, phase: Phase) {
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.tcp);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        if phase == Phase::Open {
            let head = String::from_utf8(head).unwrap();
            let key = field(&head, "sec-websocket-key").unwrap();
            let answer = SWITCHING.replace("ACCEPT", &derive_accept_key(key.as_bytes()));
            stream.write_all(answer.as_bytes()).unwrap();
        }
    }

    /// Asks for new keys (RFC 8446, section 4.6.3), whose answer the client owes.
    fn ask_for_keys(&mut self) {
        self.tls.refresh_traffic_keys().unwrap();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.tcp).unwrap();
        }
    }

    /// Asks for a new handshake (RFC 5246, section 7.4.1.1), in a record sealed by hand.
    fn ask_for_handshake(self) -> TcpStream {
        const HELLO_REQUEST: [u8; 4] = [0; 4];
        let Some(SupportedCipherSuite::Tls12(suite)) = self.tls.negotiated_cipher_suite() else {
            panic!("it is TLS 1.2");
        };
        let (number, secrets) = self.tls.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else {
            panic!("it is ChaCha20");
        };
        let message = OutboundPlainMessage {
            typ: ContentType::Handshake,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(&HELLO_REQUEST),
        };
        let mut encrypter = encrypter(suite, key, &iv);
        let mut tcp = self.tcp;
        let record = encrypter.encrypt(message, number).unwrap();
        tcp.write_all(&record.encode()).unwrap();
        tcp
    }
}

fn encrypter(suite: &rustls::Tls12CipherSuite, key: AeadKey, iv: &Iv) -> Box<dyn MessageEncrypter> {
    suite.aead_alg.encrypter(key, iv.as_ref(), &[])
}

/// Serves as who [`LOCAL`] says, with the one suite whose seal is made in one piece.
fn config(version: &'static SupportedProtocolVersion) -> ServerConfig {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let builder = ServerConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    let chain = CertificateDer::from_pem_slice(LOCAL.pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(LOCAL.key.as_bytes()).unwrap();
    let builder = builder.with_no_client_auth();
    let mut config = builder.with_single_cert(vec![chain], key).unwrap();
    config.enable_secret_extraction = true;
    config
}

/// Returns the type of the next record that comes.
#[track_caller]
fn next_record(tcp: &mut TcpStream) -> io::Result<u8> {
    let mut head = [0; 5];
    tcp.read_exact(&mut head)?;
    let length = u16::from_be_bytes([head[3], head[4]]);
    tcp.read_exact(&mut vec![0; length.into()])?;
    Ok(head[0])
}

/// Tickets of TLS 1.3 aside, everything is sealed as application data (RFC 8446, section 5.2).
const APPLICATION_DATA: u8 = 23;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Peers that ask for new keys again and again are answered at once, though nobody sends a message. The
/// last answer may wait for the next message (RFC 8446, section 4.6.3): OpenSSL says the others when
/// it is asked anew. (Rustls keeps one at most.)
#[test]
fn answers_for_new_keys_leave_at_once() {
    for phase in PHASES {
        meet(TlsEngine::Native, &version::TLS13, phase, |mut by_hand| {
            by_hand.ask_for_keys();
            for _ in 0..3 {
                by_hand.ask_for_keys();
                assert_eq!(next_record(&mut by_hand.tcp).unwrap(), APPLICATION_DATA);
            }
        });
    }
}

/// A handshake begun anew is gone along with by OpenSSL, and refused by Rustls by an alert, either way
/// at once.
#[test]
fn answer_to_a_renegotiation_leaves_at_once() {
    for phase in PHASES {
        for (engine, kind) in [(TlsEngine::Native, HANDSHAKE), (TlsEngine::Rustls, ALERT)] {
            meet(engine, &version::TLS12, phase, move |by_hand| {
                let mut tcp = by_hand.ask_for_handshake();
                assert_eq!(next_record(&mut tcp).unwrap(), kind, "{engine:?}");
            });
        }
    }
}
