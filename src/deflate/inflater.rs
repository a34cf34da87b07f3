//! The receiving direction: [`Inflater`].

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{InflateError, TAIL, has_memory};

/// A decompressor of one connection's messages, in their order, with bounded output.
pub(crate) struct Inflater {
    stream: Inflate,
    /// The flag that the stream has met a final block, behind which it takes nothing more.
    has_ended: bool,
    /// The flag that the message has brought any byte.
    has_payload: bool,
    /// The flag that the room for output was filled.
    has_more: bool,
}

/// The room for output that a call has at least, if it may have that much.
const LEAST_STEP: usize = 512;
/// The most room for output of a call: it is filled with zeros before.
const STEP: usize = 64 << 10;
/// The farthest that deflate refers back.
const WINDOW: usize = 32 << 10;
/// zlib-rs has this window whatever it is asked for.
const WINDOW_BITS: u8 = 15;
/// The memory that zlib-rs takes for a stream, in bytes.
const MEMORY: usize = 48 << 10;

impl Inflater {
    /// Makes a decompressor.
    ///
    /// # Errors
    /// [`NoMemory`](InflateError::NoMemory).
    pub(crate) fn new() -> Result<Self, InflateError> {
        if !has_memory(MEMORY) {
            return Err(InflateError::NoMemory);
        }
        Ok(Self {
            stream: Inflate::new(false, WINDOW_BITS),
            has_ended: false,
            has_payload: false,
            has_more: false,
        })
    }

    /// Begins a message, which may refer back to those before unless they are to be `forgotten`.
    pub(crate) fn begin(&mut self, forgotten: bool) {
        self.has_payload = false;
        self.has_more = false;
        if forgotten {
            self.restart();
        }
    }

    /// Decompresses a part of the message, and appends at most `room` bytes to the output. Returns
    /// how many bytes of the input it has taken. The output holds what the message has put out before,
    /// unless the program has taken it already.
    ///
    /// # Errors
    /// [`InflateError`] for input that is no deflate stream, and where there is no memory.
    pub(crate) fn inflate(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        room: usize,
    ) -> Result<usize, InflateError> {
        self.has_payload |= !input.is_empty();
        let end = output.len().saturating_add(room);
        let mut step = input.len().saturating_mul(4).clamp(LEAST_STEP, STEP);
        let mut taken = 0;
        while (taken < input.len() || self.has_more) && output.len() < end {
            if self.has_ended {
                self.go_on(output)?;
            }
            taken += self.step(&input[taken..], output, step.min(end - output.len()))?;
            step = STEP.min(2 * step);
        }
        Ok(taken)
    }

    /// Tells whether there may be more output without more input.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Ends the message, of which everything has come and is put out.
    ///
    /// # Errors
    /// [`InflateError`] for a message that breaks off.
    pub(crate) fn finish(&mut self) -> Result<(), InflateError> {
        // Some peers send an empty message as no byte at all. A final block is an end as well.
        if !self.has_payload || self.has_ended {
            return Ok(());
        }
        // A message that breaks off takes the tail for data, and mostly the byte behind it as well.
        let [a, b, c, d] = TAIL;
        let (taken, put) = (self.stream.total_in(), self.stream.total_out());
        let (input, output) = ([a, b, c, d, 0], &mut [0; 64]);
        let result = self.stream.decompress(&input, output, InflateFlush::Block);
        result.map_err(error_of)?;
        let taken = self.stream.total_in() - taken;
        if taken != TAIL.len() as u64 || self.stream.total_out() != put {
            return Err(InflateError::Data("a compressed message breaks off"));
        }
        Ok(())
    }

    /// Decompresses once. Returns how much of the input it has taken.
    fn step(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        room: usize,
    ) -> Result<usize, InflateError> {
        let (before, length) = (self.stream.total_in(), output.len());
        let status = self.decompress(input, output, room)?;
        let taken = (self.stream.total_in() - before) as usize;
        let put = output.len() - length;
        self.has_ended = status == Status::StreamEnd;
        self.has_more = put == room && !self.has_ended;
        if taken == 0 && put == 0 && !self.has_ended && !input.is_empty() {
            return Err(InflateError::Data("a compressed message stands still"));
        }
        Ok(taken)
    }

    fn decompress(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        room: usize,
    ) -> Result<Status, InflateError> {
        let (before, length) = (self.stream.total_out(), output.len());
        output.resize(length + room, 0);
        let flush = InflateFlush::SyncFlush;
        let result = self.stream.decompress(input, &mut output[length..], flush);
        output.truncate(length + (self.stream.total_out() - before) as usize);
        result.map_err(error_of)
    }

    /// Goes on behind a final block. RFC 7692, section 7.2.3.5, lets a message consist of several
    /// blocks of any kind. They may refer back to what this message has put out.
    fn go_on(&mut self, output: &[u8]) -> Result<(), InflateError> {
        self.restart();
        let window = &output[output.len().saturating_sub(WINDOW)..];
        if !window.is_empty() && self.stream.set_dictionary(window).is_err() {
            return Err(InflateError::Data("a compressed message cannot go on"));
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.stream.reset(false);
        self.has_ended = false;
    }
}

fn error_of(error: zlib_rs::InflateError) -> InflateError {
    match error {
        zlib_rs::InflateError::MemError => InflateError::NoMemory,
        _ => InflateError::Data("a compressed message is no deflate stream"),
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}
