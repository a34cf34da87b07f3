//! A message that has come in part: [`Assembly`].

use super::frame::{Header, Opcode};
use super::inflation::Inflation;
use super::mask::MaskKey;
use super::read_buffer::{AT_REST, ReadBuffer};
use super::utf8::Utf8Progress;
use super::{Chunk, Violation};
use crate::buffer_pool::LARGE;

/// The first step in which a payload grows that is received directly, in bytes. Later ones double
/// it, unless what came is taken out in chunks. Up to this a payload has room without asking.
const FIRST_STEP: usize = 64 << 10;

/// The room for which a piece of a compressed message is given at first: as many times its length, and
/// so many bytes.
const INFLATED: (usize, usize) = (4, 64);

/// Collects the payload of a message, over all its frames.
///
/// Memory follows the bytes that came, never the length that a header declares. Beyond the first step
/// it grows only when told to: see [`wanted`](Self::wanted).
#[derive(Debug)]
pub(super) struct Assembly {
    is_text: bool,
    fragments: usize,
    /// The decompression, if the message comes compressed. The payload is what it puts out then.
    inflation: Option<Inflation>,
    /// What came and was not taken out; while a `recv` fills it directly, possibly more than the
    /// frame has.
    payload: Vec<u8>,
    /// How much of the payload is unmasked and checked.
    done: usize,
    utf8: Utf8Progress,
    /// The newest frame: how long it is, and how much of it is unmasked and checked.
    frame_length: u64,
    frame_done: u64,
    key: Option<MaskKey>,
    is_final: bool,
    /// Whether the first chunk was taken out.
    is_announced: bool,
}

impl Assembly {
    pub(super) fn new(opcode: Opcode, inflation: Option<Inflation>) -> Self {
        Self {
            is_text: opcode == Opcode::Text,
            fragments: 0,
            inflation,
            payload: Vec::new(),
            done: 0,
            utf8: Utf8Progress::default(),
            frame_length: 0,
            frame_done: 0,
            key: None,
            is_final: false,
            is_announced: false,
        }
    }

    /// Begins the next frame; the one before must be whole.
    pub(super) fn begin_frame(&mut self, header: &Header) {
        self.fragments += 1;
        self.frame_length = header.length;
        self.frame_done = 0;
        self.key = header.key;
        self.is_final = header.is_final;
        if let Some(inflation) = &mut self.inflation {
            inflation.begin_frame(header.length);
        }
    }

    /// Takes what has come of the frame and finds room, unmasks, decompresses and checks it; returns how
    /// many bytes of the frame that is.
    ///
    /// # Errors
    /// 1007 as soon as a text holds a byte that cannot be right, or as the bytes are no deflate stream;
    /// 1009 for a message that becomes too long when it is decompressed, and where there is no memory.
    pub(super) fn absorb(&mut self, input: &mut ReadBuffer) -> Result<usize, Violation> {
        if self.is_frame_whole() {
            return Ok(0);
        }
        let length = match &self.inflation {
            None => self.take_plain(input)?,
            Some(_) => self.inflate(input)?,
        };
        self.frame_done += length as u64;
        if self.is_text {
            self.utf8.advance(&self.payload[self.done..])?;
        }
        // Behind the check of the text: the first violation counts, in whatever pieces it comes.
        if let Some(inflation) = &self.inflation {
            inflation.judge_size(self.payload.len())?;
        }
        self.done = self.payload.len();
        Ok(length)
    }

    fn take_plain(&mut self, input: &mut ReadBuffer) -> Result<usize, Violation> {
        self.give_back_surplus(input);
        self.make_first_room(input.unread().len().min(self.missing()))?;
        let room = self.missing().min(self.room());
        self.payload.extend_from_slice(input.take(room));
        let came = &mut self.payload[self.done..];
        if let Some(key) = self.key {
            key.apply(came, (self.frame_done % 4) as usize);
        }
        Ok(came.len())
    }

    /// Decompresses what has come of the frame, in the read buffer, as far as there is room.
    fn inflate(&mut self, input: &mut ReadBuffer) -> Result<usize, Violation> {
        let missing = self.missing();
        let mut taken = 0;
        loop {
            let come = input.unread().len().min(missing - taken);
            let (times, least) = INFLATED;
            self.make_first_room(come.saturating_mul(times).saturating_add(least))?;
            let (key, done) = (self.key, self.frame_done + taken as u64);
            let Some(inflation) = &mut self.inflation else {
                return Ok(taken);
            };
            let unread = &mut input.unread_mut()[..come];
            let step = inflation.absorb(unread, key, done, &mut self.payload)?;
            input.skip(step);
            taken += step;
            let goes_on = step < come || inflation.has_more();
            let is_over = inflation.is_over(self.payload.len());
            if !goes_on || is_over || self.payload.capacity() >= FIRST_STEP {
                return Ok(taken);
            }
        }
    }

    /// Returns the payload itself to receive into. It has room where nothing is [`wanted`](Self::wanted).
    pub(super) fn spare(&mut self) -> &mut Vec<u8> {
        &mut self.payload
    }

    /// Tells whether to receive into the payload: much of the frame is missing, and what may come with
    /// it from behind the frame is little.
    pub(super) fn is_received_directly(&self, input: &ReadBuffer) -> bool {
        let missing = self.missing();
        let is_plain = self.inflation.is_none();
        is_plain && missing >= input.capacity() && self.room() <= missing.saturating_add(LARGE)
    }

