//! Keepalive in seeded rounds at small durations: dead peers are found in time, healthy ones are never
//! cut, while the program pushes, stands still, or rests.
//!
//! The peers are in this process, and with them a raw control: rounds in which that was itself silent
//! for longer than the timeout are repeated.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use landline::{Client, CloseEvent, Config, Server, Timeout, WebSocket};
use rustix::time::{ClockId, clock_gettime};

use crate::support::*;

/// The test that the process with landline plays its part in.
const TEST: &str = "keepalive::rounds::few";
/// The number of connections of each role in a batch.
const COUNT: usize = 10;

/// Some rounds of each kind.
#[test]
fn few() {
    if let Some(part) = part() {
        return program(&part);
    }
    run(3 * 2 * COUNT);
}

/// A thousand rounds.
#[test]
#[ignore = "takes minutes"]
fn thousand() {
    run(1_000);
}

#[track_caller]
fn run(rounds: usize) {
    let (mut done, mut repeated) = (0, 0);
    // While the program was never stopped, and while it was once.
    let mut found = [Vec::new(), Vec::new()];
    for seed in 0.. {
        if done >= rounds {
            break;
        }
        match Batch::play(seed) {
            Some(after) => found[usize::from(is_frozen(seed))].extend(after),
            None => {
                repeated += 1;
                assert!(repeated < 20 + rounds / COUNT, "this machine only stalls");
                continue;
            }
        }
        done += 2 * COUNT;
    }
    let counts = found.each_ref().map(Vec::len);
    let most = found.map(|late| late.into_iter().max().unwrap_or_default());
    println!(
        "{done} rounds; dead peers found, and at most how long after interval and timeout: {} in {:?}, \
         in programs that were stopped {} in {:?}; {} rounds repeated",
        counts[0],
        most[0],
        counts[1],
        most[1],
        repeated * 2 * COUNT
    );
}

fn is_frozen(seed: u64) -> bool {
    Plan::of(seed).freeze.is_some()
}

/// What happens in a batch of rounds, as its seed says; in milliseconds.
#[derive(Debug)]
struct Plan {
    interval: u64,
    timeout: u64,
    pushes: bool,
    /// When the program is stopped and for how long.
    freeze: Option<(u64, u64)>,
    /// When each peer dies, if it does.
    deaths: Vec<Option<u64>>,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let interval = 100 + numbers.below(200);
        let timeout = 150 + numbers.below(250);
        let freeze = (300 + numbers.below(900), 50 + numbers.below(3 * timeout));
        let deaths = (0..2 * COUNT).map(|_| (numbers.below(2) == 0).then(|| numbers.below(1500)));
        Self {
            interval,
            timeout,
            deaths: deaths.collect(),
            pushes: seed % 3 == 0,
            freeze: (seed % 3 == 1).then_some(freeze),
        }
    }

    fn config(&self) -> Config {
        Config::new()
            .ping_interval(ms(self.interval))
            .ping_timeout(ms(self.timeout))
    }

    /// Returns when every dead peer must have been found.
    fn end(&self) -> u64 {
        let freeze = self.freeze.map_or(0, |(_, length)| length);
        1500 + self.interval + 3 * self.timeout + freeze + 300
    }
}

/// The peers of one process with landline.
struct Batch {
    plan: Plan,
    program: Part,
    peers: Vec<Living>,
}

