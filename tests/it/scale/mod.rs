//! Many connections, and many faults: what only a release build and some time show, by `.ci/run long`.
//! Each test counts in a process of its own, with the peers in others, and prints what it has measured.

mod peers;

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use landline::Config;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::cost::{hold_sockets, raise_descriptors};
use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

/// 10,000 connections of another process have a minute's rest: they cost less than 1 % of a CPU and at
/// most 20 KiB each, and one more for what counts them here. When that process ends, each ends once, and
/// nothing is left of it.
#[test]
#[ignore = "takes some minutes and 10,000 threads"]
fn ten_thousand_connections_rest() {
    const TEST: &str = "scale::ten_thousand_connections_rest";
    const COUNT: usize = 10_000;
    if let Some(address) = part() {
        return hold_sockets(address.parse().unwrap(), COUNT);
    }
    alone_within(20 * MINUTE, || {
        raise_descriptors();
        let tally = Tally::default();
        let server = tally.serve(Config::new().ping_interval(None));
        let before = Measured::at_rest(&server);
        let begin = Instant::now();
        let mut peers = Part::start(TEST, &server.local_addr().to_string(), &[]);
        assert_eq!(peers.hear(), "echoed");
        println!("opened {COUNT} in {:.1?}", begin.elapsed());
        assert_eq!(server.connection_count(), COUNT);
        pause(
            ms(5_000),
            "what the echoes have left to be done is over soon",
        );
        let (begin, cpu) = (Instant::now(), cpu_time());
        pause(MINUTE, "a minute in which nobody says anything");
        let used = (cpu_time() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
        let each = (resident_kib() - before.kib) as f64 / COUNT as f64;
        println!(
            "idle: {:.3} % of a CPU, {each:.1} KiB a connection",
            used * 100.0
        );
        assert_eq!(server.connection_count(), COUNT);
        peers.release();
        tally.settle(&server, COUNT as u64);
        before.settle_back(&server);
        assert!(used < 0.01);
        let most = if cfg!(debug_assertions) { 41.0 } else { 21.0 };
        assert!(each <= most);
    });
}

/// 100,000 connections come and go, a third each by the closing handshake, by an end of the stream
/// and by a reset. Each ends once, and the last 90,000 leave no more memory behind than the first
/// 10,000.
#[test]
#[ignore = "takes some minutes"]
fn a_hundred_thousand_connections_come_and_go() {
    const TEST: &str = "scale::a_hundred_thousand_connections_come_and_go";
    const ROUNDS: u64 = 10;
    const COUNT: usize = 10_000;
    if let Some(part) = part() {
        return peers::churn(&part, COUNT);
    }
    alone_within(30 * MINUTE, || {
        raise_descriptors();
        let tally = Tally::default();
        let server = tally.serve(Config::new());
        let before = Measured::at_rest(&server);
        let rests: Vec<_> = (1..=ROUNDS)
            .map(|round| {
                let begin = Instant::now();
                // A source address for each round: the system keeps ports for a while.
                let address = format!("{} 127.0.0.{}", server.local_addr(), round + 1);
                let said = Part::start(TEST, &address, &[]).finish();
                assert_eq!(said, ["done"]);
                tally.settle(&server, round * COUNT as u64);
                let now = before.settle_back(&server);
                println!("round {round}: {:.1?}, then {now:?}", begin.elapsed());
                now.kib
            })
            .collect();
        // Eleven bytes for each of the others.
        assert!(rests[rests.len() - 1] <= rests[0] + 1024);
    });
}

/// 500 connections live through faults of all kinds, at default settings: peers that reset, go
/// without a word, stall, break the rules, flood with pings, fragments or half messages; whose
/// process is killed or stopped. Whatever they get is right, each connection ends once, and memory
/// stays flat.
///
/// `LANDLINE_SOAK` sets the seconds, `LANDLINE_SEED` what chance does.
#[test]
#[ignore = "takes a quarter of an hour"]
fn a_soak_with_faults() {
    const TEST: &str = "scale::a_soak_with_faults";
    if let Some(part) = part() {
        return peers::misbehave(&part);
    }
    let period = Duration::from_secs(number("LANDLINE_SOAK").unwrap_or(900));
    alone_within(period + 10 * MINUTE, || {
        raise_descriptors();
        let seed = number("LANDLINE_SEED").unwrap_or_else(rand::random);
        println!("LANDLINE_SEED={seed}");
        let tally = Tally::default();
        let server = tally.serve(Config::new());
        let before = Measured::at_rest(&server);
        let mut crowd = Crowd::new(TEST, server.local_addr().to_string(), seed);
        let begin = Instant::now();
        let mut seen = Vec::new();
        while begin.elapsed() < period {
            crowd.disturb();
            let kib = resident_kib();
            println!(
                "after {:3.0?}: {} connections, {tally}, {kib} KiB",
                begin.elapsed(),
                server.connection_count()
            );
            seen.push(kib);
        }
        println!(
            "{} processes killed, {} stopped",
            crowd.killed, crowd.stopped
        );
        crowd.parts.into_iter().for_each(Part::kill);
        let opened = tally.opened();
        tally.settle(&server, opened);
        let after = before.settle_back(&server);
        println!("{tally}; before {before:?}, after {after:?}");
        assert_flat(&seen);
    });
}

/// What is used in the last third is hardly more than in the one before it.
#[track_caller]
fn assert_flat(seen: &[u64]) {
    let third = seen.len() / 3;
    let most = |part: &[u64]| part.iter().copied().max().unwrap_or_default();
    let (second, last) = (most(&seen[third..2 * third]), most(&seen[2 * third..]));
    println!("at most {second} KiB in the second third, {last} KiB in the last");
    assert!(last <= second + second / 4 + 8192);
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// Counts the connections of a server that echoes.
#[derive(Clone, Default)]
struct Tally(Arc<Counts>);

#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    closed: AtomicU64,
    closed_twice: AtomicU64,
}

impl Tally {
    fn serve(&self, config: Config) -> TestServer {
        let tally = self.clone();
        TestServer::with(config, move |ws| {
            tally.0.opened.fetch_add(1, Ordering::Relaxed);
            ws.on_message(|ws, message| ws.send(message));
            let (tally, mut told) = (tally.clone(), false);
            ws.on_close(move |_, _| {
                let twice = std::mem::replace(&mut told, true);
                tally
                    .0
                    .closed_twice
                    .fetch_add(twice.into(), Ordering::Relaxed);
                tally.0.closed.fetch_add(1, Ordering::Relaxed);
            });
        })
    }

    fn opened(&self) -> u64 {
        self.0.opened.load(Ordering::Relaxed)
    }

    fn closed(&self) -> u64 {
        self.0.closed.load(Ordering::Relaxed)
    }

    /// Waits until all are gone; so many have come, and each has ended once.
    #[track_caller]
    fn settle(&self, server: &TestServer, count: u64) {
        settled("all are gone", || {
            server.connection_count() == 0 && self.closed() >= self.opened()
        });
        assert_eq!((self.opened(), self.closed()), (count, count));
        assert_eq!(self.0.closed_twice.load(Ordering::Relaxed), 0);
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} opened, {} closed", self.opened(), self.closed())
    }
}

