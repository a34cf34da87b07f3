//! What goes before and behind.

use super::*;

/// Other messages of any thread queue behind a streamed one and keep their order, what was sent
/// before goes before (L4), and pings and pongs pass between the fragments.
#[test]
fn other_messages_keep_their_order() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        met.ws.send("before").unwrap();
        let mut writer = met.ws.text_writer().unwrap();
        met.ws.send("during, by the same thread").unwrap();
        write!(writer, "begun, ").unwrap();
        writer.flush().unwrap();
        let ws = met.ws.clone();
        let sending = thread::spawn(move || ws.send("during, by another").unwrap());
        sending.join().unwrap();
        assert_eq!(met.peer.read_frame(), Frame::text("before"));
        assert_eq!(met.peer.read_frame(), Frame::text("begun, ").unfinished());
        met.ws.ping("ours").unwrap();
        assert_eq!(met.peer.read_frame(), Frame::new(PING, "ours"));
        met.peer.send(&Frame::new(PING, "theirs"));
        assert_eq!(met.peer.read_frame(), Frame::new(PONG, "theirs"));
        write!(writer, "ended").unwrap();
        writer.finish().unwrap();
        met.ws.send("after").unwrap();
        assert_eq!(met.peer.read_frame(), Frame::new(CONTINUATION, "ended"));
        for text in ["during, by the same thread", "during, by another", "after"] {
            assert_eq!(met.peer.read_frame(), Frame::text(text));
        }
    }
}

/// A second streamed message is refused at once while the first is not finished, whoever asks, and
/// begins right behind it then, also while the socket is full.
#[test]
fn one_message_is_streamed_at_a_time() {
    for role in ROLES {
        let mut met = Meeting::deaf(role, shallow(), |_| {});
        plug(&met.ws);
        let mut first = met.ws.text_writer().unwrap();
        let refused = |ws: &WebSocket| {
            assert_eq!(
                ws.text_writer().unwrap_err().kind(),
                SendErrorKind::Streaming
            );
            let error = ws.binary_writer().unwrap_err();
            assert_eq!(error.kind(), SendErrorKind::Streaming);
            assert_eq!(error.into_message(), None);
        };
        refused(&met.ws);
        write!(first, "first").unwrap();
        first.flush().unwrap();
        let ws = met.ws.clone();
        in_time("another thread is refused", move || refused(&ws));
        first.finish().unwrap();
        let mut second = met.ws.binary_writer().unwrap();
        refused(&met.ws);
        write!(second, "second").unwrap();
        second.finish().unwrap();
        met.ws.text_writer().unwrap().finish().unwrap();
        expect_plug(|| met.peer.read_frame());
        assert_eq!(read_message(Kind::Text, &mut met.peer), b"first");
        assert_eq!(met.peer.read_frame(), Frame::new(BINARY, "second"));
        assert_eq!(met.peer.read_frame(), Frame::text(""));
    }
}

/// The thread that writes cannot wait for room behind its own message, so it is told at once, also
/// if the writer came from another thread; other threads wait.
#[test]
fn full_queue_is_an_error_for_the_writers_thread_alone() {
    for role in ROLES {
        for is_moved in [false, true] {
            let met = Meeting::of(role, shallow().max_queue_messages(3), |_| {});
            let (ws, mut peer) = (met.ws.clone(), met.peer);
            let writer = is_moved.then(|| ws.text_writer().unwrap());
            in_time("nothing waits", move || {
                let mut writer = writer.unwrap_or_else(|| ws.text_writer().unwrap());
                write!(writer, "streamed").unwrap();
                ws.send_all(["second", "third"]).unwrap();
                let error = ws.send("fourth").unwrap_err();
                assert_eq!(error.kind(), SendErrorKind::Full);
                assert_eq!(error.into_message(), Some(Message::from("fourth")));
                let kind = ws.send_tracked("fourth").unwrap_err().kind();
                assert_eq!(kind, SendErrorKind::Full);
                assert_eq!(ws.send_all(["4"]).unwrap_err().kind(), SendErrorKind::Full);
                assert_eq!(ws.confirm(2 * PATIENCE), Err(WaitError::WouldDeadlock));
                let other = ws.clone();
                let waiting = thread::spawn(move || other.send("fourth").unwrap());
                writer.finish().unwrap();
                waiting.join().unwrap();
            });
            for text in ["streamed", "second", "third", "fourth"] {
                assert_eq!(peer.read_frame(), Frame::text(text), "{role:?}");
            }
        }
    }
}

