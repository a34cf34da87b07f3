//! Refused connections on which the peer gets a moment to read the refusal.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::background::{Timed, Timer};
use crate::transport::Socket;

/// The refused connections that have not been closed yet. They are few: the limit of connections
/// counts the descriptors that they hold.
pub(super) struct Lingering {
    most: usize,
    /// The connections, the oldest first.
    refused: VecDeque<Weak<Refused>>,
}

/// A refused connection, closed by the background or for another one.
struct Refused {
    socket: Socket,
    timer: Arc<Timer>,
}

/// The time for which a refused connection is kept, if there is room.
const LINGER: Duration = Duration::from_secs(1);

impl Lingering {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            refused: VecDeque::new(),
        }
    }

    /// Refuses a connection without waiting.
    pub(super) fn refuse(&mut self, socket: Socket, reply: &[u8]) {
        let _ = socket.try_send(&[IoSlice::new(reply)]);
        socket.finish_writing();
        self.make_room();
        let refused = Arc::new(Refused {
            socket,
            timer: Timer::new(),
        });
        self.refused.push_back(Arc::downgrade(&refused));
        let timed = Arc::clone(&refused) as Arc<dyn Timed>;
        let kept = refused.timer.enroll(timed, Instant::now() + LINGER);
        if kept.is_err() {
            // The background thread could not be started.
            refused.end();
        }
    }

    /// Closes the oldest connection if the limit is reached: it has had the most time to read.
    fn make_room(&mut self) {
        self.refused.retain(|refused| refused.strong_count() > 0);
        if self.refused.len() >= self.most {
            let oldest = self.refused.pop_front();
            if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
                oldest.end();
            }
        }
    }
}

impl Refused {
    /// Closes the connection. Its input is read first: the kernel resets a connection that is
    /// closed over unread input, and the refusal might be lost.
    fn end(&self) {
        self.socket.discard_input(Duration::ZERO, Duration::ZERO);
        self.timer.dismiss();
    }
}

impl Timed for Refused {
    fn check(&self, _now: Instant) -> Option<Instant> {
        self.end();
        None
    }
}
