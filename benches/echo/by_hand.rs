//! What is compared with landline: echoes over any blocking stream.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::thread;

use crate::process::announce;

/// Runs `echo` for every connection on a thread of its own; how a connection ends is nobody's concern here.
pub(crate) fn accept_each(
    echo: impl Fn(TcpStream) -> Result<(), Box<dyn Error>> + Clone + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    announce(listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        let echo = echo.clone();
        thread::Builder::new().spawn(move || drop(echo(stream)))?;
    }
    Ok(())
}

/// Echoes as tungstenite's users write it.
pub(crate) fn echo_by_tungstenite(stream: impl Read + Write) -> Result<(), Box<dyn Error>> {
    let mut socket = tungstenite::accept(stream).map_err(|_| "no handshake")?;
    loop {
        let message = socket.read()?;
        if message.is_text() || message.is_binary() {
            socket.send(message)?;
        }
    }
}

/// Echoes with frames parsed by hand, and checks nothing.
pub(crate) fn echo_at_the_limit(stream: impl Read + Write) -> Result<(), Box<dyn Error>> {
    answer_batches(upgrade(stream)?, |stream, frames| stream.write_all(frames))
}

/// Does the handshake.
pub(crate) fn upgrade<S: Read + Write>(stream: S) -> Result<S, Box<dyn Error>> {
    // The load sends nothing before it has the answer to its handshake, so nothing is left behind here.
    let socket = tungstenite::accept(stream).map_err(|_| "no handshake")?;
    Ok(socket.into_inner())
}

/// Gives out, as a server sends them, the whole frames that have come with each `recv`.
pub(crate) fn answer_batches<S: Read>(
    mut stream: S,
    mut answer: impl FnMut(&mut S, &[u8]) -> io::Result<()>,
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
        let begin = batch.consumed + header;
        let end = begin + payload;
        if end > buffer.len() {
            batch.wanted = end - batch.consumed;
            break;
        }
        unmask(&mut buffer[begin - 4..end]);
        buffer[batch.consumed + 1] &= 0x7f;
        buffer.copy_within(batch.consumed..begin - 4, batch.answer.end);
        batch.answer.end += header - 4;
        if batch.answer.end < begin {
            buffer.copy_within(begin..end, batch.answer.end);
        }
        batch.answer.end += payload;
        batch.consumed = end;
    }
    batch
}

/// Reads how long the header (mask included) and the payload of a masked frame are.
pub(crate) fn frame_lengths(frame: &[u8]) -> Option<(usize, usize)> {
    match frame.get(1)? & 0x7f {
        126 => Some((
            8,
            u16::from_be_bytes(frame.get(2..4)?.try_into().ok()?).into(),
        )),
        127 => Some((
            14,
            u64::from_be_bytes(frame.get(2..10)?.try_into().ok()?)
                .try_into()
                .ok()?,
        )),
        short => Some((6, short.into())),
    }
}

/// Removes the mask, which stands in the first four bytes, from the rest.
fn unmask(masked: &mut [u8]) {
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
