//! What is sent: lines of the line editor or of a pipe.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER_PERMISSIVE;
use landline::{Canceller, CloseCode, Message, SendError, SendErrorKind, WebSocket};
use rustyline::config::{Builder, Configurer};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Cmd, ColorMode, Editor, KeyEvent};

use crate::prompt::Prompt;
use crate::screen::{Screen, lock};
use crate::talk::Event;

/// The connection of the moment, to which the input goes.
#[derive(Default)]
pub(crate) struct Current {
    ws: Mutex<Option<WebSocket>>,
    changed: Condvar,
    /// The code of the close that the input has asked for.
    asked: Mutex<Option<CloseCode>>,
}

impl Current {
    pub(crate) fn set(&self, ws: Option<WebSocket>) {
        *lock(&self.ws) = ws;
        self.changed.notify_all();
    }

    /// Waits until there is a connection, another than this.
    fn wait(&self, other: Option<&WebSocket>) -> WebSocket {
        let mut ws = lock(&self.ws);
        loop {
            match &*ws {
                Some(ws) if Some(ws) != other => return ws.clone(),
                _ => {}
            }
            ws = self
                .changed
                .wait(ws)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close_with(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let ws = self.wait(None);
        // Held meanwhile, so that the code is known when the end comes.
        let mut asked = lock(&self.asked);
        ws.close_with(code, reason)?;
        *asked = Some(code);
        Ok(())
    }

    /// Returns the code of the close that the input has asked for.
    pub(crate) fn asked(&self) -> Option<CloseCode> {
        *lock(&self.asked)
    }
}

/// The input, and where its lines go.
pub(crate) struct Input {
    pub(crate) screen: Arc<Screen>,
    pub(crate) current: Arc<Current>,
    pub(crate) events: Sender<Event>,
    /// Ends the waits of the client.
    pub(crate) canceller: Canceller,
    pub(crate) binary: bool,
    pub(crate) slash: bool,
    /// Whether a line that finds its connection closed goes to the next one.
    pub(crate) reconnects: bool,
}

impl Input {
    /// Tells whether a person types lines and sees what comes.
    pub(crate) fn is_interactive() -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// Reads the editor's lines until Ctrl-C. They are sent on a thread of their own, so that keys are always
    /// looked at.
    pub(crate) fn edit(&self) {
        let Ok(mut editor) = self.editor() else {
            // The terminal has no cursor to move, as that in Emacs.
            return self.read();
        };
        let (lines, typed) = channel();
        thread::scope(|scope| {
            scope.spawn(|| self.send_lines(typed));
            let Err(error) = self.edit_lines(&mut editor, lines) else {
                return;
            };
            let _ = self.events.send(match error {
                ReadlineError::Interrupted => {
                    // There may be no connection at the moment.
                    self.canceller.cancel();
                    Event::Interrupted
                }
                error => Event::Failed(error.to_string()),
            });
        });
    }

    /// Makes the editor, above whose prompt all is printed from now on.
    fn editor(&self) -> Result<Editor<Prompt, MemHistory>, ReadlineError> {
        let mut config = Builder::new();
        // A pasted text is as many messages as lines.
        config.enable_bracketed_paste(false);
        config.set_color_mode(ColorMode::Forced);
        // Behind an Escape it waits for the rest of a key's sequence, and prints nothing meanwhile.
        config.set_keyseq_timeout(Some(500));
        let mut editor = Editor::with_history(config.build(), MemHistory::new())?;
        // The terminal makes it of a Ctrl-D that is typed while no line is being read.
        editor.bind_sequence(KeyEvent::ctrl('@'), Cmd::EndOfFile);
        editor.set_helper(Some(self.screen.prompt.clone()));
        self.screen.prompt.begin(editor.create_external_printer()?);
        Ok(editor)
    }

    /// Edits lines until Ctrl-C or the end of the talk. Ctrl-D ends the lines, and not yet the keys.
    fn edit_lines(
        &self,
        editor: &mut Editor<Prompt, MemHistory>,
        lines: Sender<String>,
    ) -> Result<(), ReadlineError> {
        let mut lines = Some(lines);
        while self.screen.prompt.enter() {
            let line = editor.readline(if lines.is_some() { "> " } else { "" });
            self.screen.prompt.leave();
            match (line, &lines) {
                (Ok(line), Some(lines)) => {
                    let _ = editor.add_history_entry(&line);
                    // Where lines are not taken any more, the talk is about to end.
                    let _ = lines.send(line);
                }
                (Ok(_), None) => {}
                (Err(ReadlineError::Eof), _) => lines = None,
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends lines as they come.
    fn send_lines(&self, lines: Receiver<String>) {
        for line in lines {
            match self.take(line.as_bytes()) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.screen.error(&error),
            }
        }
        let _ = self.events.send(Event::InputEnd);
    }

    /// Reads lines to the end of the input, and shows how far they have come.
    pub(crate) fn read(&self) {
        let end = self.read_lines();
        let _ = self
            .events
            .send(end.map_or_else(Event::Failed, |()| Event::InputEnd));
    }

    fn read_lines(&self) -> Result<(), String> {
        let mut stdin = io::stdin().lock();
        let mut progress = Progress::new();
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let length = stdin.read_until(b'\n', &mut line);
            let length = length.map_err(|error| format!("reading the input: {error}"))?;
            if length == 0 {
                break;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let taken = self.take(text);
            if !taken.map_err(|error| format!("line {number} of the input: {error}"))? {
                break;
            }
            progress.add(length, &self.screen);
        }
        progress.end(&self.screen);
        Ok(())
    }

    /// Sends a line, or does what it says. Waits while the peer does not read. Returns whether to go on.
    fn take(&self, line: &[u8]) -> Result<bool, String> {
        if self.slash && line.starts_with(b"/") {
            return self.obey(&String::from_utf8_lossy(&line[1..]));
        }
        let message = self.message(line)?;
        let mut ws = self.current.wait(None);
        loop {
            match ws.send(message.clone()) {
                Ok(()) => return Ok(true),
                Err(error) if !matches!(error.kind(), SendErrorKind::Closed) => {
                    return Err(error.to_string());
                }
                Err(_) if self.reconnects => ws = self.current.wait(Some(&ws)),
                Err(_) => return Ok(false),
            }
        }
    }

    fn message(&self, line: &[u8]) -> Result<Message, String> {
        if !self.binary {
            let text = std::str::from_utf8(line);
            let text = text.map_err(|_| "it is not UTF-8; --binary sends any bytes".to_owned())?;
            return Ok(text.into());
        }
        let digits: Vec<u8> = line
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let bytes = HEXLOWER_PERMISSIVE.decode(&digits);
        let bytes = bytes.map_err(|error| format!("not hexadecimal digits of bytes: {error}"))?;
        Ok(bytes.into())
    }

    /// Does what a line with a slash says.
    fn obey(&self, command: &str) -> Result<bool, String> {
        let mut words = command.splitn(3, ' ');
        match words.next() {
            Some("ping") => {
                let _ = self.events.send(Event::PingAsked);
            }
            Some("close") => {
                let code = words.next().map_or(Ok(1000), str::parse::<u16>);
                let code = code.map_err(|_| "the code is no number".to_owned())?;
                let closed = self
                    .current
                    .close_with(code.into(), words.next().unwrap_or_default());
                closed.map_err(|error| error.to_string())?;
            }
            _ => return Err("the commands are /ping and /close [CODE [REASON]]".into()),
        }
        Ok(true)
    }
}

/// How far a piped input has come, told on a terminal if it takes long.
struct Progress {
    /// The size of the input, if it is a file.
    total: Option<u64>,
    bytes: u64,
    messages: u64,
    next: Instant,
    shows: bool,
}

/// The time between two lines of progress.
const STEP: Duration = Duration::from_millis(250);

impl Progress {
    fn new() -> Self {
        let file = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        let metadata = file.and_then(|file| file.metadata()).ok();
        Self {
            total: metadata
                .filter(|data| data.is_file())
                .map(|data| data.len()),
            bytes: 0,
            messages: 0,
            next: Instant::now() + STEP,
            shows: io::stderr().is_terminal() && !io::stdin().is_terminal(),
        }
    }

    fn add(&mut self, bytes: usize, screen: &Screen) {
        self.bytes += bytes as u64;
        self.messages += 1;
        if self.shows && Instant::now() >= self.next {
            self.next = Instant::now() + STEP;
            screen.progress(&self.text());
        }
    }

    fn end(&self, screen: &Screen) {
        if self.shows && self.messages > 0 {
            screen.notice(&self.text());
        }
    }

    fn text(&self) -> String {
        let (bytes, messages) = (size(self.bytes), self.messages);
        match self.total {
            Some(total) if total > 0 => {
                let percent = self.bytes * 100 / total;
                format!(
                    "{messages} messages sent, {bytes} of {}, {percent} %",
                    size(total)
                )
            }
            _ => format!("{messages} messages sent, {bytes}"),
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
