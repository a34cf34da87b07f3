//! Everything at once: many threads join, leave, send, close and drop groups at random.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::{env, mem, thread};

use landline::{Client, Config, Group, Server, WebSocket};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::*;

const THREADS: u64 = 50;
const ROOMS: usize = 6;
/// The number of steps that each thread takes, unless the variable says otherwise.
const STEPS: usize = 400;
const STEPS_VARIABLE: &str = "LANDLINE_CHURN_STEPS";

/// Nobody is lost and nobody stays behind, nothing leaks and nothing hangs, whatever 50 threads do
/// to the same groups at the same time.
#[test]
fn churn_loses_nobody() {
    alone(|| {
        let steps = env::var(STEPS_VARIABLE).map_or(STEPS, |steps| steps.parse().unwrap());
        let before = Resources::now();
        let town = Town::new();
        let mut ends = town.live(steps);
        town.assert_rooms_reach(&ends);
        ends.iter_mut().for_each(End::forget);
        drop(ends);
        settled("all have left", || {
            town.lounge.is_empty() && town.rooms.iter().all(Group::is_empty)
        });
        drop(town);
        before.settle_back();
    });
}

/// What the threads share.
struct Town {
    server: TestServer,
    client: Client,
    rooms: [Group; ROOMS],
    /// Where people are taken by others, who do not know whether they are about to end.
    lounge: Group,
    ears: Ears,
}

/// What callbacks share.
#[derive(Clone, Default)]
struct Ears {
    /// A group that is replaced all the time.
    passing: Arc<Mutex<Group>>,
    /// The last words that each connection has heard.
    heard: Arc<Mutex<BTreeMap<u64, Vec<String>>>>,
}

impl Town {
    #[track_caller]
    fn new() -> Self {
        let ears = Ears::default();
        let of_server = ears.clone();
        Self {
            server: TestServer::with(roomy(), move |ws| of_server.listen(ws)),
            client: Client::new().config(roomy()),
            rooms: Default::default(),
            lounge: Group::new(),
            ears,
        }
    }

    /// Opens a connection, and returns both its ends.
    #[track_caller]
    fn open(&self) -> [End; 2] {
        let listen = |ws: &WebSocket| self.ears.listen(ws);
        let near = self.client.connect(self.server.url(), listen).unwrap();
        let far = other_end(&self.server, &near);
        [End::of(&near, &far), End::of(&far, &near)]
    }

    /// Has all threads live, and returns what they have left open.
    #[track_caller]
    fn live(&self, steps: usize) -> Vec<End> {
        thread::scope(|scope| {
            let lives: Vec<_> = (0..THREADS)
                .map(|seed| scope.spawn(move || Neighbour::new(self, seed).live(steps)))
                .collect();
            lives
                .into_iter()
                .flat_map(|life| life.join().unwrap())
                .collect()
        })
    }

    /// Asserts that a last word to each room reaches exactly those who are in it.
    #[track_caller]
    fn assert_rooms_reach(&self, ends: &[End]) {
        for (number, room) in self.rooms.iter().enumerate() {
            let members = ends.iter().filter(|end| end.rooms.contains(&number));
            let members = members.count();
            assert_eq!(room.len(), members, "room {number}");
            assert_eq!(room.send(format!("last {number}")), members);
        }
        for end in ends {
            end.ws.send("last").unwrap();
        }
        for end in ends {
            let rooms = end.rooms.iter().map(|room| format!("last {room}"));
            let expected: Vec<_> = rooms.chain(["last".into()]).collect();
            assert_eq!(self.ears.all_heard_by(end.heard_by), expected);
        }
    }
}

/// No deadline, and room enough that nobody falls behind, however the threads are scheduled.
fn roomy() -> Config {
    Config::new()
        .max_queue_messages(1 << 20)
        .max_queue_bytes(64 << 20)
        .write_timeout(2 * PATIENCE)
        .close_timeout(2 * PATIENCE)
}

#[track_caller]
fn other_end(server: &Server, near: &WebSocket) -> WebSocket {
    let mut found = None;
    settled("the server has its end", || {
        let ends = server.connections();
        found = ends
            .into_iter()
            .find(|far| far.peer_addr() == near.local_addr());
        found.is_some()
    });
    found.unwrap()
}

