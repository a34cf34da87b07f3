//! Frame headers (RFC 6455, section 5.2): the only file here that names tungstenite.
//!
//! Headers are read by hand: tungstenite's own reading calls the program's logger, five times a
//! frame, and a logger may panic. A test compares the two.

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{MaskKey, Role, Violation};
use crate::Message;

/// The longest payload of a control frame (RFC 6455, section 5.5).
const MAX_CONTROL_PAYLOAD: u64 = 125;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    /// Returns the opcode of an unfragmented message.
    pub(crate) fn of(message: &Message) -> Self {
        match message {
            Message::Text(_) => Self::Text,
            Message::Binary(_) => Self::Binary,
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    /// Makes an opcode from tungstenite's, or returns `None` for a reserved one.
    fn from_wire(opcode: OpCode) -> Option<Self> {
        Some(match opcode {
            OpCode::Data(Data::Continue) => Self::Continuation,
            OpCode::Data(Data::Text) => Self::Text,
            OpCode::Data(Data::Binary) => Self::Binary,
            OpCode::Control(Control::Close) => Self::Close,
            OpCode::Control(Control::Ping) => Self::Ping,
            OpCode::Control(Control::Pong) => Self::Pong,
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => return None,
        })
    }

    /// Returns tungstenite's opcode.
    #[cfg(test)]
    pub(super) fn to_wire(self) -> OpCode {
        match self {
            Self::Continuation => OpCode::Data(Data::Continue),
            Self::Text => OpCode::Data(Data::Text),
            Self::Binary => OpCode::Data(Data::Binary),
            Self::Close => OpCode::Control(Control::Close),
            Self::Ping => OpCode::Control(Control::Ping),
            Self::Pong => OpCode::Control(Control::Pong),
        }
    }
}

/// The reserved bit of a header that marks a compressed message (RFC 7692, section 6).
pub(super) const RSV1: u8 = 0x40;

/// What decides which frames are legal.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameRules {
    /// Our side.
    pub(super) role: Role,
    /// The flag that a server takes frames that are not masked.
    pub(super) accept_unmasked: bool,
    /// The flag that compression is agreed.
    pub(super) compression: bool,
}

/// The header of a received frame, legal as far as the header alone shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    pub(super) is_final: bool,
    /// The flag that it is the first of a compressed message (RFC 7692, section 6).
    pub(super) is_compressed: bool,
    pub(super) key: Option<MaskKey>,
    /// The number of bytes of payload that follow.
    pub(super) length: u64,
    /// The number of bytes of the header itself.
    pub(super) size: usize,
}

impl Header {
    /// Reads the header of a whole message if `bytes` begin with one of the usual form: one frame
    /// of at most 64 KiB that has come whole. `None` says nothing about other forms.
    #[inline]
    pub(super) fn of_whole_message(bytes: &[u8], role: Role) -> Option<Self> {
        let &[first, second, ..] = bytes else {
            return None;
        };
        let opcode = match first {
            0x81 => Opcode::Text,
            0x82 => Opcode::Binary,
            _ => return None,
        };
        let is_masked = role == Role::Server;
        let form = second ^ (u8::from(is_masked) << 7);
        let (length, head) = match form {
            0..126 => (usize::from(form), 2),
            126 => (usize::from(extended_length(bytes)?), 4),
            _ => return None,
        };
        let (key, size) = if is_masked {
            let key: [u8; 4] = bytes.get(head..head + 4)?.try_into().ok()?;
            (Some(MaskKey::from(key)), head + 4)
        } else {
            (None, head)
        };
        (bytes.len() >= size + length).then_some(Self {
            opcode,
            is_final: true,
            is_compressed: false,
            key,
            length: length as u64,
            size,
        })
    }

    /// Returns the size of the header of a whole message of the usual form.
    #[inline(always)]
    pub(super) fn usual_size(length: usize, role: Role) -> usize {
        let extended = if length < 126 { 0 } else { 2 };
        let mask = if role == Role::Server { 4 } else { 0 };
        2 + extended + mask
    }

    /// Tells whether `bytes` begin with a whole frame, legal or not.
    #[inline]
    pub(super) fn is_whole(bytes: &[u8]) -> bool {
        let &[_, second, ..] = bytes else {
            return false;
        };
        let mask = usize::from(second >> 7) * 4;
        match second & 0x7F {
            form @ 0..126 => bytes.len() >= 2 + mask + usize::from(form),
            form => is_whole_and_long(form, mask, &bytes[2..]),
        }
    }

