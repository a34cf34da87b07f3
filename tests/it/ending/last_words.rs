//! What the other side said last is told, whatever it or our own Close did to the connection.

use landline::{CloseCode, Config, Initiator};

use crate::support::opcode::*;
use crate::support::*;

fn patient() -> Config {
    Config::new()
        .close_timeout(2 * PATIENCE)
        .write_timeout(2 * PATIENCE)
        .ping_interval(None)
}

/// What a peer does behind its Close, while a message to it is partly written.
#[derive(Clone, Copy, Debug)]
enum Behind {
    /// It hangs up.
    HangUp(HangUp),
    /// It ends its direction, and is cut.
    Fin,
    /// It does nothing more, and is cut.
    Nothing,
}

const BEHINDS: [Behind; 4] = [
    Behind::HangUp(HangUp::Close),
    Behind::HangUp(HangUp::Reset),
    Behind::Fin,
    Behind::Nothing,
];

/// A Close that has come is told, though the message that was being written breaks off: by a peer that
/// hangs up behind it, or by our deadline.
#[test]
fn close_survives_a_message_that_breaks_off() {
    for &way in ALL_WAYS {
        for behind in BEHINDS {
            let what = format!("{way:?}, {behind:?}");
            let config = match behind {
                Behind::HangUp(_) => patient(),
                Behind::Fin | Behind::Nothing => patient().write_timeout(ms(300)),
            };
            let mut met = AnyMeeting::deaf(way, config);
            met.ws.send(vec![7; 8 << 20]).unwrap();
            settled("it is partly written", || met.ws.buffered_amount() > 0);
            met.peer.say_close(1011, "gone");
            let (ws, events) = (met.ws.clone(), &met.events);
            let kept = match behind {
                Behind::HangUp(how) => {
                    met.peer.hang_up(how);
                    None
                }
                Behind::Fin => {
                    met.peer.send_fin();
                    Some(met.peer)
                }
                Behind::Nothing => Some(met.peer),
            };
            let event = closed_once(events, &ws);
            assert_eq!(
                (event.code(), event.reason()),
                (CloseCode::from(1011), "gone"),
                "{what}"
            );
            assert_eq!(event.received_code(), Some(CloseCode::from(1011)), "{what}");
            assert_eq!(event.initiator(), Initiator::Remote, "{what}");
            drop(kept);
        }
    }
}

/// The same where nobody reads before the peer has hung up, and a write has found that out.
#[test]
fn close_survives_until_somebody_reads() {
    for &way in ALL_WAYS.iter().filter(|way| way.role() == Role::Client) {
        for how in HANG_UPS {
            let (mut peer, ws, mut messages) = meet_open(way, patient());
            ws.send(vec![7; 8 << 20]).unwrap();
            peer.say_close(1011, "gone");
            peer.hang_up(how);
            // The background finds the socket broken.
            let _ = ws.send(vec![7; 8 << 20]);
            let event = messages.recv().unwrap_err().0;
            assert_eq!(
                (event.code(), event.reason()),
                (CloseCode::from(1011), "gone"),
                "{way:?}, {how:?}"
            );
        }
    }
}

/// Once our Close has left, a violation can no longer be told: nothing more is written, the code is
/// 1006, and the error says what came, with the number and the reason of a Close that may not be.
#[test]
fn violation_behind_our_close_is_told_to_the_program_alone() {
    let close = |code: u16, reason: &str| {
        Frame::new(CLOSE, [&code.to_be_bytes(), reason.as_bytes()].concat())
    };
    let table = [
        (close(1005, "no code"), vec!["1005", "no code"]),
        (close(1006, ""), vec!["1006"]),
        (close(0, "zero"), vec!["sent: 0", "zero"]),
        (Frame::new(CLOSE, "1000"), vec!["12592", "00"]),
        (Frame::new(3, ""), vec!["reserved opcode"]),
    ];
    for role in ROLES {
        for (frame, words) in &table {
            let what = format!("{role:?}, {frame:?}");
            let (mut met, events) = Meeting::recorded(role, patient());
            met.ws.close_with(4001, "done").unwrap();
            assert_eq!(met.peer.read_close(), Some(4001), "{what}");
            met.peer.send(frame);
            met.peer.read_eof();
            drop(met.peer);
            let Event::Error(error) = events.next() else {
                panic!("{what}: no error")
            };
            for word in words {
                assert!(error.contains(word), "{what}: {error}");
            }
            let event = closed_once(&events, &met.ws);
            assert_eq!(event.code(), CloseCode::ABNORMAL, "{what}");
            assert_eq!(event.sent_code(), Some(CloseCode::from(4001)), "{what}");
            assert_eq!(event.received_code(), None, "{what}");
        }
    }
}

