//! Certificates made on the spot, and peers that speak TLS by another hand than landline's.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use landline::{
    Client, Config, Identity, Server, ServerBuilder, ServerTls, TlsEngine, TlsOptions, WebSocket,
};
use native_tls::{HandshakeError, TlsAcceptor, TlsConnector, TlsStream};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tungstenite::handshake::derive_accept_key;

use super::raw::SIP;
use super::{
    Frame, PATIENCE, Peer, PlainReply, RawPeer, RawServer, Recorder, Role, SWITCHING, TestServer,
    field, in_time, uninterrupted, upgrade_request,
};

/// Signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The authority that [`trusting`] trusts.
pub(crate) static TRUSTED: LazyLock<Authority> = LazyLock::new(|| Authority::new("trusted"));
/// A certificate of its for `localhost` and its addresses.
pub(crate) static LOCAL: LazyLock<Certificate> =
    LazyLock::new(|| TRUSTED.sign(params("local", &["localhost", "127.0.0.1", "::1"])));

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn sign(&self, params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certificate {
            pem: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// Returns what a certificate says of a holder at these names and addresses.
pub(crate) fn params(holder: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, holder);
    params
}

/// A certificate with its key.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) key: String,
}

impl Certificate {
    /// Makes one that nobody else has signed.
    pub(crate) fn self_signed(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self {
            pem: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    #[cfg(feature = "rustls")]
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(self.pem.as_bytes(), self.key.as_bytes())
    }
}

/// Returns options that trust one authority alone.
pub(crate) fn trust(authority: &Authority) -> TlsOptions {
    TlsOptions::new()
        .add_roots(authority.pem())
        .only_these_roots()
}

/// Makes a client that trusts [`TRUSTED`] alone.
pub(crate) fn trusting() -> Client {
    Client::new().tls(trust(&TRUSTED))
}

/// Makes a client that trusts [`TRUSTED`] alone, with this engine.
pub(crate) fn trusting_by(engine: TlsEngine) -> Client {
    Client::new().tls(trust(&TRUSTED).engine(engine))
}

/// Returns the engines that there are.
pub(crate) fn engines() -> Vec<TlsEngine> {
    let mut engines = vec![TlsEngine::Native];
    if cfg!(feature = "rustls") {
        engines.push(TlsEngine::Rustls);
    }
    engines
}

/// Starts a server that is who [`LOCAL`] says.
#[track_caller]
pub(crate) fn secure(builder: ServerBuilder) -> TestServer {
    TestServer::start(builder.tls(LOCAL.identity()))
}

/// Starts a server over TLS that sends every message back, with these settings.
#[track_caller]
pub(crate) fn secure_echo(config: Config) -> TestServer {
    secure(
        Server::builder()
            .config(config)
            .on_upgrade(|ws, _| ws.on_message(|ws, message| ws.send(message))),
    )
}

/// The TCP connection below a peer's TLS: what is written can be held back, or cut off.
pub(crate) struct Line {
    tcp: TcpStream,
    held: Option<Vec<u8>>,
    /// The number of bytes that may still leave.
    left: usize,
    left_for_peer: Vec<u8>,
}

impl Line {
    fn new(tcp: TcpStream, left: usize) -> Self {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            tcp,
            held: None,
            left,
            left_for_peer: Vec::new(),
        }
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.tcp.read(buffer))
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let length = bytes.len().min(self.left);
        if length < bytes.len() && length == 0 {
            return Err(io::Error::other("cut off here"));
        }
        let length = uninterrupted(|| self.tcp.write(&bytes[..length]))?;
        self.left -= length;
        self.left_for_peer.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One end of a connection over TLS, by hand, above an engine that landline does not hold.
pub(crate) struct TlsPeer {
    stream: TlsStream<Line>,
    masks: bool,
    received: Vec<u8>,
}

/// How the bytes of a peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsEnd {
    /// By `close_notify` (RFC 8446, section 6.1).
    Notified,
    /// By the end of TCP, or its failure.
    Truncated,
}

/// # Getting there
impl TlsPeer {
    /// Connects to a server and does the TLS handshake.
    #[track_caller]
    pub(crate) fn dial(server: &Server) -> Self {
        Self::over(RawPeer::dial(server))
    }

