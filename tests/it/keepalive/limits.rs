//! How long a connection may be idle, and how long it may last.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use landline::{CloseCode, CloseEvent, Config, Initiator, TimeLimit, Timeout};

use crate::support::*;

fn assert_closed_by(event: &CloseEvent, limit: Timeout, code: u16) {
    assert_eq!(event.timeout(), Some(limit), "{event:?}");
    assert_eq!(event.sent_code(), Some(CloseCode::from(code)), "{event:?}");
    assert_eq!(event.code(), CloseCode::from(code), "{event:?}");
    assert_eq!(event.initiator(), Initiator::Local, "{event:?}");
    assert!(event.is_clean() && event.is_ordinary(), "{event:?}");
}

/// A connection without messages closes with the code and the reason that the program has chosen, and
/// with 1001 if it has chosen none; it is an ordinary end, no error.
#[test]
fn idle_connection_closes_in_order() {
    let chosen = TimeLimit::new(ms(300)).close_with(4001, "come back");
    for (limit, code, reason) in [(ms(300).into(), 1001, ""), (chosen, 4001, "come back")] {
        at_once(WAYS, |&way| {
            let mut met = AnyMeeting::of(way, quiet().idle_timeout(limit.clone()), |_| {});
            let told = [&u16::to_be_bytes(code)[..], reason.as_bytes()].concat();
            assert_eq!(met.peer.read_frame(), Frame::new(opcode::CLOSE, told));
            met.peer.say_close(code, reason);
            let event = met.events.next();
            let Event::Close(event) = &event else {
                panic!("{way:?}: {event:?}")
            };
            assert_closed_by(event, Timeout::Idle, code);
            assert_eq!(event.reason(), reason);
            assert!(event.to_string().contains("idle for idle_timeout"));
        });
    }
}

/// Pings and pongs, either side's, are no messages.
#[test]
fn pings_alone_are_idleness() {
    at_once(ROLES, |role| {
        let config = Config::new().ping_interval(ms(50)).idle_timeout(ms(500));
        let (mut met, events) = Meeting::recorded(role, config);
        let mut pings = 0;
        loop {
            let frame = met.peer.read_frame();
            match frame.opcode {
                opcode::PING => {
                    pings += 1;
                    met.peer.send(&Frame::new(opcode::PONG, frame.payload));
                    met.peer.send(&Frame::new(opcode::PING, "mine"));
                }
                opcode::PONG => {}
                _ => break assert_eq!(frame.close_code(), Some(1001), "{role:?}"),
            }
        }
        assert!(pings > 1, "{role:?}: it proves nothing");
        met.peer.send_close(1001, "");
        assert_closed_by(&events.next_close(), Timeout::Idle, 1001);
    });
}

/// A message each way now and then keeps a connection open.
#[test]
fn messages_keep_a_connection_open() {
    at_once(ROLES, |role| {
        at_once([true, false], |from_peer| {
            let (mut met, _events) = Meeting::recorded(role, quiet().idle_timeout(ms(600)));
            let control = Control::start();
            let begin = Instant::now();
            while begin.elapsed() < ms(2_000) && met.ws.is_open() {
                if from_peer {
                    let text = met.peer.encode(&Frame::text("x"));
                    let _ = met.peer.try_send_bytes(text);
                } else {
                    let _ = met.ws.try_send("x");
                }
                pause(ms(50), "one side says a little now and then");
            }
            let stalled = control.longest_silence() > ms(200);
            assert!(met.ws.is_open() || stalled, "{role:?}, {from_peer}");
        });
    });
}

/// A message that comes slowly is going on; once it has ended, the idle time begins.
#[test]
fn slow_messages_are_not_idle() {
    thread::scope(|scope| {
        for &way in WAYS {
            scope.spawn(move || receive_slowly(way));
        }
    });
}

fn receive_slowly(way: Way) {
    let (texts, came) = mpsc::channel();
    let texts = Arc::new(Mutex::new(texts));
    let mut met = AnyMeeting::of(way, quiet().idle_timeout(ms(1_000)), move |ws| {
        let texts = Arc::clone(&texts);
        ws.on_text(move |_, text| {
            let _ = texts.lock().unwrap().send(text.len());
        });
    });
    met.peer.send(&Frame::text("x").unfinished());
    for _ in 0..20 {
        pause(
            ms(100),
            "the message takes longer than the connection may be idle",
        );
        let fragment = Frame::new(opcode::CONTINUATION, "x").unfinished();
        met.peer.send(&fragment);
    }
    assert!(met.ws.is_open(), "{way:?}");
    met.peer.send(&Frame::new(opcode::CONTINUATION, "x"));
    assert_eq!(next(&came), 22, "{way:?}");
    assert_eq!(met.peer.read_to_close(), Some(1001), "{way:?}");
    met.peer.send_close(1001);
    assert_closed_by(&met.events.next_close(), Timeout::Idle, 1001);
}

