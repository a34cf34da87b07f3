//! How long the reading end goes on without a message.

use std::time::{Duration, Instant};

/// Says how long a reading goes on.
pub(crate) enum Patience {
    /// Until there is something, or the connection has ended.
    Endless,
    /// Until then, whatever comes.
    Until(Instant),
    /// Over what has come already; until then, as more may come without a pause.
    AtHand(Instant),
}

impl Patience {
    /// Looks at no more than what has come already.
    pub(crate) fn at_hand() -> Self {
        Self::AtHand(Instant::now() + MOMENT)
    }

    /// Returns when a wait for input ends; `None` if it need not.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Endless => None,
            Self::Until(deadline) => Some(*deadline),
            // Long past: it does not begin.
            Self::AtHand(until) => Some(*until - MOMENT),
        }
    }

    /// Tells whether to go on after something that was no whole message.
    pub(crate) fn outlasts_input(&self) -> bool {
        match self {
            Self::Endless => true,
            Self::Until(deadline) | Self::AtHand(deadline) => Instant::now() < *deadline,
        }
    }

    /// Tells whether to go on where nothing has come.
    pub(crate) fn outlasts_silence(&self) -> bool {
        !matches!(self, Self::AtHand(_)) && self.outlasts_input()
    }
}

/// The longest time for which input that is at hand is looked at.
const MOMENT: Duration = Duration::from_millis(10);
