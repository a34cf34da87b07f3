//! Frames by hand, as fast as they can be handled.

use std::error::Error;
use std::io::Read;
use std::ops::Range;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// Appends a whole message in one frame.
pub(crate) fn append_frame(
    payload: &[u8],
    kind: Data,
    is_compressed: bool,
    mask: Option<[u8; 4]>,
    out: &mut Vec<u8>,
) {
    let header = FrameHeader {
        rsv1: is_compressed,
        opcode: OpCode::Data(kind),
        mask,
        ..FrameHeader::default()
    };
    header
        .format(payload.len() as u64, out)
        .expect("a vector takes every header");
    let begin = out.len();
    out.extend_from_slice(payload);
    if mask.is_some() {
        apply_mask(&mut out[begin - 4..]);
    }
}

/// Gives out, as a server sends them, the whole frames that have come with each `recv`.
pub(crate) fn answer_batches<S: Read>(
    mut stream: S,
    mut answer: impl FnMut(&mut S, &[u8]) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        filled += match stream.read(&mut buffer[filled..])? {
            0 => return Ok(()),
            read => read,
        };
        let batch = answer_whole_frames(&mut buffer[..filled]);
        answer(&mut stream, &buffer[batch.answer])?;
        buffer.copy_within(batch.consumed..filled, 0);
        filled -= batch.consumed;
        if buffer.len() < batch.wanted {
            buffer.resize(batch.wanted, 0);
        }
    }
}

/// What became of a buffer of masked frames.
struct Batch {
    /// Where in it the unmasked frames stand now.
    answer: Range<usize>,
    /// So many bytes at its beginning were whole masked frames.
    consumed: usize,
    /// What an unfinished frame behind them takes up in all.
    wanted: usize,
}

/// Turns the whole masked frames at the beginning of `buffer` into unmasked ones, in place.
///
/// Each gets shorter by its mask, so all move up to the first, whose payload stays where it is.
fn answer_whole_frames(buffer: &mut [u8]) -> Batch {
    let mut batch = Batch {
        answer: 4..4,
        consumed: 0,
        wanted: 0,
    };
    while let Some((header, payload)) = frame_lengths(&buffer[batch.consumed..]) {
        let begin = batch.consumed + header + 4;
        let end = begin + payload;
        if end > buffer.len() {
            batch.wanted = end - batch.consumed;
            break;
        }
        apply_mask(&mut buffer[begin - 4..end]);
        buffer[batch.consumed + 1] &= 0x7f;
        buffer.copy_within(batch.consumed..begin - 4, batch.answer.end);
        batch.answer.end += header;
        if batch.answer.end < begin {
            buffer.copy_within(begin..end, batch.answer.end);
        }
        batch.answer.end += payload;
        batch.consumed = end;
    }
    batch
}

/// Returns each of whole unmasked frames.
pub(crate) fn split_frames(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (header, payload) = frame_lengths(frames)?;
        let (frame, rest) = frames.split_at(header + payload);
        frames = rest;
        Some(frame)
    })
}

/// Returns the payload of a whole unmasked frame.
pub(crate) fn payload_of(frame: &[u8]) -> &[u8] {
    let header = frame_lengths(frame).map_or(0, |(header, _)| header);
    &frame[header..]
}

/// Reads how long the header (without the mask) and the payload of a frame are.
pub(crate) fn frame_lengths(frame: &[u8]) -> Option<(usize, usize)> {
    match frame.get(1)? & 0x7f {
        126 => {
            let length = u16::from_be_bytes(frame.get(2..4)?.try_into().ok()?);
            Some((4, length.into()))
        }
        127 => {
            let length = u64::from_be_bytes(frame.get(2..10)?.try_into().ok()?);
            Some((10, length.try_into().ok()?))
        }
        short => Some((2, short.into())),
    }
}

/// Applies the mask, which stands in the first four bytes, to the rest: once masks, twice unmasks.
fn apply_mask(masked: &mut [u8]) {
    let (mask, payload) = masked.split_at_mut(4);
    let mask = u32::from_ne_bytes([mask[0], mask[1], mask[2], mask[3]]);
    let mut words = payload.chunks_exact_mut(4);
    for word in &mut words {
        let masked = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        word.copy_from_slice(&(masked ^ mask).to_ne_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask.to_ne_bytes()) {
        *byte ^= mask;
    }
}
