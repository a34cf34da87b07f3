//! The terminal's own settings, kept over the time of the line editor: [`Terminal`].

use std::io;

use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// The settings that the terminal had. The editor waits for keys in another mode, and nothing but a key
/// ends its wait.
pub(crate) struct Terminal(Termios);

impl Terminal {
    pub(crate) fn remember() -> io::Result<Self> {
        Ok(Self(tcgetattr(stdin())?))
    }

    pub(crate) fn restore(&self) {
        // On a terminal that is gone nothing needs to be right.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.0);
    }
}
