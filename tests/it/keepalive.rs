//! Deadlines judge the peer, not the program.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use landline::{CloseCode, Config, RecvError, Timeout};

use crate::support::*;

fn lively() -> Config {
    Config::new().ping_interval(ms(100)).ping_timeout(ms(200))
}

/// A silent peer is pinged, then cut: `on_error`, then `on_close` 1006.
#[test]
fn silent_peer_is_pinged_and_cut() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, lively());
        assert_eq!(met.peer.read_frame().opcode, opcode::PING);
        settled("it is cut", || met.ws.close_code().is_some());
        let events = events.so_far();
        let [Event::Error(_), Event::Close(close)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(close.timeout(), Some(Timeout::Pong));
        assert_eq!(
            (close.code(), close.is_clean()),
            (CloseCode::ABNORMAL, false)
        );
        met.peer.read_end();
    }
}

/// A peer that answers its pings is left alone, however little else it says.
#[test]
fn answering_peer_stays() {
    for role in ROLES {
        let mut met = Meeting::of(role, lively().ping_timeout(2 * PATIENCE), |_| {});
        for _ in 0..5 {
            let ping = met.peer.read_frame();
            assert_eq!(ping.opcode, opcode::PING);
            met.peer.send(&Frame::new(opcode::PONG, ping.payload));
        }
        met.ws.send("still open").unwrap();
        while met.peer.read_frame() != Frame::text("still open") {}
    }
}

/// No ping is sent where none is asked for, and no silence is cut.
#[test]
fn no_pings_without_an_interval() {
    let mut met = Meeting::of(Role::Server, Config::new().ping_interval(None), |_| {});
    met.peer.stream.set_read_timeout(Some(ms(500))).unwrap();
    met.peer.stream.peek(&mut [0]).unwrap_err();
    met.peer.send_text("x");
    assert!(met.ws.is_open());
}

/// While a callback runs, the peer's silence does not count: the connection outlives it.
#[test]
fn busy_callback_is_no_silent_peer() {
    for role in ROLES {
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let mut met = Meeting::of(role, lively(), move |ws| {
            let blocked = Arc::clone(&blocked);
            ws.on_text(move |ws, text| {
                let _ = blocked.lock().unwrap().recv();
                ws.send(text)
            });
        });
        met.peer.send_text("compute");
        // Many timeouts' worth of pings go by unanswered while the callback is busy.
        for _ in 0..8 {
            assert_eq!(met.peer.read_frame().opcode, opcode::PING);
        }
        assert!(met.ws.is_open());
        // Pongs that wait to be read are life once they can be.
        met.peer.send(&Frame::new(opcode::PONG, []));
        release.send(()).unwrap();
        while met.peer.read_frame() != Frame::text("compute") {}
    }
}

/// While nobody pulls, the peer's silence does not count either.
#[test]
fn unpulled_messages_are_no_silent_peer() {
    let raw = RawServer::new();
    let (mut peer, ws, mut messages) = raw.meet_open(&landline::Client::new().config(lively()));
    for _ in 0..8 {
        assert_eq!(peer.read_frame().opcode, opcode::PING);
    }
    assert!(ws.is_open());
    peer.send_text("at last");
    assert_eq!(messages.recv().unwrap(), "at last".into());
    // From here on somebody listens, and silence counts.
    let pulling = thread::spawn(move || messages.recv().unwrap_err());
    settled("it is cut", || pulling.is_finished());
    let RecvError(event) = pulling.join().unwrap();
    assert_eq!(event.timeout(), Some(Timeout::Pong));
}

/// A message that has begun and gets no further is cut, whatever else the peer says.
#[test]
fn unfinished_message_is_cut() {
    for role in ROLES {
        let config = Config::new().message_timeout(ms(300)).ping_interval(None);
        let mut met = Meeting::of(role, config.clone(), |ws| {
            ws.on_message(|ws, message| ws.send(message));
        });
        met.peer.send_text("whole");
        assert_eq!(met.peer.read_frame(), Frame::text("whole"));
        met.peer.send(&Frame::text("half").unfinished());
        let mut chatting = met.peer.stream.try_clone().unwrap();
        let pings = met.peer.encode(&Frame::new(opcode::PING, "x"));
        let chat = thread::spawn(move || {
            use std::io::Write;
            while chatting.write_all(&pings).is_ok() {
                thread::sleep(ms(10));
            }
        });
        settled("it is cut", || met.ws.close_code().is_some());
        let event = met.ws.wait_closed().unwrap();
        assert_eq!(
            (event.code(), event.timeout()),
            (CloseCode::ABNORMAL, Some(Timeout::Message))
        );
        settled("the peer notices", || chat.is_finished());
    }
}

/// Silence between messages is no unfinished message.
#[test]
fn idle_connection_has_no_message_timeout() {
    let config = Config::new().message_timeout(ms(50)).ping_interval(ms(50));
    let mut met = Meeting::of(Role::Server, config, |ws| {
        ws.on_message(|ws, message| ws.send(message));
    });
    for _ in 0..3 {
        for _ in 0..4 {
            let ping = met.peer.read_frame();
            met.peer.send(&Frame::new(opcode::PONG, ping.payload));
        }
        met.peer.send_text("whole");
        while met.peer.read_frame() != Frame::text("whole") {}
    }
}
