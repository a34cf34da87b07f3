//! What is compared with landline: frames and deflate streams by hand.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use tungstenite::handshake::derive_accept_key;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush};

use crate::process::announce;
use crate::workload::level;

const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// More than any message of the load.
const LARGEST: usize = 128 << 10;

/// Both directions of a connection whose messages stand alone, with landline's default memory.
pub(crate) struct Streams {
    deflate: Deflate,
    inflate: Inflate,
    compressed: Vec<u8>,
}

impl Streams {
    pub(crate) fn new() -> Self {
        let config = DeflateConfig {
            level: level().into(),
            window_bits: -15,
            ..DeflateConfig::default()
        };
        Self {
            deflate: Deflate::new_with_config(config),
            inflate: Inflate::new(false, 15),
            compressed: vec![0; LARGEST],
        }
    }

    /// Appends a frame with this payload: compressed, unless it does not shrink.
    pub(crate) fn append(&mut self, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        self.deflate.reset();
        // With less room than it needs, zlib-rs panics after some messages.
        let room = &mut self.compressed[..payload.len() + payload.len() / 8 + 100];
        let flush = DeflateFlush::SyncFlush;
        let status = self.deflate.compress(payload, room, flush);
        let length = self.deflate.total_out() as usize - TAIL.len();
        if status.is_ok() && length < payload.len() {
            append_frame(&room[..length], true, mask, out);
        } else {
            append_frame(payload, false, mask, out);
        }
    }

    /// Decompresses a message, and returns its length.
    pub(crate) fn read(
        &mut self,
        payload: &[u8],
        message: &mut [u8],
    ) -> Result<usize, Box<dyn Error>> {
        self.inflate.reset(false);
        for piece in [payload, &TAIL] {
            let put = self.inflate.total_out() as usize;
            let flush = InflateFlush::SyncFlush;
            let read = self.inflate.decompress(piece, &mut message[put..], flush);
            read.map_err(|_| "no deflate stream")?;
        }
        Ok(self.inflate.total_out() as usize)
    }
}

/// Appends a text frame.
pub(crate) fn append_frame(
    payload: &[u8],
    is_compressed: bool,
    mask: Option<[u8; 4]>,
    out: &mut Vec<u8>,
) {
    out.push(if is_compressed { 0xc1 } else { 0x82 });
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..126 => out.push(masked | length as u8),
        length @ 126..0x1_0000 => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let Some(mask) = mask else {
        return out.extend_from_slice(payload);
    };
    out.extend_from_slice(&mask);
    let bytes = payload.iter().zip(mask.iter().cycle());
    out.extend(bytes.map(|(byte, mask)| byte ^ mask));
}

/// Echoes each connection on a thread of its own.
pub(crate) fn serve_the_limit() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    announce(listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        thread::Builder::new().spawn(move || drop(echo(stream)))?;
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> Result<(), Box<dyn Error>> {
    upgrade(&mut stream)?;
    let mut streams = Streams::new();
    let (mut buffer, mut filled) = (vec![0; 256 << 10], 0);
    let (mut message, mut out) = (vec![0; LARGEST], Vec::new());
    loop {
        filled += match stream.read(&mut buffer[filled..])? {
            0 => return Ok(()),
            read => read,
        };
        let mut taken = 0;
        while let Some((header, length)) = frame_lengths(&buffer[taken..filled]) {
            let begin = taken + header;
            if begin + length > filled {
                break;
            }
            let is_compressed = buffer[taken] & 0x40 != 0;
            unmask(&mut buffer[begin - 4..begin + length]);
            let payload = &buffer[begin..begin + length];
            if is_compressed {
                let length = streams.read(payload, &mut message)?;
                streams.append(&message[..length], None, &mut out);
            } else {
                streams.append(payload, None, &mut out);
            }
            taken = begin + length;
        }
        stream.write_all(&out)?;
        out.clear();
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
    }
}

fn upgrade(stream: &mut TcpStream) -> Result<(), Box<dyn Error>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head)?;
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = derive_accept_key(key.ok_or("no key")?.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: permessage-deflate; \
         server_no_context_takeover; client_no_context_takeover\r\n\r\n"
    );
    Ok(stream.write_all(answer.as_bytes())?)
}

/// Reads how long the header (mask included) and the payload of a masked frame are.
fn frame_lengths(frame: &[u8]) -> Option<(usize, usize)> {
    match frame.get(1)? & 0x7f {
        126 => Some((
            8,
            u16::from_be_bytes(frame.get(2..4)?.try_into().ok()?).into(),
        )),
        127 => {
            let length = u64::from_be_bytes(frame.get(2..10)?.try_into().ok()?);
            Some((14, length.try_into().ok()?))
        }
        short => Some((6, short.into())),
    }
}

/// Removes the mask, which stands in the first four bytes, from the rest.
fn unmask(masked: &mut [u8]) {
    let (mask, payload) = masked.split_at_mut(4);
    let mask = [mask[0], mask[1], mask[2], mask[3]];
    for word in payload.chunks_mut(4) {
        for (byte, mask) in word.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}