impl Batch {
    /// Plays the batch of a seed, and returns how long after interval and timeout each dead peer was
    /// found; `None` if the machine has stalled.
    #[track_caller]
    fn play(seed: u64) -> Option<Vec<Duration>> {
        let control = Control::start();
        let batch = Self::meet(seed);
        let ports: Vec<_> = batch.peers.iter().map(|peer| peer.port).collect();
        let (deaths, frozen, stalled_there, mut ends) = batch.live();
        let plan = Plan::of(seed);
        if control.longest_silence() > ms(plan.timeout) {
            return None;
        }
        let stalled = stalled_there.max(control.longest_silence());
        let mut slack = 3 * stalled + ms(20);
        // Whoever is held up begins anew, once.
        if frozen > Duration::ZERO || stalled > ms(plan.timeout) / 4 {
            slack += frozen + ms(plan.timeout);
        }
        let mut after = Vec::new();
        for (port, death) in ports.iter().zip(deaths) {
            let end = ends.remove(port).expect("a connection is not told of");
            let story = format!("seed {seed}, stalled {stalled:?}, frozen {frozen:?}: {plan:?}");
            match (death, end) {
                (None, None) => {}
                // A ping and its pong wait for several threads, each as long as the control for its own.
                (None, Some(_)) if stalled > ms(plan.timeout) / 4 => return None,
                (None, Some((_, why))) => panic!("a healthy peer was cut by {why}: {story}"),
                (Some(_), None) => panic!("a dead peer was not found: {story}"),
                (Some(death), Some((end, why))) => {
                    assert_eq!(why, format!("{:?}", Some(Timeout::Pong)), "{story}");
                    assert!(end >= death, "a peer was cut before it died: {story}");
                    let late = (end - death).saturating_sub(ms(plan.interval + plan.timeout));
                    assert!(
                        late <= slack,
                        "found {late:?} late, slack {slack:?}: {story}"
                    );
                    after.push(late);
                }
            }
        }
        Some(after)
    }

    #[track_caller]
    fn meet(seed: u64) -> Self {
        let raw = RawServer::new();
        let mut program = Part::start(TEST, &format!("{seed} {}", raw.url()), &[]);
        let client = |_| Living::begin(raw.upgrade_with(&[]));
        let mut peers: Vec<_> = (0..COUNT).map(client).collect();
        let server: SocketAddr = program.hear().parse().unwrap();
        peers.extend((0..COUNT).map(|_| {
            let mut peer = RawPeer::connect_to(server);
            peer.upgrade();
            Living::begin(peer)
        }));
        assert_eq!(program.hear(), "all are open");
        Self {
            plan: Plan::of(seed),
            program,
            peers,
        }
    }

    /// Lets all happen, and returns when each peer died, how long the program was stopped, how long a
    /// control of its own stood still otherwise, and what it says of the ends.
    fn live(self) -> (Vec<Option<Duration>>, Duration, Duration, Ends) {
        let begin = now();
        let at = |after: u64| begin + ms(after);
        for (peer, death) in self.peers.iter().zip(&self.plan.deaths) {
            if let Some(death) = death {
                peer.life.death.set(at(*death)).unwrap();
            }
        }
        let mut frozen = Duration::ZERO;
        if let Some((after, length)) = self.plan.freeze {
            sleep_until(at(after));
            let stopped = now();
            self.program.stop();
            sleep_until(stopped + ms(length));
            self.program.go_on();
            frozen = now() - stopped;
        }
        sleep_until(at(self.plan.end()));
        let said = self.program.finish();
        let died = self.peers.into_iter().map(Living::end).collect();
        let stalled = Duration::from_micros(said[0].parse().unwrap()).saturating_sub(frozen);
        let ends = said[1..].iter().map(|line| parse(line)).collect();
        (died, frozen, stalled, ends)
    }
}

/// When each connection was found dead and why, by the peer's port; `None` if it was open.
type Ends = HashMap<u16, Option<(Duration, String)>>;

fn parse(line: &str) -> (u16, Option<(Duration, String)>) {
    let mut words = line.splitn(3, ' ');
    let mut word = || words.next().unwrap();
    let port = word().parse().unwrap();
    let end = match word() {
        "open" => None,
        micros => Some((
            Duration::from_micros(micros.parse().unwrap()),
            word().into(),
        )),
    };
    (port, end)
}

/// A peer that answers pings as soon as it is met: to meet the others may take long.
struct Living {
    port: u16,
    life: Arc<Life>,
    playing: JoinHandle<Option<Duration>>,
}

#[derive(Default)]
struct Life {
    /// When it is to die, once that is said.
    death: OnceLock<Duration>,
    over: AtomicBool,
}

impl Living {
    fn begin(mut peer: RawPeer) -> Self {
        let life = Arc::new(Life::default());
        Self {
            port: port(&peer),
            life: Arc::clone(&life),
            playing: thread::spawn(move || live(&mut peer, &life)),
        }
    }

