//! What leaves a queue, in which order.

use super::*;

/// Pings overtake the messages, and the program's Close goes behind all that was admitted.
#[test]
fn control_frames_go_first_and_the_close_last() {
    let mut fixture = Fixture::fast(1 << 20, 8);
    fixture.push("a");
    fixture.close(1000, Urgency::AfterMessages);
    fixture.ping("1");
    fixture.ping("2");
    assert_eq!(fixture.write(), ["ping 1", "ping 2", "a", "close 1000"]);
    assert!(fixture.queue.is_flushed());
}

/// A reply or a failure overtakes the messages, not the control frames; what it overtakes is given up
/// at once, as the Close may have to wait for the socket.
#[test]
fn an_overtaking_close_leaves_the_messages_behind() {
    let mut fixture = Fixture::fast(1 << 20, 8);
    fixture.push("a");
    let overtaken = fixture.push_tracked("b");
    fixture.close(1000, Urgency::AfterMessages);
    fixture.ping("1");
    fixture.close(1002, Urgency::Overtaking);
    let closed = Err(DeliveryError::Closed(1002.into()));
    assert_eq!(outcome(&overtaken), closed, "at once");
    assert_eq!(fixture.write(), ["ping 1", "close 1002"]);
    assert_eq!(
        (outcome(&overtaken), fixture.queue.undelivered),
        (closed, 2)
    );
    assert_eq!((fixture.queue.messages(), fixture.queue.buffered()), (0, 0));
}

/// Nothing is written behind a Close, and no second one (L5).
#[test]
fn nothing_follows_a_close() {
    let mut fixture = Fixture::fast(1 << 20, 8);
    fixture.close(1000, Urgency::AfterMessages);
    assert_eq!(fixture.write(), ["close 1000"]);
    assert!(fixture.queue.life.close_left_at().is_some());
    fixture.ping("1");
    fixture.close(1001, Urgency::AfterMessages);
    fixture.close(1002, Urgency::Overtaking);
    assert!(fixture.write().is_empty() && fixture.queue.is_flushed());
}

/// A batch ends at 128 KiB, at 1,024 messages, and behind a large message, which leaves uncopied; then
/// control frames have their turn.
#[test]
fn a_batch_ends_for_control_frames() {
    let mut fixture = Fixture::fast(1 << 30, 1 << 20);
    let medium = "m".repeat(MIN_UNCOPIED - 1);
    let large = "l".repeat(MIN_UNCOPIED);
    for text in [&medium; 9].into_iter().chain([&large]) {
        fixture.push(text);
    }
    let (medium, large) = (&*medium.len().to_string(), &*large.len().to_string());
    assert_eq!(fixture.write(), [medium; 9], "the ninth passes 128 KiB");
    fixture.push("behind");
    fixture.ping("between");
    assert_eq!(fixture.write(), ["ping between", large]);
    assert_eq!(fixture.write(), ["behind"]);
    for _ in 0..=BATCH_MESSAGES {
        fixture.push("");
    }
    assert_eq!(
        [fixture.write().len(), fixture.write().len()],
        [BATCH_MESSAGES, 1]
    );
}

/// A client copies what it masks: payloads of 16 KiB and more share its batches, and one of over
/// 64 KiB, which is masked in steps, ends them.
#[test]
fn a_clients_batch_takes_all_that_is_copied() {
    let mut fixture = Fixture::fast(1 << 30, 1 << 20);
    let writer = Writer::new(Encoder::new(Role::Client), fixture.tape.clone());
    fixture.queue.writer = Seat::Here(writer);
    let copied = "c".repeat(MIN_UNCOPIED);
    for _ in 0..10 {
        fixture.push(&copied);
    }
    let stepwise = "s".repeat(5 * MIN_UNCOPIED);
    for text in [&copied, &stepwise, &copied] {
        fixture.push(text);
    }
    let mut waiting = || {
        let mut writer = fixture.queue.take_to_write(&mut fixture.after)?;
        while !writer.is_done() {
            writer.write(&mut Written::default()).ok()?;
        }
        fixture.queue.put_back(writer);
        Some(fixture.queue.channel.len())
    };
    assert_eq!(
        [waiting(), waiting(), waiting()],
        [Some(5), Some(1), Some(0)]
    );
    let header = 2 + 2 + 4;
    let written = lock(&fixture.tape.written).len();
    assert_eq!(
        written,
        12 * (header + MIN_UNCOPIED) + header + 6 + stepwise.len()
    );
}

