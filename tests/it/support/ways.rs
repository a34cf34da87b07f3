//! Landline and a peer that takes little unless it reads, over ws and over wss.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Duration;

#[cfg(feature = "tls")]
use landline::TlsEngine;
use landline::{Client, Config, Messages, Server, WebSocket};
use rustix::net::sockopt;

use super::{
    End, Frame, Meeting, Peer, Probe, RawPeer, RawServer, Recorder, Role, TestServer, ms, opcode,
    uninterrupted,
};
#[cfg(feature = "tls")]
use super::{TlsEnd, TlsMeeting, TlsPeer, trusting_by};

/// How the two ends meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Plain(Role),
    #[cfg(feature = "tls")]
    Secure(Role),
    /// Over wss, with the other engine at landline's end.
    #[cfg(all(feature = "tls", feature = "rustls"))]
    Rustls(Role),
}

pub(crate) const WAYS: &[Way] = &[
    Way::Plain(Role::Server),
    Way::Plain(Role::Client),
    #[cfg(feature = "tls")]
    Way::Secure(Role::Server),
    #[cfg(feature = "tls")]
    Way::Secure(Role::Client),
];

/// The ways with every engine that there is.
pub(crate) const ALL_WAYS: &[Way] = &[
    Way::Plain(Role::Server),
    Way::Plain(Role::Client),
    #[cfg(feature = "tls")]
    Way::Secure(Role::Server),
    #[cfg(feature = "tls")]
    Way::Secure(Role::Client),
    #[cfg(all(feature = "tls", feature = "rustls"))]
    Way::Rustls(Role::Server),
    #[cfg(all(feature = "tls", feature = "rustls"))]
    Way::Rustls(Role::Client),
];

impl Way {
    /// Returns landline's role.
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Plain(role) => role,
            #[cfg(feature = "tls")]
            Self::Secure(role) => role,
            #[cfg(all(feature = "tls", feature = "rustls"))]
            Self::Rustls(role) => role,
        }
    }

    #[cfg(feature = "tls")]
    fn engine(self) -> Option<TlsEngine> {
        match self {
            Self::Plain(_) => None,
            Self::Secure(_) => Some(TlsEngine::Native),
            #[cfg(feature = "rustls")]
            Self::Rustls(_) => Some(TlsEngine::Rustls),
        }
    }
}

/// How a peer leaves without a further word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HangUp {
    /// By a FIN; what comes for it then is answered by an RST.
    Close,
    /// By an RST at once.
    Reset,
}

pub(crate) const HANG_UPS: [HangUp; 2] = [HangUp::Close, HangUp::Reset];

/// An open connection; when dropped, the peer goes first, so that nothing waits for it.
pub(crate) struct AnyMeeting {
    pub(crate) peer: AnyPeer,
    pub(crate) ws: WebSocket,
    pub(crate) events: Recorder,
    server: Option<TestServer>,
    client: Client,
}

impl AnyMeeting {
    /// Opens a connection that sends texts back and records all else.
    #[track_caller]
    pub(crate) fn deaf(way: Way, config: Config) -> Self {
        Self::of(way, config, |ws| ws.on_text(|ws, text| ws.send(text)))
    }

    /// Opens a connection all of whose callbacks are recorded, but those that are set here.
    #[track_caller]
    pub(crate) fn of(
        way: Way,
        config: Config,
        set_up: impl Fn(&WebSocket) + Send + Sync + 'static,
    ) -> Self {
        #[cfg(feature = "tls")]
        if let Some(engine) = way.engine() {
            let met = TlsMeeting::recorded_by(engine, way.role(), config, set_up);
            return Self {
                peer: AnyPeer::Secure(Box::new(met.peer)),
                ws: met.ws,
                events: met.events,
                server: met.server,
                client: trusting_by(engine),
            };
        }
        let (met, events) = Meeting::deaf_recorded_with(way.role(), config, set_up);
        Self {
            peer: AnyPeer::Plain(met.peer),
            ws: met.ws,
            events,
            server: met.server,
            client: Client::new(),
        }
    }

    /// Returns the server that this connection is one of, if landline is the server.
    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_deref()
    }

    /// Begins to echo with the server that this connection is one of, if landline is the server.
    #[track_caller]
    pub(crate) fn probe(&self) -> Option<Probe> {
        let server = self.server()?;
        Some(Probe::by(&self.client, server))
    }
}

