//! Where programs write from.

use super::*;

/// A message may begin on one thread, go on on a second and end on a third.
#[test]
fn writer_moves_between_threads() {
    for role in ROLES {
        let mut met = Meeting::of(role, quiet(), |_| {});
        let mut writer = met.ws.text_writer().unwrap();
        write!(writer, "one, ").unwrap();
        let writing = thread::spawn(move || {
            write!(writer, "two, ").unwrap();
            writer.flush().unwrap();
            writer
        });
        let mut writer = writing.join().unwrap();
        // Whose it was may wait again.
        assert_eq!(met.ws.wait_drained(ms(1)), Err(WaitError::Timeout));
        write!(writer, "three").unwrap();
        writer.finish().unwrap();
        assert_eq!(read_message(Kind::Text, &mut met.peer), b"one, two, three");
    }
}

/// A callback may stream, also while the rest of a burst is at hand and what it sends is held back,
/// and however large it is.
#[test]
fn callbacks_stream() {
    fn answer(ws: &WebSocket, asked: &str) -> Outcome {
        let mut writer = ws.text_writer()?;
        write!(writer, "answer to {asked}, ")?;
        writer.flush()?;
        ws.send("inside")?;
        writer.write_all(text(6 * FRAGMENT).as_bytes())?;
        writer.finish()?;
        ws.send("behind")?;
        Ok(())
    }
    for role in ROLES {
        let set_up = |ws: &WebSocket| ws.on_text(|ws, asked| answer(ws, &asked));
        let mut met = Meeting::deaf(role, shallow(), set_up);
        let burst = ["0", "1", "2", "3"].map(|text| met.peer.encode(&Frame::text(text)));
        met.peer.send_bytes(burst.concat());
        for number in 0..4 {
            let message = read_message(Kind::Text, &mut met.peer);
            let expected = format!("answer to {number}, {}", text(6 * FRAGMENT));
            assert!(message == expected.as_bytes(), "{role:?}: {number}");
            assert_eq!(met.peer.read_frame(), Frame::text("inside"));
            assert_eq!(met.peer.read_frame(), Frame::text("behind"));
        }
    }
}

/// What a callback has flushed leaves while it blocks, though it is held back for the burst.
#[test]
fn flushed_fragment_leaves_while_the_callback_blocks() {
    for role in ROLES {
        let (release, released) = mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let released = std::sync::Arc::new(released);
        let mut met = Meeting::of(role, quiet(), move |ws| {
            let released = std::sync::Arc::clone(&released);
            ws.on_text(move |ws, _| -> Outcome {
                let mut writer = ws.text_writer()?;
                write!(writer, "working... ")?;
                writer.flush()?;
                let _ = released.lock().unwrap().recv_timeout(PATIENCE);
                write!(writer, "done")?;
                writer.finish()?;
                Ok(())
            });
        });
        let burst = ["0", "1"].map(|text| met.peer.encode(&Frame::text(text)));
        met.peer.send_bytes(burst.concat());
        assert_eq!(
            met.peer.read_frame(),
            Frame::text("working... ").unfinished()
        );
        drop(release);
        assert_eq!(met.peer.read_frame(), Frame::new(CONTINUATION, "done"));
        assert_eq!(read_message(Kind::Text, &mut met.peer), b"working... done");
    }
}

/// Straight-line handlers stream, and a handler that returns in the middle fails the connection.
#[test]
fn handlers_stream() {
    let server = TestServer::start(Server::builder().config(quiet()).serve(
        |ws, mut messages, _| {
            let asked = messages.recv()?;
            let mut writer = ws.text_writer()?;
            write!(writer, "{asked}, answered")?;
            writer.finish()?;
            let mut unfinished = ws.binary_writer()?;
            unfinished.write_all(b"no end")?;
            unfinished.flush()?;
            Ok(())
        },
    ));
    let mut peer = RawPeer::client_of(&server);
    peer.send_text("asked");
    assert_eq!(peer.read_frame(), Frame::text("asked, answered"));
    let frame = peer.read_frame();
    assert_eq!(frame, Frame::new(BINARY, "no end").unfinished());
    assert_eq!(peer.read_frame().close_code(), Some(1011));
}