/// A Close that may not be is told with its number and its reason, which cannot forge a line, also
/// before our own.
#[test]
fn close_that_may_not_be_is_shown() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient());
        met.peer.send_close(1006, "lost\r\nWARN \x1b[31mforged");
        assert_eq!(met.peer.read_close(), Some(1002));
        let Event::Error(error) = events.next() else {
            panic!("no error")
        };
        assert!(
            error.contains("1006") && error.contains("lost\\r\\nWARN"),
            "{error}"
        );
        assert!(!error.contains(char::is_control), "{error:?}");
        drop(met.peer);
        assert_eq!(
            closed_once(&events, &met.ws).code(),
            CloseCode::PROTOCOL_ERROR
        );
    }
}

/// An HTTP response in the open WebSocket, as servers write whose handler has failed, is told as such.
#[test]
fn http_response_in_the_open_websocket_is_named() {
    let response = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
    for behind in [false, true] {
        let (mut met, events) = Meeting::recorded(Role::Client, patient());
        if behind {
            met.ws.close();
            assert_eq!(met.peer.read_close(), Some(1000));
        }
        met.peer.send_bytes(response);
        let Event::Error(error) = events.next() else {
            panic!("no error")
        };
        assert!(
            error.contains("an HTTP response into the open WebSocket"),
            "{error}"
        );
        drop(met.peer);
        closed_once(&events, &met.ws);
    }
}

/// Does nothing: the first words of a process are none of a logger's.
fn listen(_: &log::Record<'_>) {}

/// The record of an end right behind a keepalive ping says so, and what to set, unless the peer has
/// answered one before or said goodbye.
#[test]
fn end_behind_a_ping_is_recorded() {
    alone(|| {
        let logger = Logger::install(listen);
        let config = || patient().ping_interval(ms(100)).ping_timeout(2 * PATIENCE);
        let count = |logger: &Logger| {
            let records = logger.so_far();
            let told = records
                .iter()
                .filter(|record| record.contains("ping_interval(None)"));
            told.count()
        };
        for role in ROLES {
            // Right behind a ping is within a second.
            unless_stalled(ms(250), || {
                let mut expected = count(logger);
                // It hangs up at a ping.
                let (mut met, events) = Meeting::recorded(role, config());
                assert_eq!(met.peer.read_frame().opcode, PING);
                drop(met.peer);
                closed_once(&events, &met.ws);
                expected += 1;
                assert_eq!(count(logger), expected, "{role:?}: {:?}", logger.so_far());
                // Its pong is wrong.
                let (mut met, events) = Meeting::recorded(role, config());
                assert_eq!(met.peer.read_frame().opcode, PING);
                let wrong = Frame::new(PONG, "").bytes(!role.peer_masks());
                met.peer.send_bytes(wrong);
                assert_eq!(met.peer.read_close(), Some(1002));
                drop(met.peer);
                closed_once(&events, &met.ws);
                expected += 1;
                assert_eq!(count(logger), expected, "{role:?}: {:?}", logger.so_far());
                // It has answered one before.
                let (mut met, events) = Meeting::recorded(role, config());
                let ping = met.peer.read_frame();
                met.peer.send(&Frame::new(PONG, ping.payload));
                events.find(|event| matches!(event, Event::Pong(_)));
                assert_eq!(met.peer.read_frame().opcode, PING);
                drop(met.peer);
                closed_once(&events, &met.ws);
                assert_eq!(count(logger), expected, "{role:?}: {:?}", logger.so_far());
                // The program has ended it.
                let (mut met, events) = Meeting::recorded(role, config());
                assert_eq!(met.peer.read_frame().opcode, PING);
                met.ws.abort();
                closed_once(&events, &met.ws);
                assert_eq!(count(logger), expected, "{role:?}: {:?}", logger.so_far());
            });
        }
    });
}
