//! Deadlines on a simulated clock.

use super::*;

mod simulation;
mod time_limits;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config::new()
        .ping_interval(20 * SECOND)
        .ping_timeout(5 * SECOND)
        .message_timeout(10 * SECOND)
        .close_timeout(5 * SECOND)
        .write_timeout(30 * SECOND)
}

fn idle(now: Instant) -> Facts {
    let writing = Writing {
        relieved: 0,
        stalled_since: None,
        close_left_at: None,
        has_failed: false,
        delivered: 0,
        unfinished: 0,
    };
    Facts {
        now,
        ready: None,
        asleep: true,
        received: 0,
        messages: 0,
        mid_message: None,
        payload: 0,
        writing,
        is_closing: false,
        end_by: None,
    }
}

const NOTHING: Ready = Ready {
    readable: false,
    writable: false,
};
const READABLE: Ready = Ready {
    readable: true,
    ..NOTHING
};
const WRITABLE: Ready = Ready {
    writable: true,
    ..NOTHING
};

/// Steps through time from look to look, as the background does, until something is due. The socket
/// is ready for nothing.
fn until_due(
    deadlines: &mut Deadlines,
    mut facts: Facts,
    change: impl Fn(&mut Facts),
) -> (Duration, Verdict) {
    let start = facts.now;
    for _ in 0..1000 {
        change(&mut facts);
        match deadlines.check(&facts) {
            Verdict::Wait(Some(next)) => facts.now = next,
            Verdict::Look => {
                facts.ready = Some(NOTHING);
                continue;
            }
            verdict => return (facts.now - start, verdict),
        }
        facts.ready = None;
    }
    panic!("nothing ever became due");
}

/// Makes deadlines that have just asked for a ping.
fn pinged(now: Instant) -> Deadlines {
    let config = config().ping_interval(SECOND);
    let mut deadlines = Deadlines::new(&Arc::new(config), now - SECOND);
    assert_eq!(deadlines.check(&idle(now)), Verdict::Ping);
    deadlines.next_ping = None;
    deadlines
}

/// A ping goes out each interval; a peer silent for the timeout after it is cut.
#[test]
fn silent_peer_is_pinged_then_cut() {
    let now = Instant::now();
    let mut deadlines = Deadlines::new(&Arc::new(config()), now);
    let (after, verdict) = until_due(&mut deadlines, idle(now), |_| {});
    assert_eq!((after, verdict), (20 * SECOND, Verdict::Ping));
    let (after, verdict) = until_due(&mut deadlines, idle(now + after), |_| {});
    assert_eq!((after, verdict), (5 * SECOND, Verdict::Cut(Timeout::Pong)));
}

/// A further ping does not put off what the first one waits for.
#[test]
fn further_pings_put_nothing_off() {
    let now = Instant::now();
    let config = config().ping_interval(SECOND);
    let mut deadlines = Deadlines::new(&Arc::new(config), now);
    let mut facts = idle(now);
    for _ in 0..5 {
        let (after, verdict) = until_due(&mut deadlines, facts, |_| {});
        assert_eq!((after, verdict), (SECOND, Verdict::Ping));
        facts.now += after;
    }
    let (after, verdict) = until_due(&mut deadlines, facts, |_| {});
    assert_eq!((after, verdict), (SECOND, Verdict::Cut(Timeout::Pong)));
}

/// The moments at which a fact may arrive, seen from the two looks that belong to a ping: the one
/// at which it is found due, and the one that judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    /// The first look has it already: it says nothing of what came after.
    Before,
    /// After the first look and before anything that follows the ping.
    AtOnce,
    Between,
    /// After the judging look has found the time over, and before the socket has been looked at.
    Doubted,
    Never,
}

