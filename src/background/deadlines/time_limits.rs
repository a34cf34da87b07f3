//! The limits that a program sets to the time of its own connections: [`TimeLimits`].

use std::time::{Duration, Instant};

use super::{Due, Facts, Rule, Watch};
use crate::{Config, Timeout};

/// The limits to a connection's idle time and to its lifetime. Both end it in the ordinary way,
/// whatever the program does meanwhile.
pub(super) struct TimeLimits {
    idle: Option<Idle>,
    end: Option<Instant>,
}

/// A time without a message.
struct Idle {
    length: Duration,
    /// The numbers of messages received and sent when it began.
    messages: Option<(u64, u64)>,
    watch: Option<Watch>,
}

impl TimeLimits {
    /// Makes the limits of these settings, if there are any. Boxed, as most connections have none.
    pub(super) fn new(config: &Config, now: Instant) -> Option<Box<Self>> {
        let idle = config.idle_timeout.as_ref().map(|limit| Idle {
            length: limit.after,
            messages: None,
            watch: None,
        });
        let end = config.max_lifetime.as_ref().map(|limit| now + limit.after);
        (idle.is_some() || end.is_some()).then(|| Box::new(Self { idle, end }))
    }

    /// Returns the time of the first check.
    pub(super) fn first_look(&self, now: Instant) -> Option<Instant> {
        let idle = self.idle.as_ref().map(|idle| now + idle.rule().step());
        [idle, self.end].into_iter().flatten().min()
    }

    pub(super) fn check(&mut self, facts: &Facts, expected: Option<Instant>) -> [Option<Due>; 2] {
        let idle = self.idle.as_mut().map(|idle| idle.check(facts, expected));
        let end = self.end.map(|end| {
            if end <= facts.now {
                Due::Over(Timeout::Lifetime)
            } else {
                Due::At(end)
            }
        });
        [idle, end]
    }
}

impl Idle {
    /// Judges the idle time, which begins anew with each message that has begun, goes on or has
    /// ended in either direction. Messages are counted without looking at a clock, so a message
    /// counts as one of the time between two checks.
    fn check(&mut self, facts: &Facts, expected: Option<Instant>) -> Due {
        let messages = Some((facts.messages, facts.writing.delivered));
        if facts.has_unfinished_message() || self.messages != messages {
            self.messages = messages;
            self.watch = None;
        }
        let rule = self.rule();
        let watch = self.watch.get_or_insert_with(|| Watch::begin(facts));
        watch.judge(facts, expected, &rule)
    }

    fn rule(&self) -> Rule {
        Rule {
            length: self.length,
            timeout: Timeout::Idle,
            excuses: |ready| ready.readable,
        }
    }
}

impl Facts {
    /// Tells whether a message is half received, or has not been written to its end.
    fn has_unfinished_message(&self) -> bool {
        // Only the number of a message is even. It remains while the program works on a message
        // that has come whole.
        let half_received = self
            .mid_message
            .is_some_and(|number| number % 2 == 0 && number / 2 > self.messages);
        half_received || self.writing.unfinished > 0
    }
}
