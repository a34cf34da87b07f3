//! The settings of a connection: limits, deadlines, queue. Each default is stated once, at its setter
//! here.
//!
//! Other settings and their defaults stand elsewhere: `max_connections`, `max_handshakes` and
//! `max_connections_per_ip` at `ServerBuilder`, `connect_timeout` and `redirects` at `Client`, those of
//! TLS at `TlsOptions` and `ServerTls`, and the memory budget at `set_memory_budget`.

use std::time::Duration;

use crate::error::Unsendable;
use crate::{CloseCode, Compression, Error, TimeLimit};

/// The settings of a connection, for a [`Client`](crate::Client), a
/// [`Server`](crate::Server), or [some of its routes](crate::Router::config).
///
/// ```
/// use std::time::Duration;
///
/// let config = landline::Config::new()
///     .max_message_size(1 << 20)
///     .ping_interval(Duration::from_secs(5));
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) max_message_size: usize,
    pub(crate) max_frame_size: Option<usize>,
    pub(crate) max_fragments: usize,
    pub(crate) accept_unmasked_frames: bool,
    pub(crate) max_body_size: usize,
    pub(crate) max_queue_bytes: usize,
    pub(crate) max_queue_messages: usize,
    pub(crate) overflow: Overflow,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) tcp_notsent_lowat: Option<usize>,
    pub(crate) max_outgoing_frame: Option<usize>,
    pub(crate) compression: Option<Compression>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) message_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) ping_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) idle_timeout: Option<TimeLimit>,
    pub(crate) max_lifetime: Option<TimeLimit>,
    pub(crate) stop_timeout: Duration,
    pub(crate) stop_code: CloseCode,
    pub(crate) stop_reason: String,
}

/// A time longer than any program runs, and short enough to be added to any `Instant`.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// The largest payload of a control frame, to which no limit applies (RFC 6455, section 5.5).
const MAX_CONTROL: usize = 125;
/// The shortest ping interval, so that pings are not a flood.
const SHORTEST: Duration = Duration::from_millis(1);