/// Every fact counts whenever it arrives after the ping's first look, however early or late, and no
/// fact counts that was there before; what our own kernel takes without having refused is none.
#[test]
fn facts_count_from_before_the_ping_left() {
    use Arrival::{AtOnce, Before, Between, Doubted, Never};
    type Change = fn(&mut Facts);
    let facts: [(&str, Change, bool); 4] = [
        ("a byte", |facts| facts.received += 1, true),
        ("much", |facts| facts.received += 1 << 20, true),
        ("room made", |facts| facts.writing.relieved += 1, true),
        (
            "taken unrefused",
            |facts| facts.writing.stalled_since = None,
            false,
        ),
    ];
    for (name, change, is_life) in facts {
        for arrival in [Before, AtOnce, Between, Doubted, Never] {
            let now = Instant::now();
            let mut seen = idle(now);
            let arrive = |seen: &mut Facts, at| {
                if arrival == at {
                    change(seen);
                }
            };
            let mut deadlines = Deadlines::new(&Arc::new(config()), now - 20 * SECOND);
            arrive(&mut seen, Before);
            assert_eq!(deadlines.check(&seen), Verdict::Ping);
            deadlines.next_ping = None;
            arrive(&mut seen, AtOnce);
            while let Verdict::Wait(Some(next)) = deadlines.check(&seen) {
                seen.now = next;
                if seen.now > now + 2 * SECOND && seen.now < now + 4 * SECOND {
                    arrive(&mut seen, Between);
                }
            }
            arrive(&mut seen, Doubted);
            seen.ready = Some(NOTHING);
            let lives = is_life && ![Before, Never].contains(&arrival);
            let cut = deadlines.check(&seen) == Verdict::Cut(Timeout::Pong);
            assert_eq!(cut, !lives, "{name} arrives {arrival:?}");
        }
    }
}

/// Before a verdict of silence the socket is asked whether it is readable, before one of a stall
/// whether it is writable; the right answer begins the watch anew, once.
#[test]
fn nobody_is_judged_unheard() {
    type Begin = fn(&mut Facts);
    let watches: [(Timeout, Duration, Ready, Ready, Begin); 4] = [
        (Timeout::Write, 30 * SECOND, WRITABLE, READABLE, |facts| {
            facts.writing.stalled_since = Some(facts.now);
        }),
        (Timeout::Close, 5 * SECOND, READABLE, WRITABLE, |facts| {
            facts.writing.close_left_at = Some(facts.now);
        }),
        (Timeout::Message, 10 * SECOND, READABLE, WRITABLE, |facts| {
            facts.mid_message = Some(1);
        }),
        (Timeout::Pong, 5 * SECOND, READABLE, WRITABLE, |_| {}),
    ];
    for (timeout, length, excuse, none, begin) in watches {
        let now = Instant::now();
        for answers in [vec![excuse, excuse], vec![none], vec![NOTHING]] {
            let mut facts = idle(now);
            let mut deadlines = match timeout {
                Timeout::Pong => pinged(now),
                _ => Deadlines::new(&Arc::new(config().ping_interval(None)), now),
            };
            begin(&mut facts);
            let mut asked = 0;
            let cut = loop {
                match deadlines.check(&facts) {
                    Verdict::Wait(Some(next)) => {
                        facts = Facts {
                            now: next,
                            ready: None,
                            ..facts
                        }
                    }
                    Verdict::Look => {
                        facts.ready = Some(answers[asked]);
                        asked += 1;
                    }
                    verdict => break verdict,
                }
            };
            assert_eq!(cut, Verdict::Cut(timeout));
            assert_eq!(asked, answers.len());
            assert_eq!(
                facts.now - now,
                length * asked as u32,
                "{timeout:?} {answers:?}"
            );
        }
    }
}

/// A look that comes late begins each running watch anew, once: the second time it is judged.
#[test]
fn late_look_begins_each_watch_anew() {
    let now = Instant::now();
    let mut deadlines = pinged(now);
    let mut facts = Facts {
        mid_message: Some(1),
        ..idle(now)
    };
    facts.writing.stalled_since = Some(now);
    assert!(matches!(deadlines.check(&facts), Verdict::Wait(Some(_))));
    facts.now += 1000 * SECOND;
    assert!(matches!(deadlines.check(&facts), Verdict::Wait(Some(_))));
    facts.now += 1000 * SECOND;
    assert_eq!(deadlines.check(&facts), Verdict::Look);
    facts.ready = Some(NOTHING);
    assert_eq!(deadlines.check(&facts), Verdict::Cut(Timeout::Write));
}

/// While a callback runs, no pong is missed; the silence counts from when reading goes on.
#[test]
fn busy_program_does_not_count_as_silent_peer() {
    let now = Instant::now();
    let mut deadlines = Deadlines::new(&Arc::new(config()), now - 20 * SECOND);
    let facts = Facts {
        asleep: false,
        ..idle(now)
    };
    assert_eq!(deadlines.check(&facts), Verdict::Ping);
    deadlines.next_ping = None;
    let (after, verdict) = until_due(&mut deadlines, facts, |facts| {
        facts.asleep = facts.now > now + 11 * SECOND;
    });
    assert_eq!((after, verdict), (20 * SECOND, Verdict::Cut(Timeout::Pong)));
}

