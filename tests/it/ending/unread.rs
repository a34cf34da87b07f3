//! A write that fails does not throw away what has arrived, nor what still comes.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use landline::{CloseCode, Config, Messages, Timeout, WaitError, WebSocket};

use super::Verdicts;
use crate::support::*;

/// What finds out that nothing more can be sent.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Send,
    Ping,
    Confirm,
    /// A close, behind a message that has had its answer by RST.
    Close,
    Keepalive,
    Stream,
}

const DOINGS: [Doing; 6] = [
    Doing::Send,
    Doing::Ping,
    Doing::Confirm,
    Doing::Close,
    Doing::Keepalive,
    Doing::Stream,
];

impl Doing {
    fn config(self) -> Config {
        match self {
            Self::Keepalive => patient().ping_interval(ms(10)).ping_timeout(2 * PATIENCE),
            _ => patient(),
        }
    }

    /// Does it once more; returns true once it has found out.
    fn finds_out(self, ws: &WebSocket) -> bool {
        match self {
            Self::Send => ws.send("ours").is_err(),
            Self::Ping => ws.ping("ours").is_err(),
            Self::Confirm => ws.confirm(ms(20)) == Err(WaitError::Closed),
            Self::Close => {
                let _ = ws.send("ours");
                ws.close();
                true
            }
            Self::Keepalive => !ws.is_open(),
            Self::Stream => ws.text_writer().map_or(true, |mut writer| {
                let written = writer.write_all(b"ours");
                written.and_then(|()| writer.finish()).is_err()
            }),
        }
    }
}

fn clients() -> impl Iterator<Item = Way> {
    let ways = ALL_WAYS.iter().copied();
    ways.filter(|way| way.role() == Role::Client)
}

/// Pulls what is left, and the end.
#[track_caller]
fn pull(mut messages: Messages, ws: &WebSocket) -> (Vec<String>, u16, String) {
    let texts = in_time("the end comes", move || {
        let mut texts = Vec::new();
        while let Ok(message) = messages.recv() {
            texts.push(message.as_text().unwrap().to_owned());
        }
        texts
    });
    let event = ws.wait_closed().unwrap();
    (texts, event.code().as_u16(), event.reason().to_owned())
}