impl Ears {
    /// Keeps last words, and does to the passing group what the other end says.
    fn listen(&self, ws: &WebSocket) {
        let ears = self.clone();
        ws.on_text(move |ws, text| match &*text {
            "small talk" => {}
            "join" => _ = ears.group().join(ws),
            "leave" => _ = ears.group().leave(ws),
            "talk" => _ = ears.group().send_except(ws, "small talk"),
            "replace" => ears.replace(),
            last => ears.keep(ws, last),
        });
    }

    fn group(&self) -> Group {
        self.passing.lock().unwrap().clone()
    }

    /// Drops what may be the last handle of a group, whoever its members are.
    fn replace(&self) {
        let old = mem::take(&mut *self.passing.lock().unwrap());
        drop(old);
    }

    fn keep(&self, ws: &WebSocket, last: &str) {
        let mut heard = self.heard.lock().unwrap();
        heard.entry(ws.id()).or_default().push(last.into());
    }

    /// Returns all last words that a connection has heard, once it has heard them all.
    #[track_caller]
    fn all_heard_by(&self, id: u64) -> Vec<String> {
        let words = || self.heard.lock().unwrap().get(&id).cloned();
        let is_all = |words: Vec<String>| words.last().is_some_and(|word| word == "last");
        settled("it has heard all", || words().is_some_and(is_all));
        words().unwrap_or_default()
    }
}

/// One end of a connection.
struct End {
    ws: WebSocket,
    /// The connection's other end, which hears what is sent here.
    heard_by: u64,
    /// The rooms that it is in.
    rooms: BTreeSet<usize>,
}

impl End {
    fn of(ws: &WebSocket, other: &WebSocket) -> Self {
        Self {
            ws: ws.clone(),
            heard_by: other.id(),
            rooms: BTreeSet::new(),
        }
    }

    /// Begins the end, so that the ends of many do not wait for each other.
    fn forget(&mut self) {
        self.ws.close();
    }
}

/// One thread, with a connection of its own, both ends of it.
struct Neighbour<'a> {
    town: &'a Town,
    random: StdRng,
    ends: [End; 2],
}

impl<'a> Neighbour<'a> {
    fn new(town: &'a Town, seed: u64) -> Self {
        Self {
            town,
            random: StdRng::seed_from_u64(seed),
            ends: town.open(),
        }
    }

    fn live(mut self, steps: usize) -> [End; 2] {
        for _ in 0..steps {
            self.step();
        }
        self.ends
    }

    fn step(&mut self) {
        let number = self.random.random_range(0..ROOMS);
        let room = &self.town.rooms[number];
        let end = &mut self.ends[self.random.random_range(0..2)];
        match self.random.random_range(0..100) {
            0..30 => {
                assert!(room.join(&end.ws));
                end.rooms.insert(number);
            }
            30..55 => assert_eq!(room.leave(&end.ws), end.rooms.remove(&number)),
            55..65 => assert_eq!(room.contains(&end.ws), end.rooms.contains(&number)),
            65..75 => self.take_to_the_lounge(number),
            75..80 => _ = room.send("small talk"),
            80..90 => _ = room.send_except(&end.ws, "small talk"),
            90..97 => self.tell(),
            _ => self.move_house(),
        }
    }

    /// Takes somebody else along, who may be ending just now.
    fn take_to_the_lounge(&mut self, number: usize) {
        let Self { town, random, .. } = self;
        let others = town.rooms[number].members();
        if !others.is_empty() {
            let other = &others[random.random_range(0..others.len())];
            if !town.lounge.join(other) {
                assert!(!town.lounge.contains(other));
            }
        }
    }

    /// Has a callback of its own connection do something.
    fn tell(&mut self) {
        let commands = ["join", "join", "talk", "leave", "replace"];
        let command = commands[self.random.random_range(0..commands.len())];
        self.ends[self.random.random_range(0..2)]
            .ws
            .send(command)
            .unwrap();
    }

    /// Ends its connection, in one way or another, and opens a new one.
    fn move_house(&mut self) {
        let [near, far] = &self.ends;
        match self.random.random_range(0..3) {
            0 => near.ws.close(),
            1 => far.ws.close(),
            _ => near.ws.abort(),
        }
        for End { ws, .. } in &self.ends {
            settled("it has ended", || ws.close_code().is_some());
            for room in &self.town.rooms {
                assert!(!room.contains(ws) && !room.leave(ws) && !room.join(ws));
            }
        }
        self.ends = self.town.open();
    }
}
