//! The options of one message: [`SendOptions`].

use crate::Overflow;

/// The options of one message, for [`send_with`](crate::WebSocket::send_with).
///
/// ```
/// # let server = landline::Server::builder().on_upgrade(|_, _| {}).bind("127.0.0.1:0")?;
/// use landline::{Compression, Config, Overflow, SendOptions};
///
/// let config = Config::new().compression(Compression::new());
/// let ws = landline::Client::new().config(config).connect(server.url(), |_| {})?;
/// let secret = SendOptions::new().plain();
/// ws.send_with(secret, "a token that nobody may guess from the length")?;
/// ws.send_with(secret.overflow(Overflow::HandBack), "likewise, without waiting")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    pub(crate) overflow: Option<Overflow>,
    pub(crate) plain: bool,
}

impl SendOptions {
    /// Makes the options of [`send`](crate::WebSocket::send).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what happens if the queue is full, in place of the connection's own policy.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = Some(overflow);
        self
    }

    /// Sends the message plain, even if compression is agreed: what is compressed already, such as a
    /// picture, gains nothing, and the length of what is compressed tells something about its content.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }
}

impl From<Overflow> for SendOptions {
    fn from(overflow: Overflow) -> Self {
        Self::new().overflow(overflow)
    }
}
