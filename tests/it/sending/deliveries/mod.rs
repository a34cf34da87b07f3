//! What becomes of what was sent, as the sender is told it.

mod confirming;
#[cfg(unix)]
mod killed;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use landline::{Config, Delivery, DeliveryError, Overflow, Timeout, WebSocket};

use super::{BACKLOG, CHUNK};
use crate::support::*;

/// Sends numbered chunks to a deaf peer until there is a backlog.
#[track_caller]
fn stuff(ws: &WebSocket) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while ws.buffered_amount() < BACKLOG {
        deliveries.push(ws.send_tracked(chunk(deliveries.len())).unwrap());
    }
    deliveries
}

fn chunk(number: usize) -> Vec<u8> {
    let mut chunk = vec![7; CHUNK];
    chunk[..4].copy_from_slice(&(number as u32).to_be_bytes());
    chunk
}

fn number(frame: &Frame) -> usize {
    u32::from_be_bytes(*frame.payload.first_chunk().unwrap()) as usize
}

/// Returns what has become of a message by now.
fn outcome(delivery: &Delivery) -> Result<(), DeliveryError> {
    delivery.wait_timeout(Duration::ZERO)
}

/// Waits for what becomes of a message, within patience.
#[track_caller]
fn fate(delivery: &Delivery) -> Result<(), DeliveryError> {
    let fate = delivery.wait_timeout(PATIENCE);
    assert_ne!(fate, Err(DeliveryError::Pending), "not resolved in time");
    assert!(delivery.is_done());
    assert_eq!(outcome(delivery), fate);
    fate
}

/// Where the kernel has room, a message is delivered when its send returns.
#[test]
fn delivery_is_done_where_there_is_room() {
    for role in ROLES {
        let mut met = Meeting::of(role, Config::new().ping_interval(None), |_| {});
        let delivery = met.ws.send_tracked("all of it").unwrap();
        assert!(delivery.is_done());
        assert_eq!(delivery.wait(), Ok(()));
        assert_eq!(met.peer.read_frame(), Frame::text("all of it"));
    }
}

/// Behind a peer that does not read a message is pending; what arrives has been delivered; they
/// resolve in the order of their sends.
#[test]
fn deliveries_resolve_in_order_as_the_peer_reads() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, deep(), |_| {});
        let deliveries = stuff(&met.ws);
        let last = deliveries.last().unwrap();
        assert!(!last.is_done());
        assert_eq!(last.wait_timeout(ms(20)), Err(DeliveryError::Pending));
        assert!(!last.is_done());
        for (at, delivery) in deliveries.iter().enumerate() {
            // From the end: what resolves meanwhile only adds to what is seen then.
            let mut is_later_done = false;
            for delivery in deliveries.iter().rev() {
                let is_done = delivery.is_done();
                assert!(is_done || !is_later_done, "{role:?}: out of order");
                is_later_done = is_done;
            }
            assert_eq!(number(&met.peer.read_frame()), at);
            assert_eq!(fate(delivery), Ok(()), "{role:?}: {at} has arrived");
        }
        assert_eq!(met.ws.buffered_amount(), 0);
    }
}

/// Over TLS, too, what arrives has been delivered: what was encrypted together with it and is still
/// under way keeps nobody waiting.
#[test]
#[cfg(feature = "tls")]
fn what_arrives_over_tls_is_delivered() {
    for role in ROLES {
        let mut met = TlsMeeting::recorded(role, deep());
        for (at, delivery) in stuff(&met.ws).iter().enumerate() {
            assert_eq!(number(&met.peer.read_frame()), at);
            assert_eq!(fate(delivery), Ok(()), "{role:?}: {at} has arrived");
        }
    }
}

/// Under `DropNewest` a message that finds the queue full is resolved as dropped, at once, and all
/// others arrive.
#[test]
fn newest_is_dropped_and_told() {
    for role in ROLES {
        let config = deep().max_queue_bytes(16 * CHUNK);
        let mut met = Meeting::deaf(role, config.overflow(Overflow::DropNewest), |_| {});
        let mut kept = Vec::new();
        let mut sent = 0;
        let mut dropped = 0;
        while dropped < 3 {
            let delivery = met.ws.send_tracked(chunk(sent)).unwrap();
            match outcome(&delivery) {
                Err(DeliveryError::Dropped) => dropped += 1,
                _ => kept.push((sent, delivery)),
            }
            sent += 1;
        }
        assert_eq!(met.ws.counters().dropped, dropped);
        for (at, delivery) in kept {
            assert_eq!(number(&met.peer.read_frame()), at, "{role:?}");
            assert_eq!(fate(&delivery), Ok(()));
        }
    }
}