impl Config {
    /// Makes the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_message_size: 16 << 20,
            max_frame_size: None,
            max_fragments: 131_072,
            accept_unmasked_frames: false,
            max_body_size: 64 << 10,
            max_queue_bytes: 1 << 20,
            max_queue_messages: 1_024,
            overflow: Overflow::Wait,
            send_buffer: None,
            tcp_notsent_lowat: Some(128 << 10),
            max_outgoing_frame: None,
            compression: None,
            handshake_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(40),
            ping_interval: Some(Duration::from_secs(20)),
            ping_timeout: Duration::from_secs(40),
            close_timeout: Duration::from_secs(5),
            idle_timeout: None,
            max_lifetime: None,
            stop_timeout: Duration::from_secs(10),
            stop_code: CloseCode::GOING_AWAY,
            stop_reason: String::new(),
        }
    }

    /// Sets the largest message taken from the peer, in bytes of payload; 16 MiB by default. 0 takes
    /// only empty ones. A larger one closes the connection with 1009, unless it is read through a
    /// [`MessageReader`](crate::MessageReader).
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Sets the largest single frame taken from the peer, in bytes of payload; by default a frame may
    /// be as large as its message. 0 takes only empty ones. A larger one closes the connection with
    /// 1009, at its header, unless its message is read through a
    /// [`MessageReader`](crate::MessageReader).
    #[must_use]
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.max_frame_size = Some(bytes);
        self
    }

    /// Sets into how many fragments the peer may split a message; 131,072 by default, 1 at least. More
    /// close the connection with 1009, unless the message is read through a
    /// [`MessageReader`](crate::MessageReader).
    #[must_use]
    pub fn max_fragments(mut self, fragments: usize) -> Self {
        self.max_fragments = fragments.max(1);
        self
    }

    /// Sets whether a server takes unmasked frames too; off by default. Some small clients send their
    /// pongs, or all frames, without a mask. A client's own connections are not affected.
    ///
    /// RFC 6455, section 5.1, demands that a server closes on such a frame, here with 1002.
    /// The masks keep a page in a browser from writing bytes of its choice past a careless proxy
    /// (section 10.3): accept such frames where only your own devices connect.
    #[must_use]
    pub fn accept_unmasked_frames(mut self, accept: bool) -> Self {
        self.accept_unmasked_frames = accept;
        self
    }

    /// Sets the largest body of a plain HTTP request, in bytes; 64 KiB by default. 0 takes none. A
    /// larger one is answered with 413. It is for a whole server, not for a
    /// [route](crate::Router::config).
    #[must_use]
    pub fn max_body_size(mut self, bytes: usize) -> Self {
        self.max_body_size = bytes;
        self
    }

    /// Sets how many bytes of payload may wait to be written; 1 MiB by default. A larger message is
    /// taken while the queue is empty, so 0 queues one at a time. A full queue
    /// makes [`send`](crate::WebSocket::send) wait.
    ///
    /// No budget of the process covers what queues hold: all of them together may hold twice this number
    /// times the connections ([`max_connections`](crate::ServerBuilder::max_connections)), if no peer
    /// reads. To choose it, divide the memory that you can spare by twice the connections: with 1 GiB and
    /// 10,000 connections that is 50 KiB.
    #[must_use]
    pub fn max_queue_bytes(mut self, bytes: usize) -> Self {
        self.max_queue_bytes = bytes;
        self
    }

    /// Sets how many messages may wait to be written; 1,024 by default, 1 at least, about a
    /// million at most.
    #[must_use]
    pub fn max_queue_messages(mut self, messages: usize) -> Self {
        self.max_queue_messages = messages;
        self
    }

    /// Sets what [`send`](crate::WebSocket::send), `send_all` and `send_tracked` do when the queue is
    /// full; by default they [wait](Overflow::Wait).
    /// [`WebSocket::set_overflow`](crate::WebSocket::set_overflow) changes it for one connection,
    /// [`send_with`](crate::WebSocket::send_with) for one message.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets how many bytes the kernel may hold for a peer that does not take them (`SO_SNDBUF`); by
    /// default the system decides.
    ///
    /// Data that the kernel holds counts as sent. It may be much: Linux lets the buffers of a connection
    /// grow to some 4 MiB and more. At 50 small messages a second that is half an hour in which the
    /// program does not notice that the peer does not read, and data that is long out of date when the
    /// peer reads it. A program that pushes fresh data should set some 10 to 100 KiB here, so that the
    /// queue, the [`Overflow`] policy and `buffered_amount` take notice early. Too small a buffer slows
    /// down a fast connection over a long way, because it bounds the data under way. Linux doubles the
    /// number for its own bookkeeping, and grants some 4 KiB at least, for 0 too.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// Sets how many bytes the kernel takes beyond those it can send now (`TCP_NOTSENT_LOWAT`);
    /// 128 KiB by default, 1 at least, `None` lets the system decide. Only on Linux and Android.
    ///
    /// It keeps few bytes ahead of a ping, and lets `write_timeout` see how fast a slow peer reads.
    /// Without it Linux takes up to some 4 MiB at once, and then nothing until a third of its buffer is
    /// free, for more than a minute at 10 KiB/s. Unlike [`send_buffer`](Self::send_buffer) it does not
    /// bound the data under way.
    #[must_use]
    pub fn tcp_notsent_lowat(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.tcp_notsent_lowat = bytes.into().map(|bytes| bytes.max(1));
        self
    }

    /// Sets the largest frame that is sent, in bytes of payload, 125 at least; by default, or with `None`,
    /// a message is one frame, however large. Larger messages leave in fragments (RFC 6455, section
    /// 5.4), with pings and pongs between them.
    ///
    /// Some peers take only short frames: WebSocket-Node 64 KiB. And on a slow link a pong then does not
    /// wait for the end of a long message. At most 16 KiB, or one larger frame, are ahead of it on this
    /// side, and in the kernel the bytes that
    /// [`tcp_notsent_lowat`](Self::tcp_notsent_lowat) allows. But not all peers take fragments, see
    /// [`peers`](crate::peers).
    #[must_use]
    pub fn max_outgoing_frame(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.max_outgoing_frame = bytes.into().map(|bytes| bytes.max(MAX_CONTROL));
        self
    }

    /// Sets that messages are compressed, if the peer knows permessage-deflate (RFC 7692), and how; off
    /// by default, or with `None`. See [`Compression`] for what it costs and gains. Without the
    /// feature `deflate` it changes nothing: no peer is offered compression.
    ///
    /// An attacker who can make a program send text of his choice beside a secret, in one message or
    /// with [context takeover](Compression::context_takeover), learns the secret from the lengths that
    /// come out. [`SendOptions::plain`](crate::SendOptions::plain) keeps one message out of it.
    #[must_use]
    pub fn compression(mut self, compression: impl Into<Option<Compression>>) -> Self {
        self.compression = compression.into().filter(|_| cfg!(feature = "deflate"));
        self
    }

    /// Sets how long the handshake may take, TLS and HTTP together; 10 s by default. On a client it
    /// covers the name lookup, connecting and the server's answer too. On a server it ends when the
    /// whole request has come, with its body: the program answers in its own time, and its answer has
    /// the [`write_timeout`](Self::write_timeout). It is for a whole server, not for a
    /// [route](crate::Router::config). Zero is an error when binding or connecting.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout.min(FOREVER);
        self
    }

    /// Sets how long a message that has begun may go without 64 KiB of its own payload; 60 s by
    /// default. Time in which the program keeps the connection from reading does not count. A message
    /// may wait for the same time for room in the [memory budget](crate::set_memory_budget). Zero is an
    /// error when binding or connecting.
    #[must_use]
    pub fn message_timeout(mut self, timeout: Duration) -> Self {
        self.message_timeout = timeout.min(FOREVER);
        self
    }

    /// Sets how long the peer may refuse bytes without taking 64 KiB of them, and how long
    /// [`send`](crate::WebSocket::send) waits for room; 40 s by default. It holds for a server's
    /// answers to requests too, so a page reaches a slow reader, however long that takes. Zero is an
    /// error when binding or connecting.
    ///
    /// A peer's kernel takes bytes in steps: Linux's often opens its window only when everything it
    /// holds has been read, 130 to 180 KB by default. A timeout that is shorter than the peer needs for
    /// that cuts peers that do read. 40 s are enough for 5 KiB a second.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout.min(FOREVER);
        self
    }

    /// Sets how often a ping is sent, whatever the traffic; 20 s by default, `None` for never, 1 ms at
    /// least. Zero is an error when binding or connecting.
    ///
    /// A few peers do not know pings; set `None` for them. Node's inspector, wsocket for Python,
    /// websocket-server and nodejs-websocket hang up at one, aria2 answers each with an error text, and
    /// the pongs of paho-mqtt for Python have no mask, for which a server may set
    /// [`accept_unmasked_frames`](Self::accept_unmasked_frames). If a connection ends within a second
    /// after a ping to a peer that has never answered one, its DEBUG record says so.
    #[must_use]
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.ping_interval = interval.into().map(|interval| match interval {
            Duration::ZERO => interval,
            _ => interval.clamp(SHORTEST, FOREVER),
        });
        self
    }

    /// Sets how long after a ping the peer may be silent; 40 s by default. Then it gets a Close with
    /// 1011, "keepalive ping timeout", if its socket takes that at once, and is cut. Any byte received
    /// is a sign of life, and so is any byte taken by a socket that had refused some before. Time in which the
    /// program keeps the connection from reading does not count. Zero is an error when binding or
    /// connecting.
    ///
    /// A peer that is cut may just have been busy: many libraries answer no ping while their
    /// program works on a message. Set more than such work takes, or
    /// [`ping_interval(None)`](Self::ping_interval).
    #[must_use]
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.ping_timeout = timeout.min(FOREVER);
        self
    }

    /// Sets how long the peer may take to answer our Close; 5 s by default, then the connection is
    /// cut; with zero practically at once. Time in which the program keeps the connection from reading
    /// does not count, but
    /// [`Messages::close`](crate::Messages::close) and dropping a client's last handle wait no
    /// longer than this, including the time in which the queue leaves.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout.min(FOREVER);
        self
    }

    /// Sets how long a connection may go without a message; off by default. Then it is closed with 1001,
    /// or as the [`TimeLimit`] says, as by [`close_with`](crate::WebSocket::close_with): the queue goes
    /// first, the peer has [`close_timeout`](Self::close_timeout) to answer, and
    /// [`CloseEvent::timeout`](crate::CloseEvent::timeout) says [`Idle`](crate::Timeout::Idle). It holds
    /// for a server's connections and a client's. Zero is an error when binding or connecting.
    ///
    /// Idle means that no message of data has begun, goes on or has ended, in either direction. Pings
    /// and pongs do not count. A message that is half received, queued or half written goes on, however
    /// slowly: it has [`message_timeout`](Self::message_timeout) and
    /// [`write_timeout`](Self::write_timeout). Time in which a callback runs does count. But if the
    /// peer's bytes lie unread when the time is over, the time begins anew, once. Messages do not look at
    /// a clock, so a connection is closed up to a quarter of the time later, never earlier.
    #[must_use]
    pub fn idle_timeout(mut self, limit: impl Into<TimeLimit>) -> Self {
        self.idle_timeout = Some(bounded(limit.into()));
        self
    }

    /// Sets how long a connection may be open, from its upgrade on; off by default. Then it is closed
    /// like an [idle](Self::idle_timeout) one, whatever its traffic;
    /// [`CloseEvent::timeout`](crate::CloseEvent::timeout) says
    /// [`Lifetime`](crate::Timeout::Lifetime). It holds for a server's connections and a client's. Zero
    /// is an error when binding or connecting.
    ///
    /// It is for gateways that spread connections over their servers anew, and for tokens that expire.
    #[must_use]
    pub fn max_lifetime(mut self, limit: impl Into<TimeLimit>) -> Self {
        self.max_lifetime = Some(bounded(limit.into()));
        self
    }

    /// Sets how long [`Server::stop`](crate::Server::stop) lets connections take to end; 10 s by
    /// default, then they are cut; with zero at once. It is for a whole server, not for a
    /// [route](crate::Router::config).
    #[must_use]
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.stop_timeout = timeout.min(FOREVER);
        self
    }

    /// Sets the Close frame by which a server that stops ends its connections; 1001
    /// ([`GOING_AWAY`](CloseCode::GOING_AWAY)) without a reason by default. A code that may not be sent,
    /// or a reason of more than 123 bytes, is an error when binding.
    ///
    /// Some clients take 1001 for a goodbye for good: the npm package sockette 2.0.6 does not come back.
    /// Before a restart, 1012 ([`SERVICE_RESTART`](CloseCode::SERVICE_RESTART)) brings browsers back; Qt 6.11 takes
    /// it for a violation of the protocol (both seen in November 2026).
    #[must_use]
    pub fn stop_close(mut self, code: impl Into<CloseCode>, reason: impl Into<String>) -> Self {
        self.stop_code = code.into();
        self.stop_reason = reason.into();
        self
    }

    /// Tells whether connections can be made with these settings.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a timeout of zero, and for a Close that may not be sent.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let timeouts = [
            ("handshake_timeout", Some(self.handshake_timeout)),
            ("message_timeout", Some(self.message_timeout)),
            ("write_timeout", Some(self.write_timeout)),
            ("ping_interval", self.ping_interval),
            ("ping_timeout", Some(self.ping_timeout)),
        ];
        let zero = timeouts
            .iter()
            .find(|(_, timeout)| *timeout == Some(Duration::ZERO));
        if let Some((name, _)) = zero {
            return Err(Error::Invalid(format!("the {name} is zero")));
        }
        let limits = [
            ("idle_timeout", &self.idle_timeout),
            ("max_lifetime", &self.max_lifetime),
        ];
        for (name, limit) in limits {
            let checked = limit.as_ref().map_or(Ok(()), TimeLimit::check);
            checked.map_err(|problem| Error::Invalid(format!("the {name} {problem}")))?;
        }
        Unsendable::check_close(self.stop_code, &self.stop_reason)
            .map_err(|problem| Error::Invalid(format!("the stop_close cannot be sent: {problem}")))
    }

    /// Tells whether a route may have these settings if the server has those.
    ///
    /// # Errors
    /// [`Error::Invalid`] as [`check`](Self::check), and for a setting that is the server's alone and
    /// that is neither the server's nor the default.
    pub(crate) fn check_for_route(&self, server: &Self) -> Result<(), Error> {
        self.check()?;
        let default = Self::new();
        let alone = |config: &Self| {
            [
                ("handshake_timeout", config.handshake_timeout.as_nanos()),
                ("max_body_size", config.max_body_size as u128),
                ("stop_timeout", config.stop_timeout.as_nanos()),
            ]
        };
        let others = alone(server).into_iter().zip(alone(&default));
        let wrong = alone(self)
            .into_iter()
            .zip(others)
            .find(|(own, (server, default))| own != server && own != default);
        wrong.map_or(Ok(()), |((name, _), _)| {
            Err(Error::Invalid(format!(
                "the {name} is the server's alone: a route cannot have another"
            )))
        })
    }
}