/// Another thread's `send` waits behind the writer as long as `write_timeout`, and the connection
/// lives on: no peer is to blame.
#[test]
fn waiting_behind_a_writer_ends() {
    for role in ROLES {
        let config = quiet().max_queue_messages(1).write_timeout(ms(50));
        let mut met = Meeting::of(role, config, |_| {});
        let mut writer = met.ws.text_writer().unwrap();
        let ws = met.ws.clone();
        let error = in_time("the wait ends", move || ws.send("waits").unwrap_err());
        assert_eq!(error.kind(), SendErrorKind::Timeout);
        write!(writer, "streamed").unwrap();
        writer.finish().unwrap();
        met.ws.send("later").unwrap();
        assert_eq!(met.peer.read_frame(), Frame::text("streamed"));
        assert_eq!(met.peer.read_frame(), Frame::text("later"));
    }
}

/// The writer's thread cannot wait for its own message to leave; another can, and it has left when
/// that wait ends.
#[test]
fn draining_waits_for_the_writer() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let mut writer = met.ws.text_writer().unwrap();
        assert_eq!(
            met.ws.wait_drained(2 * PATIENCE),
            Err(WaitError::WouldDeadlock)
        );
        let ws = met.ws.clone();
        let drained = in_time("the wait has its time", move || ws.wait_drained(ms(20)));
        assert_eq!(drained, Err(WaitError::Timeout));
        write!(writer, "streamed").unwrap();
        let ws = met.ws.clone();
        let draining = thread::spawn(move || ws.wait_drained(PATIENCE));
        writer.finish().unwrap();
        assert_eq!(draining.join().unwrap(), Ok(()));
        assert_eq!(met.ws.wait_drained(PATIENCE), Ok(()));
        assert_eq!(met.ws.counters().messages_out, 1);
        assert_eq!(met.peer.read_frame(), Frame::text("streamed"));
    }
}

/// Threads that send and stream as they come share a connection: each thread's messages arrive in its
/// order, and none is torn.
#[test]
fn threads_share_a_connection_with_writers() {
    const THREADS: usize = 4;
    const EACH: usize = 60;
    let (sender, heard) = mpsc::channel();
    let server = TestServer::with(quiet(), move |ws| {
        let sender = sender.clone();
        ws.on_text(move |_, text| drop(sender.send(String::from(text))));
    });
    let client = Client::new().config(quiet().max_queue_messages(4));
    let ws = client.connect(server.url(), |_| {}).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let ws = &ws;
            scope.spawn(move || {
                for number in 0..EACH {
                    let message = format!("{thread} {number} {}", text(number * 400));
                    if number % 2 == 0 {
                        ws.send(message).unwrap();
                    } else {
                        stream(ws, &message);
                    }
                }
            });
        }
        let mut expected = [0; THREADS];
        for _ in 0..THREADS * EACH {
            let message = next(&heard);
            let (thread, rest) = message.split_once(' ').unwrap();
            let (number, rest) = rest.split_once(' ').unwrap();
            let (thread, number): (usize, usize) =
                (thread.parse().unwrap(), number.parse().unwrap());
            assert_eq!(number, expected[thread], "of thread {thread}");
            assert!(rest == text(number * 400), "torn");
            expected[thread] += 1;
        }
    });
}

/// Streams a message once no other thread does.
#[track_caller]
fn stream(ws: &WebSocket, message: &str) {
    loop {
        match ws.text_writer() {
            Ok(mut writer) => {
                writer.write_all(message.as_bytes()).unwrap();
                return writer.finish().unwrap();
            }
            Err(error) => assert_eq!(error.kind(), SendErrorKind::Streaming),
        }
        thread::yield_now();
    }
}

// Slow peers