/// Under `DropOldest` what had to go is resolved as dropped, and exactly the others arrive.
#[test]
fn oldest_is_dropped_and_told() {
    for role in ROLES {
        let config = deep().max_queue_messages(8);
        let mut met = Meeting::deaf(role, config.overflow(Overflow::DropOldest), |_| {});
        const SENT: usize = 200;
        let send = |at| met.ws.send_tracked(chunk(at)).unwrap();
        let deliveries: Vec<_> = (0..SENT).map(send).collect();
        let is_dropped = |delivery: &Delivery| outcome(delivery) == Err(DeliveryError::Dropped);
        let kept = (0..SENT).filter(|at| !is_dropped(&deliveries[*at]));
        let kept: Vec<_> = kept.collect();
        assert!(kept.len() < SENT, "{role:?}: nothing was dropped");
        assert_eq!(kept.last(), Some(&(SENT - 1)), "{role:?}: the newest was");
        assert_eq!(met.ws.counters().dropped as usize, SENT - kept.len());
        for at in kept {
            assert_eq!(number(&met.peer.read_frame()), at, "{role:?}");
            assert_eq!(fate(&deliveries[at]), Ok(()));
        }
    }
}

/// A Close that overtakes the queue resolves what it overtakes, with its code and at once, though
/// the socket is full; what was on its way before it arrives.
#[test]
fn overtaken_messages_are_told_the_code() {
    let by_violation = |met: &mut Meeting| met.peer.send(&Frame::new(opcode::TEXT, [0xff]));
    let by_peer = |met: &mut Meeting| met.peer.send_close(4001, "enough");
    let by_callback = |met: &mut Meeting| met.peer.send(&Frame::new(opcode::PONG, "fail"));
    let by_policy = |met: &mut Meeting| {
        met.ws.set_overflow(Overflow::Close);
        while met.ws.send(vec![7; BACKLOG]).is_ok() {}
    };
    type End<'a> = &'a dyn Fn(&mut Meeting);
    let ends: [(u16, End<'_>); 4] = [
        (1007, &by_violation),
        (4001, &by_peer),
        (1011, &by_callback),
        (1008, &by_policy),
    ];
    for role in ROLES {
        for (code, end) in ends {
            let mut met = Meeting::deaf(role, deep(), |ws| {
                ws.on_pong(|_, _| Err::<(), _>(std::fmt::Error));
            });
            let deliveries = stuff(&met.ws);
            let overtaken = Err(DeliveryError::Closed(code.into()));
            end(&mut met);
            assert_eq!(fate(deliveries.last().unwrap()), overtaken, "{role:?}");
            // Nothing has been read until now.
            let mut arrived = 0;
            loop {
                let frame = met.peer.read_frame();
                if frame.opcode == opcode::CLOSE {
                    assert_eq!(frame.close_code(), Some(code));
                    break;
                }
                assert_eq!(number(&frame), arrived, "{role:?} {code}");
                arrived += 1;
            }
            for (at, delivery) in deliveries.iter().enumerate() {
                let expected = if at < arrived { Ok(()) } else { overtaken };
                assert_eq!(
                    fate(delivery),
                    expected,
                    "{role:?} {code}: {at} of {arrived}"
                );
            }
        }
    }
}

/// A connection that is cut or lost resolves what is queued, and says why.
#[test]
fn cut_and_lost_messages_are_told_why() {
    let by_deadline = |_: Meeting| {};
    let by_abort = |met: Meeting| met.ws.abort();
    let by_peer = |met: Meeting| met.peer.reset();
    let hasty = deep().write_timeout(ms(200));
    let ends: [(DeliveryError, Config, &dyn Fn(Meeting)); 3] = [
        (DeliveryError::Cut(Timeout::Write), hasty, &by_deadline),
        (DeliveryError::Aborted, deep(), &by_abort),
        (DeliveryError::Lost, deep(), &by_peer),
    ];
    for role in ROLES {
        for (why, config, end) in &ends {
            let met = Meeting::deaf(role, config.clone(), |_| {});
            let ws = met.ws.clone();
            let deliveries = stuff(&ws);
            if *why == DeliveryError::Cut(Timeout::Write) {
                settled("it is cut", || ws.close_code().is_some());
            }
            end(met);
            assert_eq!(fate(deliveries.last().unwrap()), Err(*why), "{role:?}");
            let lost = deliveries.iter().filter(|delivery| fate(delivery).is_err());
            let lost = lost.count();
            assert!(
                deliveries[deliveries.len() - lost..]
                    .iter()
                    .all(|delivery| fate(delivery) == Err(*why))
            );
            settled("it has ended", || ws.close_code().is_some());
            assert_eq!(ws.wait_closed().unwrap().undelivered() as usize, lost);
            assert_eq!(ws.counters().messages_out as usize, deliveries.len() - lost);
        }
    }
}

/// A delivery can be waited for in a callback of its own connection: somebody else writes on.
#[test]
fn delivery_is_waited_for_in_a_callback() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, deep(), |ws| {
            ws.on_text(|ws, _| -> landline::Outcome {
                ws.send_tracked(vec![7; BACKLOG])?.wait()?;
                ws.send("waited")?;
                Ok(())
            });
        });
        met.peer.send_text("go");
        assert_eq!(met.peer.read_frame().payload.len(), BACKLOG, "{role:?}");
        assert_eq!(met.peer.read_frame(), Frame::text("waited"));
    }
}

