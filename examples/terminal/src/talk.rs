//! The connections, one after the other, until something ends them.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use landline::{Canceller, Client, CloseCode, CloseEvent, SessionState, WebSocket};

use crate::input::{Current, Input};
use crate::options::Options;
use crate::screen::Screen;
use crate::terminal::Terminal;

/// What happens to a connection, or to the input.
pub(crate) enum Event {
    Message,
    /// The output takes nothing more.
    OutputEnd,
    Pong(u32),
    Closed(CloseEvent),
    InputEnd,
    Interrupted,
    PingAsked,
    Failed(String),
}

/// The time that the line editor has for its last drawing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Talks as the options say. Returns whether all ended well.
pub(crate) fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let client = options.client()?;
    let terminal = Input::is_interactive()
        .then(Terminal::remember)
        .transpose()?;
    let (events, inbox) = channel();
    let mut talk = Talk {
        options,
        screen: Arc::new(Screen::new(options)),
        current: Arc::default(),
        events,
        inbox,
        canceller: client.canceller(),
        received: 0,
        pings: Pings::new(options.ping),
        input_has_begun: false,
        input_is_over: false,
        is_ending: false,
    };
    let outcome = talk.connect_and_talk(&client);
    talk.screen.prompt.finish(PATIENCE);
    if let Some(terminal) = terminal {
        terminal.restore();
    }
    outcome
}

/// A talk with a server, over one connection or several.
struct Talk<'a> {
    options: &'a Options,
    screen: Arc<Screen>,
    current: Arc<Current>,
    events: Sender<Event>,
    inbox: Receiver<Event>,
    /// Ends the waits of the client.
    canceller: Canceller,
    /// The messages that have come.
    received: u64,
    pings: Pings,
    input_has_begun: bool,
    input_is_over: bool,
    /// Whether this side has ended the talk.
    is_ending: bool,
}

impl Talk<'_> {
    fn connect_and_talk(&mut self, client: &Client) -> Result<bool, Box<dyn Error>> {
        if self.options.reconnect {
            return self.stay(client);
        }
        let ws = client.connect(self.options.url(), |ws| self.set_up(ws))?;
        let end = self.talk(&ws)?;
        Ok(self.ended_well(&end))
    }

    /// Connects again after each end that was not asked for, also by a cancel, which comes from the
    /// keyboard.
    fn stay(&mut self, client: &Client) -> Result<bool, Box<dyn Error>> {
        let screen = Arc::clone(&self.screen);
        let sessions = client.sessions(self.options.url());
        let sessions = sessions.on_state(move |state| {
            if let SessionState::Waiting { .. } = state {
                screen.notice(&state.to_string());
            }
        });
        for session in sessions {
            let (ws, messages) = session?;
            self.set_up(&ws);
            let reading = thread::Builder::new().name("messages".into());
            reading.spawn(move || messages.dispatch())?;
            let end = self.talk(&ws)?;
            if self.is_ending || self.current.asked().is_some() {
                return Ok(self.ended_well(&end));
            }
        }
        Ok(true)
    }

    /// Sets the callbacks, which run on the connection's thread.
    fn set_up(&self, ws: &WebSocket) {
        let (screen, events) = (Arc::clone(&self.screen), self.events.clone());
        ws.on_message(move |_, message| {
            let event = match screen.message(&message) {
                Ok(()) => Event::Message,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Event::OutputEnd,
                Err(error) => Event::Failed(format!("writing the output: {error}")),
            };
            let _ = events.send(event);
        });
        let events = self.events.clone();
        ws.on_pong(move |_, payload| {
            let number = std::str::from_utf8(&payload)
                .ok()
                .and_then(|text| text.strip_prefix("ping "));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                let _ = events.send(Event::Pong(number));
            }
        });
        let screen = Arc::clone(&self.screen);
        ws.on_error(move |_, error| screen.error(&error.to_string()));
        let events = self.events.clone();
        ws.on_close(move |_, event| _ = events.send(Event::Closed(event)));
    }

    /// Talks over one connection, to its end.
    fn talk(&mut self, ws: &WebSocket) -> Result<CloseEvent, Box<dyn Error>> {
        self.screen.notice(&greeting(ws));
        self.current.set(Some(ws.clone()));
        if !self.input_has_begun {
            self.begin_input(ws);
        } else if self.input_is_over && self.closes_at_input_end() {
            self.end(ws);
        }
        loop {
            match self.next_event(ws) {
                None => {}
                Some(Event::Closed(end)) => {
                    self.current.set(None);
                    self.screen.notice(&end.to_string());
                    return Ok(end);
                }
                Some(event) => self.meet(event, ws)?,
            }
        }
    }

    /// Returns the next event, or `None` when a ping is due, which leaves here.
    fn next_event(&mut self, ws: &WebSocket) -> Option<Event> {
        let Some(due) = self.pings.due() else {
            return self.inbox.recv().ok();
        };
        match self
            .inbox
            .recv_timeout(due.saturating_duration_since(Instant::now()))
        {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                self.pings.send(ws);
                None
            }
        }
    }

    fn meet(&mut self, event: Event, ws: &WebSocket) -> Result<(), Box<dyn Error>> {
        match event {
            Event::Message => {
                self.received += 1;
                if Some(self.received) == self.options.wanted() {
                    self.end(ws);
                }
            }
            Event::Pong(number) => {
                if let Some(line) = self.pings.receive(number) {
                    self.screen.error(&line);
                }
                if self.pings.are_done() {
                    self.screen.error(&self.pings.summary());
                    self.end(ws);
                }
            }
            Event::PingAsked => self.pings.send(ws),
            Event::InputEnd => {
                self.input_is_over = true;
                if self.closes_at_input_end() {
                    self.end(ws);
                }
            }
            Event::OutputEnd | Event::Interrupted => {
                self.input_is_over = true;
                self.end(ws);
            }
            Event::Failed(what) => {
                self.end(ws);
                return Err(what.into());
            }
            // It ends the talk where events are taken.
            Event::Closed(_) => {}
        }
        Ok(())
    }

    fn closes_at_input_end(&self) -> bool {
        let waits = self.options.wanted().is_some() || self.options.ping.is_some();
        !waits && !self.options.keep_open
    }

    fn end(&mut self, ws: &WebSocket) {
        self.is_ending = true;
        ws.close();
    }

    /// Sends what the options give, or has the input read on a thread of its own.
    fn begin_input(&mut self, ws: &WebSocket) {
        self.input_has_begun = true;
        if !self.options.execute.is_empty() {
            for text in &self.options.execute {
                // A connection that has closed meanwhile says so by its end.
                let _ = ws.send(text);
            }
            self.input_is_over = true;
            return;
        }
        if self.options.ping.is_some() {
            self.input_is_over = true;
            return;
        }
        let input = Input {
            screen: Arc::clone(&self.screen),
            current: Arc::clone(&self.current),
            events: self.events.clone(),
            canceller: self.canceller.clone(),
            binary: self.options.binary,
            slash: self.options.slash,
            reconnects: self.options.reconnect,
        };
        thread::spawn(move || match Input::is_interactive() {
            true => input.edit(),
            false => input.read(),
        });
    }

    /// Tells whether the last connection ended as it should.
    fn ended_well(&self, end: &CloseEvent) -> bool {
        let wanted = self.options.wanted();
        if wanted.is_some_and(|wanted| self.received < wanted) {
            let (wanted, received) = (wanted.unwrap_or_default(), self.received);
            self.screen
                .error(&format!("{received} of {wanted} messages came"));
            return false;
        }
        let asked = self.current.asked();
        let is_ended_here = self.is_ending || asked.is_some();
        let is_all_sent = self.input_is_over || is_ended_here || Input::is_interactive();
        if !is_all_sent && !self.options.keep_open && end.is_ordinary() {
            self.screen.error("the connection ended before the input");
            return false;
        }
        // Where both sides close at once, the peer's code still says why it did.
        let received = end.received_code().unwrap_or(CloseCode::NORMAL);
        let is_echo = asked == Some(received);
        let polite = [
            CloseCode::NORMAL,
            CloseCode::GOING_AWAY,
            CloseCode::NO_STATUS,
        ];
        end.is_ordinary() && (polite.contains(&received) || is_echo)
    }
}

