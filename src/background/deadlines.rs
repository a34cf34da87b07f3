//! What is due on an open connection, and on a server's answer: decisions about time, without a clock
//! and without a socket. The handshake's own deadline is in `connection/handshake`.

mod time_limits;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::time_limits::TimeLimits;
use crate::transport::Ready;
use crate::{Config, Timeout};

/// The deadlines of one open connection.
///
/// They judge the peer, not the program, and only after a look at the socket:
/// - A silence counts only if the connection's thread slept in `recv` at its beginning and its end.
///   Otherwise the silence begins anew.
/// - Before a verdict the socket is looked at. Input in it, or room for bytes to be written, begins
///   the watch anew.
/// - A look that comes late means that the program itself was delayed, so each running watch begins
///   anew.
///
/// The last two rules excuse each watch once each.
pub(crate) struct Deadlines {
    config: Arc<Config>,
    next_ping: Option<Instant>,
    /// The time of the next look that was asked for.
    expected: Option<Instant>,
    /// The watch over a stall, with the time at which the stall began.
    write: Option<(Instant, Watch)>,
    close: Option<Watch>,
    /// The watch over the peer's silence after a failed write.
    silence: Option<Watch>,
    /// The watch over a half received message, with the message's number.
    message: Option<(u64, Watch)>,
    pong: Option<Watch>,
    /// The program's own limits, until they have closed the connection.
    limits: Option<Box<TimeLimits>>,
}

/// The facts about a connection at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) now: Instant,
    /// The result of a look at the socket, if there was one. The other facts are taken after it, so
    /// that no input is missing from both.
    pub(crate) ready: Option<Ready>,
    /// The flag that the connection's thread sleeps in `recv`.
    pub(crate) asleep: bool,
    /// The number of bytes received.
    pub(crate) received: u64,
    /// The number of messages received whole.
    pub(crate) messages: u64,
    /// The number of the message that is half received, if there is one: even, and twice the number
    /// that the message will have when it is counted. Half a header or control frame has an odd
    /// number.
    pub(crate) mid_message: Option<u64>,
    /// The number of bytes of payload received.
    pub(crate) payload: u64,
    pub(crate) writing: Writing,
    /// The flag that the connection is closing already.
    pub(crate) is_closing: bool,
    /// The time of the final cut, once a thread waits for the end, and the deadline's name.
    pub(crate) end_by: Option<(Instant, Timeout)>,
}

/// The progress of writing, as an outbox reports it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    /// The number of times that the kernel has taken bytes after it had refused some. Each time,
    /// the peer made room.
    pub(crate) relieved: u64,
    /// The time when the kernel last took 64 KiB, while it refuses more.
    pub(crate) stalled_since: Option<Instant>,
    /// The time when our Close went to the kernel.
    pub(crate) close_left_at: Option<Instant>,
    /// The flag that a write has failed. Nothing leaves any more, although input is still read.
    pub(crate) has_failed: bool,
    /// The number of messages that are wholly with the kernel.
    pub(crate) delivered: u64,
    /// The number of messages that wait to be written, or for the rest of them to be written.
    pub(crate) unfinished: u64,
}

/// The result of a check: what the caller must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to do before this time, unless something new begins.
    Wait(Option<Instant>),
    /// Look at what the socket is ready for, and check again with facts that are taken after that.
    Look,
    /// Send a ping, and check again.
    Ping,
    /// Close the connection in the ordinary way, and check again.
    Close(Timeout),
    /// End the connection.
    Cut(Timeout),
}

/// The number of bytes that count as progress.
pub(crate) const PROGRESS: u64 = 64 << 10;
/// The shortest watch. A timeout of zero would otherwise be due again as soon as it has begun anew.
const SHORTEST: Duration = Duration::from_millis(20);
/// The number of looks in the length of a watch. A look that comes more than a step late means that
/// this side was delayed, perhaps the whole machine: the peer may have had as little time.
pub(crate) const STEPS: u32 = 4;

/// A time in which the peer should have done something.
#[derive(Clone, Copy, Debug)]
struct Watch {
    since: Instant,
    asleep: bool,
    received: u64,
    payload: u64,
    relieved: u64,
    /// The flag that it has begun anew because this side was late.
    was_late: bool,
    /// The flag that it has begun anew because of the state of the socket.
    was_ready: bool,
}

/// The length and the name of a watch, and its excuse.
struct Rule {
    length: Duration,
    timeout: Timeout,
    /// Tells whether the socket's readiness excuses the peer.
    excuses: fn(Ready) -> bool,
}

impl Deadlines {
    pub(crate) fn new(config: &Arc<Config>, now: Instant) -> Self {
        Self {
            config: Arc::clone(config),
            next_ping: config.ping_interval.map(|interval| now + interval),
            expected: None,
            write: None,
            close: None,
            silence: None,
            message: None,
            pong: None,
            limits: TimeLimits::new(config, now),
        }
    }

