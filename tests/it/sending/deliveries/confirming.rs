//! `confirm`: the peer has taken what was sent before, when its pong says so.

use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use landline::{Client, DeliveryError, Server, WaitError, WebSocket};

use super::{number, stuff};
use crate::support::opcode::{BINARY, PING, PONG};
use crate::support::*;

/// No wait of this length ends in time.
const LONG: Duration = PATIENCE.saturating_mul(4);

type Confirmed = Result<(), WaitError>;
/// Makes the payload of a pong from those of an older ping and of its own.
type Answer<'a> = &'a dyn Fn(&[u8], &[u8]) -> Vec<u8>;
type End<'a> = &'a dyn Fn(&mut Meeting);

/// Confirms on a thread of its own, with a timeout that is never what ends it.
fn confirm(ws: &WebSocket) -> Receiver<Confirmed> {
    let (sender, confirmed) = mpsc::channel();
    let ws = ws.clone();
    thread::spawn(move || sender.send(ws.confirm(LONG)));
    confirmed
}

/// Reads the ping of a `confirm`.
#[track_caller]
fn read_ping(peer: &mut RawPeer) -> Vec<u8> {
    let ping = peer.read_frame();
    assert_eq!((ping.opcode, ping.payload.len()), (PING, 16), "{ping:?}");
    ping.payload
}

