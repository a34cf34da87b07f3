//! The pings that this side sends of its own accord, known again by their pongs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::delivery::{Promise, delivery};
use super::parcel::Parcel;
use super::sync::Ordering;
use super::{Outbox, Wire};
use crate::protocol::Opcode;
use crate::random::random;
use crate::sync::lock;
use crate::{DeliveryError, SendErrorKind, WaitError};

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
            first: random(),
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

impl<W: Wire> Outbox<W> {
    /// Sends a ping behind what was sent before, and waits for its pong.
    pub(crate) fn confirm(self: &Arc<Self>, deadline: Option<Instant>) -> Result<(), WaitError> {
        let (promise, delivery) = delivery();
        match self.wait_for_turn(0, || deadline) {
            Ok(_) => {
                self.barriers.fetch_add(1, Ordering::Release);
                self.channel.push(Parcel::Barrier(promise));
            }
            Err(SendErrorKind::Timeout) => return Err(WaitError::Timeout),
            Err(SendErrorKind::Full) => return Err(WaitError::WouldDeadlock),
            Err(_) => return Err(WaitError::Closed),
        }
        self.pump();
        match delivery.wait_until(deadline) {
            Ok(()) => Ok(()),
            Err(DeliveryError::Pending) => Err(WaitError::Timeout),
            Err(_) => Err(WaitError::Closed),
        }
    }

    /// Sends a ping that keeps the connection alive and measures the way to the peer and back.
    pub(crate) fn send_keepalive(self: &Arc<Self>) {
        let payload = self.number_ping(None);
        self.send_control(Opcode::Ping, Bytes::copy_from_slice(&payload));
    }

    /// Takes note of a pong.
    pub(crate) fn note_pong(&self, payload: &[u8]) {
        if let Some(pings) = &mut *lock(&self.pings) {
            pings.answered(payload);
        }
    }

    /// Returns what the last answered ping of our own took.
    pub(crate) fn latency(&self) -> Option<Duration> {
        lock(&self.pings).as_ref()?.latency()
    }

    /// Makes the payload of the next ping of our own.
    pub(super) fn number_ping(&self, barrier: Option<Promise>) -> Payload {
        let mut pings = lock(&self.pings);
        pings
            .get_or_insert_with(|| Box::new(Pings::new()))
            .next(barrier)
    }
}