    /// Returns when it has died.
    fn end(self) -> Option<Duration> {
        self.life.over.store(true, Ordering::Relaxed);
        self.playing.join().unwrap()
    }
}

/// Answers pings until its death; from then on it is silent, and reads nothing. Returns when it has
/// died.
fn live(peer: &mut RawPeer, life: &Life) -> Option<Duration> {
    // A ping may have come with the answer to the request.
    let mut received = peer.take_received();
    let mut chunk = [0; 4 << 10];
    let mut stream = &peer.stream;
    let mut died = None;
    while !life.over.load(Ordering::Relaxed) {
        if life.death.get().is_some_and(|death| *death <= now()) {
            // What it has said last may be younger than its death was meant to be.
            died.get_or_insert_with(now);
            pause(ms(5), "the dead neither read nor write");
            continue;
        }
        stream.set_read_timeout(Some(ms(5))).unwrap();
        match uninterrupted(|| stream.read(&mut chunk)) {
            Ok(0) => return died,
            Ok(length) => received.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return died,
        }
        while let Some(frame) = Frame::take_from(&mut received, !peer.masks()) {
            if frame.opcode == opcode::PING {
                let pong = peer.encode(&Frame::new(opcode::PONG, frame.payload));
                let _ = stream.write_all(&pong);
            }
        }
    }
    died
}

/// Returns the port of the end that is not landline's server's.
fn port(peer: &RawPeer) -> u16 {
    let stream = &peer.stream;
    let address = if peer.masks() {
        stream.local_addr()
    } else {
        stream.peer_addr()
    };
    address.unwrap().port()
}

/// Plays the part of the program: a server, and clients of the raw server.
fn program(part: &str) {
    let (seed, url) = part.split_once(' ').unwrap();
    let plan = Plan::of(seed.parse().unwrap());
    let all = Arc::new(Mutex::new(HashMap::new()));
    let enter = |ws: &WebSocket, port: u16, all: &Arc<Mutex<HashMap<u16, Entry>>>| {
        let ended = Arc::new(Mutex::new(None));
        all.lock()
            .unwrap()
            .insert(port, (ws.clone(), Arc::clone(&ended)));
        ws.on_close(move |_, event| *ended.lock().unwrap() = Some((now(), event)));
    };
    let client = Client::new().config(plan.config());
    let connect = |_| client.connect(url, |ws| enter(ws, ws.local_addr().port().unwrap(), &all));
    let _clients: Vec<_> = (0..COUNT).map(|_| connect(()).unwrap()).collect();
    let entering = Arc::clone(&all);
    let builder = Server::builder().config(plan.config());
    let builder =
        builder.on_upgrade(move |ws, _| enter(ws, ws.peer_addr().port().unwrap(), &entering));
    let server = TestServer::start(builder);
    tell(&server.local_addr().to_string());
    settled("all are open", || all.lock().unwrap().len() == 2 * COUNT);
    let handles: Vec<_> = all
        .lock()
        .unwrap()
        .values()
        .map(|entry| entry.0.clone())
        .collect();
    if plan.pushes {
        let handles = handles.clone();
        thread::spawn(move || {
            loop {
                for ws in &handles {
                    let _ = ws.try_send("tick");
                }
                pause(ms(20), "the program pushes now and then");
            }
        });
    }
    let control = Control::start();
    tell("all are open");
    until_released();
    tell(&control.longest_silence().as_micros().to_string());
    for (port, (_, ended)) in all.lock().unwrap().iter() {
        match &*ended.lock().unwrap() {
            None => tell(&format!("{port} open")),
            Some((at, event)) => tell(&format!("{port} {} {:?}", at.as_micros(), event.timeout())),
        }
    }
    handles.iter().for_each(WebSocket::abort);
}

/// A connection, and when and how it ended.
type Entry = (WebSocket, Arc<Mutex<Option<(Duration, CloseEvent)>>>);

/// Returns the time of a clock that all processes share.
fn now() -> Duration {
    clock_gettime(ClockId::Monotonic).try_into().unwrap()
}

fn sleep_until(then: Duration) {
    let time = then.saturating_sub(now());
    pause(time, "what happens is planned for that moment");
}

/// A source of numbers that a seed determines.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
