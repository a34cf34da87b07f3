//! Messages to bytes: [`Encoder`].

use super::frame::{MAX_HEADER, append_header};
use super::{Fin, MaskKey, Opcode, Role};

/// Makes frames.
#[derive(Debug)]
pub(crate) struct Encoder {
    role: Role,
}

impl Encoder {
    pub(crate) fn new(role: Role) -> Self {
        Self { role }
    }

    /// Appends a frame with its payload.
    pub(crate) fn encode(&mut self, opcode: Opcode, fin: Fin, payload: &[u8], out: &mut Vec<u8>) {
        out.reserve(MAX_HEADER + payload.len());
        match self.encode_header(opcode, fin, payload.len() as u64, out) {
            Some(key) => key.append_masked(out, payload, 0),
            None => out.extend_from_slice(payload),
        }
    }

    /// Appends the header of a frame whose payload the caller lets follow, masked with the key if
    /// there is one.
    pub(crate) fn encode_header(
        &mut self,
        opcode: Opcode,
        fin: Fin,
        length: u64,
        out: &mut Vec<u8>,
    ) -> Option<MaskKey> {
        // RFC 6455 5.3: a client MUST pick a fresh key for each frame.
        let key = (self.role == Role::Client).then(MaskKey::random);
        append_header(out, opcode, fin, length, key);
        key
    }
}