/// What was sent before is confirmed by the pong to a ping of its own behind it, and by no other.
#[test]
fn pong_to_its_own_ping_confirms() {
    let changed = |ping: &[u8], by: u64| {
        let number = u64::from_str_radix(std::str::from_utf8(ping).unwrap(), 16).unwrap();
        format!("{:016x}", number.wrapping_add(by)).into_bytes()
    };
    let answers: [(&str, Confirmed, Answer<'_>); 9] = [
        ("its own", Ok(()), &|_, own| own.to_vec()),
        ("an empty one", Err(WaitError::Closed), &|_, _| vec![]),
        ("zeros", Err(WaitError::Closed), &|_, _| vec![0; 8]),
        ("its beginning", Err(WaitError::Closed), &|_, own| {
            own[..7].to_vec()
        }),
        ("more than it", Err(WaitError::Closed), &|_, own| {
            [own, b"!"].concat()
        }),
        (
            "that to an older ping",
            Err(WaitError::Closed),
            &|older, _| older.to_vec(),
        ),
        (
            "that to the next ping",
            Err(WaitError::Closed),
            &|_, own| changed(own, 1),
        ),
        ("one before all", Err(WaitError::Closed), &|older, _| {
            changed(older, u64::MAX)
        }),
        ("one at random", Err(WaitError::Closed), &|_, own| {
            changed(own, rand::random::<u64>() | 2)
        }),
    ];
    for role in ROLES {
        for (what, expected, answer) in answers {
            let mut met = Meeting::of(role, deep(), |_| {});
            met.ws.send("before").unwrap();
            assert_eq!(met.ws.confirm(ms(20)), Err(WaitError::Timeout));
            let confirmed = confirm(&met.ws);
            assert_eq!(met.peer.read_frame(), Frame::text("before"));
            let older = read_ping(&mut met.peer);
            let own = read_ping(&mut met.peer);
            met.peer.send(&Frame::new(PONG, answer(&older, &own)));
            // Who took the pong for an answer has done so before this ends it.
            met.peer.send_close(1000, "");
            met.peer.send_fin();
            assert_eq!(next(&confirmed), expected, "{role:?}: {what}");
        }
    }
}

/// RFC 6455, section 5.5.3: who answers only the latest ping has taken those before it too.
#[test]
fn later_pong_confirms_earlier_pings() {
    for role in ROLES {
        let mut met = Meeting::of(role, deep(), |_| {});
        let confirmed = [(); 3].map(|()| confirm(&met.ws));
        let pings = confirmed.each_ref().map(|_| read_ping(&mut met.peer));
        met.peer.send(&Frame::new(PONG, &pings[2]));
        for confirmed in confirmed {
            assert_eq!(next(&confirmed), Ok(()), "{role:?}");
        }
    }
}

/// The ping of `confirm` has its place behind all that was sent before, and a full queue makes it
/// wait for it; a ping of the program's overtakes.
#[test]
fn ping_of_a_confirm_stands_behind_what_was_sent() {
    for role in ROLES {
        for queue in [usize::MAX, 128] {
            let config = deep().max_queue_messages(queue.min(1 << 20));
            let mut met = Meeting::deaf(role, config, |_| {});
            let mut sent = 0;
            while (queue < usize::MAX || sent < 128) && met.ws.try_send(super::chunk(sent)).is_ok()
            {
                sent += 1;
            }
            assert_eq!(met.ws.confirm(ms(20)), Err(WaitError::Timeout), "{role:?}");
            let confirmed = confirm(&met.ws);
            met.ws.ping("urgent").unwrap();
            let mut arrived = 0;
            let mut overtaken = None;
            while arrived < sent {
                let frame = met.peer.read_frame();
                match frame.opcode {
                    BINARY => {
                        assert_eq!(number(&frame), arrived);
                        arrived += 1;
                    }
                    _ => {
                        assert_eq!(frame, Frame::new(PING, "urgent"), "{role:?}");
                        overtaken = Some(sent - arrived);
                    }
                }
            }
            assert!(
                overtaken.is_some_and(|count| count > 0),
                "{role:?}: {overtaken:?}"
            );
            let mut ping = read_ping(&mut met.peer);
            if queue == usize::MAX {
                // That of the one that was given up had its place already.
                ping = read_ping(&mut met.peer);
            }
            met.peer.send(&Frame::new(PONG, ping));
            assert_eq!(next(&confirmed), Ok(()));
        }
    }
}

/// A connection that ends ends the wait, however long that would be, in the queue and behind it.
#[test]
fn end_of_the_connection_ends_a_confirm() {
    let ends: [(&str, End<'_>); 4] = [
        ("abort", &|met| met.ws.abort()),
        ("the peer breaks off", &|met| met.peer.send_fin()),
        ("the peer closes", &|met| {
            met.peer.send_close(1000, "");
            met.peer.send_fin();
        }),
        ("we close", &|met| {
            met.ws.close();
            assert_eq!(met.peer.read_close(), Some(1000));
            met.peer.send_close(1000, "");
            met.peer.send_fin();
        }),
    ];
    for role in ROLES {
        for (what, end) in ends {
            let mut met = Meeting::of(role, deep(), |_| {});
            let confirmed = confirm(&met.ws);
            read_ping(&mut met.peer);
            end(&mut met);
            assert_eq!(next(&confirmed), Err(WaitError::Closed), "{role:?}: {what}");
            assert_eq!(met.ws.confirm(LONG), Err(WaitError::Closed));
        }
        let met = Meeting::deaf(role, deep().max_queue_messages(64), |_| {});
        while met.ws.try_send(super::chunk(0)).is_ok() {}
        let confirmed = [(); 3].map(|()| confirm(&met.ws));
        met.ws.abort();
        for confirmed in confirmed {
            assert_eq!(next(&confirmed), Err(WaitError::Closed), "{role:?}: full");
        }
    }
}

/// Where nobody could read the pong meanwhile `confirm` fails at once: in each callback of its own
/// connection, in the set-up, and in a straight-line handler.
#[test]
fn confirm_in_a_callback_would_deadlock() {
    for role in ROLES {
        let told = Recorder::new();
        let set_up = told.sender();
        let mut met = Meeting::of(role, deep(), move |ws| {
            let tell = |what: &'static str| {
                let told = set_up.clone();
                move |ws: &WebSocket| told.send((what, ws.confirm(LONG))).unwrap()
            };
            let (text, ping, pong, error, close) = (
                tell("text"),
                tell("ping"),
                tell("pong"),
                tell("error"),
                tell("close"),
            );
            ws.on_text(move |ws, _| text(ws));
            ws.on_ping(move |ws, _| ping(ws));
            ws.on_pong(move |ws, _| pong(ws));
            ws.on_error(move |ws, _| error(ws));
            ws.on_close(move |ws, _| close(ws));
        });
        met.peer.send_text("x");
        met.peer.send(&Frame::new(PING, "x"));
        met.peer.send(&Frame::new(PONG, "x"));
        met.peer.send(&Frame::new(BINARY, "x").unfinished());
        // Not what may follow: the end by a failure.
        met.peer.send_text("x");
        for what in ["text", "ping", "pong", "error", "close"] {
            let expected = (what, Err(WaitError::WouldDeadlock));
            assert_eq!(told.next(), expected, "{role:?}");
        }
    }
    let (told, tells) = mpsc::channel();
    let set_up = told.clone();
    let callbacks = TestServer::with(deep(), move |ws| {
        set_up.send(ws.confirm(LONG)).unwrap();
    });
    let handler = move |ws: WebSocket, _, _| {
        let _ = told.send(ws.confirm(LONG));
        Ok(())
    };
    let straight = TestServer::start(Server::builder().config(deep()).serve(handler));
    for server in [callbacks, straight] {
        let _peer = RawPeer::client_of(&server);
        assert_eq!(next(&tells), Err(WaitError::WouldDeadlock));
    }
}

/// So would one that waits for room behind a streamed message that this very thread has yet to
/// finish.
#[test]
fn confirm_behind_a_streamed_message_would_deadlock() {
    for role in ROLES {
        let mut met = Meeting::of(role, deep().max_queue_messages(1), |_| {});
        let writer = met.ws.text_writer().unwrap();
        assert_eq!(met.ws.confirm(LONG), Err(WaitError::WouldDeadlock));
        writer.finish().unwrap();
        let confirmed = confirm(&met.ws);
        assert_eq!(met.peer.read_frame(), Frame::text(""));
        let ping = read_ping(&mut met.peer);
        met.peer.send(&Frame::new(PONG, ping));
        assert_eq!(next(&confirmed), Ok(()), "{role:?}");
    }
}

/// A thread that reads the messages itself gets an error after the timeout; while another thread
/// reads, it works, and so it does in another connection's callback.
#[test]
fn confirm_needs_somebody_else_to_read() {
    let echo = TestServer::echo();
    let (ws, mut messages) = landline::open(echo.url()).unwrap();
    ws.send("mine").unwrap();
    messages.recv().unwrap();
    assert_eq!(ws.confirm(ms(20)), Err(WaitError::WouldDeadlock));
    let reading: JoinHandle<_> = thread::spawn(move || messages.recv());
    assert_eq!(ws.confirm(PATIENCE), Ok(()));
    let (sender, confirmed) = mpsc::channel();
    let other = ws.clone();
    let asking = Client::new().connect(echo.url(), |asking| {
        asking.on_text(move |_, _| sender.send(other.confirm(PATIENCE)).unwrap());
    });
    asking.unwrap().send("ask").unwrap();
    assert_eq!(next(&confirmed), Ok(()));
    ws.send("over").unwrap();
    assert_eq!(reading.join().unwrap().unwrap(), "over".into());
}

/// What was given up costs nothing that lasts, and the next `confirm` works.
#[test]
fn many_given_up_confirms_cost_no_memory() {
    alone(|| {
        const MANY: usize = 50_000;
        const PING_SIZE: usize = 18;
        let mut met = Meeting::of(Role::Server, deep(), |_| {});
        let read = |peer: &mut RawPeer, count: usize| {
            let mut pings = vec![0; PING_SIZE * count];
            std::io::Read::read_exact(&mut peer.stream, &mut pings).unwrap();
            pings.split_off(PING_SIZE * (count - 1) + 2)
        };
        let mut give_up = |count: usize| {
            for _ in 0..count / 100 {
                for _ in 0..100 {
                    let given_up = met.ws.confirm(Duration::ZERO);
                    assert_eq!(given_up, Err(WaitError::Timeout));
                }
                read(&mut met.peer, 100);
            }
        };
        give_up(1_000);
        let before = resident_kib();
        give_up(MANY);
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 1 << 10, "{grown} KiB more after {MANY}");
        let confirmed = confirm(&met.ws);
        let ping = read(&mut met.peer, 1);
        met.peer.send(&Frame::new(PONG, ping));
        assert_eq!(next(&confirmed), Ok(()));
    });
}

/// A message whose confirmation is given up is none that is lost: it is delivered all the same.
#[test]
fn given_up_confirm_takes_nothing_along() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, deep(), |_| {});
        let deliveries = stuff(&met.ws);
        assert_eq!(met.ws.confirm(Duration::ZERO), Err(WaitError::Timeout));
        let behind = met.ws.send_tracked("behind").unwrap();
        assert_eq!(super::outcome(&behind), Err(DeliveryError::Pending));
        for at in 0..deliveries.len() {
            assert_eq!(number(&met.peer.read_frame()), at, "{role:?}");
        }
        read_ping(&mut met.peer);
        assert_eq!(met.peer.read_frame(), Frame::text("behind"));
        assert_eq!(super::fate(&behind), Ok(()));
    }
}