/// What a burst of input makes a callback send leaves before the callback waits for it.
#[test]
fn held_message_leaves_before_its_delivery_is_waited_for() {
    for role in ROLES {
        let mut met = Meeting::of(role, deep(), |ws| {
            ws.on_text(|ws, text| -> landline::Outcome {
                Ok(ws.send_tracked(text)?.wait_timeout(PATIENCE)?)
            });
        });
        let texts: Vec<_> = (0..50).map(|at| Frame::text(&at.to_string())).collect();
        let burst: Vec<_> = texts
            .iter()
            .flat_map(|text| met.peer.encode(text))
            .collect();
        met.peer.send_bytes(burst);
        for text in texts {
            assert_eq!(met.peer.read_frame(), text, "{role:?}");
        }
    }
}

/// Nobody needs to keep a delivery: what it is of arrives, or goes with the connection, without it.
#[test]
fn dropped_delivery_harms_nothing() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, deep(), |_| {});
        let sent = stuff(&met.ws).len();
        drop(met.ws.send_tracked("the last").unwrap());
        for at in 0..sent {
            assert_eq!(number(&met.peer.read_frame()), at, "{role:?}");
        }
        assert_eq!(met.peer.read_frame(), Frame::text("the last"));
        drop(stuff(&met.ws));
        met.ws.abort();
        settled("it has ended", || met.ws.close_code().is_some());
    }
}

/// Clones tell the same, and all who wait for one are woken, by the delivery and by the end alike.
#[test]
fn clones_tell_the_same() {
    for role in ROLES {
        for ends in [false, true] {
            let mut met = Meeting::deaf(role, deep(), |_| {});
            let sent = stuff(&met.ws);
            let (sender, fates) = mpsc::channel();
            let waiting = [(); 3].map(|()| {
                let (delivery, sender) = (sent.last().unwrap().clone(), sender.clone());
                thread::spawn(move || sender.send(delivery.wait()))
            });
            let expected = if ends {
                met.ws.abort();
                Err(DeliveryError::Aborted)
            } else {
                sent.iter().for_each(|_| drop(met.peer.read_frame()));
                Ok(())
            };
            for _ in &waiting {
                assert_eq!(next(&fates), expected, "{role:?}");
            }
            assert_eq!(fate(sent.last().unwrap()), expected);
        }
    }
}

/// A send that fails has nothing to track: the message comes back.
#[test]
fn failed_send_hands_the_message_back() {
    let met = Meeting::of(Role::Server, deep(), |_| {});
    met.ws.close();
    let error = met.ws.send_tracked("late").unwrap_err();
    assert_eq!(error.kind(), landline::SendErrorKind::Closed);
    assert_eq!(error.into_message(), Some("late".into()));
}