/// A message for which nothing waits goes straight to the writer; any other has to queue.
#[test]
fn a_message_with_nothing_before_it_passes_the_channel() {
    let mut fixture = Fixture::fast(1 << 20, 8);
    let mut writer = fixture.queue.take_writer_for(1).expect("free");
    assert_eq!(fixture.queue.messages(), 1);
    assert!(
        fixture.queue.take_writer_for(1).is_none(),
        "the writer is out"
    );
    writer.encode_early(&"a".into(), 1);
    assert_eq!(fixture.write_with(Some(writer)), ["a"]);
    let before: [fn(&mut Fixture); 4] = [
        |fixture| fixture.push("b"),
        |fixture| fixture.ping("b"),
        |fixture| fixture.queue.needs_flush = true,
        |fixture| {
            fixture.begin_stream();
            fixture.write();
        },
    ];
    for wait in before {
        let mut fixture = Fixture::fast(1 << 20, 8);
        wait(&mut fixture);
        assert!(fixture.queue.take_writer_for(1).is_none());
        let left = matches!(fixture.queue.writer, Seat::Here(_));
        assert!(left, "it was left there");
    }
}

/// A message that has left whole and alone is counted in short; where anything else came meanwhile, it
/// is counted with that.
#[test]
fn a_message_that_is_alone_is_counted_in_short() {
    let meanwhile: [fn(&mut Fixture); 5] = [
        |fixture| fixture.push("b"),
        |fixture| fixture.ping("b"),
        |fixture| fixture.queue.needs_flush = true,
        |fixture| fixture.queue.observers = 1,
        |fixture| {
            fixture.join("b");
        },
    ];
    for wait in meanwhile {
        let mut fixture = Fixture::fast(1 << 20, 8);
        for alone in [true, false] {
            let mut writer = fixture.queue.take_writer_for(1).expect("free");
            let sent = writer.write_whole(
                Opcode::Text,
                &mut Bytes::from_static(b"a"),
                1,
                crate::outbox::frame::Coding::Agreed,
            );
            assert_eq!(sent.ok(), Some(3));
            assert_eq!(fixture.tape.frames(), ["a"]);
            if !alone {
                wait(&mut fixture);
            }
            let kept = fixture.queue.settle_alone(writer, 3, 1, 1);
            assert_eq!(kept.is_none(), alone);
        }
        assert_eq!((fixture.queue.delivered, fixture.queue.taken), (1, 3));
    }
}

/// What a program gives one after the other is encoded at once, in order, with the control frames behind
/// it; not what is long, or has to wait for anything.
#[test]
fn what_is_given_one_after_the_other_is_encoded_at_once() {
    let mut fixture = Fixture::fast(1 << 20, 8);
    for text in ["a", "b"] {
        assert!(fixture.encode(text), "{text}");
    }
    let long = "c".repeat(5 << 10);
    assert!(!fixture.encode(long.as_str()));
    assert_eq!((fixture.queue.messages(), fixture.queue.buffered()), (2, 2));
    assert!(!fixture.queue.is_flushed());
    assert!(fixture.queue.take_writer_for(1).is_none());
    fixture.push("d");
    assert!(!fixture.encode("e"), "behind d");
    fixture.ping("1");
    assert_eq!(fixture.write(), ["a", "b", "ping 1", "d"]);
    assert!(fixture.queue.is_flushed());
    // It ends as all that is not written does.
    assert!(fixture.encode("f"));
    fixture
        .queue
        .lose(io::ErrorKind::BrokenPipe.into(), &mut fixture.after);
    assert_eq!(
        (fixture.queue.messages(), fixture.queue.undelivered),
        (0, 1)
    );
}

