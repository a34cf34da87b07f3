//! What every peer by hand can say, whatever carries its bytes.

use std::io;

use super::Frame;
use super::raw::opcode;

/// The writing half of a peer by hand: nothing leaves but what a test says.
pub(crate) trait Peer {
    /// Tells whether it masks: clients do (RFC 6455, section 5.1).
    fn masks(&self) -> bool;

    /// Writes bytes that the other side may not want any more.
    fn try_send_bytes(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()>;

    #[track_caller]
    fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send_bytes(bytes).unwrap();
    }

    /// Returns the bytes of a frame in this peer's role.
    fn encode(&self, frame: &Frame) -> Vec<u8> {
        frame.bytes(self.masks())
    }

    #[track_caller]
    fn send(&mut self, frame: &Frame) {
        let bytes = self.encode(frame);
        self.send_bytes(bytes);
    }

    #[track_caller]
    fn send_text(&mut self, text: &str) {
        self.send(&Frame::text(text));
    }

    #[track_caller]
    fn send_close(&mut self, code: u16, reason: &str) {
        let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
        self.send(&Frame::new(opcode::CLOSE, payload));
    }
}