/// Keeps a limit short enough to be added to any `Instant`.
fn bounded(limit: TimeLimit) -> TimeLimit {
    TimeLimit {
        after: limit.after.min(FOREVER),
        ..limit
    }
}

/// The policy of a send when the queue is full: when
/// [`max_queue_bytes`](Config::max_queue_bytes) or
/// [`max_queue_messages`](Config::max_queue_messages) wait to be written already.
///
/// The choice depends on the value of a message. An answer should [wait](Self::Wait). Of a reading
/// that is repeated all the time, only the newest matters: [`DropOldest`](Self::DropOldest). A peer
/// that must not miss a message and cannot keep up should connect anew: [`Close`](Self::Close).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// Waits for room, at most [`write_timeout`](Config::write_timeout).
    #[default]
    Wait,
    /// Fails with [`Full`](crate::SendErrorKind::Full), which hands the message back.
    HandBack,
    /// Drops this message, and succeeds. It is counted as dropped.
    DropNewest,
    /// Drops the messages that have waited longest, as many as needed, and counts them as dropped.
    /// The messages being written stay, which are at most 128 KiB or one larger message. The new message
    /// passes sends that wait for room.
    DropOldest,
    /// Closes the connection with 1008, "too slow". What is queued is discarded, and the send fails
    /// with [`Closed`](crate::SendErrorKind::Closed).
    Close,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
