//! A peer that never reads costs its own connection and nothing else.

use std::thread;
use std::time::Instant;

use landline::{CloseCode, CloseEvent, Config, Message, SendErrorKind, Timeout, WebSocket};

use crate::support::*;

const CHUNK: usize = 16 << 10;
const QUEUE: usize = 4 * CHUNK;

/// A write deadline that is never the reason here.
fn patient() -> Config {
    Config::new()
        .max_queue_bytes(QUEUE)
        .write_timeout(2 * PATIENCE)
        .close_timeout(2 * PATIENCE)
}

/// A write deadline that passes soon.
fn strict() -> Config {
    Config::new()
        .max_queue_bytes(QUEUE)
        .write_timeout(ms(300))
        .close_timeout(2 * PATIENCE)
}

/// Sends until the queue is full, and returns what was refused.
#[track_caller]
fn fill(ws: &WebSocket) -> Message {
    for number in 0_u32..100_000 {
        let mut chunk = vec![7; CHUNK];
        chunk[..4].copy_from_slice(&number.to_be_bytes());
        let chunk = Message::from(chunk);
        if let Err(error) = ws.try_send(chunk.clone()) {
            assert_eq!(error.kind(), SendErrorKind::Full);
            assert_eq!(error.into_message(), Some(chunk.clone()));
            return chunk;
        }
    }
    panic!("the queue was never full");
}

#[track_caller]
fn assert_cut_by(event: &CloseEvent, timeout: Timeout) {
    assert_eq!(event.timeout(), Some(timeout), "{event:?}");
    assert_eq!(event.code(), CloseCode::ABNORMAL, "{event:?}");
    assert!(!event.is_clean(), "{event:?}");
}

/// `try_send` says Full, hands the message back, and goes on when the peer has read.
#[test]
fn full_queue_is_said_and_ends() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, patient(), |_| {});
        let refused = fill(&met.ws);
        let last = u32::from_be_bytes(*refused.as_bytes().first_chunk().unwrap());
        for number in 0..last {
            let frame = met.peer.read_frame();
            assert_eq!(frame.payload.len(), CHUNK);
            assert_eq!(frame.payload[..4], number.to_be_bytes(), "{role:?}");
        }
        met.ws.try_send(refused.clone()).unwrap();
        assert_eq!(met.peer.read_frame().payload, refused.as_bytes());
    }
}

/// `send` waits for room, then fails with its message; the peer is cut, told apart as Write.
#[test]
fn waiting_send_ends_with_its_message_and_the_connection() {
    for role in ROLES {
        let closes = Recorder::new();
        let close = closes.sender();
        let met = Meeting::deaf(role, strict(), move |ws| {
            let close = close.clone();
            ws.on_close(move |_, event| drop(close.send(Event::Close(event))));
        });
        let ws = met.ws.clone();
        let error = in_time("send fails", move || {
            loop {
                if let Err(error) = ws.send(vec![7; CHUNK]) {
                    return error;
                }
            }
        });
        let kinds = [SendErrorKind::Timeout, SendErrorKind::Closed];
        assert!(kinds.contains(&error.kind()), "{error:?}");
        assert_eq!(error.into_message(), Some(vec![7; CHUNK].into()));
        let event = closed_once(&closes, &met.ws);
        assert_cut_by(&event, Timeout::Write);
        assert_eq!(
            met.ws.try_send("late").unwrap_err().kind(),
            SendErrorKind::Closed
        );
    }
}

/// Nobody has to send for it: what is queued and not taken is enough to be cut.
#[test]
fn queued_messages_alone_cut_a_peer_that_does_not_read() {
    for role in ROLES {
        let met = Meeting::deaf(role, strict(), |_| {});
        while met.ws.try_send(vec![7; CHUNK]).is_ok() {}
        settled("it is cut", || met.ws.close_code().is_some());
        assert_cut_by(&met.ws.wait_closed().unwrap(), Timeout::Write);
    }
}

/// Keeps sending on a thread of its own, until that fails.
fn keep_sending(ws: &WebSocket) -> thread::JoinHandle<SendErrorKind> {
    let ws = ws.clone();
    thread::spawn(move || {
        loop {
            if let Err(error) = ws.send(vec![7; CHUNK]) {
                return error.kind();
            }
        }
    })
}

/// While a `send` waits, other connections, pings, a close and a stop do not.
#[test]
fn nothing_waits_behind_a_waiting_send() {
    let set_up = |ws: &WebSocket| ws.on_message(|ws, message| ws.send(message));
    let met = Meeting::deaf(Role::Server, patient(), set_up);
    let probe = Probe::of(met.server.as_deref().unwrap());
    fill(&met.ws);
    let sending = keep_sending(&met.ws);
    probe.keeps_up();
    let ws = met.ws.clone();
    in_time("ping and close return", move || {
        ws.ping("still there?").unwrap();
        ws.close();
    });
    probe.keeps_up();
    let server = met.server.as_ref().unwrap().handle();
    server.stop_within(ms(200));
    let report = in_time("the server has stopped", move || server.wait().unwrap());
    assert!(report.stuck().is_empty(), "{report:?}");
    assert_cut_by(&met.ws.wait_closed().unwrap(), Timeout::Stop);
    settled("the send has failed", || sending.is_finished());
    assert_eq!(sending.join().unwrap(), SendErrorKind::Closed);
}

