//! The attempts of a client that stays: how many there are, and when.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use landline::{Backoff, Client, SessionState, Sessions};

use crate::support::*;

/// What a client tells of its attempts: when it said so, and when a wait is to end.
#[derive(Debug)]
enum Step {
    Connecting(Instant),
    Waiting(Instant, Instant),
}

fn told(sessions: Sessions) -> (Sessions, Receiver<Step>) {
    let (sender, steps) = mpsc::channel();
    let sessions = sessions.on_state(move |state| {
        let now = Instant::now();
        let _ = sender.send(match state {
            SessionState::Connecting => Step::Connecting(now),
            SessionState::Waiting { until, .. } => Step::Waiting(now, until),
            _ => return,
        });
    });
    (sessions, steps)
}

/// Returns the waits, and asserts that each is over before the next attempt begins.
#[track_caller]
fn waits(steps: &Receiver<Step>, count: usize) -> Vec<Duration> {
    let mut waits = Vec::new();
    let mut due = None;
    while waits.len() < count {
        match next(steps) {
            Step::Connecting(at) => assert!(due.is_none_or(|due| at >= due)),
            Step::Waiting(at, until) => {
                due = Some(until);
                waits.push(until.saturating_duration_since(at));
            }
        }
    }
    waits
}

/// A server that accepts each client and rejects it at once, by a Close behind the 101, is visited
/// ever less often: a connection that has not held does not reset the back-off.
#[test]
fn flapping_servers_are_visited_ever_less_often() {
    const COUNT: usize = 8;
    let raw = RawServer::new();
    let client = Client::new();
    let backoff = Backoff::new().first(ms(4)).ceiling(ms(100)).seed(5);
    let (sessions, steps) = told(client.sessions(raw.url()).backoff(backoff));
    let looping = thread::spawn(move || {
        for session in sessions {
            let (ws, messages) = session.unwrap();
            let _ = ws.send("subscribe");
            assert_eq!(messages.count(), 0);
        }
    });
    for _ in 0..COUNT {
        let mut peer =
            raw.upgrade_with(&Frame::new(opcode::CLOSE, 1008_u16.to_be_bytes()).bytes(false));
        peer.read_end();
    }
    let waits = waits(&steps, COUNT);
    client.canceller().cancel();
    looping.join().unwrap();
    let bounds = [4, 8, 16, 32, 64, 100, 100, 100].map(ms);
    for (wait, bound) in waits.iter().zip(bounds) {
        assert!(*wait <= bound, "{waits:?}");
    }
    // By this seed; a back-off that is reset never waits for more than the first time.
    assert!(waits.iter().any(|wait| *wait > ms(4)), "{waits:?}");
}

/// The time for which a server asks is waited for, up to the ceiling, and not for other statuses.
#[test]
fn servers_may_ask_for_a_time() {
    let hour = "Retry-After: 3600\r\n";
    for (answer, least, most) in [
        (format!("429 Busy\r\n{hour}"), 3600, 3601),
        (format!("503 Busy\r\n{hour}"), 3600, 3601),
        ("503 Busy\r\nRetry-After: 9999999999\r\n".into(), 7200, 7201),
        (
            "503 Busy\r\nRetry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n".into(),
            7200,
            7201,
        ),
        (
            "503 Busy\r\nRetry-After: Sat, 01 Jan 2000 00:00:00 GMT\r\n".into(),
            0,
            1,
        ),
        ("503 Busy\r\nRetry-After: later\r\n".into(), 0, 1),
        (format!("500 Broken\r\n{hour}"), 0, 1),
    ] {
        let raw = RawServer::new();
        let client = Client::new();
        let backoff = Backoff::new().retry_after_ceiling(Duration::from_secs(7200));
        let (mut sessions, steps) = told(client.sessions(raw.url()).backoff(backoff));
        let waiting = thread::spawn(move || sessions.next().is_none());
        let answer = format!("HTTP/1.1 {answer}Content-Length: 0\r\n\r\n");
        drop(raw.answer_with(&answer));
        let wait = waits(&steps, 1)[0];
        client.canceller().cancel();
        assert!(waiting.join().unwrap());
        // A machine that stalls between the wait's begin and its report takes away from it.
        let stalled = PATIENCE;
        assert!(
            wait + stalled >= Duration::from_secs(least),
            "{answer}: {wait:?}"
        );
        assert!(wait <= Duration::from_secs(most), "{answer}: {wait:?}");
    }
}