/// A server says what is wrong, closes with 4401 and hangs up, as one does to a bad token: a client
/// that has found out by a write that nothing more can be sent reads all of it.
#[test]
fn client_that_wrote_in_vain_reads_why() {
    let mut verdicts = Verdicts::default();
    for way in clients() {
        for (doing, how) in DOINGS
            .iter()
            .flat_map(|doing| HANG_UPS.map(|how| (*doing, how)))
        {
            let (mut peer, ws, messages) = meet_open(way, doing.config());
            peer.send(&Frame::text(r#"{"error":"bad token"}"#));
            peer.say_close(4401, "invalid token");
            peer.hang_up(how);
            settled("it finds out", || doing.finds_out(&ws));
            let expected = (
                vec![r#"{"error":"bad token"}"#.to_owned()],
                4401,
                "invalid token".to_owned(),
            );
            let row = format!("{way:?} {doing:?} {how:?}");
            verdicts.compare(&row, pull(messages, &ws), expected);
        }
    }
    verdicts.assert_right();
}

/// The same without a Close: what came is read, and then the connection is lost.
#[test]
fn client_that_wrote_in_vain_reads_the_last_messages() {
    let mut verdicts = Verdicts::default();
    for way in clients() {
        for how in HANG_UPS {
            let (mut peer, ws, messages) = meet_open(way, patient());
            let texts = ["one", "two", "three"];
            peer.send_together(&texts.map(Frame::text));
            peer.hang_up(how);
            settled("it finds out", || ws.send("ours").is_err());
            let expected = (texts.map(str::to_owned).to_vec(), 1006, String::new());
            verdicts.compare(&format!("{way:?} {how:?}"), pull(messages, &ws), expected);
        }
    }
    verdicts.assert_right();
}

/// A callback that answers each message, and comes to the first when the peer has hung up: it gets
/// all of them, and then `on_close` says what the peer's Close said.
#[test]
fn slow_callback_that_answers_gets_all_messages() {
    let mut verdicts = Verdicts::default();
    for way in ALL_WAYS.iter().copied() {
        for (count, how) in [10, 1_000]
            .into_iter()
            .flat_map(|n| HANG_UPS.map(|how| (n, how)))
        {
            let (gone, hung_up) = mpsc::channel::<()>();
            let (heard, texts) = mpsc::channel();
            let hung_up = Arc::new(Mutex::new(hung_up));
            let mut met = AnyMeeting::of(way, patient(), move |ws| {
                let (heard, hung_up) = (heard.clone(), Arc::clone(&hung_up));
                ws.on_text(move |ws, text| {
                    // Once it has come, or its sender is gone, this does not wait.
                    let _ = hung_up.lock().unwrap().recv();
                    // That it cannot be sent is no reason to give up on what is left.
                    let _ = ws.send(&text);
                    let _ = heard.send(text.as_str().to_owned());
                });
            });
            let sent: Vec<_> = (0..count)
                .map(|number| format!("message {number}"))
                .collect();
            let mut frames: Vec<_> = sent.iter().map(|text| Frame::text(text)).collect();
            frames.push(Frame::new(opcode::CLOSE, b"\x11\x31invalid token"));
            met.peer.send_together(&frames);
            met.peer.hang_up(how);
            drop(gone);
            let event = closed_once(&met.events, &met.ws);
            let heard: Vec<_> = texts.try_iter().collect();
            let seen = (
                heard == sent,
                heard.len(),
                event.code().as_u16(),
                event.reason(),
            );
            let row = format!("{way:?} {how:?} {count}");
            verdicts.compare(&row, seen, (true, count, 4401, "invalid token"));
        }
    }
    verdicts.assert_right();
}

/// What a callback is told of its answer is true: it is sent or refused, and none of those that
/// were taken is forgotten in the end.
#[test]
fn answers_that_cannot_leave_are_counted() {
    for way in ALL_WAYS.iter().copied() {
        for how in HANG_UPS {
            let (gone, hung_up) = mpsc::channel::<()>();
            let hung_up = Arc::new(Mutex::new(hung_up));
            let taken = Arc::new(Mutex::new(0_u64));
            let count = Arc::clone(&taken);
            let mut met = AnyMeeting::of(way, patient(), move |ws| {
                let (hung_up, count) = (Arc::clone(&hung_up), Arc::clone(&count));
                ws.on_text(move |ws, text| {
                    let _ = hung_up.lock().unwrap().recv();
                    *count.lock().unwrap() += u64::from(ws.send(text).is_ok());
                });
            });
            met.peer
                .send_together(&[(); 10].map(|()| Frame::text("ask")));
            met.peer.hang_up(how);
            drop(gone);
            let event = closed_once(&met.events, &met.ws);
            let counters = met.ws.counters();
            let told = counters.messages_out + event.undelivered();
            assert_eq!(told, *taken.lock().unwrap(), "{way:?} {how:?} {counters:?}");
            assert_eq!((counters.queued_messages, counters.queued_bytes), (0, 0));
        }
    }
}

/// Ends landline's own direction behind its back: each write fails from now on, and the peer's bytes
/// still come. Returns false where the system does not let us.
#[track_caller]
fn break_writing(ws: &WebSocket) -> bool {
    let Some(socket) = own_socket(ws) else {
        println!("skipped: the system gives no descriptor of another's socket");
        return false;
    };
    rustix::net::shutdown(socket, rustix::net::Shutdown::Write).unwrap();
    settled("a send fails", || ws.send("ours").is_err());
    true
}

/// What comes only after the failed write is read too, up to the Close.
#[test]
fn what_comes_after_the_failed_write_is_read() {
    let mut verdicts = Verdicts::default();
    for way in ALL_WAYS.iter().copied() {
        let mut met = AnyMeeting::of(way, patient(), |_| {});
        if !break_writing(&met.ws) {
            return;
        }
        let seen = (|| {
            for text in ["one", "two"] {
                met.peer.try_send(&Frame::text(text)).ok()?;
                if met.events.next() != Event::Text(text.into()) {
                    return None;
                }
            }
            met.peer
                .try_send(&Frame::new(opcode::CLOSE, b"\x11\x31late"))
                .ok()?;
            let event = closed_once(&met.events, &met.ws);
            Some((event.code().as_u16(), event.reason().to_owned()))
        })();
        let row = format!("{way:?}");
        verdicts.compare(&row, seen, Some((4401, "late".to_owned())));
    }
    verdicts.assert_right();
}

/// After a failed write a peer that says nothing has `close_timeout`, and no more.
#[test]
fn silence_after_the_failed_write_ends() {
    for way in ALL_WAYS.iter().copied() {
        let met = AnyMeeting::of(way, patient().close_timeout(ms(200)), |_| {});
        if !break_writing(&met.ws) {
            return;
        }
        let event = closed_once(&met.events, &met.ws);
        assert_eq!(event.code(), CloseCode::ABNORMAL, "{way:?} {event:?}");
        assert!(!event.is_clean(), "{way:?} {event:?}");
    }
}

/// A peer that goes on sending after the failed write is heard for longer than `close_timeout`.
#[test]
fn whoever_goes_on_after_the_failed_write_is_heard() {
    let patience = ms(1_000);
    for role in ROLES {
        // A machine that stalls for so long proves nothing: then once more.
        let heard_all = (0..10).any(|_| {
            let (mut met, events) = Meeting::recorded(role, patient().close_timeout(patience));
            if !break_writing(&met.ws) {
                return true;
            }
            let mut last = Instant::now();
            for number in 0..30 {
                pause(
                    ms(50),
                    "altogether the peer goes on for longer than `close_timeout`",
                );
                let stalled = last.elapsed() > patience / 2;
                last = Instant::now();
                if stalled {
                    return false;
                }
                let text = number.to_string();
                let sent = met
                    .peer
                    .try_send_bytes(met.peer.encode(&Frame::text(&text)));
                assert!(sent.is_ok(), "{role:?}: cut before {text}");
                assert_eq!(events.next(), Event::Text(text), "{role:?}");
            }
            true
        });
        assert!(heard_all, "the machine stalled each time");
    }
}

/// A message that makes no progress after the failed write is `message_timeout`'s, however often a
/// byte of it comes.
#[test]
fn trickle_after_the_failed_write_ends() {
    for role in ROLES {
        let config = patient().message_timeout(ms(300));
        let (met, events) = Meeting::recorded(role, config);
        let whole = met
            .peer
            .encode(&Frame::new(opcode::BINARY, vec![7; 60_000]));
        if !break_writing(&met.ws) {
            return;
        }
        let mut trickling = met.peer.stream.try_clone().unwrap();
        let trickle = thread::spawn(move || {
            for byte in whole {
                if trickling.write_all(&[byte]).is_err() {
                    return;
                }
                pause(ms(10), "the message takes longer than it may");
            }
        });
        let event = closed_once(&events, &met.ws);
        assert_eq!(event.code(), CloseCode::ABNORMAL, "{role:?} {event:?}");
        assert_eq!(
            event.timeout(),
            Some(Timeout::Message),
            "{role:?} {event:?}"
        );
        drop(met);
        settled("the peer notices", || trickle.is_finished());
    }
}

/// What `abort` finds unread is discarded: only what fails is read on after.
#[test]
fn abort_discards_what_is_unread() {
    let mut codes = BTreeSet::new();
    for way in clients() {
        let (mut peer, ws, messages) = meet_open(way, patient());
        peer.send(&Frame::text("unread"));
        ws.abort();
        let (texts, code, _) = pull(messages, &ws);
        assert!(texts.is_empty(), "{way:?} {texts:?}");
        codes.insert(code);
    }
    assert_eq!(codes, BTreeSet::from([1006]));
}
