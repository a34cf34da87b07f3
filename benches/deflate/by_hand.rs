//! What is compared with landline: deflate streams by hand.

use std::error::Error;
use std::io::Write;
use std::net::TcpStream;

use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::Data;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush};

use crate::messages::level;
use crate::shared::frames::{answer_batches, append_frame, payload_of, split_frames};

pub(crate) const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// Has the messages stand alone.
pub(crate) const PARAMETERS: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// More than any message of the load.
const LARGEST: usize = 128 << 10;

/// Both directions of a connection whose messages stand alone, with landline's default memory.
pub(crate) struct Streams {
    deflate: Deflate,
    inflate: Inflate,
    compressed: Vec<u8>,
    message: Vec<u8>,
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
            message: vec![0; LARGEST],
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
            append_frame(&room[..length], Data::Text, true, mask, out);
        } else {
            append_frame(payload, Data::Binary, false, mask, out);
        }
    }

    /// Reads the message of a whole unmasked frame.
    pub(crate) fn read<'a>(&'a mut self, frame: &'a [u8]) -> Result<&'a [u8], Box<dyn Error>> {
        let payload = payload_of(frame);
        if frame[0] & 0x40 == 0 {
            return Ok(payload);
        }
        self.inflate.reset(false);
        for piece in [payload, &TAIL] {
            let room = &mut self.message[self.inflate.total_out() as usize..];
            let read = self
                .inflate
                .decompress(piece, room, InflateFlush::SyncFlush);
            read.map_err(|_| "no deflate stream")?;
        }
        Ok(&self.message[..self.inflate.total_out() as usize])
    }
}

/// Echoes, and checks nothing.
pub(crate) fn echo_at_the_limit(stream: TcpStream) -> Result<(), Box<dyn Error>> {
    let mut inflating = Streams::new();
    let mut deflating = Streams::new();
    let mut out = Vec::new();
    answer_batches(upgrade(stream)?, |stream, frames| {
        for frame in split_frames(frames) {
            deflating.append(inflating.read(frame)?, None, &mut out);
        }
        stream.write_all(&out)?;
        out.clear();
        Ok(())
    })
}

#[allow(clippy::result_large_err, reason = "tungstenite's callback is so")]
fn upgrade(stream: TcpStream) -> Result<TcpStream, Box<dyn Error>> {
    let accept = |_: &Request, mut response: Response| {
        let parameters = HeaderValue::from_static(PARAMETERS);
        response.headers_mut().insert(EXTENSIONS, parameters);
        Ok(response)
    };
    let socket = tungstenite::accept_hdr(stream, accept).map_err(|_| "no handshake")?;
    Ok(socket.into_inner())
}