    /// Does the TLS handshake with a server that is connected to.
    #[track_caller]
    pub(crate) fn over(raw: RawPeer) -> Self {
        let connected = CONNECTOR.connect("127.0.0.1", Line::new(raw.stream, usize::MAX));
        Self::of(
            connected.unwrap_or_else(|_| panic!("no TLS handshake")),
            true,
        )
    }

    /// Connects to a server and begins the TLS handshake, of which so many bytes leave; then
    /// nothing more happens.
    #[track_caller]
    pub(crate) fn dial_cut(server: &Server, length: usize) -> RawPeer {
        let raw = RawPeer::dial(server);
        let line = Line::new(raw.stream.try_clone().unwrap(), length);
        assert!(CONNECTOR.connect("127.0.0.1", line).is_err());
        raw
    }

    /// Asks for the upgrade and expects the 101.
    #[track_caller]
    pub(crate) fn upgrade(&mut self) {
        let request = self.request();
        self.send_bytes(request);
        let head = self.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    /// Returns a request for the upgrade.
    pub(crate) fn request(&self) -> String {
        upgrade_request(self.line().tcp.peer_addr().unwrap())
    }

    /// Accepts a client and does the TLS handshake, as who [`LOCAL`] says.
    pub(crate) fn accept(server: &RawServer) -> Result<Self, Box<HandshakeError<Line>>> {
        Self::accept_over(server.accept())
    }

    /// Does the TLS handshake with a client that was accepted, likewise.
    pub(crate) fn accept_over(raw: RawPeer) -> Result<Self, Box<HandshakeError<Line>>> {
        let line = Line::new(raw.stream, usize::MAX);
        Ok(Self::of(acceptor().accept(line).map_err(Box::new)?, false))
    }

    /// Has a client connect, over TLS, to a raw server, with callbacks.
    #[track_caller]
    pub(crate) fn meet(
        server: &RawServer,
        client: &Client,
        set_up: impl FnOnce(&WebSocket),
    ) -> (Self, WebSocket) {
        Self::meet_by(server, &secure_url(server), client, set_up)
    }

    /// Has a client connect likewise, by a URL that leads to the server.
    #[track_caller]
    pub(crate) fn meet_by(
        server: &RawServer,
        url: &str,
        client: &Client,
        set_up: impl FnOnce(&WebSocket),
    ) -> (Self, WebSocket) {
        Self::answering(server, |_| client.connect(url, set_up).unwrap())
    }

    /// Answers the request that comes, over TLS, while `connect` runs.
    #[track_caller]
    pub(crate) fn answering<R>(server: &RawServer, connect: impl FnOnce(String) -> R) -> (Self, R) {
        std::thread::scope(|scope| {
            let answering = scope.spawn(|| {
                let mut peer = Self::accept(server).unwrap_or_else(|_| panic!("no TLS handshake"));
                let request = peer.read_head();
                let key = field(&request, "sec-websocket-key").expect("no key");
                peer.send_bytes(SWITCHING.replace("ACCEPT", &derive_accept_key(key.as_bytes())));
                peer
            });
            let connected = connect(secure_url(server));
            (answering.join().unwrap(), connected)
        })
    }

    fn of(stream: TlsStream<Line>, masks: bool) -> Self {
        Self {
            stream,
            masks,
            received: Vec::new(),
        }
    }

    /// Returns the TCP connection below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.line().tcp
    }

    fn line(&self) -> &Line {
        self.stream.get_ref()
    }

    /// Returns the protocol that the server has chosen (RFC 7301).
    pub(crate) fn alpn(&self) -> Option<Vec<u8>> {
        self.stream.negotiated_alpn().unwrap()
    }

    /// Returns all that has left for the peer until now, as it went over TCP.
    pub(crate) fn ciphertext(&self) -> &[u8] {
        &self.line().left_for_peer
    }
}

/// Returns the URL of a raw server that speaks TLS.
pub(crate) fn secure_url(server: &RawServer) -> String {
    server.url().replacen("ws:", "wss:", 1)
}

