//! This side's own pings, which are recognised by their pongs.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::delivery::{Promise, delivery};
use super::outgoing::Outgoing;
use super::{Outbox, Wire};
use crate::protocol::Opcode;
use crate::random::random;
use crate::{DeliveryError, SendErrorKind, WaitError};

/// The numbered pings of a connection, and the facts that their pongs tell: that the peer has taken
/// the messages before, and the round-trip time.
pub(super) struct Pings {
    first: u64,
    sent: u64,
    unanswered: VecDeque<Ping>,
    latency: Option<Duration>,
    /// The end of the connection, if it came right behind one of them.
    end: Option<EndBehindPing>,
}

/// An end that came right behind a keepalive ping to a peer that has never answered one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndBehindPing {
    after: Duration,
    is_first: bool,
}

impl fmt::Display for EndBehindPing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = if self.is_first { ", the first one" } else { "" };
        write!(
            f,
            "ended {} ms after a keepalive ping{first}; if this peer knows no pings, \
             ping_interval(None)",
            self.after.as_millis()
        )
    }
}

/// The time after a ping in which an end may be the peer's answer to it.
const SOON: Duration = Duration::from_secs(1);

struct Ping {
    /// The number, counted from 0.
    number: u64,
    sent_at: Instant,
    /// The promise that its pong resolves. A ping that only keeps the connection alive has none.
    barrier: Option<Promise>,
}

/// A ping's payload: its number in hexadecimal, because some peers take payloads for text.
pub(super) type Payload = [u8; 16];

fn encode(number: u64) -> Payload {
    let mut payload = Payload::default();
    // It has room for all digits.
    let _ = write!(&mut payload[..], "{number:016x}");
    payload
}

fn decode(payload: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(payload).ok()?;
    let is_ours = digits.len() == Payload::default().len();
    u64::from_str_radix(digits, 16).ok().filter(|_| is_ours)
}

impl Pings {
    /// Makes the numbers, from a random one on.
    pub(super) fn from(first: u64) -> Box<Self> {
        Box::new(Self {
            first,
            sent: 0,
            unanswered: VecDeque::new(),
            latency: None,
            end: None,
        })
    }

    /// Makes the payload of the next ping. A barrier's ping must be written before the next is
    /// made.
    pub(super) fn next(&mut self, barrier: Option<Promise>) -> Payload {
        // A peer that answers no ping does not make this grow.
        self.unanswered.retain(|ping| match &ping.barrier {
            Some(promise) => promise.is_wanted(),
            None => barrier.is_some(),
        });
        let number = self.sent;
        self.sent += 1;
        self.unanswered.push_back(Ping {
            number,
            sent_at: Instant::now(),
            barrier,
        });
        encode(self.first.wrapping_add(number))
    }

    /// Records a pong, if it is one of ours. It answers the pings before its own too (RFC 6455,
    /// section 5.5.3). Returns the promises that it resolves.
    fn answered(&mut self, payload: &[u8]) -> Vec<Promise> {
        let number = decode(payload).map(|number| number.wrapping_sub(self.first));
        let Some(number) = number.filter(|number| *number < self.sent) else {
            return Vec::new();
        };
        let answered = self
            .unanswered
            .partition_point(|ping| ping.number <= number);
        let answered = self.unanswered.drain(..answered).filter_map(|ping| {
            if ping.number == number {
                self.latency = Some(ping.sent_at.elapsed());
            }
            ping.barrier
        });
        answered.collect()
    }

    /// Records that the peer ends the connection, or breaks the protocol.
    fn note_end(&mut self) {
        let is_unanswered = |ping: &&Ping| self.latency.is_none() && ping.barrier.is_none();
        let ping = self.unanswered.back().filter(is_unanswered);
        let after = ping.map(|ping| ping.sent_at.elapsed());
        self.end = after
            .filter(|after| *after < SOON)
            .map(|after| EndBehindPing {
                after,
                is_first: self.sent == 1,
            });
    }

    /// Takes the promises of pongs that will not come.
    pub(super) fn give_up(&mut self) -> Vec<Promise> {
        let unanswered = self.unanswered.drain(..);
        unanswered.filter_map(|ping| ping.barrier).collect()
    }
}

impl<W: Wire> Outbox<W> {
    /// Sends a ping behind the messages sent before, and waits for its pong.
    pub(crate) fn confirm(self: &Arc<Self>, deadline: Option<Instant>) -> Result<(), WaitError> {
        let (promise, delivery) = delivery();
        self.begin_numbers();
        self.write_all_held();
        self.wait_in_line(Outgoing::Barrier(promise), || deadline)
            .map_err(|(kind, _)| match kind {
                SendErrorKind::Timeout => WaitError::Timeout,
                SendErrorKind::Full => WaitError::WouldDeadlock,
                _ => WaitError::Closed,
            })?;
        delivery.wait_until(deadline).map_err(|error| match error {
            DeliveryError::Pending => WaitError::Timeout,
            _ => WaitError::Closed,
        })
    }

    /// Sends a ping that keeps the connection alive and measures the round-trip time.
    pub(crate) fn send_keepalive(self: &Arc<Self>) {
        self.begin_numbers();
        self.with_queue(|queue, _| {
            let payload = queue.pings.as_mut().map(|pings| pings.next(None));
            if let Some(payload) = payload {
                queue.push_control(Opcode::Ping, Bytes::copy_from_slice(&payload));
            }
        });
        self.write_waiting();
    }

    /// Records that the peer ends the connection, or breaks the protocol.
    pub(crate) fn note_end(&self) {
        if let Some(pings) = &mut self.lock_queue().pings {
            pings.note_end();
        }
    }

    /// Tells whether the end came right behind a ping of our own.
    pub(crate) fn end_behind_ping(&self) -> Option<EndBehindPing> {
        self.lock_queue().pings.as_ref()?.end
    }

    fn begin_numbers(&self) {
        // Random, so that the pong of another ping is not taken for one of these. Drawn before
        // locking, as that may ask the system.
        let first = random();
        let mut queue = self.lock_queue();
        queue.pings.get_or_insert_with(|| Pings::from(first));
    }

    /// Records a pong.
    pub(crate) fn note_pong(&self, payload: &[u8]) {
        let mut queue = self.lock_queue();
        let pings = queue.pings.as_mut();
        let answered = pings.map(|pings| pings.answered(payload));
        let resolved = answered.into_iter().flatten();
        let awaited: Vec<_> = resolved
            .filter_map(|promise| promise.resolve(Ok(())))
            .collect();
        drop(queue);
        for awaited in awaited {
            awaited.wake();
        }
    }

    /// Returns the round-trip time of the last answered ping.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.lock_queue().pings.as_ref()?.latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ping's payload is text, and its pong is known again; no other pong is.
    #[test]
    fn payloads_are_text_and_known_again() {
        for first in [0, 7, u64::MAX] {
            let mut pings = Pings::from(first);
            let payloads = [(); 3].map(|()| pings.next(None));
            assert!(payloads.iter().flatten().all(u8::is_ascii_alphanumeric));
            assert!(payloads[0] != payloads[1] && payloads[1] != payloads[2]);
            pings.answered(b"0000000000000099");
            pings.answered(b"pong");
            assert!(pings.latency.is_none());
            pings.answered(&payloads[2]);
            assert!(pings.latency.is_some());
        }
    }
}
