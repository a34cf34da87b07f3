//! One message to many, and a burst of them: [`send_to_many`] and [`Burst`].
//!
//! A message to many is framed once: servers send frames without a mask, the same bytes to every
//! peer. Those that compress, each message by itself and by the same settings, get the same bytes too.
//! The handles of clients get the message itself, which each of them masks, and so do connections whose
//! compression refers back to messages before.
//!
//! While a callback's input holds more messages, what it sends to the same connections is gathered
//! once for all of them. A connection *follows* the burst: it has the place of it at the end of its
//! queue. So the next message to all costs it nothing, and when the burst leaves, it writes all
//! messages as one piece. Whatever else is done with its queue takes over first what was gathered
//! before (see `queue::following`). So the order of the messages to all and of those to one is that in
//! which they were sent, by whichever threads.
//!
//! A connection follows one burst at a time. A message to other recipients ends the gathering of the
//! burst before, if they share one. The limits of a queue are exact: a connection follows only while
//! it has room for a whole burst. All others stand apart, and get each message by itself.

use std::mem;
use std::sync::{Arc, Weak};

use super::frames::{Piece, is_framed_once};
use super::framing::{Form, Forms, Framing};
use super::gathered::{AllFrames, Gathered};
use super::look_ahead;
use super::outgoing::Outgoing;
use super::sync::{Mutex, lock};
use super::writer::MIN_UNCOPIED;
use super::{Outbox, Wire};
use crate::{Message, Overflow, SendError, SendErrorKind, SlowPeers};

/// The most framings of a burst. A connection of another stands apart.
const MOST_FRAMINGS: usize = 4;
/// The most bytes of a message that is framed for many: frames count their bytes in 32 bits.
const MOST_FRAMED: usize = 1 << 30;

/// A burst of messages to the same connections.
pub(crate) struct Burst<W: Wire> {
    gathered: Arc<Gathered>,
    /// The connections that follow, until the burst leaves.
    followers: Mutex<Vec<Arc<Outbox<W>>>>,
    /// The connections that get each message by itself.
    apart: Vec<Arc<Outbox<W>>>,
    slow_peers: SlowPeers,
}

/// The burst to a set of connections that is being gathered. Whoever keeps the set keeps it under the
/// same lock, and [ends](Self::end) it when the set changes.
pub(crate) struct OpenBurst<W: Wire> {
    burst: Weak<Burst<W>>,
    /// Its messages. Under the set's lock no outbox may be dropped, and a burst has some (L1).
    gathered: Weak<Gathered>,
    /// The connection of the set that it is not for.
    except: Option<u64>,
    /// The number of changes of the set.
    changes: u64,
}

/// Sends a message to many without waiting. Returns for how many it was queued, and the burst that it
/// begins, if this thread gathers messages.
pub(crate) fn send_to_many<W: Wire>(
    outboxes: impl Iterator<Item = Arc<Outbox<W>>>,
    message: &Message,
    slow_peers: SlowPeers,
) -> (usize, Option<Arc<Burst<W>>>) {
    if is_framed_once(message) && W::is_gathering() {
        let (burst, followers) = Burst::begin(outboxes, message, slow_peers);
        let queued = followers + burst.send_to_those_apart(message);
        return (queued, Some(burst));
    }
    (send_to_each(outboxes, message, slow_peers), None)
}

/// Returns the framings of a burst to these connections.
fn framings<W: Wire>(outboxes: &[Arc<Outbox<W>>]) -> Vec<Framing> {
    let mut framings = Vec::new();
    for outbox in outboxes {
        let framing = outbox.framing_of(MIN_UNCOPIED);
        let is_new = framing != Framing::Own && !framings.contains(&framing);
        if is_new && framings.len() < MOST_FRAMINGS {
            framings.push(framing);
        }
    }
    framings
}

fn send_to_each<W: Wire>(
    outboxes: impl Iterator<Item = Arc<Outbox<W>>>,
    message: &Message,
    slow_peers: SlowPeers,
) -> usize {
    let mut forms = Forms::of(message);
    let is_queued = |outbox: &Arc<Outbox<W>>| {
        let form = forms.get(outbox.framing_of(message.len()));
        outbox.send_one_of_many(message, form, slow_peers)
    };
    outboxes.filter(is_queued).count()
}

impl<W: Wire> Burst<W> {
    /// Begins a burst with its first message. Returns it, and how many follow.
    fn begin(
        outboxes: impl Iterator<Item = Arc<Outbox<W>>>,
        message: &Message,
        slow_peers: SlowPeers,
    ) -> (Arc<Self>, usize) {
        let open: Vec<_> = outboxes.filter(|outbox| !outbox.is_closing()).collect();
        let gathered = Gathered::of(message, framings(&open));
        let (followers, apart): (Vec<_>, _) = open
            .into_iter()
            .partition(|outbox| outbox.follow(&gathered));
        let following = followers.len();
        let burst = Arc::new(Self {
            gathered,
            followers: Mutex::new(followers),
            apart,
            slow_peers,
        });
        W::hold_burst(&burst);
        (burst, following)
    }

