//! Peers that do not read.

use super::*;

/// While the peer does not read, writing waits with little in memory; when it does, all arrives.
#[test]
fn slow_peer_makes_writing_wait() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, shallow());
        plug(&met.ws);
        let (ws, text) = (met.ws.clone(), text(20 * FRAGMENT));
        let expected = text.clone();
        let writing = thread::spawn(move || {
            let mut writer = ws.text_writer().unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap();
        });
        let full = PLUG + LANE;
        settled("as much waits as may", || {
            met.ws.buffered_amount() > full - FRAGMENT
        });
        met.ws.ping("still there?").unwrap();
        assert!(met.ws.buffered_amount() <= full);
        assert!(!writing.is_finished());
        expect_plug(|| met.peer.read_frame());
        let (mut pings, peer) = (Vec::new(), &mut met.peer);
        let fragments = read_fragments(Kind::Text, || peer.read_frame(), |ping| pings.push(ping));
        assert!(fragments.concat() == expected.as_bytes());
        assert_eq!(pings, [Frame::new(PING, "still there?")]);
        writing.join().unwrap();
        assert_eq!(met.ws.wait_drained(PATIENCE), Ok(()));
        assert_eq!(met.ws.counters().queued_bytes, 0);
    }
}

/// Writing to a peer that reads nothing, or a few bytes at a time, fails when the write deadline cuts
/// it, and is no longer than that.
#[test]
fn deaf_peer_fails_the_writing() {
    for &way in WAYS {
        for reads in [false, true] {
            let mut met = AnyMeeting::deaf(way, shallow().write_timeout(ms(150)));
            let ws = met.ws.clone();
            let writing = thread::spawn(move || {
                let mut writer = ws.binary_writer().unwrap();
                flood(&mut writer, 64 << 20).unwrap_err()
            });
            settled("it is cut", || {
                if reads {
                    met.peer.sip();
                }
                met.ws.close_code().is_some()
            });
            let error = writing.join().unwrap();
            let kinds = [ErrorKind::TimedOut, ErrorKind::BrokenPipe];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            let event = met.events.next_close();
            assert_eq!(event.undelivered(), 1, "{event:?}");
            assert_eq!(met.ws.counters().queued_bytes, 0, "{way:?}");
        }
    }
}

/// What could not be written in time, as the peer is slow but not so slow as to be cut, may be tried
/// again: nothing is lost or doubled.
#[test]
fn writing_may_be_tried_again() {
    for role in ROLES {
        // On a machine that stalls or is slow the peer is too slow after all: then with more time.
        let tried = (1..=10).any(|times| write_to_a_slow_peer(role, times));
        assert!(tried, "{role:?}: no write ever took too long");
    }
}

/// Streams behind many messages to a peer that takes its time for them. Returns whether a write
/// failed for a time and the connection lived on, with so many times the usual time.
#[track_caller]
fn write_to_a_slow_peer(role: Role, times: u64) -> bool {
    const BEFORE: usize = 200;
    let config = shallow().write_timeout(ms(150 * times));
    let config = config.max_queue_bytes(BEFORE * FRAGMENT);
    let mut met = Meeting::deaf(role, config, |_| {});
    let mut send = |_| met.ws.send(vec![7; FRAGMENT]).is_ok();
    if !(0..BEFORE).all(&mut send) {
        return false;
    }
    let (ws, sent) = (met.ws.clone(), text(12 * FRAGMENT));
    let expected = sent.clone();
    let (sender, timeouts) = mpsc::channel();
    let writing = thread::spawn(move || {
        let mut writer = ws.text_writer().ok()?;
        let mut rest = sent.as_bytes();
        while !rest.is_empty() {
            match writer.write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == ErrorKind::TimedOut => drop(sender.send(())),
                Err(_) => return None,
            }
        }
        writer.finish().ok()
    });
    let (mut timed_out, mut message) = (false, Vec::new());
    while let Ok(frame) = met.peer.read_frame_or_end() {
        timed_out |= timeouts.try_recv().is_ok();
        if frame.opcode == BINARY {
            let time = ms(if timed_out { 0 } else { 4 * times });
            pause(
                time,
                "the peer reads slowly until the writer has given up once",
            );
            continue;
        }
        message.extend(frame.payload);
        if frame.fin {
            assert!(message == expected.as_bytes());
            writing.join().unwrap().unwrap();
            return timed_out;
        }
    }
    false
}

/// A thread that waits to write is woken by every end of the connection.
#[test]
fn every_end_wakes_a_waiting_writer() {
    let ends: [fn(&WebSocket, RawPeer); 4] = [
        |ws, _| ws.abort(),
        |_, peer| peer.reset(),
        |_, mut peer| peer.send_close(1000, ""),
        |ws, _| ws.close(),
    ];
    for role in ROLES {
        for (number, end) in ends.into_iter().enumerate() {
            let met = Meeting::deaf(role, shallow(), |_| {});
            plug(&met.ws);
            let ws = met.ws.clone();
            let writing = thread::spawn(move || {
                let mut writer = ws.binary_writer().unwrap();
                assert_fails(flood(&mut writer, 64 << 20), ErrorKind::BrokenPipe);
            });
            settled("it waits", || met.ws.buffered_amount() == PLUG + LANE);
            end(&met.ws, met.peer);
            settled("it is woken", || writing.is_finished());
            writing
                .join()
                .unwrap_or_else(|_| panic!("{role:?}, end {number}"));
        }
    }
}
