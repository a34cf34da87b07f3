//! Compression of messages: its settings, and what two sides have agreed on.

/// Settings of permessage-deflate, the compression of messages (RFC 7692).
///
/// It is off until [`Config::compression`](crate::Config::compression) gets one of these, and then
/// used with every peer that knows it. Each direction has its own parameters, as the two sides agree;
/// [`WebSocket::compression`](crate::WebSocket::compression) tells them.
///
/// ```
/// use landline::{Client, Compression, Config};
///
/// let compression = Compression::new().min_size(1_000);
/// let client = Client::new().config(Config::new().compression(compression));
/// # let _ = client;
/// ```
///
/// # What to choose
/// JSON, one message at a time, on one core of a small machine:
///
/// | level | 200 B | 2,000 B | 60,000 B |
/// |---|---|---|---|
/// | 1 | 3.5 us, 131 B | 8 us, 786 B | 190 us, 20.1 KB |
/// | 2 | 10 us, 119 B | 19 us, 547 B | 300 us, 13.8 KB |
/// | 3 | 10 us, 119 B | 23 us, 532 B | 430 us, 13.2 KB |
/// | 6 | 10 us, 119 B | 24 us, 516 B | 770 us, 12.8 KB |
/// | 9 | 10 us, 119 B | 34 us, 514 B | 1,420 us, 12.6 KB |
///
/// With [context takeover](Self::context_takeover), small messages that are alike take half as much
/// again, at the price of a compressor for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    pub(crate) level: u8,
    pub(crate) memory_level: u8,
    pub(crate) window_bits: u8,
    pub(crate) min_size: usize,
    pub(crate) context_takeover: Option<bool>,
    pub(crate) peer_context_takeover: bool,
    pub(crate) streams: bool,
}

impl Compression {
    /// The defaults, each said at its setting.
    #[must_use]
    pub fn new() -> Self {
        Self {
            level: 2,
            memory_level: 8,
            window_bits: 15,
            min_size: 256,
            context_takeover: None,
            peer_context_takeover: true,
            streams: false,
        }
    }

    /// Sets how hard to try: 1 is fastest, 9 smallest, and 0 does not compress. 2 by default, for what
    /// more brings hardly ever pays for a message. More than 9 is 9.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level.min(9);
        self
    }

    /// Sets the memory of a compressor beside its window, from 1 to 9. 8 by default. What is beyond is
    /// taken for the nearest.
    #[must_use]
    pub fn memory_level(mut self, level: u8) -> Self {
        self.memory_level = level.clamp(1, 9);
        self
    }

    /// Sets how far a compressor looks back: 2 to the power of this, in bytes, from 9 to 15. 15 by
    /// default, and less where the peer asks for less. What is beyond is taken for the nearest.
    #[must_use]
    pub fn window_bits(mut self, bits: u8) -> Self {
        self.window_bits = bits.clamp(9, 15);
        self
    }

    /// Sets the size in bytes from which on messages are compressed. 256 by default: what is smaller
    /// gains little. An empty message never is, and one that would not shrink goes as it is.
    #[must_use]
    pub fn min_size(mut self, bytes: usize) -> Self {
        self.min_size = bytes;
        self
    }

    /// Sets whether a message refers back to those sent before it. By default a client's do, and a
    /// server's do not: it would need a compressor for each connection, of some 150 to 380 KiB, where
    /// it can do with a few for all. The peer may ask for messages that stand alone.
    #[must_use]
    pub fn context_takeover(mut self, takes_over: bool) -> Self {
        self.context_takeover = Some(takes_over);
        self
    }

    /// Sets whether the peer's messages may refer back to those before. They may by default. Asking a
    /// peer not to saves a decompressor of up to 47 KiB between messages, but some agree and then do
    /// (Tornado 6.6, Mojolicious 9.31, as clients): their second message fails the connection with
    /// 1007.
    #[must_use]
    pub fn peer_context_takeover(mut self, takes_over: bool) -> Self {
        self.peer_context_takeover = takes_over;
        self
    }

    /// Sets whether messages that are streamed by a [`MessageWriter`](crate::MessageWriter) are
    /// compressed, too. Off by default: pings fall between the fragments, and some peers cannot take
    /// one inside a compressed message (Tornado 6.6, wsproto 1.3).
    #[must_use]
    pub fn streams(mut self, compressed: bool) -> Self {
        self.streams = compressed;
        self
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::new()
    }
}

/// The parameters of permessage-deflate that two sides have agreed on, each for its own direction
/// (RFC 7692, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgreedCompression {
    /// Whether messages sent here may refer back to those before.
    pub context_takeover: bool,
    /// How far they may refer back: 2 to the power of this, in bytes. For 8 they go uncompressed, for
    /// zlib cannot do that.
    pub window_bits: u8,
    /// Whether the peer's messages may refer back to those before.
    pub peer_context_takeover: bool,
    /// How far the peer's messages may refer back, likewise.
    pub peer_window_bits: u8,
}