    /// Reads the header that `bytes` begin with, or returns `None` if its end has not come.
    ///
    /// # Errors
    /// 1002 for a header that a frame to this side may not have.
    #[inline(never)]
    pub(super) fn parse(bytes: &[u8], rules: FrameRules) -> Result<Option<Self>, Violation> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let form = second & 0x7F;
        let Some((length, rest)) = split_length(form, rest) else {
            return Ok(None);
        };
        let Some((key, rest)) = split_key(second & 0x80 != 0, rest) else {
            return Ok(None);
        };
        let header = Self {
            // RFC 6455 5.2: an unknown opcode MUST fail the connection.
            opcode: Opcode::from_wire(OpCode::from(first & 0x0F)).ok_or(RESERVED_OPCODE)?,
            is_final: first & 0x80 != 0,
            is_compressed: first & RSV1 != 0,
            key,
            length,
            size: bytes.len() - rest.len(),
        };
        header.judge_mask(rules)?;
        header.judge_reserved_bits(first, rules)?;
        judge_length_form(form, length)?;
        header.judge_control()?;
        Ok(Some(header))
    }

    /// Judges the mask. RFC 6455 5.1: a server MUST close on an unmasked frame, unless the program
    /// allows it, and a client on a masked one.
    fn judge_mask(&self, rules: FrameRules) -> Result<(), Violation> {
        match (rules.role, self.key.is_some()) {
            (Role::Server, false) if rules.accept_unmasked => Ok(()),
            (Role::Server, false) => Err(Violation::protocol("a frame that is not masked")),
            (Role::Client, true) => Err(Violation::protocol("a masked frame from a server")),
            _ => Ok(()),
        }
    }

    /// Judges the reserved bits. RFC 6455 5.2: they MUST be 0 unless an extension gives them a meaning.
    /// RFC 7692 6: the first marks the first frame of a compressed message, and MUST be 0 in
    /// continuations and control frames.
    fn judge_reserved_bits(&self, first: u8, rules: FrameRules) -> Result<(), Violation> {
        let begins_message = matches!(self.opcode, Opcode::Text | Opcode::Binary);
        let allowed = if rules.compression && begins_message {
            RSV1
        } else {
            0
        };
        if first & 0x70 & !allowed != 0 {
            return Err(Violation::protocol("a reserved bit is set"));
        }
        Ok(())
    }

    fn judge_control(&self) -> Result<(), Violation> {
        if !self.opcode.is_control() {
            return Ok(());
        }
        // RFC 6455 5.5: control frames MUST have 125 bytes or less and MUST NOT be fragmented.
        if !self.is_final {
            return Err(Violation::protocol("a fragmented control frame"));
        }
        if self.length > MAX_CONTROL_PAYLOAD {
            return Err(Violation::protocol("a control frame of over 125 bytes"));
        }
        Ok(())
    }
}

const RESERVED_OPCODE: Violation = Violation::protocol("a reserved opcode");

/// Splits off the length, which is the form itself, or two or eight bytes behind it.
fn split_length(form: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    Some(match form {
        126 => {
            let (bytes, rest) = rest.split_first_chunk()?;
            (u16::from_be_bytes(*bytes).into(), rest)
        }
        127 => {
            let (bytes, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*bytes), rest)
        }
        _ => (form.into(), rest),
    })
}

/// Returns a length of 16 bits, if that is its shortest form.
fn extended_length(bytes: &[u8]) -> Option<u16> {
    let &[_, _, high, low, ..] = bytes else {
        return None;
    };
    Some(u16::from_be_bytes([high, low])).filter(|length| *length >= 126)
}

fn is_whole_and_long(form: u8, mask: usize, rest: &[u8]) -> bool {
    split_length(form, rest)
        .is_some_and(|(length, rest)| rest.len() >= mask && (rest.len() - mask) as u64 >= length)
}

/// Splits off the mask's key, if there is one.
fn split_key(is_masked: bool, rest: &[u8]) -> Option<(Option<MaskKey>, &[u8])> {
    if !is_masked {
        return Some((None, rest));
    }
    let (key, rest) = rest.split_first_chunk::<4>()?;
    Some((Some(MaskKey::from(*key)), rest))
}

