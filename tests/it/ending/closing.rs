//! The closing handshake (RFC 6455, section 7), and what can cross it.

use std::thread;

use landline::{Client, CloseCode, CloseEvent, Initiator, SendErrorKind};

use crate::support::opcode::*;
use crate::support::*;

/// What may not be sent is refused, and nothing of it is on the wire.
#[test]
fn invalid_input_stays_off_the_wire() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let kind = |outcome: Result<(), landline::SendError>| outcome.unwrap_err().kind();
        for code in [
            0,
            1,
            999,
            1004,
            1005,
            1006,
            1015,
            1016,
            2999,
            5000,
            u16::MAX,
        ] {
            assert_eq!(
                kind(met.ws.close_with(code, "")),
                SendErrorKind::Invalid,
                "{code}"
            );
        }
        assert_eq!(
            kind(met.ws.close_with(1000, &"a".repeat(124))),
            SendErrorKind::Invalid
        );
        assert_eq!(
            kind(met.ws.close_with(1000, &"ä".repeat(62))),
            SendErrorKind::Invalid
        );
        assert_eq!(kind(met.ws.ping([0; 126])), SendErrorKind::Invalid);
        assert!(met.ws.is_open());
        met.ws.ping([7; 125]).unwrap();
        met.ws.send("the next frame").unwrap();
        let reason = "a".repeat(123);
        met.ws.close_with(4999, &reason).unwrap();
        assert_eq!(met.peer.read_frame(), Frame::new(PING, [7; 125]));
        assert_eq!(met.peer.read_frame(), Frame::text("the next frame"));
        let payload = [&4999_u16.to_be_bytes(), reason.as_bytes()].concat();
        assert_eq!(met.peer.read_frame(), Frame::new(CLOSE, payload));
        assert_eq!(kind(met.ws.close_with(4000, "")), SendErrorKind::Closed);
        met.ws.close();
        met.peer.send_close(4999, "");
        met.peer.send_fin();
        met.peer.read_eof();
    }
}

/// Two threads that close at once agree with the wire: the code and the reason told at the end are
/// those of the Close that left.
#[test]
fn closing_twice_tells_the_close_that_left() {
    for _ in 0..100 {
        let (mut met, events) = Meeting::recorded(Role::Server, quiet());
        thread::scope(|scope| {
            for code in [4001, 4002] {
                let ws = &met.ws;
                scope.spawn(move || ws.close_with(code, &code.to_string()));
            }
        });
        let frame = met.peer.read_frame();
        met.peer.send(&frame);
        drop(met.peer);
        let event = closed_once(&events, &met.ws);
        assert_eq!(Some(event.code().as_u16()), frame.close_code());
        assert_eq!(event.reason().as_bytes(), &frame.payload[2..]);
    }
}

/// Our Close, answered: clean, with the code and the reason of the answer (RFC 6455, sections 7.1.5
/// and 7.1.6).
#[test]
fn our_close_is_answered() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient());
        met.ws.close_with(4001, "done").unwrap();
        let close = met.peer.read_frame();
        assert_eq!(close, Frame::new(opcode::CLOSE, b"\x0f\xa1done"));
        met.peer.send_close(4001, "likewise");
        drop(met.peer);
        let event = closed_once(&events, &met.ws);
        assert_eq!(
            (event.code(), event.reason()),
            (CloseCode::from(4001), "likewise")
        );
        assert_eq!(
            (event.initiator(), event.is_clean()),
            (Initiator::Local, true)
        );
    }
}

/// The peer's Close is answered with its code, and then nothing more is written.
#[test]
fn peers_close_is_answered() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient());
        met.peer.send_close(4002, "theirs");
        assert_eq!(met.peer.read_close(), Some(4002));
        // RFC 6455, section 7.1.1: the server closes first. A client ends its direction as well, as there
        // are servers that wait for that.
        met.peer.read_eof();
        drop(met.peer);
        let event = closed_once(&events, &met.ws);
        assert_eq!(
            (event.code(), event.reason()),
            (CloseCode::from(4002), "theirs")
        );
        assert_eq!(
            (event.initiator(), event.is_clean()),
            (Initiator::Remote, true)
        );
        assert_eq!(
            met.ws.send("late").unwrap_err().kind(),
            SendErrorKind::Closed
        );
    }
}

