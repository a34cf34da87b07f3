//! Messages: [`Message`], and the payload of a text message, [`Text`].

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use bytes_utils::Str;
use yoke::Yoke;

/// A WebSocket message, text or binary (RFC 6455, section 5.6).
///
/// Cloning copies no payload: both kinds share theirs, so that an echo or a broadcast to many
/// connections costs no copy.
///
/// ```
/// use landline::Message;
///
/// assert_eq!(Message::from("hello").to_string(), "hello");
/// assert_eq!(Message::from([1, 2, 3]).to_string(), "3 bytes [01 02 03]");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text, valid UTF-8.
    Text(Text),
    /// Bytes of any kind.
    Binary(Bytes),
}

impl Message {
    /// Returns the length of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Tells whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Borrows the payload of either kind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Borrows the text, or returns `None` for a binary message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    pub(crate) fn into_text(self) -> Option<Text> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Turns the message into its payload, of either kind, without copying.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl fmt::Display for Message {
    /// Shows text as it is, and a binary message as its length and its first 16 bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self {
            Self::Text(text) => return f.pad(text),
            Self::Binary(bytes) => bytes,
        };
        write!(f, "{} bytes [", bytes.len())?;
        for (position, byte) in bytes.iter().take(16).enumerate() {
            let space = if position == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        f.write_str(if bytes.len() > 16 { " ..]" } else { "]" })
    }
}

/// The payload of a text message: UTF-8 that is cheap to clone. It derefs to `str`.
#[derive(Clone)]
pub struct Text(Payload);

/// Bytes that are known to be UTF-8.
#[derive(Clone)]
enum Payload {
    /// Bytes that were made from a string.
    Made(Made),
    /// Bytes that were checked in place.
    Checked(Yoke<&'static str, Arc<Bytes>>),
}

/// A string with a place behind it, in which the compiler tells the kinds of messages and their absence
/// apart.
///
/// Thus every payload begins where its message begins. With the tag in front, a move read the words in
/// other pairs than the move before had written, and the processor waits for such writes to end.
#[derive(Clone)]
#[repr(C)]
struct Made {
    text: Str,
    place: Place,
}

#[derive(Clone, Copy)]
#[repr(usize)]
enum Place {
    Free = 0,
}

impl Text {
    /// Borrows the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Payload::Made(made) => &made.text,
            Payload::Checked(text) => text.get(),
        }
    }

    /// Turns the text into its bytes, without copying.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Payload::Made(made) => made.text.into_inner(),
            Payload::Checked(text) => Arc::unwrap_or_clone(text.into_backing_cart()),
        }
    }

    /// Checks the bytes once and takes them without copying, or returns `None` if they are not UTF-8.
    pub(crate) fn from_utf8(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = Arc::new(bytes.into());
        let checked = Yoke::try_attach_to_cart(bytes, |bytes| simdutf8::basic::from_utf8(bytes));
        checked.ok().map(Payload::Checked).map(Self)
    }
}

impl From<Str> for Text {
    fn from(text: Str) -> Self {
        let place = Place::Free;
        Self(Payload::Made(Made { text, place }))
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::from(Str::default())
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(Str::from(text))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

/// Makes `From<$from> for Message` from an expression that gives the payload of `$kind`.
macro_rules! message_from {
    ($($kind:ident: $from:ty, $value:ident => $payload:expr;)*) => {$(
        impl From<$from> for Message {
            fn from($value: $from) -> Self {
                Self::$kind($payload)
            }
        }
    )*};
}

message_from! {
    Text: &str, text => text.into();
    Text: String, text => text.into();
    Text: &String, text => text.as_str().into();
    Text: Cow<'_, str>, text => text.into_owned().into();
    Text: Text, text => text;
    Text: &Text, text => text.clone();
    Binary: &[u8], bytes => Bytes::copy_from_slice(bytes);
    Binary: Vec<u8>, bytes => bytes.into();
    Binary: &Vec<u8>, bytes => Bytes::copy_from_slice(bytes);
    Binary: Bytes, bytes => bytes;
    Binary: &Bytes, bytes => bytes.clone();
}

impl<const N: usize> From<[u8; N]> for Message {
    fn from(bytes: [u8; N]) -> Self {
        Self::Binary(Bytes::copy_from_slice(&bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

impl From<&Message> for Message {
    fn from(message: &Message) -> Self {
        message.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::protocol::Event;
    use crate::{CloseEvent, RecvError, TryRecvError};

    /// A payload begins where its message does, so that messages are moved fast: see [`Made`].
    #[test]
    fn payloads_come_first() {
        let payload = |message: &Message| match message {
            Message::Text(Text(Payload::Made(made))) => ptr::from_ref(&made.text).addr(),
            Message::Text(Text(Payload::Checked(text))) => ptr::from_ref(text).addr(),
            Message::Binary(bytes) => ptr::from_ref(bytes).addr(),
        };
        let checked = Text::from_utf8(&b"abc"[..]).unwrap();
        for message in ["abc".into(), checked.into(), Message::from([1, 2])] {
            assert_eq!(payload(&message), ptr::from_ref(&message).addr());
        }
    }

    /// The kind of a message, its absence and its errors together take one word beside its payload.
    #[test]
    fn messages_are_small() {
        let payload = size_of::<Bytes>();
        let sizes = [
            size_of::<Message>(),
            size_of::<Option<Message>>(),
            size_of::<Result<Message, RecvError>>(),
            size_of::<Result<Message, TryRecvError>>(),
            size_of::<Result<Option<Message>, CloseEvent>>(),
            size_of::<Event>(),
        ];
        assert_eq!(sizes, [payload + size_of::<usize>(); 6]);
    }

    /// Everything a program is likely to hold converts into a message.
    #[test]
    fn converts_from_what_programs_hold() {
        let text = Message::Text(Text::from("abc"));
        let borrowed = String::from("abc");
        for message in [
            Message::from("abc"),
            Message::from(borrowed.clone()),
            Message::from(&borrowed),
            Message::from(Cow::Borrowed("abc")),
            Message::from(Text::from("abc")),
            Message::from(&Text::from("abc")),
            Message::from(&text),
        ] {
            assert_eq!(message, text);
        }
        let binary = Message::Binary(Bytes::from_static(&[1, 2]));
        for message in [
            Message::from(&[1, 2][..]),
            Message::from([1, 2]),
            Message::from(&[1, 2]),
            Message::from(vec![1, 2]),
            Message::from(&vec![1, 2]),
            Message::from(Bytes::from_static(&[1, 2])),
            Message::from(&binary),
        ] {
            assert_eq!(message, binary);
        }
    }

    /// A long binary message is shown cut off, and formatting flags reach text.
    #[test]
    fn displays_text_padded_and_binary_cut_off() {
        assert_eq!(format!("{:>5}", Message::from("ab")), "   ab");
        assert_eq!(Message::from(b"").to_string(), "0 bytes []");
        let long = Message::from([7; 20]).to_string();
        assert_eq!(long, format!("20 bytes [{}..]", "07 ".repeat(16)));
    }
}
