//! The sending direction: [`Deflater`].

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

use super::{DeflateSettings, Part, TAIL, has_memory};

/// A compressor of messages.
pub(crate) struct Deflater {
    stream: Deflate,
    /// The flag that it has compressed since it began anew, so that a message could refer back.
    is_used: bool,
    /// The flag that the tail behind the last part of a message is still to be put out.
    owes_tail: bool,
}

/// The bytes that a flush adds to what its data take: its block's head, and the tail.
const FLUSH: usize = 11;
/// A compressed message gives back as much room, where it has more than it needs.
const SURPLUS: usize = 1 << 10;
/// The most memory that zlib-rs takes for a stream, in bytes.
const MEMORY: usize = 484 << 10;

impl Deflater {
    /// Makes a compressor, or returns `None` if there is no memory. A setting out of its range becomes
    /// the nearest one.
    pub(crate) fn new(settings: DeflateSettings) -> Option<Self> {
        // zlib-rs panics for other settings. A window of 8 would become one of 9, which a peer that
        // has agreed on 8 need not take.
        let config = DeflateConfig {
            level: i32::from(settings.level.min(9)),
            window_bits: -i32::from(settings.window_bits.clamp(9, 15)),
            mem_level: i32::from(settings.memory_level.clamp(1, 9)),
            ..DeflateConfig::default()
        };
        has_memory(MEMORY).then(|| Self {
            stream: Deflate::new_with_config(config),
            is_used: false,
            owes_tail: false,
        })
    }

    /// Compresses a message, or returns `None` if it would not shrink. Then the message is to be sent
    /// plain, and the next one refers to nothing before, as the peer never sees what was tried.
    pub(crate) fn compress(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let shrunk = self.deflate(payload, payload.len() + FLUSH);
        let shrunk = shrunk.filter(|shrunk| shrunk.len() < payload.len());
        if shrunk.is_none() {
            self.forget();
        }
        shrunk
    }

    /// Compresses the next part of a message, which grows by an eighth and some bytes at most.
    pub(crate) fn compress_part(&mut self, part: &[u8], place: Part) -> Vec<u8> {
        let mut output = Vec::new();
        // For an empty part nothing is put out. If it is the last, the tail that is owed is the
        // message's, which is not sent.
        if !part.is_empty() {
            if self.owes_tail {
                output.extend_from_slice(&TAIL);
            }
            let room = part.len() + part.len() / 8 + 2 * FLUSH;
            match self.deflate(part, room) {
                Some(compressed) => output.extend_from_slice(&compressed),
                None => {
                    self.forget();
                    store(part, &mut output);
                }
            }
            self.owes_tail = true;
        }
        self.owes_tail &= place == Part::Inner;
        output
    }

    /// Lets the next message refer to nothing before.
    pub(crate) fn forget(&mut self) {
        self.owes_tail = false;
        if std::mem::replace(&mut self.is_used, false) {
            self.stream.reset();
        }
    }

    /// Compresses into this room, without the tail, if that is enough.
    fn deflate(&mut self, payload: &[u8], room: usize) -> Option<Vec<u8>> {
        self.is_used = true;
        let mut output = Vec::new();
        output.try_reserve_exact(room).ok()?;
        output.resize(room, 0);
        let (taken, put) = (self.stream.total_in(), self.stream.total_out());
        let flush = DeflateFlush::SyncFlush;
        let status = self.stream.compress(payload, &mut output, flush);
        let taken = (self.stream.total_in() - taken) as usize;
        let put = (self.stream.total_out() - put) as usize;
        let is_whole = taken == payload.len() && put < output.len();
        if status != Ok(Status::Ok) || !is_whole {
            return None;
        }
        output.truncate(put);
        // RFC 7692 7.2.1: the tail is removed.
        output.truncate(output.strip_suffix(&TAIL)?.len());
        if output.capacity() - output.len() > SURPLUS {
            output.shrink_to_fit();
        }
        Some(output)
    }
}

/// Puts a part out as it is, in stored blocks and the head of an empty one (RFC 1951, section 3.2.4).
pub(super) fn store(part: &[u8], output: &mut Vec<u8>) {
    for block in part.chunks(usize::from(u16::MAX)) {
        let length = block.len() as u16;
        output.push(0x00);
        output.extend_from_slice(&length.to_le_bytes());
        output.extend_from_slice(&(!length).to_le_bytes());
        output.extend_from_slice(block);
    }
    output.push(0x00);
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}