/// What the process uses.
#[derive(Clone, Copy, Debug)]
struct Measured {
    resources: Resources,
    kib: u64,
}

impl Measured {
    /// Measures while there is no connection.
    #[track_caller]
    fn at_rest(server: &TestServer) -> Self {
        assert_eq!(server.connection_count(), 0);
        Self {
            resources: Resources::now(),
            kib: resident_kib(),
        }
    }

    /// Waits until no descriptor and no thread is left but the background's, and measures.
    #[track_caller]
    fn settle_back(&self, server: &TestServer) -> Self {
        settled("the background has ended", || {
            threads_named("landline-backgr").is_empty()
        });
        self.resources.settle_back();
        Self::at_rest(server)
    }
}

/// The processes of the peers.
struct Crowd {
    test: &'static str,
    server: String,
    chance: StdRng,
    parts: Vec<Part>,
    killed: usize,
    stopped: usize,
}

const PARTS: usize = 5;

impl Crowd {
    fn new(test: &'static str, server: String, seed: u64) -> Self {
        let mut crowd = Self {
            test,
            server,
            chance: StdRng::seed_from_u64(seed),
            parts: Vec::new(),
            killed: 0,
            stopped: 0,
        };
        crowd.parts = (0..PARTS).map(|_| crowd.start()).collect();
        crowd
    }

    fn start(&mut self) -> Part {
        let seed: u64 = self.chance.random();
        Part::start(self.test, &format!("{} {seed}", self.server), &[])
    }

    /// Lets some seconds pass, then perhaps kills a process in the place of which another one comes, or
    /// stops one for a while.
    fn disturb(&mut self) {
        let time = ms(self.chance.random_range(3_000..8_000));
        pause(time, "a fault every few seconds");
        let which = self.chance.random_range(0..PARTS);
        match self.chance.random_range(0..3) {
            0 => {
                self.parts.remove(which).kill();
                let next = self.start();
                self.parts.push(next);
                self.killed += 1;
            }
            1 => {
                self.parts[which].stop();
                let time = ms(self.chance.random_range(500..4_000));
                pause(time, "so long the process is stopped");
                self.parts[which].go_on();
                self.stopped += 1;
            }
            _ => {}
        }
    }
}
