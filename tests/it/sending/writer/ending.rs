//! Messages without an end, and connections with one.

use super::*;

/// Whenever a connection ends under a writer, its message is one that was not delivered, and nothing
/// stays queued.
#[test]
fn nothing_stays_queued_after_the_end() {
    let ends: [fn(&WebSocket, &mut RawPeer); 3] = [
        |ws, _| ws.abort(),
        |_, peer| peer.send_close(1000, ""),
        |ws, _| ws.close(),
    ];
    for role in ROLES {
        for end in ends.into_iter().cycle().take(60) {
            let mut met = Meeting::of(role, quiet(), |_| {});
            let ws = met.ws.clone();
            let writing = thread::spawn(move || {
                let mut writer = ws.binary_writer().unwrap();
                while writer.write_all(b"w").and(writer.flush()).is_ok() {}
            });
            met.peer.read_frame();
            end(&met.ws, &mut met.peer);
            settled("writing fails", || writing.is_finished());
            drop(met.peer);
            settled("it has ended", || met.ws.close_code().is_some());
            let counters = met.ws.counters();
            assert_eq!((counters.queued_messages, counters.queued_bytes), (0, 0));
            assert_eq!(counters.undelivered, 1);
        }
    }
}

// What is no text

/// A text that is not UTF-8 fails where that shows, and the peer is told by 1011 that there is none.
#[test]
fn invalid_text_is_refused() {
    let bad: [&[u8]; 4] = [
        b"\xff",
        b"fine, then \xc3\x28",
        b"cut \xf0\x9f\xa6",
        b"\xed\xa0\x80",
    ];
    for role in ROLES {
        for bytes in bad {
            let (mut met, events) = Meeting::recorded(role, quiet());
            let mut writer = met.ws.text_writer().unwrap();
            writer.write_all(bytes).unwrap();
            // What may still become a character is no error yet.
            let is_cut = std::str::from_utf8(bytes)
                .unwrap_err()
                .error_len()
                .is_none();
            assert_eq!(writer.flush().is_ok(), is_cut);
            assert_fails(writer.finish(), ErrorKind::InvalidData);
            expect_unfinished(&mut met, &events);
        }
        let (mut met, events) = Meeting::recorded(role, quiet());
        let mut writer = met.ws.text_writer().unwrap();
        writer.write_all(&[0xff; FRAGMENT]).unwrap();
        assert_fails(writer.write_all(b"more"), ErrorKind::InvalidData);
        drop(writer);
        expect_unfinished(&mut met, &events);
        // Of bytes none is wrong.
        let mut met = Meeting::of(role, quiet(), |_| {});
        let mut writer = met.ws.binary_writer().unwrap();
        writer.write_all(b"\xff").unwrap();
        writer.finish().unwrap();
        assert_eq!(met.peer.read_frame(), Frame::new(BINARY, b"\xff"));
    }
}

