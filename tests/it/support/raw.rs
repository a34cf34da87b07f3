//! Peers that speak literal bytes, in both roles.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use landline::{Client, Messages, Server, WebSocket};
use rustix::net::{AddressFamily, SocketType, sockopt};
use tungstenite::handshake::derive_accept_key;

use super::{PATIENCE, Peer, tcp_addr, uninterrupted};

/// The opcodes (RFC 6455, section 11.8).
pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0;
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const BINARY: u8 = 2;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
}

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;
const KEY: [u8; 4] = [0x11, 0x22, 0x44, 0x88];

/// A frame as it came, unmasked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    /// The first reserved bit, which marks a compressed message (RFC 7692, section 6).
    pub(crate) rsv1: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self {
            fin: true,
            rsv1: false,
            opcode,
            payload: payload.as_ref().to_vec(),
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::new(opcode::TEXT, text)
    }

    /// Makes it a fragment that others follow (RFC 6455, section 5.4).
    pub(crate) fn unfinished(self) -> Self {
        Self { fin: false, ..self }
    }

    /// Makes it the first of a compressed message (RFC 7692, section 6).
    #[cfg(feature = "deflate")]
    pub(crate) fn compressed(self) -> Self {
        Self { rsv1: true, ..self }
    }

    /// Returns the code of a Close frame, if it has one.
    pub(crate) fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, opcode::CLOSE, "not a Close: {self:?}");
        self.payload
            .first_chunk()
            .map(|code| u16::from_be_bytes(*code))
    }

    /// Takes a whole frame from the front of what has been received; `masks` tells whether its
    /// sender is to mask.
    pub(crate) fn take_from(received: &mut Vec<u8>, masks: bool) -> Option<Self> {
        let (first, second) = (*received.first()?, *received.get(1)?);
        let (length, mut at) = match second & !MASKED {
            126 => (
                u64::from(u16::from_be_bytes(*received.get(2..)?.first_chunk()?)),
                4,
            ),
            127 => (u64::from_be_bytes(*received.get(2..)?.first_chunk()?), 10),
            length => (u64::from(length), 2),
        };
        let masked = second & MASKED != 0;
        // RFC 6455, section 5.1: clients mask, servers do not.
        assert_eq!(masked, masks, "masked by the wrong side");
        let mut key = [0; 4];
        if masked {
            key = *received.get(at..)?.first_chunk()?;
            at += 4;
        }
        let end = at + usize::try_from(length).unwrap();
        let mut payload = received.get(at..end)?.to_vec();
        if masked {
            apply_mask(&mut payload, key);
        }
        let frame = Self {
            fin: first & FIN != 0,
            rsv1: first & RSV1 != 0,
            opcode: first & 15,
            payload,
        };
        // What a large frame took is given back.
        *received = received.split_off(end);
        Some(frame)
    }

    /// Returns the bytes on the wire.
    pub(crate) fn bytes(&self, masked: bool) -> Vec<u8> {
        let fin = if self.fin { FIN } else { 0 };
        let rsv1 = if self.rsv1 { RSV1 } else { 0 };
        let mut out = vec![fin | rsv1 | self.opcode];
        let mask = if masked { MASKED } else { 0 };
        match self.payload.len() {
            length @ 0..126 => out.push(mask | length as u8),
            length @ 126..0x1_0000 => {
                out.push(mask | 126);
                out.extend((length as u16).to_be_bytes());
            }
            length => {
                out.push(mask | 127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            out.extend(KEY);
        }
        let begin = out.len();
        out.extend(&self.payload);
        if masked {
            apply_mask(&mut out[begin..], KEY);
        }
        out
    }
}

/// Masks bytes, or unmasks them (RFC 6455, section 5.3). Eight at a time: tests are not optimized.
fn apply_mask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let eight = u64::from_ne_bytes(*chunk.first_chunk().unwrap());
        chunk.copy_from_slice(&(eight ^ wide).to_ne_bytes());
    }
    let rest = chunks.into_remainder().iter_mut();
    rest.zip(key.iter().cycle())
        .for_each(|(byte, key)| *byte ^= key);
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = self.payload[..self.payload.len().min(40)].escape_ascii();
        let (opcode, length) = (self.opcode, self.payload.len());
        write!(
            f,
            "Frame {opcode} fin {} rsv1 {} {length} bytes \"{start}\"",
            self.fin, self.rsv1
        )
    }
}

