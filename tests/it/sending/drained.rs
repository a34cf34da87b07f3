//! What still waits to be sent, and the wait until it has left.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use landline::{Config, SendErrorKind, WaitError, WebSocket};

use super::{BACKLOG, CHUNK, stuff};
use crate::support::*;

/// Payload that waits shows in `buffered_amount`, and nothing of headers, pings or what has left.
#[test]
fn buffered_amount_is_the_payload_that_waits() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, deep(), |_| {});
        assert_eq!(met.ws.buffered_amount(), 0);
        let sent = stuff(&met.ws);
        at_rest("nothing moves any more", || met.ws.buffered_amount());
        let before = met.ws.buffered_amount();
        assert_eq!(before % CHUNK, 0);
        met.ws.send("seven b").unwrap();
        met.ws.send("").unwrap();
        met.ws.ping("not counted").unwrap();
        assert_eq!(met.ws.buffered_amount(), before + 7, "{role:?}");
        let mut messages = 0;
        while messages < sent + 2 {
            messages += usize::from(met.peer.read_frame().opcode != opcode::PING);
        }
        settled("nothing is left", || met.ws.buffered_amount() == 0);
    }
}

/// A smaller `send_buffer` lets the kernel swallow clearly less for a peer that does not read.
#[test]
fn send_buffer_bounds_what_the_kernel_swallows() {
    for role in ROLES {
        let swallowed = |config: Config| {
            let met = Meeting::deaf(role, config.max_queue_bytes(BACKLOG), |_| {});
            // Nothing comes back for want of room until the kernel takes no more.
            for _ in 0..100_000 {
                if let Err(error) = met.ws.try_send([7; CHUNK]) {
                    assert_eq!(error.kind(), SendErrorKind::Full);
                    return met.ws.counters().bytes_out;
                }
            }
            panic!("the queue was never full");
        };
        let (bounded, unbounded) = (
            swallowed(patient().send_buffer(8 << 10)),
            swallowed(patient()),
        );
        println!("{role:?}: {bounded} bytes with a small buffer, {unbounded} without");
        assert!(
            bounded * 4 < unbounded,
            "{role:?}: {bounded} and {unbounded}"
        );
    }
}

/// Where nothing waits `wait_drained` returns at once; behind a peer that does not read it times
/// out; when that one reads, it is told.
#[test]
fn wait_drained_waits_until_nothing_is_queued() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, deep(), |_| {});
        assert_eq!(met.ws.wait_drained(Duration::ZERO), Ok(()));
        let sent = stuff(&met.ws);
        assert_eq!(met.ws.wait_drained(Duration::ZERO), Err(WaitError::Timeout));
        assert_eq!(met.ws.wait_drained(ms(20)), Err(WaitError::Timeout));
        let drained = [(); 3].map(|()| drain(&met.ws));
        (0..sent).for_each(|_| drop(met.peer.read_frame()));
        for drained in drained {
            assert_eq!(next(&drained), Ok(()), "{role:?}");
        }
        assert_eq!(met.ws.counters().queued_messages, 0);
    }
}

/// Waits until all is drained on a thread of its own, with a timeout that is never what ends it.
fn drain(ws: &WebSocket) -> mpsc::Receiver<Result<(), WaitError>> {
    let (sender, drained) = mpsc::channel();
    let ws = ws.clone();
    thread::spawn(move || sender.send(ws.wait_drained(4 * PATIENCE)));
    drained
}

/// What is queued and discarded ends `wait_drained`, whether the connection is cut or a Close
/// overtakes it; where nothing was lost, the end is none of its business.
#[test]
fn wait_drained_ends_with_what_it_waits_for() {
    let ends: [&dyn Fn(&mut Meeting); 3] = [
        &|met| met.ws.abort(),
        &|met| met.peer.send_close(1000, ""),
        &|met| met.peer.send(&Frame::new(opcode::TEXT, [0xff])),
    ];
    for role in ROLES {
        for end in ends {
            let mut met = Meeting::deaf(role, deep(), |_| {});
            stuff(&met.ws);
            let drained = drain(&met.ws);
            end(&mut met);
            settled("it is closing", || !met.ws.is_open());
            // What was on its way before a Close is yet to leave.
            while let Ok(frame) = met.peer.read_frame_or_end() {
                if frame.opcode == opcode::CLOSE {
                    break;
                }
            }
            assert_eq!(next(&drained), Err(WaitError::Closed), "{role:?}");
            assert_eq!(met.ws.wait_drained(4 * PATIENCE), Err(WaitError::Closed));
        }
        let mut met = Meeting::of(role, deep(), |_| {});
        met.ws.send("taken").unwrap();
        met.ws.abort();
        met.peer.read_end();
        settled("it has ended", || met.ws.close_code().is_some());
        assert_eq!(met.ws.wait_drained(4 * PATIENCE), Ok(()), "{role:?}");
    }
}

/// Behind a streamed message that this very thread has yet to finish it could never return.
#[test]
fn wait_drained_in_a_streamed_message_would_deadlock() {
    for role in ROLES {
        let met = Meeting::of(role, deep(), |_| {});
        let writer = met.ws.text_writer().unwrap();
        assert_eq!(
            met.ws.wait_drained(4 * PATIENCE),
            Err(WaitError::WouldDeadlock)
        );
        let elsewhere = drain(&met.ws);
        writer.finish().unwrap();
        assert_eq!(next(&elsewhere), Ok(()), "{role:?}");
        assert_eq!(met.ws.wait_drained(4 * PATIENCE), Ok(()));
    }
}

/// It can be waited for in every callback of its own connection: somebody else writes on.
#[test]
fn wait_drained_works_in_callbacks() {
    for role in ROLES {
        let told = Recorder::new();
        let sender = told.sender();
        let mut met = Meeting::deaf(role, deep(), move |ws| {
            let tell = |what: &'static str| {
                let told = sender.clone();
                move |ws: &WebSocket| {
                    let is_sent = ws.send(vec![7; BACKLOG]).is_ok();
                    let drained = ws.wait_drained(4 * PATIENCE);
                    told.send((what, is_sent, drained)).unwrap();
                }
            };
            let (text, ping, pong) = (tell("text"), tell("ping"), tell("pong"));
            let (error, close) = (tell("error"), tell("close"));
            ws.on_text(move |ws, _| text(ws));
            ws.on_ping(move |ws, _| ping(ws));
            ws.on_pong(move |ws, _| pong(ws));
            ws.on_error(move |ws, _| error(ws));
            ws.on_close(move |ws, _| close(ws));
        });
        let open = [
            ("text", opcode::TEXT),
            ("ping", opcode::PING),
            ("pong", opcode::PONG),
        ];
        for (what, opcode) in open {
            met.peer.send(&Frame::new(opcode, "x"));
            while met.peer.read_frame().opcode != opcode::BINARY {}
            assert_eq!(told.next(), (what, true, Ok(())), "{role:?}");
        }
        met.peer.send(&Frame::new(opcode::TEXT, [0xff]));
        assert_eq!(met.peer.read_close(), Some(1007));
        drop(met.peer);
        for what in ["error", "close"] {
            assert_eq!(told.next(), (what, false, Ok(())), "{role:?}");
        }
    }
}