/// A callback that fails while it writes is told of by its own error: that the message has no end is
/// what came of it.
#[test]
fn failing_callback_is_told_of_by_its_own_error() {
    fn give_up(ws: &WebSocket) -> Outcome {
        let mut writer = ws.text_writer()?;
        writer.write_all(b"no end")?;
        "forty-two".parse::<i32>()?;
        Ok(writer.finish()?)
    }
    for role in ROLES {
        let (mut met, events) = Meeting::recorded_with(role, quiet(), |ws| {
            ws.on_text(|ws, _| give_up(ws));
        });
        met.peer.send_text("go");
        assert_eq!(met.peer.read_close(), Some(1011));
        met.peer.send_close(1011, "");
        met.peer.send_fin();
        let error = events.find(|event| matches!(event, Event::Error(_)));
        let expected = "callback failed: on_text: invalid digit found in string";
        assert_eq!(error, Event::Error(expected.into()));
        assert_eq!(events.next_close().code(), CloseCode::INTERNAL_ERROR);
    }
}

/// A writer keeps a client open: the last handle may be gone before the message is finished.
#[test]
fn writer_keeps_a_client_open() {
    let (mut peer, ws) = RawServer::new().meet(&Client::new().config(quiet()), |_| {});
    let mut writer = ws.text_writer().unwrap();
    drop(ws);
    writer.write_all(b"whole").unwrap();
    let finishing = thread::spawn(move || writer.finish());
    assert_eq!(peer.read_frame().payload, b"whole");
    assert_eq!(peer.read_close(), Some(1000));
    peer.send_close(1000, "");
    peer.send_fin();
    finishing.join().unwrap().unwrap();
}

/// Landline reads what landline streams, over ws and wss, both sides at once.
#[test]
fn landline_reads_what_landline_streams() {
    fn converse(server: &Server, client: &Client) {
        let (ws, mut messages) = client.open(server.url()).unwrap();
        let sent = text(40 * FRAGMENT);
        for kind in KINDS {
            let mut writer = kind.begin(&ws);
            writer.write_all(sent.as_bytes()).unwrap();
            writer.finish().unwrap();
            let echo = messages.recv().unwrap();
            assert_eq!(echo.as_text().is_some(), kind == Kind::Text);
            assert!(echo.as_bytes() == sent.as_bytes());
        }
    }
    fn echo(builder: landline::ServerBuilder) -> landline::ServerBuilder {
        builder.on_upgrade(|ws, _| {
            ws.on_message(|ws, message| -> Outcome {
                let mut writer = match message {
                    Message::Text(_) => ws.text_writer()?,
                    Message::Binary(_) => ws.binary_writer()?,
                };
                writer.write_all(message.as_bytes())?;
                Ok(writer.finish()?)
            });
        })
    }
    converse(&TestServer::start(echo(Server::builder())), &Client::new());
    #[cfg(feature = "tls")]
    converse(&secure(echo(Server::builder())), &trusting());
}

/// A message waits for its place in a full queue as a send does, and is refused as one.
#[test]
fn beginning_waits_for_a_place() {
    for role in ROLES {
        let config = shallow().max_queue_messages(1);
        let mut met = Meeting::deaf(role, config, |_| {});
        plug(&met.ws);
        let ws = met.ws.clone();
        let beginning = thread::spawn(move || {
            let mut writer = ws.text_writer().unwrap();
            write!(writer, "streamed").unwrap();
            writer.finish().unwrap();
        });
        assert!(!beginning.is_finished());
        expect_plug(|| met.peer.read_frame());
        assert_eq!(met.peer.read_frame(), Frame::text("streamed"));
        beginning.join().unwrap();
        let config = shallow().max_queue_messages(1);
        let met = Meeting::deaf(role, config.write_timeout(ms(100)), |_| {});
        plug(&met.ws);
        let ws = met.ws.clone();
        let error = in_time("it is refused", move || ws.text_writer().unwrap_err());
        let kinds = [SendErrorKind::Timeout, SendErrorKind::Closed];
        assert!(kinds.contains(&error.kind()), "{error:?}");
    }
}