/// A Close without a code is answered by one without a code: 1005 is never on the wire.
#[test]
fn close_without_code_is_answered_in_kind() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient());
        met.peer.send(&Frame::new(opcode::CLOSE, []));
        assert_eq!(met.peer.read_frame(), Frame::new(opcode::CLOSE, []));
        drop(met.peer);
        let event = closed_once(&events, &met.ws);
        assert_eq!(
            (event.code(), event.is_clean()),
            (CloseCode::NO_STATUS, true)
        );
    }
}

/// Both sides close at the same time: each Close is the answer to the other, there is no third, and
/// the one received is told.
#[test]
fn closes_may_cross() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient());
        met.ws.close_with(4001, "ours").unwrap();
        met.peer.send_close(4002, "theirs");
        assert_eq!(met.peer.read_close(), Some(4001));
        met.peer.read_eof();
        drop(met.peer);
        let event = closed_once(&events, &met.ws);
        assert_eq!(
            (event.code(), event.reason()),
            (CloseCode::from(4002), "theirs")
        );
        assert_eq!(event.sent_code(), Some(CloseCode::from(4001)));
        assert_eq!(event.received_code(), Some(CloseCode::from(4002)));
        assert!(event.is_clean());
    }
}

/// Two landlines that close at once both end clean.
#[test]
fn landlines_may_close_at_once() {
    let server = TestServer::echo_with(patient());
    for _ in 0..50 {
        let ws = Client::new()
            .config(patient())
            .connect(server.url(), |_| {})
            .unwrap();
        settled("it is open", || server.connection_count() == 1);
        let other = server.connections().remove(0);
        std::thread::scope(|scope| {
            scope.spawn(|| ws.close_with(4001, "client"));
            scope.spawn(|| other.close_with(4002, "server"));
        });
        let ends = [ws, other].map(|ws| in_time("it ends", move || ws.wait_closed().unwrap()));
        assert!(ends.iter().all(CloseEvent::is_clean), "{ends:?}");
        settled("it is gone", || server.connection_count() == 0);
    }
}

/// What comes after our Close is still delivered, up to the peer's.
#[test]
fn data_after_our_close_is_delivered() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient());
        met.ws.close();
        assert_eq!(met.peer.read_close(), Some(1000));
        met.peer.send_text("one more");
        met.peer.send(&Frame::new(opcode::PING, "x"));
        met.peer.send_text("and another");
        met.peer.send_close(1000, "");
        // L5: no pong came, nor anything else.
        if role == Role::Server {
            met.peer.read_eof();
        }
        drop(met.peer);
        settled("it has ended", || met.ws.close_code().is_some());
        let events = events.so_far();
        let [one, ping, another, Event::Close(close)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(
            [one, another],
            ["one more", "and another"]
                .map(|t| Event::Text(t.into()))
                .each_ref()
        );
        assert_eq!(ping, &Event::Ping(b"x".to_vec()));
        assert!(close.is_clean());
    }
}

/// A Close may stand between two fragments: what is unfinished is not delivered.
#[test]
fn close_inside_a_fragmented_message() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient());
        met.peer.send(&Frame::text("half").unfinished());
        met.peer
            .send(&Frame::new(opcode::CONTINUATION, "of it").unfinished());
        met.peer.send_close(1000, "");
        assert_eq!(met.peer.read_close(), Some(1000));
        drop(met.peer);
        assert!(closed_once(&events, &met.ws).is_clean());
    }
}

