//! The compression of messages: its settings, and the parameters that two sides agree on.

/// The settings of permessage-deflate, the compression of messages (RFC 7692).
///
/// Compression is off until [`Config::compression`](crate::Config::compression) gets such a value. Then it
/// is used with every peer that knows it. Each direction has parameters of its own, on which both sides
/// agree; [`WebSocket::compression`](crate::WebSocket::compression) tells them.
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
/// (zlib-rs 0.6.8, window 15, memory level 8; compare within the table.) Level 1 is quick because it
/// never makes codes of its own: at 2,000 bytes its output is 44 % longer than that of level 2. Reading
/// takes 1.9, 4.5 and 67 us.
///
/// With [context takeover](Self::context_takeover), small messages that are alike shrink far more: those
/// of 200 B to 58 to 69 B. The price is a compressor for each connection:
///
/// | KiB | memory level 1 | 5 | 8 | 9 |
/// |---|---|---|---|---|
/// | window 9 | 134 | 147 | 245 | 357 |
/// | window 12 | 148 | 161 | 259 | 371 |
/// | window 15 | 260 | 273 | 371 | 483 |
///
/// A connection takes its compressor when it sends the first message that is compressed, and gives it
/// back when it has sent none for half a minute to a minute; the next message then refers to nothing
/// before. Without context takeover messages are compressed by a few compressors that all connections
/// share. What is received takes up to 48 KiB, unless the peer's messages stand alone.
///
/// # What is compressed
/// Whole messages of [`min_size`](Self::min_size) and more that shrink by it, on the thread that writes
/// them. Messages in fragments, by a [`MessageWriter`](crate::MessageWriter) or by
/// [`max_outgoing_frame`](crate::Config::max_outgoing_frame), only if [asked for](Self::streams).
/// [`SendOptions::plain`](crate::SendOptions::plain) leaves one message as it is.
///
/// [`buffered_amount`](crate::WebSocket::buffered_amount) and the limits of a queue count messages as the
/// program gave them; [`Counters::bytes_out`](crate::Counters::bytes_out) counts bytes on the wire.
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
    /// Makes the default settings, each said at its setter.
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

    /// Sets the effort: 1 is fastest, 9 makes the smallest messages, and 0 does not compress what is
    /// sent. 2 by default: more hardly ever pays for a message. More than 9 is 9.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level.min(9);
        self
    }

    /// Sets the memory of a compressor beside its window, from 1 to 9; 8 by default. A number out of
    /// this range becomes the nearest one.
    #[must_use]
    pub fn memory_level(mut self, level: u8) -> Self {
        self.memory_level = level.clamp(1, 9);
        self
    }

    /// Sets how far a compressor looks back, in bytes: 2 to the power of this number, which is from 9 to
    /// 15; 15 by default. A peer may ask for less. A number out of this range becomes the nearest one.
    #[must_use]
    pub fn window_bits(mut self, bits: u8) -> Self {
        self.window_bits = bits.clamp(9, 15);
        self
    }

    /// Sets the size in bytes from which on messages are compressed; 256 by default, because smaller
    /// ones gain little. An empty message never is.
    #[must_use]
    pub fn min_size(mut self, bytes: usize) -> Self {
        self.min_size = bytes;
        self
    }

    /// Sets whether a message may refer back to those sent before it. By default a client's may, and a
    /// server's may not, because a server would need a compressor for each connection. The peer may ask
    /// for messages that stand alone.
    #[must_use]
    pub fn context_takeover(mut self, takes_over: bool) -> Self {
        self.context_takeover = Some(takes_over);
        self
    }

    /// Sets whether the peer's messages may refer back to those before; by default they may. Messages
    /// that stand alone save up to 48 KiB a connection. But some peers agree to that and refer back all
    /// the same (Tornado 6.6.1 and Mojolicious 9.31 as clients): their second message fails the
    /// connection with 1007.
    #[must_use]
    pub fn peer_context_takeover(mut self, takes_over: bool) -> Self {
        self.peer_context_takeover = takes_over;
        self
    }

    /// Sets whether messages in fragments are compressed, too; off by default. Pings and pongs may come
    /// between fragments, and inside of a compressed message some peers fail at one: Tornado 6.6.1 and
    /// wsproto 1.3.2 with hypercorn and uvicorn. With this setting a fragment holds an eighth less than
    /// [`max_outgoing_frame`](crate::Config::max_outgoing_frame), because it may grow.
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
    /// The flag that messages sent here may refer back to those before.
    pub context_takeover: bool,
    /// The distance over which they may refer back: 2 to the power of this number, in bytes. If it is
    /// 8, they leave plain, because zlib has no window so small.
    pub window_bits: u8,
    /// The flag that the peer's messages may refer back to those before.
    pub peer_context_takeover: bool,
    /// The distance over which the peer's messages may refer back, likewise.
    pub peer_window_bits: u8,
}