/// Has a client open a connection this way for straight-line code, and returns both ends.
#[track_caller]
pub(crate) fn meet_open(way: Way, config: Config) -> (AnyPeer, WebSocket, Messages) {
    assert_eq!(way.role(), Role::Client, "only clients open");
    let server = RawServer::new();
    #[cfg(feature = "tls")]
    if let Some(engine) = way.engine() {
        let client = trusting_by(engine).config(config);
        let (peer, (ws, messages)) = TlsPeer::answering(&server, |url| client.open(url).unwrap());
        return (AnyPeer::Secure(Box::new(peer)), ws, messages);
    }
    let (peer, ws, messages) = server.meet_open(&Client::new().config(config));
    (AnyPeer::Plain(peer), ws, messages)
}

/// The peer of either.
pub(crate) enum AnyPeer {
    Plain(RawPeer),
    #[cfg(feature = "tls")]
    Secure(Box<TlsPeer>),
}

impl Peer for AnyPeer {
    fn masks(&self) -> bool {
        match self {
            Self::Plain(peer) => peer.masks(),
            #[cfg(feature = "tls")]
            Self::Secure(peer) => peer.masks(),
        }
    }

    fn try_send_bytes(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match self {
            Self::Plain(peer) => peer.try_send_bytes(bytes),
            #[cfg(feature = "tls")]
            Self::Secure(peer) => peer.try_send_bytes(bytes),
        }
    }
}

impl AnyPeer {
    #[track_caller]
    pub(crate) fn read_frame(&mut self) -> Frame {
        match self {
            Self::Plain(peer) => peer.read_frame(),
            #[cfg(feature = "tls")]
            Self::Secure(peer) => peer.read_frame(),
        }
    }

    #[track_caller]
    pub(crate) fn read_frame_or_end(&mut self) -> Option<Frame> {
        match self {
            Self::Plain(peer) => peer.read_frame_or_end().ok(),
            #[cfg(feature = "tls")]
            Self::Secure(peer) => peer.read_frame_or_end().ok(),
        }
    }

    #[track_caller]
    pub(crate) fn send_close(&mut self, code: u16) {
        self.say_close(code, "");
    }

    #[track_caller]
    pub(crate) fn say_close(&mut self, code: u16, reason: &str) {
        Peer::send_close(self, code, reason);
    }

    /// Sends a frame that the other side may not want any more.
    pub(crate) fn try_send(&mut self, frame: &Frame) -> io::Result<()> {
        self.try_send_bytes(self.encode(frame))
    }

    /// Sends all of these at once.
    #[track_caller]
    pub(crate) fn send_together(&mut self, frames: &[Frame]) {
        let bytes: Vec<_> = frames.iter().map(|frame| self.encode(frame)).collect();
        self.send_bytes(bytes.concat());
    }

    /// Reads up to the Close frame, and returns its code; `None` where the connection ends without.
    pub(crate) fn read_to_close(&mut self) -> Option<u16> {
        loop {
            let frame = self.read_frame_or_end()?;
            if frame.opcode == opcode::CLOSE {
                return frame.close_code();
            }
        }
    }

    /// Leaves.
    #[track_caller]
    pub(crate) fn hang_up(self, how: HangUp) {
        if how == HangUp::Reset {
            sockopt::set_socket_linger(self.tcp(), Some(Duration::ZERO)).unwrap();
        }
    }

    /// Takes at most so many bytes as they come over TCP, and forgets them: no frame can be read any
    /// more. Waits for the first but a moment.
    pub(crate) fn gulp(&mut self, bytes: usize) {
        let mut tcp = self.tcp();
        tcp.set_read_timeout(Some(ms(10))).unwrap();
        let _ = uninterrupted(|| tcp.read(&mut vec![0; bytes]));
    }

    /// Returns the TCP connection below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(peer) => &peer.stream,
            #[cfg(feature = "tls")]
            Self::Secure(peer) => peer.tcp(),
        }
    }

    /// Ends this direction, without a word.
    #[track_caller]
    pub(crate) fn send_fin(&self) {
        match self {
            Self::Plain(peer) => peer.send_fin(),
            #[cfg(feature = "tls")]
            Self::Secure(peer) => peer.truncate(),
        }
    }

    /// Takes a few bytes and forgets them: no frame can be read any more.
    #[track_caller]
    pub(crate) fn sip(&mut self) {
        match self {
            Self::Plain(peer) => peer.sip(),
            #[cfg(feature = "tls")]
            Self::Secure(peer) => peer.sip(),
        }
    }

    /// Tells whether nothing more comes but the end, said in order.
    #[track_caller]
    pub(crate) fn ends_in_order(&mut self) -> bool {
        match self {
            Self::Plain(peer) => peer.read_end() == End::Eof,
            #[cfg(feature = "tls")]
            Self::Secure(peer) => peer.read_end() == TlsEnd::Notified,
        }
    }
}
