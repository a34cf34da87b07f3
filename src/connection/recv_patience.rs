//! How long a read waits for a message: [`Patience`].

use std::time::{Duration, Instant};

/// The time for which a read goes on.
pub(crate) enum Patience {
    /// Until a message has come, or the connection has ended.
    Endless,
    /// Until this time, whatever comes.
    Until(Instant),
    /// While input has come already, and until this time at most, as more may come without a pause.
    AtHand(Instant),
}

impl Patience {
    /// Reads only input that has come already.
    pub(crate) fn at_hand() -> Self {
        Self::AtHand(Instant::now() + MOMENT)
    }

    /// Returns when a wait for input ends; `None` if it need not.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Endless => None,
            Self::Until(deadline) => Some(*deadline),
            // This time has passed long ago, so no wait begins.
            Self::AtHand(until) => Some(*until - MOMENT),
        }
    }

    /// Tells whether to go on after input that did not complete a message.
    pub(crate) fn outlasts_input(&self) -> bool {
        match self {
            Self::Endless => true,
            Self::Until(deadline) | Self::AtHand(deadline) => Instant::now() < *deadline,
        }
    }

    /// Tells whether to go on when no input has come.
    pub(crate) fn outlasts_silence(&self) -> bool {
        !matches!(self, Self::AtHand(_)) && self.outlasts_input()
    }
}

/// The longest time for which input that has come already is read.
const MOMENT: Duration = Duration::from_millis(10);