/// It is bounded as all messages are, and by what leaves in one write.
#[test]
fn what_is_encoded_at_once_is_bounded() {
    let mut fixture = Fixture::fast(1 << 20, 3);
    let admitted = (0..9).take_while(|_| fixture.encode("a"));
    assert_eq!(admitted.count(), 3, "as many as the queue takes");
    let mut fixture = Fixture::fast(1 << 20, 1 << 20);
    let kib = Message::from("a".repeat(1 << 10));
    let admitted = (0..199).take_while(|_| fixture.encode(kib.clone()));
    assert_eq!(admitted.count(), 127, "less than 128 KiB");
}

/// The bytes of the wire itself are reason enough to write.
#[test]
fn the_wires_own_bytes_are_written_alone() {
    let mut fixture = Fixture::fast(1 << 20, 8);
    assert!(fixture.queue.take_to_write(&mut fixture.after).is_none());
    fixture.queue.needs_flush = true;
    let writer = fixture.queue.take_to_write(&mut fixture.after);
    assert!(writer.is_some() && !fixture.queue.needs_flush);
    fixture.write_with(writer);
    assert!(fixture.queue.is_flushed());
}

/// The fragments of a message follow each other: what is queued behind it waits, and only control
/// frames come between.
#[test]
fn nothing_but_control_frames_comes_between_fragments() {
    let mut fixture = Fixture::fast(1 << 20, 8);
    fixture.push("before");
    let stream = fixture.begin_stream();
    fixture.push("behind");
    assert!(fixture.push_fragment(stream, "a", Fin::More));
    assert_eq!(fixture.write(), ["before", "a-"]);
    fixture.ping("1");
    assert!(fixture.push_fragment(stream, "b", Fin::More));
    assert_eq!(fixture.write(), ["ping 1", "+b-"]);
    assert!(fixture.write().is_empty(), "there is no more of it yet");
    assert!(fixture.push_fragment(stream, "c", Fin::Last));
    assert_eq!(fixture.write(), ["+c", "behind"]);
    assert_eq!(
        (fixture.queue.delivered, fixture.queue.budget.places()),
        (3, 0)
    );
    assert!(
        !fixture.push_fragment(stream, "d", Fin::Last),
        "it has ended"
    );
}

/// A message that has not begun when the connection closes is skipped and counted; what is queued
/// behind it leaves.
#[test]
fn a_stream_that_has_not_begun_is_skipped() {
    let mut fixture = Fixture::fast(1 << 20, 8);
    let stream = fixture.begin_stream();
    fixture.push("behind");
    fixture.write();
    fixture.close(1000, Urgency::AfterMessages);
    assert_eq!(fixture.write(), ["behind", "close 1000"]);
    assert_eq!(
        (fixture.queue.undelivered, fixture.queue.budget.places()),
        (1, 0)
    );
    assert!(!fixture.push_fragment(stream, "a", Fin::Last));
}

/// Of one that has begun nothing can follow but the Close: what is queued behind it is given up.
#[test]
fn a_torn_stream_gives_up_what_is_behind_it() {
    let mut fixture = Fixture::fast(1 << 20, 8);
    let stream = fixture.begin_stream();
    assert!(fixture.push_fragment(stream, "a", Fin::More));
    let behind = fixture.push_tracked("behind");
    assert_eq!(fixture.write(), ["a-"]);
    fixture.close(1000, Urgency::AfterMessages);
    assert_eq!(fixture.write(), ["close 1000"]);
    assert_eq!(outcome(&behind), Err(DeliveryError::Closed(1000.into())));
    assert_eq!(
        (fixture.queue.undelivered, fixture.queue.budget.places()),
        (2, 0)
    );
}

/// One whose last fragment was queued before the Close is written whole.
#[test]
fn a_finished_stream_is_written_before_the_close() {
    let mut fixture = Fixture::fast(1 << 20, 8);
    let stream = fixture.begin_stream();
    assert!(fixture.push_fragment(stream, "a", Fin::More));
    assert!(fixture.push_fragment(stream, "b", Fin::Last));
    fixture.close(1000, Urgency::AfterMessages);
    assert_eq!(fixture.write_all(), ["a-", "+b", "close 1000"]);
    assert_eq!(fixture.queue.undelivered, 0);
}