/// Expects that the peer is told of a message without an end, and the program too. What left of it
/// may come before.
#[track_caller]
fn expect_unfinished(met: &mut Meeting, events: &Recorder) {
    assert_eq!(met.peer.read_close(), Some(1011));
    met.peer.send_close(1011, "");
    met.peer.send_fin();
    settled("the connection has ended", || met.ws.close_code().is_some());
    let events = events.so_far();
    let [Event::Error(error), Event::Close(event)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(error, "a streamed message was dropped before its end");
    assert_eq!(event.code(), CloseCode::INTERNAL_ERROR);
    assert_eq!(event.initiator(), Initiator::Local);
    assert!(event.undelivered() > 0, "{event:?}");
}

/// Dropped before its end, however much has left of it, it fails the connection with 1011, and what
/// waits behind it is not delivered.
#[test]
fn dropped_writer_fails_the_connection() {
    let uses: [fn(&mut MessageWriter); 4] = [
        |_| {},
        |writer| write!(writer, "gathered").unwrap(),
        |writer| write!(writer, "left").and(writer.flush()).unwrap(),
        |writer| flood(writer, 3 * FRAGMENT).unwrap(),
    ];
    for role in ROLES {
        for write in uses {
            let (mut met, events) = Meeting::recorded(role, quiet());
            let mut writer = met.ws.binary_writer().unwrap();
            let behind = met.ws.send_tracked("behind").unwrap();
            write(&mut writer);
            drop(writer);
            let internal = DeliveryError::Closed(CloseCode::INTERNAL_ERROR);
            assert_eq!(behind.wait(), Err(internal));
            let refused = met.ws.text_writer().unwrap_err();
            assert_eq!(refused.kind(), SendErrorKind::Closed);
            assert_eq!(met.ws.wait_drained(PATIENCE), Err(WaitError::Closed));
            expect_unfinished(&mut met, &events);
        }
    }
}

/// The same holds while the socket is full: the queue is freed at once, and the Close comes behind
/// what is being written.
#[test]
fn dropped_writer_frees_a_full_queue() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, shallow());
        plug(&met.ws);
        let mut writer = met.ws.binary_writer().unwrap();
        flood(&mut writer, 3 * FRAGMENT).unwrap();
        writer.flush().unwrap();
        met.ws.send("behind").unwrap();
        drop(writer);
        let counters = met.ws.counters();
        assert_eq!((counters.queued_messages, counters.undelivered), (1, 2));
        assert_eq!(counters.queued_bytes, PLUG as u64);
        expect_plug(|| met.peer.read_frame());
        let close = met.peer.read_frame();
        assert_eq!(close.close_code(), Some(1011));
        assert_eq!(&close.payload[2..], b"a message was not finished");
        met.peer.send_close(1011);
        met.peer.send_fin();
        let event = met.events.next_close();
        assert_eq!((event.code().as_u16(), event.undelivered()), (1011, 2));
    }
}

// How it ends

/// Our own Close goes in the middle of a message that has begun, behind what was written of it;
/// writing fails then, and what waits behind is not delivered, and counted.
#[test]
fn close_goes_in_the_middle() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, quiet());
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "begun").unwrap();
        writer.flush().unwrap();
        met.ws.send("behind").unwrap();
        let tracked = met.ws.send_tracked("behind too").unwrap();
        met.ws.close();
        assert_eq!(met.peer.read_frame(), Frame::text("begun").unfinished());
        assert_eq!(met.peer.read_frame(), Frame::new(CLOSE, [3, 0xe8]));
        let closed = DeliveryError::Closed(CloseCode::NORMAL);
        assert_eq!(tracked.wait(), Err(closed));
        assert_broken(writer);
        let event = answer_close(&mut met, &events, 1000);
        assert_eq!(event.code(), CloseCode::NORMAL);
        assert!(event.is_clean());
        assert_eq!(event.undelivered(), 3);
        assert_eq!(events.so_far(), []);
    }
}

/// The same holds where what was written has yet to leave.
#[test]
fn close_waits_for_what_was_written() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, shallow());
        plug(&met.ws);
        met.ws.send("before").unwrap();
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "begun").unwrap();
        writer.flush().unwrap();
        met.ws.send("behind").unwrap();
        met.ws.close_with(4000, "enough").unwrap();
        assert_broken(writer);
        expect_plug(|| met.peer.read_frame());
        assert_eq!(met.peer.read_frame(), Frame::text("before"));
        assert_eq!(met.peer.read_frame(), Frame::text("begun").unfinished());
        assert_eq!(met.peer.read_frame().close_code(), Some(4000));
        met.peer.send_close(4000);
        met.peer.send_fin();
        let event = met.events.next_close();
        assert_eq!((event.code().as_u16(), event.undelivered()), (4000, 2));
    }
}