/// How the bytes of a peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Eof,
    Reset,
}

/// The bytes that a peer takes at a time when it reads as slowly as it can.
pub(crate) const SIP: usize = 4;

/// One end of a connection, by hand: nothing is answered, checked or read by itself.
pub(crate) struct RawPeer {
    pub(crate) stream: TcpStream,
    masks: bool,
    received: Vec<u8>,
}

/// Returns a request for the upgrade (RFC 6455, section 1.3).
pub(crate) fn upgrade_request(host: impl Display) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// # Getting there
impl RawPeer {
    /// Connects to a server, without a word.
    #[track_caller]
    pub(crate) fn dial(server: &Server) -> Self {
        Self::connect_to(server.local_addr())
    }

    /// Connects to a server, and sends something at once.
    #[track_caller]
    pub(crate) fn asking(server: &Server, request: &str) -> Self {
        let mut peer = Self::dial(server);
        peer.send_bytes(request);
        peer
    }

    /// Connects to a server of any process, without a word.
    #[track_caller]
    pub(crate) fn connect_to(server: impl ToSocketAddrs) -> Self {
        Self::of(TcpStream::connect(server).unwrap(), true)
    }

    /// Takes a connection to a server.
    #[track_caller]
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self::of(stream, true)
    }

    /// Takes a connection from a client.
    #[track_caller]
    pub(crate) fn of_server(stream: TcpStream) -> Self {
        Self::of(stream, false)
    }

    /// Connects with a receive buffer of about this size, so that little fits in when nobody reads.
    #[track_caller]
    pub(crate) fn dial_with_buffer(server: &Server, bytes: usize) -> Self {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_recv_buffer_size(&socket, bytes).unwrap();
        rustix::net::connect(&socket, &tcp_addr(server)).unwrap();
        Self::of(socket.into(), true)
    }

    /// Connects from another of this machine's loopback addresses.
    #[track_caller]
    pub(crate) fn dial_from(server: &Server, address: IpAddr) -> Self {
        Self::dial_at(tcp_addr(server), address)
    }

    /// Connects to an address, likewise.
    #[track_caller]
    pub(crate) fn dial_at(server: SocketAddr, address: IpAddr) -> Self {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from((address, 0))).unwrap();
        rustix::net::connect(&socket, &server).unwrap();
        Self::of(socket.into(), true)
    }

    /// Connects to a server and does the handshake.
    #[track_caller]
    pub(crate) fn client_of(server: &Server) -> Self {
        let mut peer = Self::dial(server);
        peer.upgrade();
        peer
    }

    /// Asks for the upgrade and expects the 101.
    #[track_caller]
    pub(crate) fn upgrade(&mut self) {
        let head = self.try_upgrade();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    }

    /// Asks for the upgrade and returns the head of the answer.
    #[track_caller]
    pub(crate) fn try_upgrade(&mut self) -> String {
        // A Unix socket has no such address.
        let host = self.stream.peer_addr().ok();
        let host = host.map_or("localhost".to_owned(), |host| host.to_string());
        self.send_bytes(upgrade_request(host));
        self.read_head()
    }

    /// Takes a Unix socket that is connected to a server.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn over_unix(stream: std::os::unix::net::UnixStream) -> Self {
        // Which calls reach a socket does not depend on its kind.
        Self::of_any(std::os::fd::OwnedFd::from(stream).into(), true)
    }

    #[track_caller]
    fn of(stream: TcpStream, masks: bool) -> Self {
        stream.set_nodelay(true).unwrap();
        Self::of_any(stream, masks)
    }

    #[track_caller]
    fn of_any(stream: TcpStream, masks: bool) -> Self {
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            masks,
            received: Vec::new(),
        }
    }
}

impl Peer for RawPeer {
    fn masks(&self) -> bool {
        self.masks
    }

    fn try_send_bytes(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }
}

/// # Writing
impl RawPeer {
    /// Ends this direction.
    #[track_caller]
    pub(crate) fn send_fin(&self) {
        // It fails only if the other side has broken off.
        drop(self.stream.shutdown(std::net::Shutdown::Write));
    }

    /// Breaks off, so that the other side gets an RST.
    #[track_caller]
    pub(crate) fn reset(self) {
        sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).unwrap();
    }
}