/// A close ends the wait of every `send`, also of the first in line.
#[test]
fn close_ends_waiting_sends() {
    for role in ROLES {
        let met = Meeting::deaf(role, patient(), |_| {});
        fill(&met.ws);
        let sending = [(); 3].map(|()| keep_sending(&met.ws));
        let ws = met.ws.clone();
        settled("the senders wait", || ws.try_send([7]).is_err());
        ws.close();
        for sending in sending {
            settled("the close ends the wait", || sending.is_finished());
            assert_eq!(sending.join().unwrap(), SendErrorKind::Closed, "{role:?}");
        }
        ws.abort();
    }
}

/// A waiting `send` in a callback ends when its connection is cut.
#[test]
fn waiting_send_in_a_callback_ends() {
    for role in ROLES {
        let errors = Recorder::new();
        let failed = errors.sender();
        let mut met = Meeting::deaf(role, strict(), move |ws| {
            let failed = failed.clone();
            ws.on_text(move |ws, _| {
                loop {
                    if let Err(error) = ws.send(vec![7; CHUNK]) {
                        let _ = failed.send(error.kind());
                        return;
                    }
                }
            });
        });
        met.peer.send_text("go");
        let kind = errors.next();
        assert!(
            [SendErrorKind::Timeout, SendErrorKind::Closed].contains(&kind),
            "{kind:?}"
        );
        settled("it is cut", || met.ws.close_code().is_some());
        assert_cut_by(&met.ws.wait_closed().unwrap(), Timeout::Write);
    }
}

/// The connection's own pongs may be what cannot be written: they are bounded, and it is cut.
#[test]
fn unwritable_pongs_cut_the_connection() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, strict(), |_| {});
        let ping = met.peer.encode(&Frame::new(opcode::PING, [7; 125]));
        let pings = ping.repeat(100);
        let deadline = Instant::now() + PATIENCE;
        while met.ws.close_code().is_none() && met.peer.try_send_bytes(&pings).is_ok() {
            assert!(Instant::now() < deadline, "{role:?} was never cut");
        }
        settled("it is cut", || met.ws.close_code().is_some());
        assert_cut_by(&met.ws.wait_closed().unwrap(), Timeout::Write);
    }
}

/// Our answer to the peer's Close may be what cannot be written: then it is no clean end.
#[test]
fn unwritable_close_reply_cuts_the_connection() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, strict(), |_| {});
        fill(&met.ws);
        met.peer.send_close(1000, "enough");
        settled("it is cut", || met.ws.close_code().is_some());
        let event = met.ws.wait_closed().unwrap();
        assert_eq!(event.timeout(), Some(Timeout::Write), "{event:?}");
        // A deadline is no failure: the Close that came is told.
        let told = (event.code(), event.reason(), event.is_clean());
        assert_eq!(told, (CloseCode::NORMAL, "enough", false), "{event:?}");
        assert_eq!(event.received_code(), Some(CloseCode::NORMAL));
        assert_eq!(event.sent_code(), None);
    }
}

/// A reply to the peer's Close overtakes what is queued, and nothing follows it.
#[test]
fn close_reply_overtakes_the_queue() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, patient(), |_| {});
        let refused = fill(&met.ws);
        let sent = u32::from_be_bytes(*refused.as_bytes().first_chunk().unwrap());
        met.peer.send_close(4001, "");
        settled("the Close has come", || !met.ws.is_open());
        let mut frames = 0;
        let code = loop {
            let frame = met.peer.read_frame();
            match frame.opcode {
                opcode::CLOSE => break frame.close_code(),
                _ => frames += 1,
            }
        };
        assert_eq!(code, Some(4001));
        assert!(
            frames < sent,
            "{frames} of {sent} messages came before the Close"
        );
        drop(met.peer);
        assert_eq!(met.ws.wait_closed().unwrap().code(), 4001);
    }
}

/// What a peer that never reads can cost is bounded, however much is tried.
#[test]
fn memory_stays_within_the_queue() {
    alone(|| {
        for role in ROLES {
            let met = Meeting::deaf(role, patient(), |_| {});
            fill(&met.ws);
            let before = resident_kib();
            for _ in 0..2_000 {
                let _ = met.ws.try_send(vec![7; 4 * CHUNK]);
                let _ = met.ws.ping([7; 125]);
            }
            let grown = resident_kib().saturating_sub(before);
            assert!(
                grown < 4 << 10,
                "{role:?}: {grown} KiB more after 128 MiB of attempts"
            );
        }
    });
}