/// A half-received message needs 64 KiB of its own payload in each stretch, whatever else comes; a
/// new message starts a new stretch.
#[test]
fn message_must_make_progress() {
    let now = Instant::now();
    let config = Arc::new(config().ping_interval(None));
    let start = Facts {
        mid_message: Some(7),
        ..idle(now)
    };

    let mut deadlines = Deadlines::new(&config, now);
    let (after, verdict) = until_due(&mut deadlines, start, |facts| {
        facts.received += PROGRESS;
        facts.payload += 1;
        facts.asleep = false;
    });
    assert_eq!(
        (after, verdict),
        (10 * SECOND, Verdict::Cut(Timeout::Message))
    );

    let mut deadlines = Deadlines::new(&config, now);
    let (after, verdict) = until_due(&mut deadlines, start, |facts| {
        if facts.now < now + 30 * SECOND {
            facts.payload += PROGRESS;
        }
    });
    assert_eq!(
        (after, verdict),
        (40 * SECOND, Verdict::Cut(Timeout::Message))
    );

    let mut deadlines = Deadlines::new(&config, now);
    assert!(matches!(deadlines.check(&start), Verdict::Wait(Some(_))));
    let next = Facts {
        now: now + 9 * SECOND,
        mid_message: Some(8),
        ..start
    };
    let due = until_due(&mut deadlines, next, |_| {});
    assert_eq!(due, (10 * SECOND, Verdict::Cut(Timeout::Message)));
    let idle = idle(now + 30 * SECOND);
    assert_eq!(
        Deadlines::new(&config, now).check(&idle),
        Verdict::Wait(None)
    );
}

/// The peer has `close_timeout` to answer our Close, however much else it sends.
#[test]
fn close_must_be_answered() {
    for (each, ready) in [(100, NOTHING), (PROGRESS, READABLE)] {
        let now = Instant::now();
        let mut deadlines = Deadlines::new(&Arc::new(config()), now);
        let mut facts = idle(now);
        facts.writing.close_left_at = Some(now);
        let (after, verdict) = until_due(&mut deadlines, facts, |facts| {
            facts.received += each;
            facts.ready = facts.ready.and(Some(ready));
        });
        assert_eq!((after, verdict), (5 * SECOND, Verdict::Cut(Timeout::Close)));
    }
}

/// A stalled write and a stopping server count whether or not a callback runs.
#[test]
fn write_and_stop_always_count() {
    let now = Instant::now();
    let busy = Facts {
        asleep: false,
        ..idle(now)
    };
    let mut stalled = busy;
    stalled.writing.stalled_since = Some(now);
    let mut deadlines = Deadlines::new(&Arc::new(config().ping_interval(None)), now);
    let due = until_due(&mut deadlines, stalled, |_| {});
    assert_eq!(due, (30 * SECOND, Verdict::Cut(Timeout::Write)));
    let stopping = Facts {
        end_by: Some((now + SECOND, Timeout::Stop)),
        ..busy
    };
    let due = until_due(&mut deadlines, stopping, |_| {});
    assert_eq!(due, (SECOND, Verdict::Cut(Timeout::Stop)));
}

/// Timeouts of zero and without end make neither a flood of looks nor an overflow, also while a
/// callback runs.
#[test]
fn extreme_timeouts_spin_nothing() {
    for timeout in [Duration::ZERO, Duration::MAX] {
        let config = Config::new()
            .ping_interval(Duration::MAX)
            .ping_timeout(timeout)
            .message_timeout(timeout)
            .close_timeout(timeout)
            .write_timeout(timeout);
        let now = Instant::now();
        let mut deadlines = Deadlines::new(&Arc::new(config), now);
        deadlines.ping(&idle(now));
        let mut facts = Facts {
            asleep: false,
            mid_message: Some(1),
            ..idle(now)
        };
        facts.writing.close_left_at = Some(now);
        for _ in 0..100 {
            let Verdict::Wait(Some(next)) = deadlines.check(&facts) else {
                panic!("{timeout:?}: nothing to wait for");
            };
            assert!(next >= facts.now + SHORTEST / STEPS);
            facts.now = next;
        }
    }
}