/// Makes an acceptor that is who [`LOCAL`] says.
pub(crate) fn acceptor() -> TlsAcceptor {
    let identity = native_tls::Identity::from_pkcs8(LOCAL.pem.as_bytes(), LOCAL.key.as_bytes());
    TlsAcceptor::new(identity.unwrap()).unwrap()
}

/// Trusts [`TRUSTED`] too. To make it takes long, as OpenSSL reads the system's roots.
pub(crate) static CONNECTOR: LazyLock<TlsConnector> = LazyLock::new(|| {
    let root = native_tls::Certificate::from_pem(TRUSTED.pem().as_bytes());
    let mut builder = TlsConnector::builder();
    builder
        .add_root_certificate(root.unwrap())
        .request_alpns(&["h2", "http/1.1"]);
    builder.build().unwrap()
});

impl Peer for TlsPeer {
    fn masks(&self) -> bool {
        self.masks
    }

    fn try_send_bytes(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }
}

/// # Writing
impl TlsPeer {
    /// Writes each in a record of its own, and all records at once.
    #[track_caller]
    pub(crate) fn send_records(&mut self, records: impl IntoIterator<Item = Vec<u8>>) {
        self.stream.get_mut().held = Some(Vec::new());
        for record in records {
            self.send_bytes(record);
        }
        let line = self.stream.get_mut();
        let held = line.held.take().unwrap_or_default();
        line.write_all(&held).unwrap();
    }

    /// Writes in as few records as can be, of which a little leaves at a time.
    #[track_caller]
    pub(crate) fn send_in_drops(&mut self, bytes: impl AsRef<[u8]>, size: usize, pause: Duration) {
        self.stream.get_mut().held = Some(Vec::new());
        self.send_bytes(bytes);
        let line = self.stream.get_mut();
        let held = line.held.take().unwrap_or_default();
        for drop in held.chunks(size) {
            std::thread::sleep(pause);
            // Whether the other side is still there is the test's to ask.
            let _ = line.write_all(drop);
        }
    }

    /// Says by `close_notify` that nothing follows, and leaves TCP open.
    #[track_caller]
    pub(crate) fn send_close_notify(&mut self) {
        self.stream.shutdown().unwrap();
    }

    /// Ends this direction of TCP, without a word.
    pub(crate) fn truncate(&self) {
        // It fails only if the other side has broken off.
        drop(self.line().tcp.shutdown(Shutdown::Write));
    }
}

/// # Reading
impl TlsPeer {
    /// Reads an HTTP head, with its blank line.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> String {
        loop {
            let mut ends = self.received.windows(4);
            if let Some(position) = ends.position(|bytes| bytes == b"\r\n\r\n") {
                let rest = self.received.split_off(position + 4);
                let head = std::mem::replace(&mut self.received, rest);
                return String::from_utf8(head).unwrap();
            }
            self.must_receive();
        }
    }

    /// Reads a reply, the last thing there is.
    #[track_caller]
    pub(crate) fn read_reply(&mut self) -> PlainReply {
        let head = self.read_head();
        let end = loop {
            if let Some(end) = self.receive() {
                break end;
            }
        };
        assert_eq!(end, TlsEnd::Notified, "{head}");
        let body = std::mem::take(&mut self.received);
        PlainReply::new(head, String::from_utf8(body).unwrap())
    }

    /// Reads the next frame.
    #[track_caller]
    pub(crate) fn read_frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = Frame::take_from(&mut self.received, !self.masks) {
                return frame;
            }
            self.must_receive();
        }
    }

    /// Reads the next frame, or tells how the bytes ended.
    #[track_caller]
    pub(crate) fn read_frame_or_end(&mut self) -> Result<Frame, TlsEnd> {
        loop {
            if let Some(frame) = Frame::take_from(&mut self.received, !self.masks) {
                return Ok(frame);
            }
            if let Some(end) = self.receive() {
                return Err(end);
            }
        }
    }

    /// Expects that nothing more comes, and tells how it ends.
    #[track_caller]
    pub(crate) fn read_end(&mut self) -> TlsEnd {
        let end = self.receive();
        let came = self.received.escape_ascii();
        assert!(self.received.is_empty(), "before the end came \"{came}\"");
        end.expect("something came instead of the end")
    }

    /// Reads what comes with a pause before each piece of at most 16 KiB. Returns how many bytes came
    /// behind the head, and how they ended.
    #[track_caller]
    pub(crate) fn read_slowly(&mut self, pause: Duration) -> (usize, TlsEnd) {
        loop {
            std::thread::sleep(pause);
            if let Some(end) = self.receive() {
                return (self.received.len(), end);
            }
        }
    }

    /// Takes a few bytes as they come over TCP, and forgets them: no frame can be read any more.
    pub(crate) fn sip(&mut self) {
        let tcp = &mut self.stream.get_mut().tcp;
        let _ = uninterrupted(|| tcp.read(&mut [0; SIP]));
    }

    #[track_caller]
    fn must_receive(&mut self) {
        if let Some(end) = self.receive() {
            panic!("{end:?} after \"{}\"", self.received.escape_ascii());
        }
    }

    /// Reads something; tells how the bytes ended if they have.
    #[track_caller]
    fn receive(&mut self) -> Option<TlsEnd> {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => Some(TlsEnd::Notified),
            Ok(length) => {
                self.received.extend_from_slice(&chunk[..length]);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("nothing came in time")
            }
            Err(_) => Some(TlsEnd::Truncated),
        }
    }
}

