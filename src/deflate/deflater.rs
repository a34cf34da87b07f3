//! The sending direction: [`Deflater`].

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

use super::{DeflateSettings, Part, TAIL, has_memory};

/// A compressor of messages.
pub(crate) struct Deflater {
    settings: DeflateSettings,
    stream: Deflate,
    /// The flag that the stream holds output that nobody fetched. zlib-rs 0.6.8 is not to be trusted with
    /// such a stream any more: another one has to be made.
    is_spoilt: bool,
    /// The flag that it has compressed since it began anew, so that a message could refer back.
    is_used: bool,
    /// The flag that the tail behind the last part of a message is still to be put out.
    owes_tail: bool,
}

/// A compressed message gives back as much room, where it has more than it needs.
const SURPLUS: usize = 1 << 10;
/// The most memory that zlib-rs takes for a stream, in bytes.
const MEMORY: usize = 484 << 10;

impl Deflater {
    /// Makes a compressor, or returns `None` if there is no memory. A setting out of its range becomes
    /// the nearest one.
    pub(crate) fn new(settings: DeflateSettings) -> Option<Self> {
        Some(Self {
            settings,
            stream: new_stream(settings)?,
            is_spoilt: false,
            is_used: false,
            owes_tail: false,
        })
    }

    /// Compresses a message, or returns `None` if it would not shrink. Then the message is to be sent
    /// plain, and the next one refers to nothing before, as the peer never sees what was tried.
    pub(crate) fn compress(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let shrunk = self.deflate(payload, room_for(payload));
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
            match self.deflate(part, room_for(part)) {
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
        if std::mem::replace(&mut self.is_used, false) && !self.is_spoilt {
            self.stream.reset();
        }
    }

    /// Compresses into this room, without the tail, if that is enough.
    fn deflate(&mut self, payload: &[u8], room: usize) -> Option<Vec<u8>> {
        if self.is_spoilt {
            self.stream = new_stream(self.settings)?;
            self.is_spoilt = false;
        }
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
            self.is_spoilt = true;
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

fn new_stream(settings: DeflateSettings) -> Option<Deflate> {
    // zlib-rs panics for other settings. A window of 8 would become one of 9, which a peer that has
    // agreed on 8 need not take.
    let config = DeflateConfig {
        level: i32::from(settings.level.min(9)),
        window_bits: -i32::from(settings.window_bits.clamp(9, 15)),
        mem_level: i32::from(settings.memory_level.clamp(1, 9)),
        ..DeflateConfig::default()
    };
    has_memory(MEMORY).then(|| Deflate::new_with_config(config))
}

/// Returns the room in which a payload surely is compressed: what does not shrink grows by an eighth at
/// most, as each byte takes nine bits in a block of fixed codes, and by the heads of blocks.
fn room_for(payload: &[u8]) -> usize {
    payload.len() + payload.len() / 8 + 22
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

#[cfg(test)]
impl Deflater {
    /// Compresses into too little room, and begins anew.
    pub(super) fn abandon_output(&mut self, payload: &[u8]) {
        assert_eq!(self.deflate(payload, payload.len() / 2), None);
        self.forget();
    }
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}