/// A message of which nothing has been written when the connection closes is left out, and what is
/// queued behind it goes before the Close.
#[test]
fn close_leaves_out_what_has_not_begun() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, quiet());
        met.ws.send("before").unwrap();
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "gathered").unwrap();
        met.ws.send("behind").unwrap();
        met.ws.close();
        assert_eq!(met.peer.read_frame(), Frame::text("before"));
        assert_eq!(met.peer.read_frame(), Frame::text("behind"));
        assert_eq!(met.peer.read_frame(), Frame::new(CLOSE, [3, 0xe8]));
        assert_broken(writer);
        let event = answer_close(&mut met, &events, 1000);
        assert_eq!((event.code().as_u16(), event.undelivered()), (1000, 1));
    }
}

/// A finished message goes before the Close like any other, also while another is not.
#[test]
fn close_waits_for_finished_messages() {
    for &way in WAYS {
        let mut met = AnyMeeting::deaf(way, shallow());
        plug(&met.ws);
        let mut finished = met.ws.binary_writer().unwrap();
        flood(&mut finished, 2 * FRAGMENT + 1).unwrap();
        finished.finish().unwrap();
        let unfinished = met.ws.text_writer().unwrap();
        met.ws.close();
        drop(unfinished);
        expect_plug(|| met.peer.read_frame());
        let unexpected = |frame| panic!("{frame:?} in the message");
        let fragments = read_fragments(Kind::Binary, || met.peer.read_frame(), unexpected);
        assert!(fragments.concat() == vec![b'w'; 2 * FRAGMENT + 1]);
        assert_eq!(met.peer.read_frame().close_code(), Some(1000));
    }
}

/// The peer's Close is answered in the middle of the message, and writing fails.
#[test]
fn peers_close_ends_the_message() {
    for role in ROLES {
        let (mut met, events) = Meeting::recorded(role, quiet());
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "begun").unwrap();
        writer.flush().unwrap();
        assert_eq!(met.peer.read_frame(), Frame::text("begun").unfinished());
        met.ws.send("behind").unwrap();
        met.peer.send_close(4001, "enough");
        assert_eq!(met.peer.read_frame().close_code(), Some(4001));
        assert_broken(writer);
        met.peer.send_fin();
        let event = events.next_close();
        assert_eq!((event.code().as_u16(), event.undelivered()), (4001, 2));
        assert!(event.is_clean(), "{event:?}");
    }
}

/// An abort and a reset end the message without a word, and a writer that is kept holds nothing up.
#[test]
fn lost_connection_ends_the_message() {
    let ends: [fn(&WebSocket, RawPeer); 3] = [
        |ws, _| ws.abort(),
        |_, peer| peer.reset(),
        |_, peer| drop(peer),
    ];
    for role in ROLES {
        for end in ends {
            let (mut met, events) = Meeting::recorded(role, quiet());
            let mut writer = met.ws.text_writer().unwrap();
            write!(writer, "begun").unwrap();
            writer.flush().unwrap();
            assert_eq!(met.peer.read_frame(), Frame::text("begun").unfinished());
            end(&met.ws, met.peer);
            let event = closed_once(&events, &met.ws);
            assert_eq!((event.code().as_u16(), event.undelivered()), (1006, 1));
            assert_eq!(
                met.ws.text_writer().unwrap_err().kind(),
                SendErrorKind::Closed
            );
            assert_broken(writer);
            assert_eq!(events.so_far(), []);
            assert_eq!(met.ws.counters().queued_bytes, 0);
        }
    }
}

/// A server that stops says so in the middle of the message.
#[test]
fn stop_goes_in_the_middle() {
    let (mut met, events) = Meeting::recorded(Role::Server, quiet());
    let mut writer = met.ws.text_writer().unwrap();
    write!(writer, "begun").unwrap();
    writer.flush().unwrap();
    met.server.as_ref().unwrap().handle().stop();
    assert_eq!(met.peer.read_frame(), Frame::text("begun").unfinished());
    assert_eq!(met.peer.read_frame().close_code(), Some(1001));
    assert_broken(writer);
    let event = answer_close(&mut met, &events, 1001);
    assert_eq!(event.code(), CloseCode::GOING_AWAY);
}

// Where it is written
