//! Kept clients: the handle that outlives its connections.

use std::sync::mpsc;
use std::thread;

use landline::{Client, Error, Kept, SendErrorKind, SessionState, WaitError, WebSocket};

use super::{brief, endless};
use crate::support::*;

/// Keeps a client that subscribes, and returns the first connection's other end.
#[track_caller]
fn keep(raw: &RawServer) -> (Kept, RawPeer) {
    let sessions = Client::new().sessions(raw.url()).backoff(brief());
    let kept = sessions.keep(|ws| ws.send("subscribe")).unwrap();
    let peer = subscribed(raw);
    let _ = kept.wait_connected(PATIENCE).unwrap();
    (kept, peer)
}

/// Accepts the next connection, and its subscription.
#[track_caller]
fn subscribed(raw: &RawServer) -> RawPeer {
    let mut peer = raw.upgrade_with(&[]);
    assert_eq!(peer.read_frame(), Frame::text("subscribe"));
    peer
}

/// The closure runs for each connection, before anything is read and before anybody else sends, and
/// messages go to the connection of now.
#[test]
fn connections_are_set_up_one_after_the_other() {
    let raw = RawServer::new();
    let (heard, texts) = mpsc::channel();
    let (entered, is_inside) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let sessions = Client::new().sessions(raw.url()).backoff(brief());
    let kept = sessions
        .keep(move |ws| {
            let heard = heard.clone();
            ws.on_text(move |_, text| heard.send(text));
            entered.send(()).unwrap();
            next(&may_leave);
            ws.send("subscribe")
        })
        .unwrap();
    for round in 0..3 {
        let mut peer = raw.upgrade_with(&Frame::text("early").bytes(false));
        next(&is_inside);
        let refused = kept.send("too early").unwrap_err();
        assert_eq!(refused.kind(), SendErrorKind::NotConnected);
        assert_eq!(refused.into_message().unwrap().as_text(), Some("too early"));
        assert!(texts.try_recv().is_err());
        leave.send(()).unwrap();
        let ws = kept.wait_connected(PATIENCE).unwrap();
        kept.send(format!("round {round}")).unwrap();
        assert_eq!(peer.read_frame(), Frame::text("subscribe"));
        assert_eq!(peer.read_frame(), Frame::text(&format!("round {round}")));
        assert_eq!(next(&texts), "early");
        peer.reset();
        settled("it has ended", || ws.close_event().is_some());
    }
    drop(leave);
}

/// A send that waits goes to the next connection; one that does not fails at once and hands back.
#[test]
fn sends_wait_for_a_connection_if_the_program_says_so() {
    let raw = RawServer::new();
    let (kept, peer) = keep(&raw);
    peer.reset();
    settled("it is not connected", || {
        kept.send("lost")
            .is_err_and(|error| error.kind() == SendErrorKind::NotConnected)
    });
    let late = kept.send_timeout("late", ms(1)).unwrap_err();
    assert_eq!(late.kind(), SendErrorKind::NotConnected);
    assert_eq!(late.into_message().unwrap().as_text(), Some("late"));
    assert_eq!(kept.wait_connected(ms(1)).unwrap_err(), WaitError::Timeout);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| kept.send_timeout("in time", PATIENCE));
        let mut peer = subscribed(&raw);
        assert_eq!(peer.read_frame(), Frame::text("in time"));
        waiting.join().unwrap().unwrap();
    });
}

/// Where it stands is told in order, by the callback, and the newest by the channel; a wait ends with
/// the reason why it has stopped.
#[test]
fn states_are_told() {
    let raw = RawServer::new();
    let (told, states) = mpsc::channel();
    let sessions = Client::new().sessions(raw.url()).backoff(brief());
    let sessions = sessions.end_at([4004]);
    let sessions = sessions.on_state(move |state| told.send(name(&state)).unwrap());
    let kept = sessions.keep(|_| ()).unwrap();
    let channel = kept.states();
    let mut peer = raw.upgrade_with(&[]);
    peer.send_close(1012, "");
    peer.read_end();
    let mut peer = raw.upgrade_with(&[]);
    peer.send_close(4004, "banned");
    peer.read_end();
    let why = kept.wait().unwrap();
    assert!(matches!(&*why, Error::Closed(event) if event.reason() == "banned"));
    let rounds = [
        "connecting",
        "connected",
        "waiting",
        "connecting",
        "connected",
    ];
    let expected = rounds.into_iter().chain(["stopped"]);
    assert_eq!(
        states.iter().collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
    let newest: Vec<_> = channel.iter().map(|state| name(&state)).collect();
    assert_eq!(newest, ["stopped"]);
    assert_eq!(name(&kept.state()), "stopped");
    assert_eq!(kept.send("x").unwrap_err().kind(), SendErrorKind::Closed);
    let late = kept.send_timeout("x", PATIENCE).unwrap_err();
    assert_eq!(late.kind(), SendErrorKind::Closed);
    assert_eq!(
        kept.wait_connected(PATIENCE).unwrap_err(),
        WaitError::Closed
    );
}

fn name(state: &SessionState) -> &'static str {
    match state {
        SessionState::Connecting => "connecting",
        SessionState::Connected(_) => "connected",
        SessionState::Waiting { .. } => "waiting",
        SessionState::Stopped(_) => "stopped",
        _ => "unknown",
    }
}

