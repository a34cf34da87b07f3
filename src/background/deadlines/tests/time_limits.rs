//! Idle timeout and greatest lifetime.

use super::*;

fn limited(idle: Option<Duration>, lifetime: Option<Duration>, now: Instant) -> Deadlines {
    let mut config = config().ping_interval(None).message_timeout(1000 * SECOND);
    if let Some(idle) = idle {
        config = config.idle_timeout(idle);
    }
    if let Some(lifetime) = lifetime {
        config = config.max_lifetime(lifetime);
    }
    Deadlines::new(&Arc::new(config), now)
}

/// A connection without a message is closed when the idle timeout is over, whatever else comes and
/// whether or not a callback runs; once.
#[test]
fn idle_connection_is_closed() {
    type Change = fn(&mut Facts);
    let changes: [(&str, Change); 6] = [
        ("nothing", |_| {}),
        ("pings and pongs", |facts| facts.received += 10),
        ("room made for pongs", |facts| facts.writing.relieved += 1),
        ("half a header", |facts| facts.mid_message = Some(1)),
        ("a callback runs", |facts| facts.asleep = false),
        ("a callback runs on the last message", |facts| {
            facts.messages = 7;
            facts.mid_message = Some(14);
            facts.asleep = false;
        }),
    ];
    for (name, change) in changes {
        let now = Instant::now();
        let mut deadlines = limited(Some(8 * SECOND), None, now);
        let due = until_due(&mut deadlines, idle(now), change);
        assert_eq!(due, (8 * SECOND, Verdict::Close(Timeout::Idle)), "{name}");
        let later = idle(now + 100 * SECOND);
        assert_eq!(deadlines.check(&later), Verdict::Wait(None), "{name}");
    }
}

/// Any message that has begun, goes on or has ended since the last look begins the time anew, so a
/// connection is closed between one idle timeout and a quarter more after it.
#[test]
fn messages_are_no_idleness() {
    type Change = fn(&mut Facts);
    let changes: [(&str, Change); 4] = [
        ("received", |facts| facts.messages += 1),
        ("sent", |facts| facts.writing.delivered += 1),
        ("half received", |facts| {
            facts.mid_message = Some(2 * (facts.messages + 1));
            facts.payload += 1;
        }),
        ("queued or half written", |facts| {
            facts.writing.unfinished = 1;
        }),
    ];
    for (name, change) in changes {
        let now = Instant::now();
        let mut deadlines = limited(Some(8 * SECOND), None, now);
        let last = now + 20 * SECOND;
        let (after, verdict) = until_due(&mut deadlines, idle(now), |facts| {
            facts.mid_message = None;
            facts.writing.unfinished = 0;
            if facts.now <= last {
                change(facts);
            }
        });
        assert_eq!(verdict, Verdict::Close(Timeout::Idle), "{name}");
        let range = 28 * SECOND..=30 * SECOND;
        assert!(range.contains(&after), "{name}: {after:?}");
    }
}

/// Bytes that lie unread, and a look that comes late, begin the idle time anew, once each.
#[test]
fn unread_bytes_excuse_idleness_once() {
    let now = Instant::now();
    let mut deadlines = limited(Some(8 * SECOND), None, now);
    let mut facts = idle(now);
    let mut looks = 0;
    let verdict = loop {
        match deadlines.check(&facts) {
            Verdict::Wait(Some(next)) => (facts.now, facts.ready) = (next, None),
            Verdict::Look => {
                facts.ready = Some(READABLE);
                looks += 1;
            }
            verdict => break verdict,
        }
    };
    assert_eq!(verdict, Verdict::Close(Timeout::Idle));
    assert_eq!((looks, facts.now - now), (2, 16 * SECOND));

    let mut deadlines = limited(Some(8 * SECOND), None, now);
    assert!(matches!(
        deadlines.check(&idle(now)),
        Verdict::Wait(Some(_))
    ));
    let late = idle(now + 100 * SECOND);
    let due = until_due(&mut deadlines, late, |_| {});
    assert_eq!(due, (8 * SECOND, Verdict::Close(Timeout::Idle)));
}

/// The greatest lifetime closes a connection whatever goes on, once.
#[test]
fn lifetime_ends_whatever_goes_on() {
    for asleep in [true, false] {
        let now = Instant::now();
        let mut deadlines = limited(Some(8 * SECOND), Some(30 * SECOND), now);
        let (after, verdict) = until_due(&mut deadlines, idle(now), |facts| {
            facts.asleep = asleep;
            facts.messages += 1;
            facts.received += 100;
        });
        assert_eq!(
            (after, verdict),
            (30 * SECOND, Verdict::Close(Timeout::Lifetime))
        );
        let later = idle(now + 100 * SECOND);
        assert_eq!(deadlines.check(&later), Verdict::Wait(None));
    }
}

/// What is closing already is not closed again, and what a deadline cuts is cut first.
#[test]
fn limits_leave_what_ends_alone() {
    let now = Instant::now();
    let mut deadlines = limited(Some(8 * SECOND), Some(9 * SECOND), now);
    let closing = Facts {
        is_closing: true,
        ..idle(now + 60 * SECOND)
    };
    assert_eq!(deadlines.check(&closing), Verdict::Wait(None));

    let mut deadlines = limited(None, Some(9 * SECOND), now);
    let stopping = Facts {
        end_by: Some((now + 9 * SECOND, Timeout::Stop)),
        ..idle(now + 9 * SECOND)
    };
    assert_eq!(deadlines.check(&stopping), Verdict::Cut(Timeout::Stop));
}

/// Where nothing is set, nothing is ever looked at; where something is, the first look comes in time.
#[test]
fn only_what_is_set_is_looked_at() {
    let now = Instant::now();
    let first = |idle, lifetime| limited(idle, lifetime, now).first_look(now);
    assert_eq!(first(None, None), None);
    assert_eq!(first(Some(8 * SECOND), None), Some(now + 2 * SECOND));
    assert_eq!(first(None, Some(9 * SECOND)), Some(now + 9 * SECOND));
    let mut deadlines = limited(None, None, now);
    let mut facts = idle(now + 10_000 * SECOND);
    facts.messages = 3;
    assert_eq!(deadlines.check(&facts), Verdict::Wait(None));
    assert!(deadlines.limits.is_none());
}

/// Limits of next to nothing and without end make no flood of looks.
#[test]
fn extreme_limits_spin_nothing() {
    let now = Instant::now();
    let mut deadlines = limited(Some(Duration::from_nanos(1)), Some(Duration::MAX), now);
    let mut facts = idle(now);
    for _ in 0..100 {
        facts.messages += 1;
        let Verdict::Wait(Some(next)) = deadlines.check(&facts) else {
            panic!("nothing to wait for");
        };
        assert!(next >= facts.now + SHORTEST / STEPS);
        facts.now = next;
    }
}
