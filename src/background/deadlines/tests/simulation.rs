//! A peer and the program on one simulated clock, in which both may stand still.

use super::*;

const MS: Duration = Duration::from_millis(1);

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

/// A stretch in which the program stands still, and perhaps the peer with it; in milliseconds, as all
/// here is.
#[derive(Clone, Copy, Debug)]
struct Freeze {
    begin: u64,
    end: u64,
    whole_machine: bool,
}

/// A program that keeps a connection's time, and a peer that answers its pings until it dies.
#[derive(Debug)]
struct World {
    interval: u64,
    timeout: u64,
    /// How long a ping and its pong are under way.
    round_trip: u64,
    /// How long the program's threads take to wake up, at most.
    wake_up: u64,
    freezes: Vec<Freeze>,
    dies_at: u64,
}

impl World {
    fn random(seed: u64) -> (Self, Numbers) {
        let mut numbers = Numbers(seed);
        let interval = 100 + numbers.below(400);
        let timeout = 100 + numbers.below(400);
        let pause = 2 * (interval + timeout);
        let mut freezes = Vec::new();
        let mut at = 0;
        for _ in 0..numbers.below(6) {
            let begin = at + pause + numbers.below(2 * pause);
            let end = begin + numbers.below(4 * timeout);
            let whole_machine = numbers.below(2) == 0;
            freezes.push(Freeze {
                begin,
                end,
                whole_machine,
            });
            at = end;
        }
        let world = Self {
            interval,
            timeout,
            round_trip: numbers.below(timeout / 5),
            wake_up: 1 + numbers.below(timeout / 20),
            freezes,
            dies_at: u64::MAX,
        };
        (world, numbers)
    }

    /// Returns when something happens in the program that would happen then.
    fn in_program(&self, at: u64) -> u64 {
        let holds = |freeze: &&Freeze| (freeze.begin..freeze.end).contains(&at);
        let frozen = self.freezes.iter().find(holds);
        frozen.map_or(at, |freeze| freeze.end)
    }

    /// Returns when the pong to a ping comes, if it does.
    fn pong(&self, ping: u64) -> Option<u64> {
        let mut arrival = ping + self.round_trip;
        for freeze in self.freezes.iter().filter(|freeze| freeze.whole_machine) {
            if freeze.end > ping && freeze.begin < arrival {
                arrival += freeze.end - freeze.begin.max(ping);
            }
        }
        (arrival < self.dies_at).then_some(arrival)
    }

    /// Keeps the time until then, and returns when the peer was cut, if it was.
    fn run(&self, numbers: &mut Numbers, until: u64) -> Option<u64> {
        let start = Instant::now();
        let config = Config::new()
            .ping_interval(span(self.interval))
            .ping_timeout(span(self.timeout));
        let mut deadlines = Deadlines::new(&Arc::new(config), start);
        // When each pong arrives, and when the reader has counted it.
        let mut pongs: Vec<(u64, u64)> = Vec::new();
        let mut now = self.interval;
        let mut facts = idle(start);
        while now < until {
            facts.now = start + span(now);
            facts.received = pongs.iter().filter(|(_, read)| *read <= now).count() as u64;
            match deadlines.check(&facts) {
                Verdict::Wait(next) => {
                    let next = next.unwrap().duration_since(start).as_micros();
                    let next = u64::try_from(next.div_ceil(1000)).unwrap();
                    now = self.in_program(next + numbers.below(self.wake_up));
                    facts.ready = None;
                }
                Verdict::Look => {
                    let unread = |(arrival, read): &(u64, u64)| *arrival <= now && *read > now;
                    facts.ready = Some(Ready {
                        readable: pongs.iter().any(unread),
                        writable: true,
                    });
                }
                Verdict::Ping => pongs.extend(self.pong(now).map(|arrival| {
                    let read = self.in_program(arrival) + numbers.below(self.wake_up);
                    (arrival, self.in_program(read))
                })),
                Verdict::Cut(_) | Verdict::Close(_) => return Some(now),
            }
        }
        None
    }
}

fn span(ms: u64) -> Duration {
    MS * u32::try_from(ms).unwrap()
}

/// A peer that answers is never cut, whenever and however long the program or the whole machine
/// stands still.
#[test]
fn healthy_peers_are_never_cut() {
    for seed in 0..5_000 {
        let (world, mut numbers) = World::random(seed);
        let until = 40 * (world.interval + world.timeout);
        let cut = world.run(&mut numbers, until);
        assert_eq!(cut, None, "seed {seed}: {world:?}");
    }
}

/// A dead peer is found within the interval and the timeout. Each standstill adds itself, and one
/// timeout at most: the peer may have stood still as well.
#[test]
fn dead_peers_are_found_in_time() {
    for seed in 0..5_000 {
        let (mut world, mut numbers) = World::random(seed);
        let period = world.interval + world.timeout;
        world.dies_at = 10 * period + numbers.below(10 * period);
        let Some(cut) = world.run(&mut numbers, 60 * period) else {
            panic!("seed {seed}: never found: {world:?}")
        };
        // A look comes a little late, and so does the next.
        let mut by = world.dies_at + period + 2 * world.wake_up;
        for freeze in &world.freezes {
            if freeze.end > world.dies_at && freeze.begin < by {
                by += freeze.end - freeze.begin.max(world.dies_at) + world.timeout;
            }
        }
        assert!(cut <= by, "seed {seed}: at {cut}, not by {by}: {world:?}");
    }
}
