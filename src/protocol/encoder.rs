//! Messages to bytes: [`Encoder`].

use super::frame::{Header, RSV1};
use super::{Fin, MaskKey, Opcode, Role};

/// An encoder of frames.
#[derive(Debug)]
pub(crate) struct Encoder {
    role: Role,
}

/// The longest header: two bytes, eight of length, four of mask. An encoder wants room for it.
pub(crate) const MAX_HEADER: usize = 14;

impl Encoder {
    pub(crate) fn new(role: Role) -> Self {
        Self { role }
    }

    /// Tells whether payloads are masked (RFC 6455, section 5.3).
    pub(crate) fn masks(&self) -> bool {
        self.role == Role::Client
    }

    /// Appends a frame with its payload.
    #[inline]
    pub(crate) fn encode(&self, opcode: Opcode, fin: Fin, payload: &[u8], out: &mut Vec<u8>) {
        out.reserve(MAX_HEADER + payload.len());
        match self.encode_header(opcode, fin, payload.len() as u64, out) {
            Some(key) => key.append_masked(out, payload, 0),
            None => out.extend_from_slice(payload),
        }
    }

    /// Appends the header of a frame whose payload the caller appends, masked with the returned key
    /// if there is one.
    #[inline]
    pub(crate) fn encode_header(
        &self,
        opcode: Opcode,
        fin: Fin,
        length: u64,
        out: &mut Vec<u8>,
    ) -> Option<MaskKey> {
        // RFC 6455 5.3: a client MUST pick a fresh key for each frame.
        let key = self.masks().then(MaskKey::random);
        append_header(out, opcode, fin, length, key);
        key
    }

    /// Returns the length of the frame at the beginning of encoded ones, and that of its payload, if it
    /// is whole: a plain message in one frame of at most 64 KiB.
    pub(crate) fn whole_message(&self, encoded: &[u8]) -> Option<(usize, u64)> {
        let reader = match self.role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        let header = Header::of_whole_message(encoded, reader)?;
        Some((header.size + header.length as usize, header.length))
    }

    /// Marks a frame as the first of a compressed message (RFC 7692, section 6). `frame` are the bytes
    /// that were appended for it.
    pub(crate) fn mark_compressed(frame: &mut [u8]) {
        if let Some(first) = frame.first_mut() {
            *first |= RSV1;
        }
    }
}

/// Appends a header (RFC 6455, section 5.2), with the shortest form of the length.
#[inline(always)]
fn append_header(out: &mut Vec<u8>, opcode: Opcode, fin: Fin, length: u64, key: Option<MaskKey>) {
    let first = opcode as u8 | if fin == Fin::Last { 0x80 } else { 0 };
    let masked = if key.is_some() { 0x80 } else { 0 };
    // The common cases in one step.
    if length < 126 {
        let second = masked | length as u8;
        return match key.map(MaskKey::as_bytes) {
            Some([a, b, c, d]) => out.extend_from_slice(&[first, second, a, b, c, d]),
            None => out.extend_from_slice(&[first, second]),
        };
    }
    append_long_header(out, first, masked, length, key);
}

#[inline(never)]
fn append_long_header(out: &mut Vec<u8>, first: u8, masked: u8, length: u64, key: Option<MaskKey>) {
    match length {
        ..=0xFFFF => {
            let [high, low] = (length as u16).to_be_bytes();
            out.extend_from_slice(&[first, masked | 126, high, low]);
        }
        _ => {
            out.extend_from_slice(&[first, masked | 127]);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    if let Some(key) = key {
        out.extend_from_slice(&key.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::frame::FrameHeader;

    use super::*;

    /// Every header is tungstenite's: of each opcode, first or last, masked or not, with every length
    /// up to where the last form begins, and around each power of two behind that.
    #[test]
    fn headers_are_those_of_tungstenite() {
        let powers = (16..64).map(|power| 1_u64 << power);
        let large = powers.flat_map(|power| [power - 1, power, power + 1]);
        let lengths: Vec<_> = (0..=0x1_0001).chain(large).collect();
        for opcode in [
            Opcode::Continuation,
            Opcode::Text,
            Opcode::Binary,
            Opcode::Close,
            Opcode::Ping,
            Opcode::Pong,
        ] {
            for fin in [Fin::More, Fin::Last] {
                for key in [None, Some([1, 2, 3, 0xFF])] {
                    for &length in &lengths {
                        compare(opcode, fin, key, length);
                    }
                }
            }
        }
    }

    fn compare(opcode: Opcode, fin: Fin, key: Option<[u8; 4]>, length: u64) {
        let mut ours = Vec::with_capacity(MAX_HEADER);
        append_header(&mut ours, opcode, fin, length, key.map(MaskKey::from));
        let mut theirs = Vec::with_capacity(MAX_HEADER);
        let header = FrameHeader {
            is_final: fin == Fin::Last,
            opcode: opcode.to_wire(),
            mask: key,
            ..FrameHeader::default()
        };
        header
            .format(length, &mut theirs)
            .expect("a vector takes it");
        assert_eq!(ours, theirs, "{opcode:?} {fin:?} {key:?} {length}");
    }
}