    /// Makes the deadlines of a server's answer, which has only the write deadline.
    pub(crate) fn of_answer(config: &Arc<Config>) -> Self {
        Self {
            next_ping: None,
            limits: None,
            ..Self::new(config, Instant::now())
        }
    }

    /// Returns the time of the first check.
    pub(crate) fn first_look(&self, now: Instant) -> Option<Instant> {
        let limits = self.limits.as_ref();
        let limit = limits.and_then(|limits| limits.first_look(now));
        [self.next_ping, limit].into_iter().flatten().min()
    }

    /// Returns what is due, or when to ask again.
    pub(crate) fn check(&mut self, facts: &Facts) -> Verdict {
        let expected = self.expected.take();
        let [idle, lifetime] = self.limits(facts, expected);
        let dues = [
            stop(facts),
            self.write(facts, expected),
            self.closing(facts, expected),
            self.silence(facts, expected),
            self.message(facts, expected),
            self.pong(facts, expected),
            idle,
            lifetime,
        ];
        let mut next = self.next_ping(facts);
        let mut doubtful = false;
        for due in dues.into_iter().flatten() {
            match due {
                Due::Over(limit @ (Timeout::Idle | Timeout::Lifetime)) => {
                    self.limits = None;
                    return Verdict::Close(limit);
                }
                Due::Over(timeout) => return Verdict::Cut(timeout),
                Due::Doubtful => doubtful = true,
                Due::At(at) => next = Some(next.map_or(at, |next| next.min(at))),
            }
        }
        if doubtful {
            return Verdict::Look;
        }
        if self.next_ping(facts).is_some_and(|at| at <= facts.now) {
            self.ping(facts);
            return Verdict::Ping;
        }
        self.expected = next;
        Verdict::Wait(next)
    }

    fn write(&mut self, facts: &Facts, expected: Option<Instant>) -> Option<Due> {
        let Some(since) = facts.writing.stalled_since else {
            self.write = None;
            return None;
        };
        if self.write.is_none_or(|(watched, _)| watched != since) {
            self.write = Some((since, Watch::begin(facts).since(since)));
        }
        let rule = Rule {
            length: self.config.write_timeout,
            timeout: Timeout::Write,
            excuses: |ready| ready.writable,
        };
        let (_, watch) = self.write.as_mut()?;
        Some(watch.judge(facts, expected, &rule))
    }

    /// Watches for the peer's answer to our Close. RFC 6455, section 7.1.1: an endpoint MAY close
    /// at any time, when the peer does not answer.
    fn closing(&mut self, facts: &Facts, expected: Option<Instant>) -> Option<Due> {
        let sent = facts.writing.close_left_at?;
        let rule = Rule {
            length: self.config.close_timeout,
            timeout: Timeout::Close,
            excuses: |ready| ready.readable,
        };
        let watch = self
            .close
            .get_or_insert_with(|| Watch::begin(facts).since(sent));
        Some(watch.judge_silence(facts, expected, &rule))
    }

    /// Watches for silence after a failed write. The peer is read to the end of its input, unless
    /// it is silent for as long as it has to answer a Close.
    fn silence(&mut self, facts: &Facts, expected: Option<Instant>) -> Option<Due> {
        if !facts.writing.has_failed {
            return None;
        }
        let watch = self.silence.get_or_insert_with(|| Watch::begin(facts));
        if watch.received != facts.received {
            *watch = Watch::begin(facts);
        }
        let rule = Rule {
            length: self.config.close_timeout,
            timeout: Timeout::Close,
            excuses: |ready| ready.readable,
        };
        Some(watch.judge_silence(facts, expected, &rule))
    }

    /// Watches for the rest of a message. Only the message's own payload is progress.
    fn message(&mut self, facts: &Facts, expected: Option<Instant>) -> Option<Due> {
        let Some(number) = facts.mid_message else {
            self.message = None;
            return None;
        };
        if self.message.is_none_or(|(watched, _)| watched != number) {
            self.message = Some((number, Watch::begin(facts)));
        }
        let rule = Rule {
            length: self.config.message_timeout,
            timeout: Timeout::Message,
            excuses: |ready| ready.readable,
        };
        let (_, watch) = self.message.as_mut()?;
        if watch.is_due(facts, &rule) && facts.payload - watch.payload >= PROGRESS {
            *watch = Watch::begin(facts);
        }
        Some(watch.judge_silence(facts, expected, &rule))
    }

