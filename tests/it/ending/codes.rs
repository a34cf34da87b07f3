//! Which code a connection ended with: a failure's own; else that of the first Close received,
//! whoever began, clean or not (RFC 6455, sections 7.1.5 and 7.1.6); else 1006.

use std::sync::Mutex;
use std::thread;

use landline::{
    Client, CloseCode, CloseEvent, Config, Initiator, Outcome, Overflow, Timeout, WebSocket,
};

use super::Verdicts;
use crate::support::*;

/// What landline's side does at first.
#[derive(Clone, Copy, Debug)]
enum Ours {
    Nothing,
    /// Closes with 4001 "ours".
    Close,
    /// A callback fails; the peer has asked for it.
    Fail,
    /// Cannot take what the peer has sent.
    Refuse(&'static [u8], u16),
    Abort,
}

/// What the peer does then.
#[derive(Clone, Copy, Debug)]
enum Theirs {
    /// Sends a Close, and reads what comes for it.
    Close(&'static [u8]),
    /// Sends a Close and leaves at once.
    CloseAndLeave(&'static [u8], HangUp),
    Leave(HangUp),
}

/// What the program is to be told.
struct Told {
    code: u16,
    reason: &'static str,
    initiator: Initiator,
    /// `None` where it depends on whether ours was faster.
    clean: Option<bool>,
    sent: Option<u16>,
    received: Option<u16>,
}

/// The Close 4002 "theirs".
const THEIRS: &[u8] = b"\x0f\xa2theirs";
const EMPTY: &[u8] = b"";
const NORMAL: &[u8] = b"\x03\xe8";
/// A text that is no UTF-8, as a client sends it.
const NO_UTF8: &[u8] = b"\x81\x82\0\0\0\0\xc3\x28";
/// A frame with a reserved opcode (RFC 6455, section 5.2).
const RESERVED: &[u8] = b"\x83\x80\0\0\0\0";
/// The head of a message of 2 MiB.
const TOO_BIG: &[u8] = b"\x82\xff\0\0\0\0\0\x20\0\0\0\0\0\0";

use Initiator::{Local, Remote};
use Ours::{Abort, Fail, Nothing, Refuse};
use Theirs::{CloseAndLeave, Leave};

const fn told(code: u16, reason: &'static str, initiator: Initiator) -> Told {
    Told {
        code,
        reason,
        initiator,
        clean: None,
        sent: None,
        received: None,
    }
}

impl Told {
    const fn clean(self, sent: u16, received: u16) -> Self {
        Self {
            clean: Some(true),
            sent: Some(sent),
            received: Some(received),
            ..self
        }
    }

    const fn unclean(self, sent: Option<u16>, received: Option<u16>) -> Self {
        Self {
            clean: Some(false),
            sent,
            received,
            ..self
        }
    }

    const fn received(self, code: u16) -> Self {
        Self {
            received: Some(code),
            ..self
        }
    }
}

/// Runs a row over every way; a way has the peer's role, and so the frames that are refused.
#[track_caller]
fn check(ours: Ours, theirs: Theirs, told: &Told) {
    let mut verdicts = Verdicts::default();
    for way in WAYS.iter().copied() {
        // Only clients send what is masked.
        if matches!(ours, Refuse(..)) && way.role() == Role::Client {
            continue;
        }
        // Who is faster is chance.
        let rounds = if told.clean.is_none() { 10 } else { 1 };
        for _ in 0..rounds {
            let event = end(way, ours, theirs);
            let row = format!("{way:?}");
            compare(&mut verdicts, &row, &event, told);
        }
    }
    verdicts.assert_right();
}

fn end(way: Way, ours: Ours, theirs: Theirs) -> CloseEvent {
    let config = patient().max_message_size(1 << 20);
    let mut met = AnyMeeting::of(way, config, |ws| {
        ws.on_text(|_, _| -> Outcome { Err("no".into()) });
    });
    match ours {
        Nothing => {}
        Ours::Close => met.ws.close_with(4001, "ours").unwrap(),
        Fail => met.peer.send(&Frame::text("fail")),
        Refuse(bytes, _) => met.peer.send_bytes(bytes),
        Abort => met.ws.abort(),
    }
    let expected = match ours {
        Ours::Close => Some(4001),
        Fail => Some(1011),
        Refuse(_, code) => Some(code),
        Nothing | Abort => None,
    };
    if expected.is_some() {
        assert_eq!(met.peer.read_to_close(), expected);
    }
    match theirs {
        Theirs::Close(payload) => {
            met.peer.send(&Frame::new(opcode::CLOSE, payload));
            if matches!(ours, Nothing) {
                met.peer.read_to_close();
            }
            drop(met.peer);
        }
        CloseAndLeave(payload, how) => {
            let _ = met.peer.try_send(&Frame::new(opcode::CLOSE, payload));
            met.peer.hang_up(how);
        }
        Leave(how) => met.peer.hang_up(how),
    }
    closed_once(&met.events, &met.ws)
}

fn compare(verdicts: &mut Verdicts, row: &str, event: &CloseEvent, told: &Told) {
    let number = |code: Option<CloseCode>| code.map(|code| code.as_u16());
    let (sent, received) = (number(event.sent_code()), number(event.received_code()));
    let seen = (event.code().as_u16(), event.reason(), event.initiator());
    verdicts.compare(row, seen, (told.code, told.reason, told.initiator));
    verdicts.compare(row, event.timeout(), None);
    match told.clean {
        Some(clean) => {
            let seen = (event.is_clean(), sent, received);
            verdicts.compare(row, seen, (clean, told.sent, told.received));
        }
        // RFC 6455, section 7.1.4: clean is who has sent a Close and received one.
        None => {
            let both = sent.is_some() && received.is_some();
            verdicts.compare(row, (event.is_clean(), received), (both, told.received));
        }
    }
    let said = event.to_string();
    let lost = said.contains("connection lost");
    if told.code != 1006 || told.initiator == Remote {
        verdicts.compare(&format!("{row} {said:?}"), lost, told.code == 1006);
    }
}

/// The peer closes and is answered.
#[test]
fn peers_close_is_told() {
    check(
        Nothing,
        Theirs::Close(THEIRS),
        &told(4002, "theirs", Remote).clean(4002, 4002),
    );
    check(
        Nothing,
        Theirs::Close(EMPTY),
        &told(1005, "", Remote).clean(1005, 1005),
    );
}

/// The peer closes and is gone before our answer, or just after it.
#[test]
fn peers_close_is_told_though_it_hangs_up() {
    for how in HANG_UPS {
        check(
            Nothing,
            CloseAndLeave(THEIRS, how),
            &told(4002, "theirs", Remote).received(4002),
        );
    }
}

/// So it is with codes that end ordinarily.
#[test]
fn ordinary_close_is_told_though_its_peer_hangs_up() {
    for how in HANG_UPS {
        check(
            Nothing,
            CloseAndLeave(NORMAL, how),
            &told(1000, "", Remote).received(1000),
        );
        check(
            Nothing,
            CloseAndLeave(EMPTY, how),
            &told(1005, "", Remote).received(1005),
        );
    }
}

/// Our Close is answered by another code: that one is told, and ours by `sent_code`.
#[test]
fn answer_to_our_close_is_told() {
    check(
        Ours::Close,
        Theirs::Close(THEIRS),
        &told(4002, "theirs", Local).clean(4001, 4002),
    );
}

/// Our Close is answered by one without a code: that is 1005.
#[test]
fn empty_answer_to_our_close_is_1005() {
    check(
        Ours::Close,
        Theirs::Close(EMPTY),
        &told(1005, "", Local).clean(4001, 1005),
    );
}

/// Our Close is answered by a code that may not be sent: that is no answer.
#[test]
fn illegal_answer_to_our_close_is_1006() {
    check(
        Ours::Close,
        Theirs::Close(b"\x03\xed"),
        &told(1006, "", Local).unclean(Some(4001), None),
    );
}

/// A peer that answers our Close and hangs up has answered it.
#[test]
fn answer_to_our_close_counts_though_its_peer_hangs_up() {
    for how in HANG_UPS {
        check(
            Ours::Close,
            CloseAndLeave(THEIRS, how),
            &told(4002, "theirs", Local).clean(4001, 4002),
        );
    }
}

/// A peer that hangs up without an answer to our Close is lost.
#[test]
fn our_close_without_an_answer_is_1006() {
    for how in HANG_UPS {
        check(
            Ours::Close,
            Leave(how),
            &told(1006, "", Local).unclean(Some(4001), None),
        );
    }
}

/// A peer that leaves without a Close is lost, and that is what the event says.
#[test]
fn leaving_without_a_close_is_1006() {
    for how in HANG_UPS {
        check(
            Nothing,
            Leave(how),
            &told(1006, "", Remote).unclean(None, None),
        );
    }
}

/// What the program cuts is 1006.
#[test]
fn abort_is_1006() {
    check(
        Abort,
        Leave(HangUp::Close),
        &told(1006, "", Local).unclean(None, None),
    );
}

/// A failure of the program's keeps its code, whatever the peer answers.
#[test]
fn failure_of_the_programs_keeps_its_code() {
    check(
        Fail,
        Theirs::Close(THEIRS),
        &told(1011, "", Local).clean(1011, 4002),
    );
    for how in HANG_UPS {
        check(
            Fail,
            CloseAndLeave(THEIRS, how),
            &told(1011, "", Local).clean(1011, 4002),
        );
        check(
            Fail,
            Leave(how),
            &told(1011, "", Local).unclean(Some(1011), None),
        );
    }
}

/// A failure of the peer's keeps its code, whatever the peer answers.
#[test]
fn failure_of_the_peers_keeps_its_code() {
    for (bytes, code) in [(NO_UTF8, 1007), (RESERVED, 1002), (TOO_BIG, 1009)] {
        for theirs in [Theirs::Close(THEIRS), Leave(HangUp::Close)] {
            for way in WAYS.iter().filter(|way| way.role() == Role::Server) {
                let event = end(*way, Refuse(bytes, code), theirs);
                assert_eq!(event.code(), code, "{theirs:?}: {event:?}");
                assert_eq!(event.sent_code(), Some(code.into()), "{event:?}");
                assert!(!event.is_ordinary(), "{event:?}");
            }
        }
    }
}

/// Closes that cross: each is the answer to the other, and the one received is told.
#[test]
fn of_closes_that_cross_the_one_received_is_told() {
    let mut verdicts = Verdicts::default();
    for way in WAYS.iter().copied() {
        let mut met = AnyMeeting::of(way, patient(), |_| {});
        met.peer.say_close(4002, "theirs");
        let _ = met.ws.close_with(4001, "ours");
        met.peer.read_to_close();
        drop(met.peer);
        let event = closed_once(&met.events, &met.ws);
        let seen = (event.code().as_u16(), event.reason(), event.is_clean());
        verdicts.compare(&format!("{way:?}"), seen, (4002, "theirs", true));
    }
    verdicts.assert_right();
}

/// A peer that cannot take 8 MiB says so by 1009 and closes, with most of it unread.
#[test]
fn refusal_of_a_large_message_is_told() {
    let mut verdicts = Verdicts::default();
    for way in ALL_WAYS.iter().copied() {
        for how in HANG_UPS {
            let mut met = AnyMeeting::of(way, patient(), |_| {});
            met.ws.send(vec![7; 8 << 20]).unwrap();
            met.peer.say_close(1009, "at most 1 MiB");
            met.peer.hang_up(how);
            let event = closed_once(&met.events, &met.ws);
            let seen = (event.code().as_u16(), event.reason(), event.undelivered());
            let row = format!("{way:?} {how:?}");
            verdicts.compare(&row, seen, (1009, "at most 1 MiB", 1));
            let codes = (event.sent_code(), event.received_code(), event.is_clean());
            verdicts.compare(&row, codes, (None, Some(1009.into()), false));
        }
    }
    verdicts.assert_right();
}

/// The same while somebody keeps sending, and while somebody waits for room.
#[test]
fn refusal_is_told_though_somebody_sends() {
    let mut verdicts = Verdicts::default();
    for way in ALL_WAYS.iter().copied() {
        let mut met = AnyMeeting::of(way, patient(), |_| {});
        let ws = met.ws.clone();
        let sending = thread::spawn(move || while ws.send(vec![7; 600_000]).is_ok() {});
        settled("it is full", || met.ws.buffered_amount() > 0);
        met.peer.say_close(1009, "at most 1 MiB");
        met.peer.hang_up(HangUp::Close);
        let event = closed_once(&met.events, &met.ws);
        settled("the sender has heard", || sending.is_finished());
        let seen = (event.code().as_u16(), event.reason());
        verdicts.compare(&format!("{way:?}"), seen, (1009, "at most 1 MiB"));
    }
    verdicts.assert_right();
}

/// A deadline is no failure: the code is 1006, and the event names the deadline.
#[test]
fn deadlines_are_1006_and_named() {
    let short = ms(200);
    let rows: [(Timeout, Config); 4] = [
        (
            Timeout::Pong,
            patient().ping_interval(ms(50)).ping_timeout(short),
        ),
        (Timeout::Write, patient().write_timeout(short)),
        (Timeout::Message, patient().message_timeout(short)),
        (Timeout::Close, patient().close_timeout(short)),
    ];
    for (timeout, config) in rows {
        at_once(WAYS, |&way| {
            let mut met = AnyMeeting::of(way, config.clone(), |_| {});
            match timeout {
                Timeout::Write => met.ws.send(vec![7; 8 << 20]).unwrap(),
                Timeout::Message => met.peer.send(&Frame::text("half").unfinished()),
                Timeout::Close => met.ws.close(),
                _ => {}
            }
            let event = closed_once(&met.events, &met.ws);
            let seen = (event.code().as_u16(), event.reason(), event.timeout());
            assert_eq!(seen, (1006, "", Some(timeout)), "{way:?}");
            assert!(!event.is_clean(), "{way:?} {event:?}");
            let said = event.to_string();
            assert!(said.contains(&timeout.to_string()), "{way:?} {said}");
            // What the event says has left is what the peer has read.
            if timeout != Timeout::Write {
                let read = met.peer.read_to_close();
                let sent = event.sent_code().map(|code| code.as_u16());
                assert_eq!(read, sent, "{way:?} {timeout:?}");
            }
        });
    }
}

/// A deadline does not hide a Close that came: who says 1000 and then takes nothing more has said
/// 1000.
#[test]
fn deadline_does_not_hide_a_close() {
    let mut verdicts = Verdicts::default();
    for way in WAYS.iter().copied() {
        let mut met = AnyMeeting::of(way, patient().write_timeout(ms(300)), |_| {});
        met.ws.send(vec![7; 8 << 20]).unwrap();
        met.peer.say_close(1009, "at most 1 MiB");
        let event = closed_once(&met.events, &met.ws);
        let seen = (event.code().as_u16(), event.reason(), event.timeout());
        let expected = (1009, "at most 1 MiB", Some(Timeout::Write));
        verdicts.compare(&format!("{way:?}"), seen, expected);
        let codes = (event.sent_code(), event.received_code(), event.is_clean());
        verdicts.compare(&format!("{way:?}"), codes, (None, Some(1009.into()), false));
    }
    verdicts.assert_right();
}

/// The time for an answer to our Close begins when that has left: a peer that takes long to read what
/// goes before it is not late.
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn close_timeout_begins_when_our_close_has_left() {
    at_once(WAYS, |&way| {
        unless_stalled(ms(500), || assert_slow_reader_may_answer(way));
    });
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn assert_slow_reader_may_answer(way: Way) {
    let timeout = ms(2_000);
    let mut met = AnyMeeting::of(way, patient().close_timeout(timeout), |_| {});
    met.ws.send(vec![7; 8 << 20]).unwrap();
    met.ws.close_with(4001, "ours").unwrap();
    let time = timeout + timeout / 2;
    pause(
        time,
        "the peer reads nothing for longer than it may take to answer",
    );
    assert_eq!(met.peer.read_to_close(), Some(4001), "{way:?}");
    met.peer.say_close(4002, "theirs");
    drop(met.peer);
    let event = closed_once(&met.events, &met.ws);
    assert!(event.is_clean(), "{way:?} {event:?}");
    assert_eq!((event.timeout(), event.undelivered()), (None, 0), "{way:?}");
}

/// A laggard that we close keeps 1008, whatever it answers.
#[test]
fn laggard_keeps_its_code() {
    for way in WAYS.iter().copied() {
        let mut met = AnyMeeting::of(way, patient().max_queue_bytes(64 << 10), |_| {});
        let overtaken = || {
            met.ws
                .send_with(Overflow::Close, vec![7; 16 << 10])
                .is_err()
        };
        settled("it is too slow", overtaken);
        assert_eq!(met.peer.read_to_close(), Some(1008), "{way:?}");
        met.peer.say_close(4002, "theirs");
        drop(met.peer);
        let event = closed_once(&met.events, &met.ws);
        let seen = (event.code().as_u16(), event.reason());
        assert_eq!(seen, (1008, "too slow"), "{way:?} {event:?}");
        assert_eq!(
            event.received_code(),
            Some(4002.into()),
            "{way:?} {event:?}"
        );
    }
}

/// A server that stops is told what its peers answer.
#[test]
fn stop_is_told_what_the_peer_answers() {
    let mut verdicts = Verdicts::default();
    for answer in [&b"\x03\xe9"[..], b"\x0f\xa2bye", b""] {
        let (met, events) = Meeting::recorded(Role::Server, patient());
        let mut peer = met.peer;
        met.server.as_ref().unwrap().stop_within(2 * PATIENCE);
        assert_eq!(peer.read_close(), Some(1001));
        peer.send(&Frame::new(opcode::CLOSE, answer));
        drop(peer);
        let event = closed_once(&events, &met.ws);
        let code = answer
            .first_chunk()
            .map_or(1005, |code| u16::from_be_bytes(*code));
        verdicts.compare(&format!("{answer:?}"), event.code().as_u16(), code);
        assert!(event.is_clean(), "{event:?}");
    }
    verdicts.assert_right();
}

/// Iteration ends quietly by the code, clean or not, and where the program has closed; else by one
/// error.
#[test]
fn iteration_ends_by_the_code() {
    let mut verdicts = Verdicts::default();
    let rows: [(Option<&[u8]>, bool, usize); 6] = [
        (Some(b"\x03\xe8"), false, 0),
        (Some(b"\x03\xe9"), false, 0),
        (Some(b""), false, 0),
        (Some(b"\x0f\xa2theirs"), false, 1),
        (None, false, 1),
        // The program has closed first.
        (None, true, 0),
    ];
    for (close, ours, errors) in rows {
        for how in HANG_UPS {
            for way in WAYS.iter().filter(|way| way.role() == Role::Client) {
                let (mut peer, ws, messages) = meet_open(*way, patient());
                if ours {
                    ws.close();
                    assert_eq!(peer.read_to_close(), Some(1000));
                }
                if let Some(payload) = close {
                    peer.send(&Frame::new(opcode::CLOSE, payload));
                }
                peer.hang_up(how);
                let ends = in_time("iteration ends", move || {
                    messages.map(|item| item.is_err()).collect::<Vec<_>>()
                });
                verdicts.compare(
                    &format!("{way:?} {close:?} {how:?}"),
                    ends,
                    vec![true; errors],
                );
            }
        }
    }
    verdicts.assert_right();
}

/// Two landlines agree: each is told what the other has sent.
#[test]
fn landlines_agree_on_the_code() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let server = TestServer::with(patient(), move |ws| {
        let _ = sender.lock().unwrap().send(ws.clone());
    });
    for round in 0..20 {
        let client = Client::new().config(patient());
        let ws = client.connect(server.url(), |_| {}).unwrap();
        let served: WebSocket = next(&receiver);
        let (closer, other) = if round % 2 == 0 {
            (&ws, &served)
        } else {
            (&served, &ws)
        };
        closer.close_with(4001, "enough").unwrap();
        let ends = [closer, other].map(|ws| {
            let ws = ws.clone();
            in_time("it ends", move || ws.wait_closed().unwrap())
        });
        for event in &ends {
            assert_eq!(event.code(), 4001, "{ends:?}");
            assert!(event.is_clean(), "{ends:?}");
        }
    }
}