/// A queue that a slow peer empties is not idle, however little it takes.
#[test]
fn queue_that_leaves_slowly_is_not_idle() {
    thread::scope(|scope| {
        for &way in WAYS {
            scope.spawn(move || send_slowly(way));
        }
    });
}

fn send_slowly(way: Way) {
    let config = quiet().idle_timeout(ms(1_000)).max_queue_bytes(64 << 20);
    let mut met = AnyMeeting::deaf(way, config);
    met.ws.send(vec![0; 16 << 20]).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < ms(2_000) {
        met.peer.gulp(4 << 10);
        pause(ms(5), "the peer reads slowly");
    }
    assert!(met.ws.buffered_amount() > 0, "{way:?}: it proves nothing");
    assert!(met.ws.is_open(), "{way:?}");
}

/// The greatest lifetime ends a connection whatever goes on, behind what is queued.
#[test]
fn lifetime_ends_behind_what_is_queued() {
    const MESSAGES: usize = 64;
    at_once(WAYS, |&way| {
        let limit = TimeLimit::new(ms(500)).close_with(4002, "token expired");
        let config = quiet()
            .max_lifetime(limit)
            .max_queue_bytes(64 << 20)
            .write_timeout(PATIENCE);
        let mut met = AnyMeeting::deaf(way, config);
        // On a machine that stalls the lifetime may end before all are sent.
        let send = |_: &usize| met.ws.send(vec![0; 256 << 10]).is_ok();
        let sent = (0..MESSAGES).take_while(send).count();
        settled("it closes", || !met.ws.is_open());
        assert!(met.ws.buffered_amount() > 0, "{way:?}: it proves nothing");
        for _ in 0..sent {
            assert_eq!(met.peer.read_frame().payload.len(), 256 << 10, "{way:?}");
        }
        let close = met.peer.read_frame();
        assert_eq!(close.close_code(), Some(4002), "{way:?}");
        met.peer.say_close(4002, "token expired");
        let event = met.events.next_close();
        assert_closed_by(&event, Timeout::Lifetime, 4002);
        assert_eq!(event.undelivered(), 0);
    });
}

/// Both limits close also while a callback runs; the peer is told at once, and the program once the
/// callback has returned.
#[test]
fn limits_close_while_a_callback_runs() {
    let limits: [(Timeout, fn(Duration) -> Config); 2] = [
        (Timeout::Idle, |after| quiet().idle_timeout(after)),
        (Timeout::Lifetime, |after| quiet().max_lifetime(after)),
    ];
    for (limit, config) in limits {
        at_once(ROLES, |role| {
            let (release, released) = mpsc::channel::<()>();
            let released = Arc::new(Mutex::new(released));
            let set_up = move |ws: &landline::WebSocket| {
                let released = Arc::clone(&released);
                ws.on_text(move |_, _| {
                    let _ = released.lock().unwrap().recv();
                });
            };
            let (mut met, events) = Meeting::recorded_with(role, config(ms(500)), set_up);
            met.peer.send_text("work");
            assert_eq!(met.peer.read_close(), Some(1001), "{role:?} {limit:?}");
            met.peer.send_close(1001, "");
            assert_eq!(met.ws.close_code(), None, "the callback still runs");
            release.send(()).unwrap();
            assert_closed_by(&events.next_close(), limit, 1001);
        });
    }
}

/// A peer that does not answer is cut by `close_timeout`, and what was sent tells of the limit.
#[test]
fn unanswered_limit_is_cut() {
    for role in ROLES {
        let limit = TimeLimit::new(ms(200)).close_with(4003, "");
        let config = quiet().idle_timeout(limit).close_timeout(ms(200));
        let (_met, events) = Meeting::recorded(role, config);
        let event = events.next_close();
        assert_eq!(event.timeout(), Some(Timeout::Close));
        assert_eq!(event.sent_code(), Some(CloseCode::from(4003)));
        assert!(!event.is_ordinary() && !event.is_clean());
    }
}

/// A thread that pulls sees the end of the messages, and no error.
#[test]
fn limits_end_pulling_quietly() {
    for role in ROLES {
        let limit = TimeLimit::new(ms(300)).close_with(4004, "enough");
        let mut met = Pulled::new(role, quiet().max_lifetime(limit));
        met.peer.send_text("one");
        let pulling = thread::spawn(move || met.messages.map(Result::unwrap).count());
        assert_eq!(met.peer.read_close(), Some(4004));
        met.peer.send_close(4004, "enough");
        assert_eq!(pulling.join().unwrap(), 1, "{role:?}");
        assert_closed_by(&met.ws.wait_closed().unwrap(), Timeout::Lifetime, 4004);
    }
}
