//! The pings that this side sends of its own accord, known again by their pongs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::delivery::Promise;
use crate::DeliveryError;

/// Numbers pings, and makes of their pongs what they tell: that the peer has taken what went before,
/// and how long it took.
pub(super) struct Pings {
    /// Is random, so that a pong which answers some other ping is not taken for one of these.
    first: u64,
    sent: u64,
    unanswered: VecDeque<Ping>,
    latency: Option<Duration>,
}

struct Ping {
    /// Counted from 0.
    number: u64,
    sent_at: Instant,
    /// Who waits for its pong; nobody does for a ping that only keeps the connection alive.
    barrier: Option<Promise>,
}

/// Is a ping's payload: its number, big-endian.
pub(super) type Payload = [u8; 8];

impl Pings {
    pub(super) fn new() -> Self {
        Self {
            first: rand::random(),
            sent: 0,
            unanswered: VecDeque::new(),
            latency: None,
        }
    }

    /// Makes the payload of the next ping. A barrier's is to be written before the next is made.
    pub(super) fn next(&mut self, barrier: Option<Promise>) -> Payload {
        // A peer that answers none does not make this grow.
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
        self.first.wrapping_add(number).to_be_bytes()
    }

    /// Takes note of a pong, if it is one of ours. It answers the pings before its own too (RFC
    /// 6455, section 5.5.3).
    pub(super) fn answered(&mut self, payload: &[u8]) {
        let Ok(payload) = Payload::try_from(payload) else {
            return;
        };
        let number = u64::from_be_bytes(payload).wrapping_sub(self.first);
        if number >= self.sent {
            return;
        }
        let answered = self
            .unanswered
            .partition_point(|ping| ping.number <= number);
        for ping in self.unanswered.drain(..answered) {
            if ping.number == number {
                self.latency = Some(ping.sent_at.elapsed());
            }
            if let Some(promise) = ping.barrier {
                promise.resolve(Ok(()));
            }
        }
    }

    /// Returns what the last pong of ours took.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// Tells who still waits that no pong will come.
    pub(super) fn give_up(&mut self, why: DeliveryError) {
        let barriers = self.unanswered.drain(..).filter_map(|ping| ping.barrier);
        barriers.for_each(|promise| promise.resolve(Err(why)));
    }
}
