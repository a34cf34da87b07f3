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
/// They judge the peer, not the program, and nobody unheard:
/// - A silence counts only if the connection's thread sat in `recv` at its beginning and its end. One
///   that falls due otherwise begins anew.
/// - Before a verdict the socket is looked at: what lies in it, or room for what is to be written,
///   begins the watch anew.
/// - A look that comes late says that the program itself was held up, so each running watch begins
///   anew.
///
/// The last two excuse each watch once.
pub(crate) struct Deadlines {
    config: Arc<Config>,
    next_ping: Option<Instant>,
    /// When it asked to be checked next.
    expected: Option<Instant>,
    /// With the beginning of the stall that it watches.
    write: Option<(Instant, Watch)>,
    close: Option<Watch>,
    /// After a failed write.
    silence: Option<Watch>,
    /// With the number of the message that it watches.
    message: Option<(u64, Watch)>,
    pong: Option<Watch>,
    /// Those of the program, until they have closed the connection.
    limits: Option<Box<TimeLimits>>,
}

/// What is known of a connection at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) now: Instant,
    /// What a look at the socket found, if there was one. The other facts are taken after it, so that
    /// what was read meanwhile is in one of the two.
    pub(crate) ready: Option<Ready>,
    /// Whether the connection's thread sits in `recv`.
    pub(crate) asleep: bool,
    /// Bytes received so far.
    pub(crate) received: u64,
    /// Messages received whole so far.
    pub(crate) messages: u64,
    /// Which message is half received, if one is: an even number, twice that which it will have when it
    /// is counted. Half a header or control frame has an odd one.
    pub(crate) mid_message: Option<u64>,
    /// Bytes of payload of messages received so far.
    pub(crate) payload: u64,
    pub(crate) writing: Writing,
    /// Whether the connection is closing already.
    pub(crate) is_closing: bool,
    /// When the patience ends for good, once somebody waits for the end, and what it is called.
    pub(crate) end_by: Option<(Instant, Timeout)>,
}

/// How the writing goes, as an outbox tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing {
    /// How often the kernel has taken bytes after it had refused some: each time, the peer made room.
    pub(crate) relieved: u64,
    /// When the kernel last took 64 KiB, while it refuses more.
    pub(crate) stalled_since: Option<Instant>,
    /// When our Close went to the kernel.
    pub(crate) close_left_at: Option<Instant>,
    /// Whether a write has failed: nothing leaves any more, although what arrives is still read.
    pub(crate) has_failed: bool,
    /// Messages that are wholly with the kernel.
    pub(crate) delivered: u64,
    /// Messages that wait to be written, or to their end.
    pub(crate) unfinished: u64,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing before then, unless something new begins.
    Wait(Option<Instant>),
    /// Look for what the socket is ready, and check again with facts that are taken after that.
    Look,
    /// Send a ping, and check again.
    Ping,
    /// Close the connection in the ordinary way, and check again.
    Close(Timeout),
    /// End the connection.
    Cut(Timeout),
}

/// The number of bytes that are progress.
pub(crate) const PROGRESS: u64 = 64 << 10;
/// No watch is shorter: a timeout of zero would otherwise be due again as soon as it has begun anew.
const SHORTEST: Duration = Duration::from_millis(20);
/// In so many steps a watch is looked at. A look that comes more than a step late says that this side
/// was held up, perhaps the whole machine: the peer may have had as little time.
pub(crate) const STEPS: u32 = 4;

/// A stretch of time in which the peer should have done something.
#[derive(Clone, Copy, Debug)]
struct Watch {
    since: Instant,
    asleep: bool,
    received: u64,
    payload: u64,
    relieved: u64,
    /// Whether it has begun anew because this side was late.
    was_late: bool,
    /// Whether it has begun anew because of what was found in the socket.
    was_ready: bool,
}

/// What a watch waits for.
struct Rule {
    length: Duration,
    timeout: Timeout,
    /// Tells of what the socket is ready for whether it excuses the peer.
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

    /// Makes those of a server's answer, which has the write deadline alone.
    pub(crate) fn of_answer(config: &Arc<Config>) -> Self {
        Self {
            next_ping: None,
            limits: None,
            ..Self::new(config, Instant::now())
        }
    }

    /// Returns when to check first.
    pub(crate) fn first_look(&self, now: Instant) -> Option<Instant> {
        let limits = self.limits.as_ref();
        let limit = limits.and_then(|limits| limits.first_look(now));
        [self.next_ping, limit].into_iter().flatten().min()
    }

    /// Says what is due, or when to ask again.
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

    /// RFC 6455, section 7.1.1: an endpoint MAY close at any time, when the peer does not answer.
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

    /// After a failed write the peer is read to the end of its input, unless it is silent for as long
    /// as it would have to answer a Close.
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

    /// Only the message's own payload is progress.
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

    /// Any byte received since the ping is life. So is room that the kernel has made for what it had
    /// refused, as that takes the peer; what it takes otherwise says nothing of the peer.
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

    /// What the program has limited closes the connection, once.
    fn limits(&mut self, facts: &Facts, expected: Option<Instant>) -> [Option<Due>; 2] {
        if facts.is_closing {
            self.limits = None;
        }
        let limits = self.limits.as_mut();
        limits.map_or([None, None], |limits| limits.check(facts, expected))
    }

    /// A ping is due every interval, whatever the traffic, until our Close has left.
    fn next_ping(&self, facts: &Facts) -> Option<Instant> {
        self.next_ping
            .filter(|_| facts.writing.close_left_at.is_none() && !facts.writing.has_failed)
    }

    /// Watches for a sign of life from before the ping leaves: its pong may come at once. A further
    /// ping does not put off what the first one waits for.
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

    /// Judges a stretch in which something should have come. It counts only if the connection's thread
    /// slept at both its ends; or if it has read much, and that was something else.
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

    /// Judges a stretch: over, doubtful, still running, or begun anew.
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

    /// Begins anew, and forgets nothing of what it waits for.
    fn excuse(&mut self, facts: &Facts, rule: &Rule) -> Due {
        self.since = facts.now;
        self.asleep = facts.asleep;
        self.next_look(facts, rule)
    }

    fn next_look(&self, facts: &Facts, rule: &Rule) -> Due {
        Due::At(self.due(rule).min(facts.now + rule.step()))
    }

    /// Tells whether this check comes later than asked for.
    fn is_late(&self, facts: &Facts, expected: Option<Instant>, rule: &Rule) -> bool {
        let due = self.due(rule);
        let asked = expected.map_or(due, |expected| expected.min(due));
        facts.now > asked + rule.step()
    }
}

enum Due {
    At(Instant),
    /// Over, unless the socket says otherwise.
    Doubtful,
    Over(Timeout),
}

#[cfg(test)]
mod tests;