    /// Adds a message. Returns for how many it was queued, or `None` if the burst takes no more.
    pub(crate) fn push(self: &Arc<Self>, message: &Message) -> Option<usize> {
        if !is_framed_once(message) {
            return None;
        }
        let (followers, is_full) = self.gathered.push(message)?;
        let queued = followers + self.send_to_those_apart(message);
        if is_full || !W::is_gathering() {
            self.write();
        } else {
            W::hold_burst(self);
        }
        Some(queued)
    }

    fn send_to_those_apart(&self, message: &Message) -> usize {
        if self.apart.is_empty() {
            return 0;
        }
        send_to_each(self.apart.iter().cloned(), message, self.slow_peers)
    }

    /// Takes no more messages.
    pub(super) fn close(&self) {
        self.gathered.close();
    }

    /// Lets the messages leave. The first call does, of several.
    pub(super) fn write(&self) {
        let frames = self.gathered.close();
        let followers = mem::take(&mut *lock(&self.followers));
        look_ahead::for_each(&followers, |outbox| {
            outbox.write_rest(&self.gathered, &frames);
        });
    }
}

impl<W: Wire> OpenBurst<W> {
    /// Returns the burst, if it is for the same connections, and the number of changes of the set.
    pub(crate) fn get(&self, except: Option<u64>) -> (Option<Arc<Burst<W>>>, u64) {
        let burst = (self.except == except).then(|| self.burst.upgrade());
        (burst.flatten(), self.changes)
    }

    /// Takes a burst to which further messages may be added, unless the set has changed since.
    pub(crate) fn set(&mut self, burst: &Arc<Burst<W>>, except: Option<u64>, changes: u64) {
        if self.changes == changes {
            self.burst = Arc::downgrade(burst);
            self.gathered = Arc::downgrade(&burst.gathered);
            self.except = except;
        }
    }

    /// Ends the gathering, because the set changes.
    pub(crate) fn end(&mut self) {
        self.changes += 1;
        self.burst = Weak::new();
        if let Some(gathered) = mem::take(&mut self.gathered).upgrade() {
            gathered.close();
        }
    }
}

impl<W: Wire> Default for OpenBurst<W> {
    fn default() -> Self {
        Self {
            burst: Weak::new(),
            gathered: Weak::new(),
            except: None,
            changes: 0,
        }
    }
}

impl<W: Wire> Outbox<W> {
    /// Follows a burst, if it can. A connection that cannot gets each message by itself.
    fn follow(&self, gathered: &Arc<Gathered>) -> bool {
        let Some(framing) = gathered.position(self.framing_of(MIN_UNCOPIED)) else {
            return false;
        };
        let mut queue = self.lock_queue();
        queue.life.is_open() && queue.follow(gathered, framing)
    }

    /// Returns how messages to many, of this length at most, are framed.
    fn framing_of(&self, length: usize) -> Framing {
        let fits = self.max_fragment().is_none_or(|most| length <= most);
        if fits && length <= MOST_FRAMED {
            self.framing
        } else {
            Framing::Own
        }
    }

    /// Lets the rest of a burst leave, and whatever else waits.
    fn write_rest(self: &Arc<Self>, gathered: &Arc<Gathered>, frames: &AllFrames) {
        // Without taking over the rest as a queued message: usually it is all there is.
        let mut queue = lock(&self.queue);
        if let Some(piece) = queue.take_rest(gathered, frames) {
            if let Some(writer) = queue.take_idle_writer(piece.weight(), piece.messages()) {
                drop(queue);
                return self.write_piece(writer, &piece);
            }
            queue.push_held(Outgoing::Piece(piece));
        }
        drop(queue);
        self.write_waiting();
    }

    /// Sends this connection a message to many, without waiting. Returns whether it was queued.
    fn send_one_of_many(
        self: &Arc<Self>,
        message: &Message,
        form: &Form,
        slow_peers: SlowPeers,
    ) -> bool {
        let overflow = match slow_peers {
            SlowPeers::DropOldest => Overflow::DropOldest,
            SlowPeers::Close | SlowPeers::DropNewest => Overflow::HandBack,
        };
        let sent = match form {
            Form::Framed(piece) => self.send_piece(piece, overflow),
            Form::Itself(coding) => self.send_coded(message.clone(), Some(overflow), *coding),
        };
        match sent {
            Ok(()) => return true,
            Err(error) if error.kind() != SendErrorKind::Full => {}
            Err(_) if slow_peers == SlowPeers::Close => self.fail_slow(),
            Err(_) => self.count_dropped(),
        }
        false
    }

    fn send_piece(self: &Arc<Self>, piece: &Piece, overflow: Overflow) -> Result<(), SendError> {
        let gathering = W::is_gathering();
        let mut queue = self.lock_queue();
        if !gathering {
            if let Some(writer) = queue.take_idle_writer(piece.weight(), piece.messages()) {
                drop(queue);
                self.write_piece(writer, piece);
                return Ok(());
            }
        }
        let outgoing = Outgoing::Piece(piece.clone());
        self.admit_or_wait(queue, outgoing, Some(overflow), gathering)
    }
}
