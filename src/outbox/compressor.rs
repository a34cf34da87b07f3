//! The compression of what is sent: [`Compressor`], which belongs to the writer, and
//! [`compress_alone`] for a message to many.

use bytes::Bytes;

use super::framing::Framing;
use crate::deflate::{DeflateSettings, Deflater, Part, give_back_deflater, take_deflater};
use crate::protocol::{Fin, Opcode};
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

    /// Returns the framing of messages to many.
    pub(super) fn framing(&self) -> Framing {
        let (settings, min_size) = (self.settings, self.min_size);
        match self.takeover {
            true => Framing::Own,
            false => Framing::Compressed { settings, min_size },
        }
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
        let place = match fin {
            Fin::More => Part::Inner,
            Fin::Last => Part::Last,
        };
        let compressed = self.deflater()?.compress_part(part, place);
        self.is_in_message = fin == Fin::More;
        if fin == Fin::Last && !self.takeover {
            self.give_back();
        }
        Some(compressed)
    }

    /// Returns the compressor, or `None` if there is no memory for one.
    fn deflater(&mut self) -> Option<&mut Deflater> {
        if self.deflater.is_none() {
            self.deflater = take_deflater(self.settings);
        }
        self.deflater.as_deref_mut()
    }

    fn give_back(&mut self) {
        if let Some(deflater) = self.deflater.take() {
            give_back_deflater(self.settings, deflater);
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
    let mut deflater = take_deflater(settings)?;
    let compressed = deflater.compress(payload);
    give_back_deflater(settings, deflater);
    compressed
}

#[cfg(feature = "deflate")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    fn compressor(
        settings: &Compression,
        takeover: bool,
        window_bits: u8,
    ) -> Option<Box<Compressor>> {
        let agreed = AgreedCompression {
            context_takeover: takeover,
            window_bits,
            peer_context_takeover: true,
            peer_window_bits: 15,
        };
        Compressor::new(settings, &agreed)
    }

    fn text() -> Vec<u8> {
        let lines = (0..40).map(|number| format!("line {number} of {}", number * number));
        lines.collect::<String>().into_bytes()
    }

    fn length(compressor: &mut Compressor) -> usize {
        let compressed = compressor.compress(Opcode::Text, Fin::Last, &text());
        compressed.unwrap().payload.len()
    }

    /// With takeover a compressor is given up when it was not used between two looks, and the next message
    /// begins anew. Without, none is held at all.
    #[test]
    fn idle_compressors_are_given_up() {
        let mut compressor = self::compressor(&Compression::new(), true, 15).unwrap();
        assert!(!compressor.is_loaded() && compressor.rest().is_none());
        let first = length(&mut compressor);
        assert!(length(&mut compressor) * 4 < first);
        assert!(compressor.rest().is_none() && compressor.is_loaded());
        assert!(compressor.rest().is_some() && !compressor.is_loaded());
        assert_eq!(length(&mut compressor), first);
        let mut alone = self::compressor(&Compression::new(), false, 15).unwrap();
        for _ in 0..3 {
            assert_eq!(length(&mut alone), first);
            assert!(!alone.is_loaded());
        }
    }

    /// The compressor of a message that is under way in fragments is kept, however long it takes.
    #[test]
    fn compressors_outlast_a_message_in_fragments() {
        for takeover in [true, false] {
            let settings = Compression::new().streams(true);
            let mut compressor = self::compressor(&settings, takeover, 15).unwrap();
            let text = text();
            assert!(
                compressor
                    .compress(Opcode::Text, Fin::More, &text)
                    .is_some()
            );
            for _ in 0..3 {
                assert!(compressor.rest().is_none() && compressor.is_loaded());
            }
            // Control frames come between.
            assert!(
                compressor
                    .compress(Opcode::Ping, Fin::Last, &text)
                    .is_none()
            );
            let last = compressor
                .compress(Opcode::Continuation, Fin::Last, &text)
                .unwrap();
            assert!(!last.begins_message);
            assert_eq!(compressor.is_loaded(), takeover);
            // A continuation of a plain message.
            assert!(
                compressor
                    .compress(Opcode::Continuation, Fin::Last, &text)
                    .is_none()
            );
        }
    }

    /// Only what can gain by it is compressed.
    #[test]
    fn what_goes_plain() {
        assert!(compressor(&Compression::new().level(0), false, 15).is_none());
        assert!(compressor(&Compression::new(), false, 8).is_none());
        let mut compressor = self::compressor(&Compression::new(), true, 15).unwrap();
        for (fin, payload) in [
            (Fin::Last, &text()[..255]),
            (Fin::Last, b""),
            (Fin::More, &text()),
        ] {
            assert!(compressor.compress(Opcode::Text, fin, payload).is_none());
        }
        let settings = Compression::new().min_size(0);
        let mut compressor = self::compressor(&settings, true, 15).unwrap();
        assert!(compressor.compress(Opcode::Text, Fin::Last, b"").is_none());
        assert!(
            compressor
                .compress(Opcode::Text, Fin::Last, &[b'a'; 30])
                .is_some()
        );
    }

    /// A message to many has the settings of connections without takeover, and is what each of them makes.
    #[test]
    fn messages_to_many() {
        let mut alone = compressor(&Compression::new(), false, 12).unwrap();
        let message = Message::from(text());
        let compressed = alone.framing().compress(&message);
        let own = alone.compress(Opcode::Text, Fin::Last, &text()).unwrap();
        assert_eq!(compressed.unwrap(), own.payload);
        let short = Message::from(&text()[..255]);
        assert_eq!(alone.framing().compress(&short), None);
        let takeover = compressor(&Compression::new(), true, 12).unwrap();
        assert_eq!(takeover.framing(), Framing::Own);
    }
}
