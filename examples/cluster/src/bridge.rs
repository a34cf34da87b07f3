//! Groups that reach over several processes, joined by Redis publish/subscribe: [`Bridge`].
//!
//! What is said in a room is published to the room's channel, and each process sends what it hears
//! there to the members that it has, its own words too. So each member gets a message once, and all
//! see those of one room in the order of the broker. Redis keeps nothing: while it is away nothing
//! can be said, and the sender is told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use landline::{Group, WebSocket};
use redis::{Client, Connection, RedisError, TypedCommands};

/// Rooms whose members may be connected to any process that has the same broker.
pub(crate) struct Bridge {
    broker: Client,
    rooms: Mutex<BTreeMap<String, Group>>,
    /// Whether this process hears what is published.
    hears: AtomicBool,
    to_publish: SyncSender<Outgoing>,
    notice: fn(bool) -> String,
}

struct Outgoing {
    room: String,
    text: String,
    sender: WebSocket,
    /// The sender gets this if the text was not published.
    or_else: String,
}

/// The prefix of the rooms' channels.
const ROOM: &str = "landline:room:";
/// The channel of a sign of life when nothing else is said: a broker may vanish without a word.
const BEAT: &str = "landline:beat";
const BEAT_INTERVAL: Duration = Duration::from_secs(5);
const LONGEST_SILENCE: Duration = Duration::from_secs(15);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Bridge {
    /// Begins to connect to the broker. The members get `notice(false)` when it is lost, and
    /// `notice(true)` when it is back.
    pub(crate) fn start(url: &str, notice: fn(bool) -> String) -> Result<Arc<Self>, RedisError> {
        let (to_publish, outgoing) = sync_channel(1024);
        let bridge = Arc::new(Self {
            broker: Client::open(url)?,
            rooms: Mutex::default(),
            hears: AtomicBool::new(false),
            to_publish,
            notice,
        });
        let (one, other) = (Arc::clone(&bridge), Arc::clone(&bridge));
        thread::spawn(move || one.publish_all(&outgoing));
        thread::spawn(move || other.hear_for_ever());
        Ok(bridge)
    }

    /// Lets a connection hear a room.
    pub(crate) fn join(&self, room: &str, ws: &WebSocket) {
        self.rooms().entry(room.into()).or_default().join(ws);
    }

    /// Removes a room that has no members here.
    pub(crate) fn remove_if_empty(&self, room: &str) {
        let mut rooms = self.rooms();
        if rooms.get(room).is_some_and(Group::is_empty) {
            rooms.remove(room);
        }
    }

    /// Publishes a text to all members of a room, in every process. If it is not published, the
    /// sender gets `or_else`. Waits while a thousand texts wait.
    pub(crate) fn publish(&self, room: &str, text: String, sender: &WebSocket, or_else: String) {
        let (room, sender) = (room.to_owned(), sender.clone());
        let _ = self.to_publish.send(Outgoing {
            room,
            text,
            sender,
            or_else,
        });
    }

    /// Publishes one text after the other, on one connection, so that they keep their order.
    fn publish_all(&self, outgoing: &Receiver<Outgoing>) {
        let mut connection = None;
        loop {
            let next = outgoing.recv_timeout(BEAT_INTERVAL).ok();
            let (channel, text) = match &next {
                Some(next) => (format!("{ROOM}{}", next.room), next.text.as_str()),
                None => (BEAT.into(), ""),
            };
            let is_up = self.hears.load(Ordering::SeqCst);
            if is_up && self.publish_one(&mut connection, &channel, text).is_ok() {
                continue;
            }
            connection = None;
            if let Some(next) = next {
                let _ = next.sender.try_send(next.or_else);
            }
        }
    }

    /// Publishes a text. An error does not say that it was not heard, so it is not tried again:
    /// nothing is said twice.
    fn publish_one(
        &self,
        connection: &mut Option<Connection>,
        channel: &str,
        text: &str,
    ) -> Result<(), RedisError> {
        if connection.is_none() {
            *connection = Some(self.connect()?);
        }
        connection
            .as_mut()
            .map_or(Ok(0), |connection| connection.publish(channel, text))?;
        Ok(())
    }

    fn connect(&self) -> Result<Connection, RedisError> {
        let connection = self.broker.get_connection_with_timeout(LONGEST_SILENCE)?;
        connection.set_read_timeout(Some(LONGEST_SILENCE))?;
        connection.set_write_timeout(Some(LONGEST_SILENCE))?;
        Ok(connection)
    }

    fn hear_for_ever(&self) {
        let mut wait = Duration::ZERO;
        loop {
            let Err(error) = self.hear(&mut wait);
            eprintln!("the broker is away: {error}");
            if self.hears.swap(false, Ordering::SeqCst) {
                self.tell_all(false);
            }
            // A random part of the time: not all processes come back at the same moment.
            thread::sleep(wait.mul_f64(rand::random()));
            wait = (2 * wait).clamp(Duration::from_millis(200), LONGEST_WAIT);
        }
    }

    /// Sends what is published to the members that are here, until the broker is lost.
    fn hear(&self, wait: &mut Duration) -> Result<Infallible, RedisError> {
        let mut connection = self.connect()?;
        let mut subscription = connection.as_pubsub();
        subscription.subscribe(BEAT)?;
        subscription.psubscribe(format!("{ROOM}*"))?;
        *wait = Duration::ZERO;
        self.hears.store(true, Ordering::SeqCst);
        self.tell_all(true);
        loop {
            let message = subscription.get_message()?;
            let room = message.get_channel_name().strip_prefix(ROOM);
            let group = room.and_then(|room| self.rooms().get(room).cloned());
            if let (Some(group), Ok(text)) = (group, message.get_payload::<String>()) {
                group.send(text);
            }
        }
    }

    fn tell_all(&self, is_back: bool) {
        for group in self.rooms().values() {
            group.send((self.notice)(is_back));
        }
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<String, Group>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