/// Nothing after the peer's Close counts: no second Close, no data, no violation.
#[test]
fn nothing_after_the_peers_close_counts() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient());
        let mut bytes = Vec::new();
        for frame in [
            Frame::new(opcode::CLOSE, 4001_u16.to_be_bytes()),
            Frame::new(opcode::CLOSE, 4002_u16.to_be_bytes()),
            Frame::text("late"),
            Frame::new(3, "reserved"),
        ] {
            bytes.extend(met.peer.encode(&frame));
        }
        met.peer.send_bytes(bytes);
        assert_eq!(met.peer.read_close(), Some(4001));
        drop(met.peer);
        settled("it has ended", || met.ws.close_code().is_some());
        let events = events.so_far();
        let [Event::Close(close)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(
            (close.code(), close.is_clean()),
            (CloseCode::from(4001), true)
        );
    }
}

/// What was sent before a close goes before it, whole and in order, however slowly the peer reads.
#[test]
fn queued_messages_go_before_the_close() {
    for role in ROLES {
        let config = patient().max_queue_bytes(16 << 20);
        let mut met = Meeting::deaf(role, config.clone(), |_| {});
        for number in 0..100_u8 {
            met.ws.try_send(vec![number; 100_000]).unwrap();
        }
        met.ws.close_with(4003, "last").unwrap();
        assert_eq!(
            met.ws.send("late").unwrap_err().into_message(),
            Some("late".into())
        );
        for number in 0..100_u8 {
            assert_eq!(
                met.peer.read_frame(),
                Frame::new(opcode::BINARY, vec![number; 100_000])
            );
        }
        assert_eq!(met.peer.read_close(), Some(4003));
        met.peer.send_close(4003, "");
        drop(met.peer);
        let ws = met.ws.clone();
        let event = in_time("it has ended", move || ws.wait_closed().unwrap());
        assert_eq!(
            (event.code(), event.is_clean()),
            (CloseCode::from(4003), true)
        );
    }
}

/// Where the peer's Close overtakes a close of ours that still waits, its code and its reason are
/// told, whichever of ours has left.
#[test]
fn peers_close_overtakes_our_waiting_one() {
    for role in ROLES {
        let config = patient().max_queue_bytes(64 << 20);
        let mut met = Meeting::deaf(role, config.clone(), |_| {});
        met.ws.send(vec![7; 16 << 20]).unwrap();
        met.ws.send("never leaves").unwrap();
        met.ws.close_with(4001, "ours").unwrap();
        met.peer.send_close(4002, "theirs");
        let left = loop {
            let frame = met.peer.read_frame();
            if frame.opcode == opcode::CLOSE {
                break frame.close_code();
            }
        };
        drop(met.peer);
        let ws = met.ws.clone();
        let event = in_time("it has ended", move || ws.wait_closed().unwrap());
        let story = (event.code().as_u16(), event.reason());
        assert_eq!(story, (4002, "theirs"), "{event:?}");
        assert_eq!(event.received_code(), Some(CloseCode::from(4002)));
        assert_eq!(event.sent_code().map(CloseCode::as_u16), left, "{event:?}");
    }
}

/// The first close counts; another, from any thread, is Closed and changes nothing.
#[test]
fn second_close_changes_nothing() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient());
        met.ws.close_with(4001, "first").unwrap();
        let error = met.ws.close_with(4002, "second").unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::Closed);
        met.ws.close();
        assert_eq!(
            met.peer.read_frame(),
            Frame::new(opcode::CLOSE, b"\x0f\xa1first")
        );
        met.peer.send_close(4001, "answer");
        drop(met.peer);
        let event = closed_once(&events, &met.ws);
        assert_eq!(
            (event.code(), event.reason()),
            (CloseCode::from(4001), "answer")
        );
    }
}

/// A violation is told to a peer that goes on sending: no reset destroys the code.
#[test]
fn failure_code_survives_what_the_peer_still_sends() {
    for role in ROLES {
        for _ in 0..20 {
            let (mut met, events) = Meeting::recorded(role, patient());
            let mut bytes = met.peer.encode(&Frame::new(3, "reserved"));
            bytes.extend(met.peer.encode(&Frame::text("more")).repeat(10_000));
            met.peer.send_bytes(&bytes);
            assert_eq!(met.peer.read_close(), Some(1002));
            drop(met.peer);
            assert_eq!(
                closed_once(&events, &met.ws).code(),
                CloseCode::PROTOCOL_ERROR
            );
        }
    }
}
