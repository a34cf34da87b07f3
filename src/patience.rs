//! How long the reading end goes on without a message.

use std::time::Instant;

/// Says how long a reading goes on.
pub(crate) enum Patience {
    /// Until there is something, or the connection has ended.
    Endless,
    Until(Instant),
    /// Only over what has come already: at most so many events more. Control frames may come
    /// without a pause.
    AtHand(usize),
}

impl Patience {
    /// Looks at no more than what has come already.
    pub(crate) const AT_HAND: Self = Self::AtHand(1024);

    /// Returns when a wait for input ends; `None` if it need not.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Endless => None,
            Self::Until(deadline) => Some(*deadline),
            Self::AtHand(_) => Some(Instant::now()),
        }
    }

    /// Takes note of an event that was no message, and tells whether to go on.
    pub(crate) fn outlasts_event(&mut self) -> bool {
        if let Self::AtHand(left) = self {
            *left = left.saturating_sub(1);
            return *left > 0;
        }
        self.outlasts_input()
    }

    /// Tells whether to go on where nothing has come.
    pub(crate) fn outlasts_silence(&self) -> bool {
        !matches!(self, Self::AtHand(_)) && self.outlasts_input()
    }

    /// Tells whether to go on after input that has completed no event.
    pub(crate) fn outlasts_input(&self) -> bool {
        match self {
            // Such input ends: an event has a greatest size.
            Self::Endless | Self::AtHand(_) => true,
            Self::Until(deadline) => Instant::now() < *deadline,
        }
    }
}
