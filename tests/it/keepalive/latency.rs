//! The latency of a connection, as pongs tell it.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;

/// The way to the peer and back is known once a keepalive ping was answered, and by no other pong;
/// it took at least as long as the peer has held the answer back.
#[test]
fn latency_is_told_by_answered_keepalives() {
    for role in ROLES {
        let config = patient().ping_interval(ms(200)).ping_timeout(4 * PATIENCE);
        let mut met = Meeting::of(role, config, |ws| ws.on_text(|ws, text| ws.send(text)));
        assert_eq!(met.ws.latency(), None);
        assert_eq!(met.peer.read_frame().opcode, opcode::PING);
        met.peer.send(&Frame::new(opcode::PONG, "not asked for"));
        until_read(&mut met.peer);
        assert_eq!(met.ws.latency(), None, "{role:?}");
        let mut held = Duration::ZERO;
        settled("a ping was answered before the next", || {
            let ping = met.peer.read_frame();
            assert_eq!((ping.opcode, ping.payload.len()), (opcode::PING, 16));
            held = answer_late(&mut met.peer, &ping);
            until_read(&mut met.peer);
            met.ws.latency().is_some()
        });
        assert!(met.ws.latency() >= Some(held), "{role:?}: held {held:?}");
    }
}

/// So it is by a `confirm`.
#[test]
fn latency_is_told_by_confirms() {
    for role in ROLES {
        let mut met = Meeting::of(role, patient(), |_| {});
        let ws = met.ws.clone();
        let confirming = thread::spawn(move || ws.confirm(4 * PATIENCE).map(|()| ws.latency()));
        let ping = met.peer.read_frame();
        assert_eq!(met.ws.latency(), None, "{role:?}");
        let held = answer_late(&mut met.peer, &ping);
        let latency = in_time("it is confirmed", move || confirming.join().unwrap());
        assert!(
            latency.unwrap() >= Some(held),
            "{role:?}: {latency:?} {held:?}"
        );
    }
}

/// Answers a ping after a while, and returns how long that was.
#[track_caller]
fn answer_late(peer: &mut RawPeer, ping: &Frame) -> Duration {
    let came = Instant::now();
    settled("time has passed", || came.elapsed() >= ms(30));
    let held = came.elapsed();
    peer.send(&Frame::new(opcode::PONG, &ping.payload));
    held
}

/// Has an echo come back: all before it has been read.
#[track_caller]
fn until_read(peer: &mut RawPeer) {
    peer.send_text("read?");
    while peer.read_frame() != Frame::text("read?") {}
}