/// Judges the form of the length. RFC 6455 5.2: it MUST be the shortest, and the highest bit of the
/// length MUST be 0.
fn judge_length_form(form: u8, length: u64) -> Result<(), Violation> {
    let shortest = match length {
        0..126 => length as u8,
        126..=0xFFFF => 126,
        _ => 127,
    };
    if form != shortest {
        return Err(Violation::protocol("a length in a longer form than needed"));
    }
    if length >> 63 != 0 {
        return Err(Violation::protocol("a length of 2^63 or more"));
    }
    Ok(())
}

/// The place of a frame in its message (RFC 6455, section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fin {
    /// More fragments follow.
    More,
    /// It is the last fragment, or the whole message.
    Last,
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::frame::FrameHeader;

    use super::*;

    fn rules(role: Role) -> FrameRules {
        FrameRules {
            role,
            accept_unmasked: false,
            compression: false,
        }
    }

    /// Headers are read as tungstenite reads them: every first two bytes, every length of header,
    /// cut at every byte.
    #[test]
    fn headers_are_read_as_tungstenite_reads_them() {
        for start in 0..=u16::MAX {
            for tail in [
                [0; 12],
                [1; 12],
                [0xFF; 12],
                *b"\x01\x02\x03\x04\0\0\x01\0\x07\x08\x09\x0a",
            ] {
                let whole = [&start.to_be_bytes()[..], &tail[..]].concat();
                for end in [0, 1, 2, 3, 4, 6, 8, 9, 10, 13, 14] {
                    compare(&whole[..end]);
                }
            }
        }
    }

    /// The quick way to read a header finds whole messages alone, and reads them as the thorough way.
    #[test]
    fn whole_messages_are_read_as_all_else() {
        for start in 0..=u16::MAX {
            for (tail, padding) in [(0, 0), (0, 130), (0x7D, 139), (0x7E, 140), (0x0100, 300)] {
                let tail = [u16::to_be_bytes(tail), [1, 2], [3, 4], [5, 6]].concat();
                let whole = [&start.to_be_bytes()[..], &tail, &vec![7; padding]].concat();
                for end in [0, 1, 2, 3, 5, 7, 8, 9, 131, 134, whole.len()] {
                    let bytes = &whole[..end.min(whole.len())];
                    compare_ways(bytes, Role::Client);
                    compare_ways(bytes, Role::Server);
                }
            }
        }
    }

    fn compare_ways(bytes: &[u8], role: Role) {
        let thorough = Header::parse(bytes, rules(role));
        let is_whole = |header: &Header| (bytes.len() - header.size) as u64 >= header.length;
        if let Ok(Some(header)) = &thorough {
            assert_eq!(Header::is_whole(bytes), is_whole(header), "{bytes:x?}");
        }
        let whole = thorough.ok().flatten().filter(is_whole);
        let usual = |header: &Header| {
            let is_data = matches!(header.opcode, Opcode::Text | Opcode::Binary);
            is_data && header.is_final && header.length <= 0xFFFF
        };
        let quick = Header::of_whole_message(bytes, role);
        if let Some(header) = &quick {
            let size = Header::usual_size(header.length as usize, role);
            assert_eq!(header.size, size, "{bytes:x?}, {role:?}");
        }
        assert_eq!(quick, whole.filter(usual), "{bytes:x?}, {role:?}");
    }

    fn compare(bytes: &[u8]) {
        let mut cursor = Cursor::new(bytes);
        let theirs = FrameHeader::parse(&mut cursor);
        let role = match bytes {
            [_, second, ..] if second & 0x80 == 0 => Role::Client,
            _ => Role::Server,
        };
        match (Header::parse(bytes, rules(role)), theirs) {
            (Ok(None), Ok(None)) => {}
            (Err(violation), Err(_)) => assert_eq!(violation, RESERVED_OPCODE),
            (Ok(Some(ours)), Ok(Some((theirs, length)))) => {
                assert_eq!(ours.length, length, "{bytes:x?}");
                assert_eq!(ours.size as u64, cursor.position(), "{bytes:x?}");
                assert_eq!(ours.is_final, theirs.is_final, "{bytes:x?}");
                assert_eq!(ours.opcode.to_wire(), theirs.opcode, "{bytes:x?}");
                assert_eq!(ours.key.map(MaskKey::as_bytes), theirs.mask, "{bytes:x?}");
            }
            // tungstenite does not judge illegal frames, but this one is whole.
            (Err(violation), Ok(Some(_))) => assert_ne!(violation, RESERVED_OPCODE),
            (ours, theirs) => panic!("{bytes:x?}: {ours:?}, {theirs:?}"),
        }
    }
}
