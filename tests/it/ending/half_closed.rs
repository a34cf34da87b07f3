//! The end of the peer's input is not the end of our output.

use super::Verdicts;
use crate::support::*;

const KIB: usize = 1 << 10;
const MESSAGES: usize = 20;
/// All of them are more than the kernel takes.
const LENGTH: usize = 200 * 1_000;

/// How a peer ends its direction and reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// By a FIN alone.
    Fin,
    /// By a `close_notify` of TLS alone.
    #[cfg(feature = "tls")]
    Notify,
    /// By both.
    #[cfg(feature = "tls")]
    NotifyAndFin,
}

impl Ending {
    /// Returns those that there are this way.
    fn all(way: Way) -> &'static [Self] {
        match way {
            Way::Plain(_) => &[Self::Fin],
            #[cfg(feature = "tls")]
            _ => &[Self::Fin, Self::Notify, Self::NotifyAndFin],
        }
    }

    fn end(self, peer: &mut AnyPeer) {
        #[cfg(feature = "tls")]
        if let (AnyPeer::Secure(peer), Self::Notify | Self::NotifyAndFin) = (&mut *peer, self) {
            peer.send_close_notify();
        }
        #[cfg(feature = "tls")]
        if self == Self::Notify {
            return;
        }
        peer.send_fin();
    }
}

/// A peer that ends its direction without a Close, and reads on, gets all that waits for it.
#[test]
fn what_waits_reaches_a_peer_that_half_closes() {
    let mut verdicts = Verdicts::default();
    for &way in ALL_WAYS {
        for &ending in Ending::all(way) {
            let config = patient().max_queue_bytes(MESSAGES * LENGTH);
            let mut met = AnyMeeting::deaf(way, config.send_buffer(4 * KIB));
            for number in 0..MESSAGES {
                met.ws.send(vec![number as u8; LENGTH]).unwrap();
            }
            ending.end(&mut met.peer);
            settled("the end has come", || !met.ws.is_open());
            let mut numbers = Vec::new();
            while let Some(frame) = met.peer.read_frame_or_end() {
                if frame.payload.len() == LENGTH {
                    numbers.push(usize::from(frame.payload[0]));
                }
            }
            let event = met.events.next_close();
            let row = format!("{way:?} {ending:?}");
            let told = (numbers, event.code().as_u16(), event.undelivered());
            verdicts.compare(&row, told, ((0..MESSAGES).collect(), 1006, 0));
        }
    }
    verdicts.assert_right();
}
