//! Deadlines judge the peer, not the program.

#[cfg(unix)]
mod freezes;
mod latency;
mod limits;
#[cfg(unix)]
mod rounds;
mod slow;

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use landline::{CloseCode, Config, RecvError, Timeout};

use crate::support::*;

fn lively() -> Config {
    Config::new().ping_interval(ms(100)).ping_timeout(ms(200))
}

/// A silent peer is pinged, then told 1011 and cut: `on_error`, then `on_close` 1006. What it is told
/// no reset destroys.
#[test]
fn silent_peer_is_pinged_told_and_cut() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, lively());
        settled("it is cut", || met.ws.close_code().is_some());
        let events = met.events.so_far();
        let [Event::Error(_), Event::Close(close)] = &events[..] else {
            panic!("{way:?}: {events:?}")
        };
        assert_eq!(close.timeout(), Some(Timeout::Pong));
        assert_eq!(
            (close.code(), close.is_clean(), close.sent_code()),
            (CloseCode::ABNORMAL, false, Some(CloseCode::INTERNAL_ERROR))
        );
        // Only now it reads.
        let mut pings = 0;
        let last = loop {
            match met.peer.read_frame() {
                frame if frame.opcode == opcode::PING => pings += 1,
                frame => break frame,
            }
        };
        assert!(pings > 0);
        let told = [&1011_u16.to_be_bytes()[..], b"keepalive ping timeout"].concat();
        assert_eq!(last, Frame::new(opcode::CLOSE, told), "{way:?}");
        assert!(met.peer.ends_in_order(), "{way:?}");
    }
}

/// A silent peer whose socket refuses more is not told, and nothing waits for it: what is unsent goes
/// with the connection.
#[test]
fn silent_peer_that_reads_nothing_is_reset() {
    for &way in WAYS {
        let met = AnyMeeting::deaf(way, lively());
        while met.ws.try_send(vec![0; 64 << 10]).is_ok() {}
        settled("it is cut", || met.ws.close_code().is_some());
        let close = met.events.next_close();
        assert_eq!(close.timeout(), Some(Timeout::Pong));
        assert_eq!(close.sent_code(), None, "{way:?}");
        let end = io::copy(&mut met.peer.tcp(), &mut io::sink());
        assert_eq!(
            end.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset,
            "{way:?}"
        );
    }
}

/// A dead peer is found also while the program sends a little, often: what our own kernel takes is no
/// life of the peer's.
#[test]
fn dead_peer_is_found_while_the_program_pushes() {
    for &way in WAYS {
        let met = AnyMeeting::deaf(way, lively());
        let ws = met.ws.clone();
        in_time("the send fails", move || {
            while ws.send("tick").is_ok() {
                pause(ms(10), "the program pushes now and then");
            }
        });
        assert_eq!(
            met.events.next_close().timeout(),
            Some(Timeout::Pong),
            "{way:?}"
        );
    }
}

/// A peer that takes from a socket which had refused bytes is alive, though it answers no ping: its
/// pong may have to wait for all that stands before.
#[test]
fn peer_that_makes_room_stays() {
    let config = Config::new()
        .ping_interval(ms(300))
        .ping_timeout(ms(1500))
        .max_queue_bytes(64 << 20);
    thread::scope(|scope| {
        for &way in WAYS {
            let config = config.clone();
            scope.spawn(move || {
                let met = AnyMeeting::deaf(way, config);
                // One frame, so that no ping can pass.
                met.ws.send(vec![0; 16 << 20]).unwrap();
                let control = Control::start();
                let begin = Instant::now();
                while met.ws.is_open() && begin.elapsed() < ms(4000) {
                    let _ = uninterrupted(|| met.peer.tcp().read(&mut [0; 4 << 10]));
                    pause(ms(5), "the peer reads slowly");
                }
                let stalled = control.longest_silence();
                assert!(met.ws.is_open() || stalled > ms(500), "{way:?}");
                assert!(met.ws.buffered_amount() > 0, "{way:?}: it proves nothing");
            });
        }
    });
}

/// A record that takes long to come whole is life all the while, though nothing can be read of it.
#[test]
#[cfg(feature = "tls")]
fn record_that_trickles_in_is_life() {
    at_once(ROLES, |role| {
        let config = lively().ping_timeout(ms(400));
        let mut met = TlsMeeting::recorded_with(role, config, |ws| {
            ws.on_text(|ws, text| ws.send(text));
        });
        let control = Control::start();
        let text = Frame::text(&"x".repeat(8 << 10));
        let bytes = met.peer.encode(&text);
        met.peer.send_in_drops(bytes, 100, ms(20));
        let stalled = control.longest_silence();
        let echoed = loop {
            match met.peer.read_frame_or_end() {
                Ok(frame) if frame.opcode == opcode::PING => {}
                other => break other == Ok(text),
            }
        };
        assert!(echoed || stalled > ms(200), "{role:?}");
    });
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
    uninterrupted(|| met.peer.stream.peek(&mut [0])).unwrap_err();
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

/// A message that has begun and gets no further is cut, whatever else the peer says, and however much.
#[test]
fn unfinished_message_is_cut() {
    for role in ROLES {
        for pings in [1, 1000] {
            let config = Config::new().message_timeout(ms(300)).ping_interval(None);
            let mut met = Meeting::of(role, config.clone(), |ws| {
                ws.on_message(|ws, message| ws.send(message));
            });
            met.peer.send_text("whole");
            assert_eq!(met.peer.read_frame(), Frame::text("whole"));
            met.peer.send(&Frame::text("half").unfinished());
            let mut chatting = met.peer.stream.try_clone().unwrap();
            let ping = met.peer.encode(&Frame::new(opcode::PING, [b'x'; 125]));
            let pings = ping.repeat(pings);
            let chat = thread::spawn(move || {
                while chatting.write_all(&pings).is_ok() {
                    pause(ms(10), "the peer chats for longer than a message may take");
                }
            });
            // Its pongs are read, so that nothing else is in its way.
            let mut reading = met.peer.stream.try_clone().unwrap();
            thread::spawn(move || io::copy(&mut reading, &mut io::sink()));
            settled("it is cut", || met.ws.close_code().is_some());
            let event = met.ws.wait_closed().unwrap();
            assert_eq!(
                (event.code(), event.timeout()),
                (CloseCode::ABNORMAL, Some(Timeout::Message))
            );
            settled("the peer notices", || chat.is_finished());
        }
    }
}

/// A message whose payload comes in a trickle of fragments, with pings between them, stays while it
/// makes progress.
#[test]
fn message_that_makes_progress_stays() {
    at_once(ROLES, |role| {
        let config = Config::new().message_timeout(ms(1000)).ping_interval(None);
        let mut met = Meeting::of(role, config, |ws| {
            ws.on_message(|ws, message| ws.send(message.len().to_string()));
        });
        let piece = [b'x'; 16 << 10];
        met.peer.send(&Frame::new(opcode::TEXT, piece).unfinished());
        for _ in 0..100 {
            met.peer
                .send(&Frame::new(opcode::CONTINUATION, piece).unfinished());
            met.peer.send(&Frame::new(opcode::PING, ""));
            pause(
                ms(25),
                "the message takes longer than it might without progress",
            );
        }
        met.peer.send(&Frame::new(opcode::CONTINUATION, ""));
        let length = (101 * piece.len()).to_string();
        while met.peer.read_frame() != Frame::text(&length) {}
    });
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
