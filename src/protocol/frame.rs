//! Frame headers (RFC 6455, section 5.2): the only file here that names tungstenite.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{MaskKey, Role, Violation};
use crate::Message;

/// The longest payload of a control frame (RFC 6455, section 5.5).
const MAX_CONTROL_PAYLOAD: u64 = 125;

/// The longest header: two bytes, eight of length, four of mask.
pub(super) const MAX_HEADER: usize = 14;

/// Names what a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
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

    /// Returns `None` for a reserved opcode.
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

    fn to_wire(self) -> OpCode {
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

/// Holds the header of a frame that came, legal as far as the header alone can tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    pub(super) is_final: bool,
    pub(super) key: Option<MaskKey>,
    /// Bytes of payload that follow.
    pub(super) length: u64,
    /// Bytes that the header itself takes.
    pub(super) size: usize,
}

impl Header {
    /// Reads the header that `bytes` begin with, or returns `None` if its end has not come.
    ///
    /// # Errors
    /// 1002 for a header that no frame to this side may have.
    pub(super) fn parse(bytes: &[u8], role: Role) -> Result<Option<Self>, Violation> {
        let mut cursor = Cursor::new(bytes);
        let parsed = FrameHeader::parse(&mut cursor);
        let size = cursor.position() as usize;
        // RFC 6455 5.2: an unknown opcode MUST fail the connection; it is the only error there is.
        let parsed = parsed.map_err(|_| RESERVED_OPCODE)?;
        let Some((header, length)) = parsed else {
            return Ok(None);
        };
        judge_mask(&header, role)?;
        judge_reserved_bits(&header)?;
        judge_length_form(&header, length, size)?;
        let header = Self {
            opcode: Opcode::from_wire(header.opcode).ok_or(RESERVED_OPCODE)?,
            is_final: header.is_final,
            key: header.mask.map(MaskKey::from),
            length,
            size,
        };
        header.judge_control()?;
        Ok(Some(header))
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

/// RFC 6455 5.1: a server MUST close on an unmasked frame, a client on a masked one.
fn judge_mask(header: &FrameHeader, role: Role) -> Result<(), Violation> {
    match (role, header.mask.is_some()) {
        (Role::Server, false) => Err(Violation::protocol("a frame that is not masked")),
        (Role::Client, true) => Err(Violation::protocol("a masked frame from a server")),
        _ => Ok(()),
    }
}

/// RFC 6455 5.2: reserved bits MUST be 0 unless an extension gives them a meaning.
fn judge_reserved_bits(header: &FrameHeader) -> Result<(), Violation> {
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(Violation::protocol("a reserved bit is set"));
    }
    Ok(())
}

/// RFC 6455 5.2: the length MUST have the shortest of its forms, and its highest bit MUST be 0.
fn judge_length_form(header: &FrameHeader, length: u64, size: usize) -> Result<(), Violation> {
    if size != header.len(length) {
        return Err(Violation::protocol("a length in a longer form than needed"));
    }
    if length >> 63 != 0 {
        return Err(Violation::protocol("a length of 2^63 or more"));
    }
    Ok(())
}

/// Names a frame's place in its message (RFC 6455, section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fin {
    /// More fragments follow.
    More,
    /// It is the last fragment, or the whole message.
    Last,
}

/// Appends the header of a frame.
pub(super) fn append_header(
    out: &mut Vec<u8>,
    opcode: Opcode,
    fin: Fin,
    length: u64,
    key: Option<MaskKey>,
) {
    let header = FrameHeader {
        is_final: fin == Fin::Last,
        opcode: opcode.to_wire(),
        mask: key.map(MaskKey::as_bytes),
        ..FrameHeader::default()
    };
    let formatted = header.format(length, out);
    debug_assert!(formatted.is_ok(), "writing to a Vec cannot fail");
}
