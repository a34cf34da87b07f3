//! Ends without a closing handshake: `abort`, a lost peer, deadlines (RFC 6455, section 7.1.7).

use std::sync::mpsc;
use std::time::Instant;

use landline::{Client, CloseCode, CloseEvent, Initiator, SendErrorKind, Timeout};

use crate::support::*;

/// `abort` cuts: both ends end with 1006, and only the one that did it names itself.
#[test]
fn abort_is_1006_at_both_ends() {
    let (sender, receiver) = mpsc::channel();
    let server = TestServer::with(quiet(), move |ws| {
        let events = Recorder::new();
        events.record_all(ws);
        let _ = sender.send((ws.clone(), events));
    });
    for by_client in [true, false] {
        let events = Recorder::new();
        let client = Client::new().config(quiet());
        let client = client
            .connect(server.url(), |ws| events.record_all(ws))
            .unwrap();
        let (served, served_events) = next(&receiver);
        if by_client {
            client.abort();
        } else {
            served.abort();
        }
        let here: CloseEvent = closed_once(&events, &client);
        let there = closed_once(&served_events, &served);
        for event in [&here, &there] {
            assert_eq!(event.code(), CloseCode::ABNORMAL);
            assert!(!event.is_clean() && event.sent_code().is_none());
        }
        let local = landline::Initiator::Local;
        assert_eq!(
            (here.initiator() == local, there.initiator() == local),
            (by_client, !by_client)
        );
        assert!(events.so_far().is_empty() && served_events.so_far().is_empty());
        assert_eq!(
            client.send("late").unwrap_err().kind(),
            SendErrorKind::Closed
        );
    }
}

#[track_caller]
fn assert_cut(event: &CloseEvent, timeout: Option<Timeout>, initiator: Initiator) {
    let expected = (CloseCode::ABNORMAL, timeout, initiator, false);
    assert_eq!(
        (
            event.code(),
            event.timeout(),
            event.initiator(),
            event.is_clean()
        ),
        expected,
        "{event:?}"
    );
}

/// A Close that is never answered is a Close timeout.
#[test]
fn unanswered_close_is_a_timeout() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient().close_timeout(ms(200)));
        met.ws.close();
        assert_eq!(met.peer.read_close(), Some(1000));
        let event = closed_once(&events, &met.ws);
        assert_cut(&event, Some(Timeout::Close), Initiator::Local);
        assert_eq!(event.sent_code(), Some(CloseCode::NORMAL));
        met.peer.read_end();
    }
}

/// The same when the peer keeps sending instead: no flood puts the end off.
#[test]
fn flood_does_not_put_the_close_timeout_off() {
    for role in ROLES {
        let mut met = Meeting::of(role, patient().close_timeout(ms(200)), |ws| {
            ws.on_message(|_, _| ());
        });
        met.ws.close();
        assert_eq!(met.peer.read_close(), Some(1000));
        let flood = met.peer.encode(&Frame::text("more")).repeat(10_000);
        let deadline = Instant::now() + PATIENCE;
        while met.peer.try_send_bytes(&flood).is_ok() {
            assert!(
                Instant::now() < deadline,
                "{role:?}: the peer that floods is never cut"
            );
        }
        let ws = met.ws.clone();
        let event = in_time("it has ended", move || ws.wait_closed().unwrap());
        assert_cut(&event, Some(Timeout::Close), Initiator::Local);
    }
}

/// The polite end of a reading end, unanswered, is a Close timeout too.
#[test]
fn unanswered_polite_close_is_a_close_timeout() {
    let raw = RawServer::new();
    let client = Client::new().config(patient().close_timeout(ms(200)));
    let (mut peer, _ws, messages) = raw.meet_open(&client);
    let event = in_time("it has ended", move || messages.close());
    assert_eq!(peer.read_close(), Some(1000));
    assert_cut(&event, Some(Timeout::Close), Initiator::Local);
}

/// A FIN or an RST without a Close is a loss, and no error.
#[test]
fn loss_without_close_is_1006() {
    for role in ROLES {
        for reset in [false, true] {
            let (met, events) = Meeting::recorded(role, patient());
            if reset {
                met.peer.reset();
            } else {
                met.peer.send_fin();
            }
            settled("it has ended", || met.ws.close_code().is_some());
            let events = events.so_far();
            let [Event::Close(close)] = &events[..] else {
                panic!("{events:?}")
            };
            assert_cut(close, None, Initiator::Remote);
        }
    }
}

/// `abort` cuts at once: no Close, `on_close` 1006 with us as the initiator.
#[test]
fn abort_cuts_without_a_close() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, patient());
        met.ws.abort();
        assert_cut(&closed_once(&events, &met.ws), None, Initiator::Local);
        assert!(met.peer.read_frame_or_end().is_err());
        met.ws.abort();
        met.ws.close();
    }
}