    /// Returns the capacity that the payload needs before more of the frame can be taken, of which so
    /// much is unread, or received; `None` where it has room.
    pub(super) fn wanted(&self, unread: usize) -> Option<usize> {
        if let Some(inflation) = &self.inflation {
            let enough = inflation.most().saturating_add(1);
            return (self.room() == 0).then_some(self.next_step().min(enough));
        }
        let least = match unread {
            0 if self.payload.is_empty() => FIRST_STEP,
            0 => AT_REST,
            // A chunk has no more, however much has come at once.
            unread => unread.min(FIRST_STEP),
        };
        if self.room() >= self.missing().min(least) {
            return None;
        }
        let whole = self.payload.len().saturating_add(self.missing());
        // Small frames that others follow are not to move the payload each time.
        Some(if unread == 0 || self.is_final {
            self.next_step().min(whole)
        } else {
            self.next_step()
        })
    }

    /// Returns the next larger capacity: the first step, or twice as much.
    fn next_step(&self) -> usize {
        let capacity = self.payload.capacity();
        if capacity < FIRST_STEP {
            FIRST_STEP
        } else {
            capacity.saturating_mul(2)
        }
    }

    /// Grows the payload to what was [`wanted`](Self::wanted).
    ///
    /// # Errors
    /// 1009 where there is no memory.
    pub(super) fn grow(&mut self, capacity: usize) -> Result<(), Violation> {
        let more = capacity.saturating_sub(self.payload.len());
        let grown = self.payload.try_reserve_exact(more);
        grown.map_err(|_| Violation::NO_MEMORY)
    }

    /// Makes room for so many bytes, within the first step.
    fn make_first_room(&mut self, coming: usize) -> Result<(), Violation> {
        if self.room() >= coming || self.payload.capacity() >= FIRST_STEP {
            return Ok(());
        }
        let enough = self.payload.len().saturating_add(coming);
        self.grow(enough.max(2 * self.payload.capacity()).min(FIRST_STEP))
    }

    /// Tells whether there is something to take out. The first chunk says that the message has
    /// begun, and the last one that it is complete: they may be empty.
    pub(super) fn has_chunk(&self) -> bool {
        self.done > 0 || self.is_complete() || !self.is_announced
    }

    /// Takes out what has been absorbed.
    ///
    /// # Errors
    /// 1007 at the end of a text whose last character is incomplete, and of a compressed message that
    /// breaks off.
    pub(super) fn take_chunk(&mut self) -> Result<Chunk, Violation> {
        let is_last = self.is_complete();
        if is_last {
            self.finish()?;
        }
        self.is_announced = true;
        self.done = 0;
        Ok(Chunk {
            is_text: self.is_text,
            bytes: std::mem::take(&mut self.payload),
            is_last,
        })
    }

    /// Takes the memory of a chunk that is used up, to receive the next one into.
    pub(super) fn reuse(&mut self, mut bytes: Vec<u8>) {
        if self.payload.capacity() == 0 && bytes.capacity() <= FIRST_STEP {
            bytes.clear();
            self.payload = bytes;
        }
    }

    /// Judges the end of the message.
    ///
    /// # Errors
    /// 1007, as [`take_chunk`](Self::take_chunk).
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        self.utf8.finish()?;
        self.inflation.as_mut().map_or(Ok(()), Inflation::finish)
    }

    /// Gives up the decompression of a message that has ended.
    pub(super) fn take_inflation(&mut self) -> Option<Inflation> {
        self.inflation.take()
    }

    /// Tells whether it is a text, and gives up the payload.
    pub(super) fn into_payload(mut self) -> (bool, Vec<u8>) {
        let waste = self.payload.capacity() - self.payload.len();
        if waste > AT_REST && waste > self.payload.len() / 4 {
            self.payload.shrink_to_fit();
        }
        (self.is_text, self.payload)
    }

    /// Tells whether everything of the frame is absorbed.
    pub(super) fn is_frame_whole(&self) -> bool {
        self.frame_done == self.frame_length && !self.has_more()
    }

    /// Tells whether there is more without more input, once there is room.
    pub(super) fn has_more(&self) -> bool {
        self.inflation.as_ref().is_some_and(Inflation::has_more)
    }

    /// Lifts the limit of what is decompressed.
    pub(super) fn allow_any_size(&mut self) {
        if let Some(inflation) = &mut self.inflation {
            inflation.allow_any_size();
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_final && self.is_frame_whole()
    }

    /// Returns how many bytes of the frame have not come, or as many as can be counted.
    pub(super) fn missing(&self) -> usize {
        let pending = usize::try_from(self.pending()).unwrap_or(usize::MAX);
        pending.saturating_sub(self.payload.len() - self.done)
    }

    /// Returns how many bytes of the message have come and were not taken out.
    pub(super) fn len(&self) -> usize {
        self.done
    }

    /// Returns how many bytes a message has that comes compressed, in all frames that have begun;
    /// `None` for a plain one.
    pub(super) fn compressed(&self) -> Option<u64> {
        self.inflation.as_ref().map(Inflation::compressed)
    }

    pub(super) fn fragments(&self) -> usize {
        self.fragments
    }

    /// Hands on what a direct `recv` brought from behind the frame.
    fn give_back_surplus(&mut self, input: &mut ReadBuffer) {
        if (self.payload.len() - self.done) as u64 > self.pending() {
            let end = self.done + self.pending() as usize;
            input.refill(&self.payload[end..]);
            self.payload.truncate(end);
        }
    }

    fn room(&self) -> usize {
        self.payload.capacity() - self.payload.len()
    }

    /// Returns how many bytes of the frame are not done.
    fn pending(&self) -> u64 {
        self.frame_length - self.frame_done
    }
}