/// An open connection over TLS between landline and a peer; the peer goes first when dropped.
pub(crate) struct TlsMeeting {
    pub(crate) peer: TlsPeer,
    pub(crate) ws: WebSocket,
    pub(crate) events: Recorder,
    pub(crate) server: Option<TestServer>,
}

impl TlsMeeting {
    /// Opens a connection all of whose callbacks are recorded, to a peer that takes little unless
    /// it reads.
    #[track_caller]
    pub(crate) fn recorded(role: Role, config: Config) -> Self {
        Self::recorded_with(role, config, |_| {})
    }

    /// Opens a connection all of whose callbacks are recorded, but those that are set here.
    #[track_caller]
    pub(crate) fn recorded_with(
        role: Role,
        config: Config,
        set_up: impl Fn(&WebSocket) + Send + Sync + 'static,
    ) -> Self {
        Self::recorded_by(TlsEngine::Native, role, config, set_up)
    }

    /// Opens a connection likewise, with this engine at landline's end.
    #[track_caller]
    pub(crate) fn recorded_by(
        engine: TlsEngine,
        role: Role,
        config: Config,
        set_up: impl Fn(&WebSocket) + Send + Sync + 'static,
    ) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let set_up = move |ws: &WebSocket| {
            let events = Recorder::new();
            events.record_all(ws);
            set_up(ws);
            let _ = sender.send((ws.clone(), events));
        };
        let (peer, ws, server) = match role {
            Role::Server => {
                let builder = Server::builder().config(config);
                let builder = builder.tls(ServerTls::new(LOCAL.identity()).engine(engine));
                let server = TestServer::start(builder.on_upgrade(move |ws, _| set_up(ws)));
                let mut peer = TlsPeer::over(RawPeer::dial_with_buffer(&server, SMALL));
                peer.upgrade();
                (peer, None, Some(server))
            }
            Role::Client => {
                let server = RawServer::with_buffer(SMALL);
                let client = trusting_by(engine).config(config);
                let (peer, ws) = TlsPeer::meet(&server, &client, set_up);
                (peer, Some(ws), None)
            }
        };
        let (weak, events) = super::next(&receiver);
        Self {
            peer,
            ws: ws.unwrap_or(weak),
            events,
            server,
        }
    }
}

/// A receive buffer of the least size that the system grants.
const SMALL: usize = 2 << 10;

/// Has a client fail to connect, within patience whatever its own deadlines.
#[track_caller]
pub(crate) fn connect_error(client: &Client, url: impl Into<String>) -> landline::Error {
    let (client, url) = (client.clone(), url.into());
    in_time("connecting fails", move || match client.open(url) {
        Err(error) => error,
        Ok(_) => panic!("it connected"),
    })
}
