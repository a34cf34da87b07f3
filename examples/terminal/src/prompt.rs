//! The line editor's prompt, and what is printed above it: [`Prompt`].

use std::borrow::Cow;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustyline::highlight::Highlighter;
use rustyline::{Completer, ExternalPrinter, Helper, Hinter, Validator};

/// The line editor's prompt, above which is printed what comes.
///
/// The editor's printer alone would not do: what it holds when the editor returns is not printed until the
/// next line is read, behind what comes later, and meanwhile it blocks. So the text is kept here and drawn
/// as a part of the prompt, the printer only has the editor draw, and between two lines the text is written
/// without the editor.
#[derive(Clone, Default, Completer, Helper, Hinter, Validator)]
pub(crate) struct Prompt(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stage: Stage,
    /// What is drawn above the prompt next.
    text: String,
    /// Whether the editor has been asked to draw, and has not yet.
    is_asked: bool,
    /// How often the editor has drawn since the talk was over.
    last_draws: Option<u32>,
}

/// What the editor does.
#[derive(Clone, Copy, Default, PartialEq)]
enum Stage {
    /// There is none.
    #[default]
    Absent,
    /// It has returned, and the terminal has its own mode.
    Away,
    /// It is about to set the terminal's mode and to draw.
    Entering,
    /// It waits for keys, and draws.
    Reading,
}

/// The text that is kept until it is drawn. A server that is faster than the screen has to wait.
const KEPT: usize = 16 * 1024;

/// Has the editor draw, and moves the cursor up a line and down again.
const DRAW: &str = "\x1b[A\n";

/// Erases the line that the cursor is in.
pub(crate) const ERASE: &str = "\r\x1b[K";

impl Prompt {
    /// Begins to print above the prompt of an editor.
    pub(crate) fn begin(&self, printer: impl ExternalPrinter + Send + 'static) {
        self.lock().stage = Stage::Away;
        let prompt = self.clone();
        thread::spawn(move || prompt.ask(printer));
    }

    /// Has the editor draw whenever there is something to be drawn. The printer blocks while the editor
    /// looks at nothing but keys, as in a search.
    fn ask(&self, mut printer: impl ExternalPrinter) {
        loop {
            let mut state = self.wait_while(self.lock(), |state| !state.asks());
            state.is_asked = true;
            drop(state);
            if printer.print(DRAW.to_owned()).is_err() {
                return;
            }
        }
    }

    /// Tells the editor whether it may read a line: not any more once the talk is over.
    pub(crate) fn enter(&self) -> bool {
        let mut state = self.lock();
        if state.last_draws.is_some() {
            return false;
        }
        state.stage = Stage::Entering;
        true
    }

    /// Notes that the editor has returned, and prints what it has not drawn.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.stage = Stage::Away;
        // An output that takes nothing more shows at the next message.
        let _ = write(&mem::take(&mut state.text));
        self.0.changed.notify_all();
    }

    /// Prints whole lines. Returns whether there is an editor; without one does nothing.
    pub(crate) fn print(&self, lines: &str) -> io::Result<bool> {
        let mut state = self.lock();
        match state.stage {
            Stage::Absent => return Ok(false),
            Stage::Away => write(lines)?,
            Stage::Entering | Stage::Reading => {
                state.text.push_str(lines);
                self.0.changed.notify_all();
                drop(self.wait_while(state, |state| state.text.len() > KEPT));
            }
        }
        Ok(true)
    }

    /// Waits until all is printed, takes the prompt away, and keeps the editor from reading another line, so
    /// that it changes the terminal's mode no more. Waits only so long for an editor that does not draw, as
    /// in a search.
    pub(crate) fn finish(&self, patience: Duration) {
        let mut state = self.lock();
        state.last_draws = Some(0);
        self.0.changed.notify_all();
        let waited = self
            .0
            .changed
            .wait_timeout_while(state, patience, |state| state.is_busy());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if matches!(state.stage, Stage::Entering | Stage::Reading) {
            state.stage = Stage::Away;
            let _ = write(&format!("{ERASE}{}", mem::take(&mut state.text)));
            self.0.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.0.changed.wait_while(state, condition);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tells whether the editor is to be asked to draw.
    fn asks(&self) -> bool {
        let is_due = !self.text.is_empty() || self.is_busy();
        self.stage == Stage::Reading && !self.is_asked && is_due
    }

    /// Tells whether the editor has still to print or to set the terminal's mode. What it has drawn is on
    /// the screen once it draws again.
    fn is_busy(&self) -> bool {
        match self.stage {
            Stage::Absent | Stage::Away => false,
            Stage::Entering => true,
            Stage::Reading => self.last_draws.is_some_and(|draws| draws < 2),
        }
    }
}

impl Highlighter for Prompt {
    /// Draws the prompt, once the terminal's mode is set and then at each change.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        let mut state = self.lock();
        if state.stage == Stage::Entering {
            state.stage = Stage::Reading;
        }
        state.is_asked = false;
        let mut drawn = mem::take(&mut state.text);
        match &mut state.last_draws {
            Some(draws) => *draws += 1,
            None => drawn += prompt,
        }
        self.0.changed.notify_all();
        Cow::Owned(drawn)
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Tells when the editor is asked to draw.
    struct Printer(Sender<String>);

    impl ExternalPrinter for Printer {
        fn print(&mut self, text: String) -> rustyline::Result<()> {
            let sent = self.0.send(text);
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe).into())
        }
    }

    /// The end waits for an editor that is about to set the terminal's mode, has it draw what came last, and
    /// lets it set no other.
    #[test]
    fn the_end_waits_for_the_editor() {
        let prompt = Prompt::default();
        let (printer, asked) = channel();
        prompt.begin(Printer(printer));
        assert!(prompt.enter());
        let finishing = prompt.clone();
        let finishing = thread::spawn(move || finishing.finish(LONG));
        drop(prompt.wait_while(prompt.lock(), |state| state.last_draws.is_none()));
        assert!(prompt.print("last\n").unwrap());
        assert_eq!(prompt.highlight_prompt("> ", true), "last\n");
        assert_eq!(asked.recv_timeout(LONG).unwrap(), DRAW);
        assert!(prompt.lock().stage == Stage::Reading && !finishing.is_finished());
        assert_eq!(prompt.highlight_prompt("> ", true), "");
        finishing.join().unwrap();
        assert!(!prompt.enter());
    }

    /// The end waits for no editor that has returned, and keeps it away.
    #[test]
    fn the_end_keeps_the_editor_away() {
        let prompt = Prompt::default();
        prompt.begin(Printer(channel().0));
        assert!(prompt.enter());
        prompt.leave();
        prompt.finish(LONG);
        assert!(!prompt.enter());
    }
}
