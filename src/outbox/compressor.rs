//! The compression of what is sent: [`Compressor`], which belongs to the writer, and
//! [`compress_alone`] for a message to many.

use bytes::Bytes;

use super::deflater_pool;
use crate::protocol::{DeflateSettings, Deflater, Fin, Opcode};
use crate::{AgreedCompression, Compression};

/// Our direction of an agreed compression.
#[derive(Debug)]
pub(crate) struct Compressor {
    settings: DeflateSettings,
    /// The least length of a message that is compressed, in bytes.
    min_size: usize,
    /// The flag that messages in fragments are compressed too.
    streams: bool,
    /// The flag that messages may refer back to those before.
    takeover: bool,
    /// The compressor with what it refers back to. Without takeover it is here only while a message in
    /// fragments lasts.
    deflater: Option<Box<Deflater>>,
    /// The flag that the fragments of a compressed message are being sent.
    is_in_message: bool,
    /// The flag that it has compressed since the last [`rest`](Self::rest).
    is_used: bool,
}

/// A payload that was compressed.
pub(super) struct Compressed {
    pub(super) payload: Bytes,
    /// The flag that its frame begins a message, and marks it (RFC 7692, section 6).
    pub(super) begins_message: bool,
}

impl Compressor {
    /// Makes a compressor, unless every message goes plain: at level 0, and for a peer whose window is
    /// less than zlib's smallest. RFC 7692 6: each message may go plain.
    pub(crate) fn new(settings: &Compression, agreed: &AgreedCompression) -> Option<Box<Self>> {
        if settings.level == 0 || agreed.window_bits < 9 {
            return None;
        }
        Some(Box::new(Self {
            settings: DeflateSettings {
                level: settings.level,
                window_bits: agreed.window_bits,
                memory_level: settings.memory_level,
            },
            min_size: settings.min_size.max(1),
            streams: settings.streams,
            takeover: agreed.context_takeover,
            deflater: None,
            is_in_message: false,
            is_used: false,
        }))
    }

    /// Returns the least length of a frame that may be compressed.
    pub(super) fn threshold(&self) -> usize {
        if self.streams { 0 } else { self.min_size }
    }

    /// Returns the settings by which a message of this length may be compressed for this connection
    /// and others at once; `None` if it is to be sent plain, or refers back to messages before.
    #[expect(dead_code, reason = "for a message to many, which is compressed once")]
    pub(super) fn settings_alone(&self, length: usize) -> Option<DeflateSettings> {
        let alone = !self.takeover && length >= self.min_size;
        alone.then_some(self.settings)
    }

    /// Compresses the payload of a frame. Returns `None` for one that is to be sent plain: a control
    /// frame, a message that is too short or does not shrink, and a fragment of a plain message.
    pub(super) fn compress(
        &mut self,
        opcode: Opcode,
        fin: Fin,
        payload: &[u8],
    ) -> Option<Compressed> {
        let begins_message = match opcode {
            Opcode::Text | Opcode::Binary => true,
            Opcode::Continuation if self.is_in_message => false,
            _ => return None,
        };
        let payload = if begins_message && fin == Fin::Last {
            self.compress_whole(payload)?
        } else if !begins_message || self.streams && !payload.is_empty() {
            self.compress_part(payload, fin)?
        } else {
            return None;
        };
        Some(Compressed {
            payload: payload.into(),
            begins_message,
        })
    }

    fn compress_whole(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if payload.len() < self.min_size {
            return None;
        }
        if !self.takeover {
            return compress_alone(self.settings, payload);
        }
        self.is_used = true;
        self.deflater()?.compress(payload)
    }

    fn compress_part(&mut self, part: &[u8], fin: Fin) -> Option<Vec<u8>> {
        self.is_used = true;
        let compressed = self.deflater()?.compress_part(part, fin);
        self.is_in_message = fin == Fin::More;
        if fin == Fin::Last && !self.takeover {
            self.give_back();
        }
        Some(compressed)
    }

    /// Returns the compressor, or `None` if there is no memory for one.
    fn deflater(&mut self) -> Option<&mut Deflater> {
        if self.deflater.is_none() {
            self.deflater = deflater_pool::take(self.settings);
        }
        self.deflater.as_deref_mut()
    }

    fn give_back(&mut self) {
        if let Some(deflater) = self.deflater.take() {
            deflater_pool::give_back(self.settings, deflater);
        }
    }

    /// Tells whether it holds a compressor.
    pub(super) fn is_loaded(&self) -> bool {
        self.deflater.is_some()
    }

    /// Gives up its compressor if that was not used since the last call: the next message then refers
    /// to nothing before, which every peer takes. Returns it, to be dropped where no lock is held.
    pub(super) fn rest(&mut self) -> Option<Box<Deflater>> {
        let is_idle = !std::mem::take(&mut self.is_used) && !self.is_in_message;
        self.deflater.take_if(|_| is_idle)
    }
}

/// Compresses a message that refers to none before, or returns `None` if it does not shrink. The result
/// is the payload of a frame that is [marked](crate::protocol::Encoder::mark_compressed), for every
/// connection of these settings without context takeover.
pub(super) fn compress_alone(settings: DeflateSettings, payload: &[u8]) -> Option<Vec<u8>> {
    let mut deflater = deflater_pool::take(settings)?;
    let compressed = deflater.compress(payload);
    deflater_pool::give_back(settings, deflater);
    compressed
}
