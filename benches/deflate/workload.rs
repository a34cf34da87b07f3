//! What the load sends.

use std::env;
use std::time::Duration;

use crate::by_hand::Streams;
use crate::process::Cpus;

/// The content of the messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Json,
    /// Bytes that do not shrink.
    Noise,
}

/// How many connections send how much at a time.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    /// Messages a connection has under way.
    pub(crate) in_flight: usize,
    pub(crate) content: Content,
    /// Bytes of payload in a message.
    pub(crate) size: usize,
    pub(crate) window: Duration,
    pub(crate) cpus: Cpus,
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

impl Workload {
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut payload = match self.content {
            Content::Json => records(self.size),
            Content::Noise => noise(self.size),
        };
        payload.truncate(self.size);
        payload
    }

    /// Returns the frame that a client sends.
    pub(crate) fn masked_frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        Streams::new().append(&self.payload(), Some(MASK), &mut frame);
        frame
    }
}

/// Returns the level of all compressors: landline's default, or what the variable `LEVEL` says.
pub(crate) fn level() -> u8 {
    let asked = env::var("LEVEL").ok();
    asked.and_then(|level| level.parse().ok()).unwrap_or(2)
}

fn records(size: usize) -> Vec<u8> {
    let mut text = String::from("[");
    for number in 0_u32.. {
        if text.len() >= size {
            break;
        }
        let chance = number.wrapping_mul(2_654_435_761) >> 8;
        text += &format!(
            "{{\"id\":{number},\"user\":\"user{}\",\"price\":{}.{:02},\"active\":{}}},",
            chance % 5_000,
            chance % 997,
            chance % 100,
            chance % 2 == 0,
        );
    }
    text.into_bytes()
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..size).map(next).collect()
}