/// # Reading
impl RawPeer {
    /// Reads an HTTP head, with its blank line.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> String {
        loop {
            let end = self
                .received
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n");
            if let Some(position) = end {
                let rest = self.received.split_off(position + 4);
                let head = std::mem::replace(&mut self.received, rest);
                return String::from_utf8(head).unwrap();
            }
            self.must_receive();
        }
    }

    /// Reads an HTTP head, or what comes of it before the end.
    #[track_caller]
    pub(crate) fn read_head_or_end(&mut self) -> String {
        while !self.received.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            if self.receive().is_some() {
                return String::from_utf8_lossy(&self.received).into_owned();
            }
        }
        self.read_head()
    }

    /// Reads the next frame.
    #[track_caller]
    pub(crate) fn read_frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.take_frame() {
                return frame;
            }
            self.must_receive();
        }
    }

    /// Reads the next frame that is no keepalive, or tells how the bytes ended.
    #[track_caller]
    pub(crate) fn read_frame_or_end(&mut self) -> Result<Frame, End> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Ok(frame);
            }
            if let Some(end) = self.receive() {
                return Err(end);
            }
        }
    }

    /// Reads up to the Close frame, and returns its code.
    #[track_caller]
    pub(crate) fn read_close(&mut self) -> Option<u16> {
        loop {
            let frame = self.read_frame();
            if frame.opcode == opcode::CLOSE {
                return frame.close_code();
            }
        }
    }

    /// Expects the end of the other side's bytes, after whatever frames.
    #[track_caller]
    pub(crate) fn read_end(&mut self) -> End {
        loop {
            self.received.clear();
            if let Some(end) = self.receive() {
                return end;
            }
        }
    }

    /// Reads all that still comes, and how it ended.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Some(end) = self.receive() {
                return (std::mem::take(&mut self.received), end);
            }
        }
    }

    /// Expects that nothing more comes, and that it ends in order.
    #[track_caller]
    pub(crate) fn read_eof(&mut self) {
        let end = self.receive();
        let came = self.received.escape_ascii();
        assert_eq!(end, Some(End::Eof), "instead of the end came \"{came}\"");
        assert!(self.received.is_empty(), "before the end came \"{came}\"");
    }

    /// Returns what has been read and not yet taken as a head or a frame.
    pub(crate) fn take_received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    /// Tells, without waiting, whether the other side has ended it.
    #[track_caller]
    pub(crate) fn has_ended(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        match peeked {
            Ok(length) => length == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Reads what comes with a pause before each piece of at most 64 KiB. Returns how many bytes came
    /// behind the head, and how they ended.
    #[track_caller]
    pub(crate) fn read_slowly(&mut self, pause: Duration) -> (usize, End) {
        loop {
            std::thread::sleep(pause);
            if let Some(end) = self.receive() {
                return (self.received.len(), end);
            }
        }
    }

    /// Takes a few bytes and forgets them: no frame can be read any more.
    #[track_caller]
    pub(crate) fn sip(&mut self) {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = uninterrupted(|| self.stream.read(&mut [0; SIP]));
    }

    /// Takes at most so many bytes and forgets them, likewise; waits for the first but a moment.
    pub(crate) fn gulp(&mut self, bytes: usize) {
        let moment = super::ms(10);
        self.stream.set_read_timeout(Some(moment)).unwrap();
        let _ = uninterrupted(|| self.stream.read(&mut vec![0; bytes]));
    }

    /// Waits for something of the other side's, or its end, and forgets it.
    pub(crate) fn wait_for_bytes(&mut self) {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = uninterrupted(|| self.stream.read(&mut [0; 4096]));
    }

    fn take_frame(&mut self) -> Option<Frame> {
        Frame::take_from(&mut self.received, !self.masks)
    }

    #[track_caller]
    fn must_receive(&mut self) {
        if let Some(end) = self.receive() {
            panic!("{end:?} after \"{}\"", self.received.escape_ascii());
        }
    }

    /// Reads something; tells how the bytes ended if they have.
    #[track_caller]
    fn receive(&mut self) -> Option<End> {
        let mut chunk = [0; 64 << 10];
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match uninterrupted(|| self.stream.read(&mut chunk)) {
            Ok(0) => Some(End::Eof),
            Ok(length) => {
                self.received.extend_from_slice(&chunk[..length]);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Some(End::Reset),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(End::Reset),
            Err(error) => panic!("nothing came in time: {error}"),
        }
    }
}

/// Listens for landline's clients, and answers them by hand.
pub(crate) struct RawServer(TcpListener);

impl RawServer {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Listens with receive buffers of about this size, so that little fits in when nobody reads.
    #[track_caller]
    pub(crate) fn with_buffer(bytes: usize) -> Self {
        let server = Self::new();
        sockopt::set_socket_recv_buffer_size(&server.0, bytes).unwrap();
        server
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.local_addr())
    }

    /// Accepts a client, without a word.
    #[track_caller]
    pub(crate) fn accept(&self) -> RawPeer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(peer) = self.try_accept() {
                return peer;
            }
            assert!(Instant::now() < deadline, "nobody connected in time");
            thread::sleep(super::ms(1));
        }
    }

    /// Accepts a client, without a word, unless it is over before.
    #[track_caller]
    pub(crate) fn accept_unless(&self, is_over: impl Fn() -> bool) -> Option<RawPeer> {
        let mut peer = None;
        super::settled("a client connects, or gives up", || {
            peer = self.try_accept();
            peer.is_some() || is_over()
        });
        peer
    }

    /// Accepts a client and answers its request with 101, and with `behind` in the same segment.
    #[track_caller]
    pub(crate) fn upgrade_with(&self, behind: &[u8]) -> RawPeer {
        let mut peer = self.accept();
        let request = peer.read_head();
        let answer = with_accept_key(SWITCHING, &request);
        peer.send_bytes([answer.as_bytes(), behind].concat());
        peer
    }

    /// Accepts a client, answers its request with these bytes and ends; returns the request's head
    /// too. `ACCEPT` stands for the right key.
    #[track_caller]
    pub(crate) fn answer_with(&self, answer: &str) -> (RawPeer, String) {
        let mut peer = self.accept();
        let request = peer.read_head();
        // The client may have given up before the last byte.
        let _ = peer.try_send_bytes(with_accept_key(answer, &request));
        peer.send_fin();
        (peer, request)
    }

    /// Accepts a client if one has connected, without waiting.
    #[track_caller]
    pub(crate) fn try_accept(&self) -> Option<RawPeer> {
        self.0.set_nonblocking(true).unwrap();
        match self.0.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                Some(RawPeer::of(stream, false))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("cannot accept: {error}"),
        }
    }

    /// Has a client connect here with callbacks, and returns both ends.
    #[track_caller]
    pub(crate) fn meet(
        &self,
        client: &Client,
        set_up: impl FnOnce(&WebSocket),
    ) -> (RawPeer, WebSocket) {
        self.answering(|url| client.connect(url, set_up).unwrap())
    }

    /// Has a client connect here for straight-line code, and returns both ends.
    #[track_caller]
    pub(crate) fn meet_open(&self, client: &Client) -> (RawPeer, WebSocket, Messages) {
        let (peer, (ws, messages)) = self.answering(|url| client.open(url).unwrap());
        (peer, ws, messages)
    }

    /// Answers the request that comes while `connect` runs.
    #[track_caller]
    pub(crate) fn answering<R>(&self, connect: impl FnOnce(String) -> R) -> (RawPeer, R) {
        thread::scope(|scope| {
            let answering = scope.spawn(|| self.upgrade_with(&[]));
            let connected = connect(self.url());
            (answering.join().unwrap(), connected)
        })
    }
}

/// An answer that goes on, with `ACCEPT` for the key (RFC 6455, section 1.3).
pub(crate) const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n";

/// Puts the right key for a request in place of `ACCEPT`.
#[track_caller]
pub(crate) fn with_accept_key(answer: &str, request: &str) -> String {
    let key = field(request, "sec-websocket-key").expect("no key");
    answer.replace("ACCEPT", &derive_accept_key(key.as_bytes()))
}

/// Returns the value of a head's first field of that name.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Returns an address where nobody listens, for as long as this process runs: a socket that does not
/// listen keeps it from the servers of other tests.
#[track_caller]
pub(crate) fn dead_port() -> SocketAddr {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let socket = TcpListener::from(socket);
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

/// Returns an address where a server may come and go. On Linux, where all of 127.0.0.0/8 is there, no
/// other test's socket is given it meanwhile.
#[track_caller]
pub(crate) fn free_address() -> SocketAddr {
    let last = if cfg!(target_os = "linux") { 9 } else { 1 };
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    listener.local_addr().unwrap()
}
