//! A wire that keeps the written bytes.

use std::io::{self, Cursor, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::FrameHeader;

use crate::outbox::{Burst, Cork, Outbox, Rest, Sink, Wire};
use crate::sync::{Mutex, lock};

/// A wire that takes as many bytes as it has room for.
#[derive(Default)]
pub(super) struct Tape(Mutex<State>);

#[derive(Default)]
struct State {
    room: usize,
    written: Vec<u8>,
    is_cut: bool,
    is_watched: bool,
}

/// Room that is never used up.
const PLENTY: usize = 1 << 30;

impl Tape {
    pub(super) fn make_room(&self, room: usize) {
        let mut state = lock(&self.0);
        state.room = (state.room + room).min(PLENTY);
    }

    pub(super) fn make_plenty_of_room(&self) {
        lock(&self.0).room = PLENTY;
    }

    /// Takes over the background's task to resume the writing, if there is room.
    pub(super) fn take_watch(&self) -> bool {
        let mut state = lock(&self.0);
        let is_writable = state.room > 0 || state.is_cut;
        is_writable && std::mem::take(&mut state.is_watched)
    }

    pub(super) fn is_cut(&self) -> bool {
        lock(&self.0).is_cut
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.0).written.len()
    }

    /// Returns at most `most` of the bytes behind the first `start`.
    pub(super) fn read(&self, start: usize, most: usize) -> Vec<u8> {
        let state = lock(&self.0);
        let behind = &state.written[start..];
        behind[..behind.len().min(most)].to_vec()
    }

    /// Returns the opcodes of the frames that were written, and whether all of the last was.
    pub(super) fn opcodes(&self) -> (Vec<u8>, bool) {
        let bytes = self.read(0, usize::MAX);
        let mut opcodes = Vec::new();
        let written = bytes.len() as u64;
        let mut cursor = Cursor::new(bytes);
        while let Ok(Some((header, length))) = FrameHeader::parse(&mut cursor) {
            opcodes.push(header.opcode.into());
            cursor.set_position(cursor.position().saturating_add(length));
        }
        (opcodes, cursor.position() == written)
    }
}

impl Sink for Tape {
    fn try_send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = lock(&self.0);
        if state.is_cut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let before = state.written.len();
        for part in parts {
            let taken = part.len().min(state.room);
            state.room -= taken;
            state.written.extend_from_slice(&part[..taken]);
        }
        match state.written.len() - before {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Tape {
    type Sink = Self;

    fn sink(self: &Arc<Self>) -> Arc<Self> {
        Arc::clone(self)
    }

    /// There is one thread, so it is the peer's turn to read.
    fn wait_writable(&self) {
        self.make_plenty_of_room();
    }

    fn cut(&self, _: Rest) {
        lock(&self.0).is_cut = true;
    }

    fn watch(&self, _: &Arc<Outbox<Self>>) {
        lock(&self.0).is_watched = true;
    }

    fn wake_by(&self, _: Instant) {}
    fn tick(_: &Arc<Cork<Self>>) {}
    fn is_gathering() -> bool {
        false
    }
    fn hold(_: &Arc<Outbox<Self>>) {}
    fn hold_burst(_: &Arc<Burst<Self>>) {}
    fn uncork() {}

    /// A thread that would wait has waited already.
    fn deadline(_: Duration) -> Option<Instant> {
        Some(Instant::now())
    }
}
