//! What is printed, and how: [`Screen`].

use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use landline::Message;

use crate::options::Options;
use crate::prompt::{ERASE, Prompt};

/// Prints messages to standard output and notices to standard error, or all above the line editor's prompt.
pub(crate) struct Screen {
    pub(crate) prompt: Prompt,
    /// Whether a line of progress is shown.
    progress: Mutex<bool>,
    is_terminal: bool,
    has_colours: bool,
    timestamps: bool,
    quiet: bool,
    /// Whether binary messages are printed whole.
    whole: bool,
}

/// The bytes of a binary message that are printed on a terminal.
const SHOWN: usize = 64;

const CYAN: &str = "\x1b[36m";
const MAGENTA: &str = "\x1b[35m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

impl Screen {
    pub(crate) fn new(options: &Options) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            prompt: Prompt::default(),
            progress: Mutex::new(false),
            is_terminal,
            has_colours: is_terminal && !no_colour,
            timestamps: options.timestamps,
            quiet: options.quiet,
            whole: options.binary || !is_terminal,
        }
    }

    /// Prints a message that has come.
    pub(crate) fn message(&self, message: &Message) -> io::Result<()> {
        let time = if self.timestamps {
            self.time()
        } else {
            String::new()
        };
        let line = match (message.as_text(), self.is_terminal) {
            (Some(text), false) => format!("{time}{text}\n"),
            (Some(text), true) => format!("{time}< {}\n", self.colour(CYAN, &harmless(text))),
            (None, false) => format!("{time}{}\n", HEXLOWER.encode(message.as_bytes())),
            (None, true) => format!("{time}< {}\n", self.colour(MAGENTA, &self.hex(message))),
        };
        if self.prompt.print(&line)? {
            return Ok(());
        }
        self.erase_progress();
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()
    }

    fn hex(&self, message: &Message) -> String {
        let bytes = message.as_bytes();
        match bytes.len() {
            length if length > SHOWN && !self.whole => {
                format!("{}... {length} bytes", HEXLOWER.encode(&bytes[..SHOWN]))
            }
            _ => HEXLOWER.encode(bytes),
        }
    }

    /// Returns the local time, whole where a program reads it.
    fn time(&self) -> String {
        let now = jiff::Zoned::now();
        match self.is_terminal {
            true => self.colour(DIM, &now.strftime("%H:%M:%S%.3f ").to_string()),
            false => now.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z ").to_string(),
        }
    }

    fn colour(&self, colour: &str, text: &str) -> String {
        match self.has_colours {
            true => format!("{colour}{text}{RESET}"),
            false => text.to_owned(),
        }
    }

    /// Says something about the connection.
    pub(crate) fn notice(&self, text: &str) {
        if !self.quiet {
            self.error(text);
        }
    }

    /// Says what has gone wrong.
    pub(crate) fn error(&self, text: &str) {
        let line = self.colour(DIM, text) + "\n";
        // An output that takes nothing more shows at the next message.
        if self.prompt.print(&line).unwrap_or(true) {
            return;
        }
        self.erase_progress();
        say(&format!("{text}\n"));
    }

    /// Shows how far the input has come, in one line that is written over.
    pub(crate) fn progress(&self, text: &str) {
        if self.quiet {
            return;
        }
        *lock(&self.progress) = true;
        say(&format!("{ERASE}{text}"));
    }

    fn erase_progress(&self) {
        if std::mem::take(&mut *lock(&self.progress)) {
            say(ERASE);
        }
    }
}

/// Writes to standard error, which may be gone.
pub(crate) fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Returns a text that moves no cursor and turns no text around: the server is not to draw on the
/// terminal.
fn harmless(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' | '\t' | '"' | '\'' | '\\' => character.to_string(),
        _ => character.escape_debug().to_string(),
    };
    text.chars().map(shown).collect()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters of any script are shown as they are, and what would move the cursor or turn text around
    /// is not.
    #[test]
    fn texts_are_harmless() {
        let plain = "naïve 日本語 \"a\\b\"\t'c'\nd 🙂";
        assert_eq!(harmless(plain), plain);
        let shown = harmless("\x1b[31m\x07\r\u{202e}\u{85}\0");
        assert_eq!(shown, "\\u{1b}[31m\\u{7}\\r\\u{202e}\\u{85}\\0");
    }
}
