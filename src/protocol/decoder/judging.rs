//! The judgement of a frame's header: its place among the others, and its size.

use super::Decoder;
use crate::protocol::assembly::Assembly;
use crate::protocol::frame::{Header, Opcode};
use crate::protocol::{Limits, Violation};

impl Decoder {
    /// Judges the order of frames. RFC 6455 5.4: a message's first frame has its opcode, the others
    /// are continuations, and messages MUST NOT be interleaved.
    pub(super) fn judge_order(&self, header: &Header) -> Result<(), Violation> {
        let is_continuation = header.opcode == Opcode::Continuation;
        match (&self.assembly, is_continuation) {
            (None, true) => Err(Violation::protocol("a continuation of nothing")),
            (Some(_), false) => Err(Violation::protocol("a message inside another one")),
            _ => Ok(()),
        }
    }

    /// Judges the size of a frame. RFC 6455 10.4: the sizes of frames and of reassembled messages
    /// SHOULD be limited.
    pub(super) fn judge_size(&self, header: &Header) -> Result<(), Violation> {
        if self.is_streaming {
            return Ok(());
        }
        let (length, fragments) = match &self.assembly {
            Some(assembly) => (assembly.len(), assembly.fragments()),
            None => (0, 0),
        };
        let Limits {
            max_message_size,
            max_frame_size,
            max_fragments,
            ..
        } = self.limits;
        if header.length > max_frame_size as u64 {
            let what = "the frame is too big, in bytes";
            return Err(Violation::too_big(what, header.length, max_frame_size));
        }
        if fragments >= max_fragments {
            let what = "the message has too many fragments";
            return Err(Violation::too_big(
                what,
                fragments as u64 + 1,
                max_fragments,
            ));
        }
        let compressed = self.assembly.as_ref().and_then(Assembly::compressed);
        if let Some(compressed) = compressed.or(header.is_compressed.then_some(0)) {
            return self.judge_compressed_size(compressed.saturating_add(header.length));
        }
        if header.length > (max_message_size - length) as u64 {
            let size = header.length.saturating_add(length as u64);
            let what = "the message is too big, in bytes";
            return Err(Violation::too_big(what, size, max_message_size));
        }
        Ok(())
    }

    /// Judges how much of a message comes compressed. What it becomes is judged as it comes out.
    fn judge_compressed_size(&self, size: u64) -> Result<(), Violation> {
        let most = self.limits.max_compressed_size();
        if size > most as u64 {
            let what = "the compressed message is too big, in bytes";
            return Err(Violation::too_big(what, size, most));
        }
        Ok(())
    }
}