fn greeting(ws: &WebSocket) -> String {
    let address = ws.peer_addr();
    match ws.subprotocol() {
        Some(subprotocol) => format!("connected to {address}, subprotocol {subprotocol}"),
        None => format!("connected to {address}"),
    }
}

/// The pings and their round trips.
struct Pings {
    /// The number of pings that are to be sent by themselves.
    wanted: u32,
    sent: Vec<Instant>,
    trips: Vec<Duration>,
}

/// The time between two pings.
const PING_INTERVAL: Duration = Duration::from_secs(1);

impl Pings {
    fn new(wanted: Option<u32>) -> Self {
        Self {
            wanted: wanted.unwrap_or(0),
            sent: Vec::new(),
            trips: Vec::new(),
        }
    }

    /// Returns when the next is due.
    fn due(&self) -> Option<Instant> {
        let more = self.sent.len() < self.wanted as usize;
        let last = self.sent.last();
        more.then(|| last.map_or_else(Instant::now, |last| *last + PING_INTERVAL))
    }

    fn send(&mut self, ws: &WebSocket) {
        self.sent.push(Instant::now());
        // Some servers take pings for text. One on a closed connection says so by the end.
        let _ = ws.ping(format!("ping {}", self.sent.len()));
    }

    /// Takes a pong, and returns what there is to say.
    fn receive(&mut self, number: u32) -> Option<String> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let trip = self.sent.get(at)?.elapsed();
        self.trips.push(trip);
        Some(format!("pong {number}: {}", milliseconds(trip)))
    }

    fn are_done(&self) -> bool {
        self.wanted > 0 && self.trips.len() >= self.wanted as usize
    }

    fn summary(&self) -> String {
        let count = u32::try_from(self.trips.len()).unwrap_or(u32::MAX).max(1);
        let mean = self.trips.iter().sum::<Duration>() / count;
        let least = self.trips.iter().min().copied().unwrap_or_default();
        let most = self.trips.iter().max().copied().unwrap_or_default();
        let [least, mean, most] = [least, mean, most].map(milliseconds);
        format!(
            "{} pings: {least} at least, {mean} in the mean, {most} at most",
            self.sent.len()
        )
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
