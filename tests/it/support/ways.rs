//! Landline and a peer that takes little unless it reads, over ws and over wss.

use std::net::TcpStream;

use landline::{Client, Config, WebSocket};

use super::{End, Frame, Meeting, Probe, RawPeer, Recorder, Role, TestServer, opcode};
#[cfg(feature = "tls")]
use super::{TlsEnd, TlsMeeting, TlsPeer, trusting};

/// Says how the two ends meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Plain(Role),
    #[cfg(feature = "tls")]
    Secure(Role),
}

pub(crate) const WAYS: &[Way] = &[
    Way::Plain(Role::Server),
    Way::Plain(Role::Client),
    #[cfg(feature = "tls")]
    Way::Secure(Role::Server),
    #[cfg(feature = "tls")]
    Way::Secure(Role::Client),
];

/// Is an open connection; when dropped, the peer goes first, so that nothing waits for it.
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
        let echo = |ws: &WebSocket| ws.on_text(|ws, text| ws.send(text));
        match way {
            Way::Plain(role) => {
                let (met, events) = Meeting::deaf_recorded_with(role, config, echo);
                Self {
                    peer: AnyPeer::Plain(met.peer),
                    ws: met.ws,
                    events,
                    server: met.server,
                    client: Client::new(),
                }
            }
            #[cfg(feature = "tls")]
            Way::Secure(role) => {
                let met = TlsMeeting::recorded_with(role, config, echo);
                Self {
                    peer: AnyPeer::Secure(Box::new(met.peer)),
                    ws: met.ws,
                    events: met.events,
                    server: met.server,
                    client: trusting(),
                }
            }
        }
    }

    /// Begins to echo with the server that this connection is one of, if landline is the server.
    #[track_caller]
    pub(crate) fn probe(&self) -> Option<Probe> {
        let server = self.server.as_deref()?;
        Some(Probe::by(&self.client, server))
    }
}

/// Is the peer of either.
pub(crate) enum AnyPeer {
    Plain(RawPeer),
    #[cfg(feature = "tls")]
    Secure(Box<TlsPeer>),
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
    pub(crate) fn send(&mut self, frame: &Frame) {
        match self {
            Self::Plain(peer) => peer.send(frame),
            #[cfg(feature = "tls")]
            Self::Secure(peer) => peer.send(frame),
        }
    }

    #[track_caller]
    pub(crate) fn send_close(&mut self, code: u16) {
        self.send(&Frame::new(opcode::CLOSE, code.to_be_bytes()));
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

    /// Returns the TCP connection, below TLS too.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(peer) => &peer.stream,
            #[cfg(feature = "tls")]
            Self::Secure(peer) => peer.tcp(),
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