/// A closure that fails or panics closes its connection with 1011, and so does a callback; another
/// follows.
#[test]
fn failures_close_one_connection() {
    let raw = RawServer::new();
    let mut round = 0;
    let sessions = Client::new().sessions(raw.url()).backoff(brief());
    let _kept = sessions
        .keep(move |ws| {
            round += 1;
            ws.on_text(|_, text| -> Result<(), String> {
                panic!("{text}");
            });
            match round {
                1 => Err("not now".to_owned()),
                2 => panic!("never"),
                _ => Ok(()),
            }
        })
        .unwrap();
    for _ in 0..4 {
        let mut peer = raw.upgrade_with(&Frame::text("boo").bytes(false));
        assert_eq!(peer.read_close(), Some(1011));
        peer.send_close(1011, "");
    }
}

/// It stops at once in whatever it is doing, by the drop, by `stop` and by the client's canceller:
/// connected, in the handshake, in a back-off, and in its own callback.
#[test]
fn it_stops_wherever_it_is() {
    let ends: [(&str, fn(Kept, &Client)); 3] = [
        ("drop", |kept, _| drop(kept)),
        ("stop", |kept, _| {
            kept.stop();
            assert!(matches!(*kept.wait().unwrap(), Error::Cancelled));
        }),
        ("cancel", |kept, client| {
            client.canceller().cancel();
            assert!(matches!(*kept.wait().unwrap(), Error::Cancelled));
        }),
    ];
    for (how, end) in ends {
        for phase in ["connected", "shaking hands", "waiting"] {
            println!("{how} while {phase}");
            let raw = RawServer::new();
            let client = Client::new();
            let sessions = client.sessions(raw.url()).backoff(endless());
            let kept = sessions.keep(|_| ()).unwrap();
            let mut peer = raw.accept();
            if phase == "connected" {
                let request = peer.read_head();
                peer.send_bytes(with_accept_key(SWITCHING, &request));
                let _ = kept.wait_connected(PATIENCE).unwrap();
            } else if phase == "waiting" {
                peer.reset();
                settled("it waits", || name(&kept.state()) == "waiting");
                peer = RawPeer::over(std::net::TcpStream::connect(raw.local_addr()).unwrap());
            }
            thread::scope(|scope| {
                scope.spawn(|| end(kept, &client));
                if phase == "connected" {
                    assert_eq!(peer.read_close(), Some(1000));
                    peer.send_close(1000, "");
                }
            });
        }
    }
}

/// In its own callbacks a wait is an error at once, and the drop of the last handle does not wait.
#[test]
fn callbacks_wait_for_nothing() {
    let raw = RawServer::new();
    let (give, given) = mpsc::channel::<Kept>();
    let (tell, told) = mpsc::channel();
    let sessions = Client::new().sessions(raw.url()).backoff(brief());
    let kept = sessions
        .keep(move |_: &WebSocket| {
            let kept = next(&given);
            let waits = [
                kept.wait().map(drop),
                kept.wait_connected(PATIENCE).map(drop),
            ];
            let sent = kept
                .send_timeout("x", PATIENCE)
                .map_err(|error| error.kind());
            drop(kept);
            tell.send((waits, sent)).unwrap();
        })
        .unwrap();
    give.send(kept).unwrap();
    let mut peer = raw.upgrade_with(&[]);
    let (waits, sent) = next(&told);
    assert_eq!(waits, [Err(WaitError::WouldDeadlock); 2]);
    assert_eq!(sent, Err(SendErrorKind::NotConnected));
    assert_eq!(peer.read_close(), Some(1000));
}

/// The handles go to any thread.
#[test]
fn handles_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    fn moves<T: Send + 'static>() {}
    crosses::<Kept>();
    crosses::<SessionState>();
    crosses::<landline::Canceller>();
    crosses::<landline::Backoff>();
    moves::<landline::Sessions>();
}

/// What can never work is an error of `keep` itself.
#[test]
fn unusable_settings_are_errors_at_once() {
    for url in ["nonsense", "ftp://127.0.0.1", "ws://"] {
        let kept = Client::new().keep(url, |_| ());
        assert!(matches!(kept, Err(Error::Invalid(_))), "{url}: {kept:?}");
    }
}