    /// Watches for a sign of life after a ping. Any byte received since the ping is one. So is room
    /// that the kernel has made for bytes it had refused, because only the peer makes that room.
    /// Other bytes that the kernel takes are none.
    fn pong(&mut self, facts: &Facts, expected: Option<Instant>) -> Option<Due> {
        let watch = self.pong.as_mut()?;
        if watch.received != facts.received || watch.relieved != facts.writing.relieved {
            self.pong = None;
            return None;
        }
        let rule = Rule {
            length: self.config.ping_timeout,
            timeout: Timeout::Pong,
            excuses: |ready| ready.readable,
        };
        Some(watch.judge_silence(facts, expected, &rule))
    }

    /// Checks the limits that the program has set. They close the connection once.
    fn limits(&mut self, facts: &Facts, expected: Option<Instant>) -> [Option<Due>; 2] {
        if facts.is_closing {
            self.limits = None;
        }
        let limits = self.limits.as_mut();
        limits.map_or([None, None], |limits| limits.check(facts, expected))
    }

    /// Returns when the next ping is due: every interval, whatever the traffic, until our Close has
    /// left.
    fn next_ping(&self, facts: &Facts) -> Option<Instant> {
        self.next_ping
            .filter(|_| facts.writing.close_left_at.is_none() && !facts.writing.has_failed)
    }

    /// Begins to watch for a sign of life before the ping leaves, because its pong may come at
    /// once. A further ping does not delay the watch of the first one.
    fn ping(&mut self, facts: &Facts) {
        self.pong.get_or_insert_with(|| Watch::begin(facts));
        let interval = self.config.ping_interval;
        self.next_ping = interval.map(|interval| facts.now + interval);
    }
}

fn stop(facts: &Facts) -> Option<Due> {
    facts.end_by.map(|(by, timeout)| {
        if by <= facts.now {
            Due::Over(timeout)
        } else {
            Due::At(by)
        }
    })
}

impl Rule {
    fn length(&self) -> Duration {
        self.length.max(SHORTEST)
    }

    fn step(&self) -> Duration {
        self.length() / STEPS
    }
}

impl Watch {
    fn begin(facts: &Facts) -> Self {
        Self {
            since: facts.now,
            asleep: facts.asleep,
            received: facts.received,
            payload: facts.payload,
            relieved: facts.writing.relieved,
            was_late: false,
            was_ready: false,
        }
    }

    fn since(self, since: Instant) -> Self {
        Self { since, ..self }
    }

    fn due(&self, rule: &Rule) -> Instant {
        self.since + rule.length()
    }

    fn is_due(&self, facts: &Facts, rule: &Rule) -> bool {
        self.due(rule) <= facts.now
    }

    /// Judges a time in which input should have come. It counts only if the connection's thread
    /// slept at its beginning and its end, or if the thread has read much of something else.
    fn judge_silence(&mut self, facts: &Facts, expected: Option<Instant>, rule: &Rule) -> Due {
        if facts.received - self.received >= PROGRESS {
            let rule = Rule {
                excuses: |_| false,
                ..*rule
            };
            return self.judge(facts, expected, &rule);
        }
        if self.is_due(facts, rule) && !(self.asleep && facts.asleep) {
            *self = Self::begin(facts);
        }
        self.judge(facts, expected, rule)
    }

    /// Judges a watch: over, doubtful, still running, or begun anew.
    fn judge(&mut self, facts: &Facts, expected: Option<Instant>, rule: &Rule) -> Due {
        if self.is_late(facts, expected, rule) && !mem::replace(&mut self.was_late, true) {
            return self.excuse(facts, rule);
        }
        if !self.is_due(facts, rule) {
            return self.next_look(facts, rule);
        }
        match facts.ready {
            None => Due::Doubtful,
            Some(ready) if (rule.excuses)(ready) && !mem::replace(&mut self.was_ready, true) => {
                self.excuse(facts, rule)
            }
            Some(_) => Due::Over(rule.timeout),
        }
    }

    /// Begins the watch anew, with the counts it has.
    fn excuse(&mut self, facts: &Facts, rule: &Rule) -> Due {
        self.since = facts.now;
        self.asleep = facts.asleep;
        self.next_look(facts, rule)
    }

    fn next_look(&self, facts: &Facts, rule: &Rule) -> Due {
        Due::At(self.due(rule).min(facts.now + rule.step()))
    }

    /// Tells whether this check comes later than it was asked for.
    fn is_late(&self, facts: &Facts, expected: Option<Instant>, rule: &Rule) -> bool {
        let due = self.due(rule);
        let asked = expected.map_or(due, |expected| expected.min(due));
        facts.now > asked + rule.step()
    }
}

enum Due {
    At(Instant),
    /// Over, unless a look at the socket excuses the peer.
    Doubtful,
    Over(Timeout),
}

#[cfg(test)]
mod tests;
