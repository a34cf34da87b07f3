//! What the load sends.

use std::time::Duration;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::process::Cpus;

/// One connection with one message of 32 bytes under way; the others differ from it.
pub(crate) const PING_PONG: Workload = Workload {
    name: "1x1 of 32 B",
    connections: 1,
    in_flight: 1,
    kind: Data::Text,
    size: 32,
    window: Duration::from_millis(80),
    cpus: Cpus::One,
};

/// How many connections send how much at a time.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    /// Messages a connection has under way.
    pub(crate) in_flight: usize,
    pub(crate) kind: Data,
    /// Bytes of payload in a message.
    pub(crate) size: usize,
    pub(crate) window: Duration,
    pub(crate) cpus: Cpus,
}

impl Workload {
    fn payload(&self) -> Vec<u8> {
        (b'a'..=b'z').cycle().take(self.size).collect()
    }

    pub(crate) fn masked_frame(&self) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let masked = self
            .payload()
            .into_iter()
            .zip(mask.into_iter().cycle())
            .map(|(byte, mask)| byte ^ mask);
        self.frame(Some(mask), masked)
    }

    pub(crate) fn echoed_frame(&self) -> Vec<u8> {
        self.frame(None, self.payload())
    }

    fn frame(&self, mask: Option<[u8; 4]>, payload: impl IntoIterator<Item = u8>) -> Vec<u8> {
        let header = FrameHeader {
            opcode: OpCode::Data(self.kind),
            mask,
            ..FrameHeader::default()
        };
        let mut frame = Vec::new();
        header
            .format(self.size as u64, &mut frame)
            .expect("a vector takes every header");
        frame.extend(payload);
        frame
    }
}
