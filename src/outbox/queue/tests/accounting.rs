//! What a write brings, who keeps a stalled queue, and what its end counts.

use super::*;

/// Room is given back, and a delivery resolved, with a frame's last byte.
#[test]
fn a_frame_is_released_with_its_last_byte() {
    let mut fixture = Fixture::new(10, 8);
    let delivery = fixture.push_tracked("12345");
    fixture.tape.make_room(6);
    assert!(fixture.write().is_empty());
    assert_eq!((fixture.queue.buffered(), fixture.queue.taken), (5, 6));
    assert_eq!((outcome(&delivery), fixture.queue.delivered), (PENDING, 0));
    fixture.tape.make_room(1);
    assert_eq!(fixture.write_on(), ["12345"]);
    assert_eq!((fixture.queue.buffered(), fixture.queue.taken), (0, 7));
    assert_eq!((outcome(&delivery), fixture.queue.delivered), (Ok(()), 1));
}

/// Messages that were encoded as they were sent count one by one, wherever the socket stops, and as
/// undelivered if it takes no more. What follows them in the same write counts by itself.
#[test]
fn messages_encoded_early_are_released_one_by_one() {
    let sizes = [0, 1, 125, 126, 4 << 10];
    let messages = sizes.map(|size| Message::from("x".repeat(size)));
    let frames = sizes.map(|size| size + if size < 126 { 2 } else { 4 });
    let ends = (1..=frames.len()).map(|count| frames[..count].iter().sum::<usize>());
    let ends: Vec<_> = ends.collect();
    let all = ends[ends.len() - 1];
    let near_ends = ends.iter().flat_map(|end| end - 2..=end + 2);
    for room in near_ends.filter(|room| *room < all) {
        for (more, then) in [(0, 0), (1, 0), (PLENTY, 1)] {
            let mut fixture = Fixture::new(1 << 20, 8);
            for message in &messages {
                assert!(fixture.encode(message.clone()));
            }
            fixture.push("behind");
            fixture.tape.make_room(room);
            fixture.write();
            fixture.tape.make_room(more);
            fixture.write_on();
            let taken = (room + more).min(all);
            let whole = ends.iter().filter(|end| **end <= taken).count();
            let left: usize = sizes[whole..].iter().sum();
            let counted = (fixture.queue.delivered, fixture.queue.buffered());
            let behind = if then == 1 { 0 } else { 6 };
            assert_eq!(
                counted,
                ((whole + then) as u64, (left + behind) as u64),
                "{room}"
            );
            fixture
                .queue
                .lose(io::ErrorKind::BrokenPipe.into(), &mut fixture.after);
            let rest = messages.len() + 1 - whole - then;
            assert_eq!(fixture.queue.undelivered, rest as u64, "{room}");
            assert_eq!(fixture.queue.messages(), 0);
        }
    }
}

/// A socket that takes bytes after it has refused some has made room, once for each time.
#[test]
fn relief_is_counted_after_a_refusal() {
    let mut fixture = Fixture::new(1 << 20, 8);
    fixture.push("12345");
    fixture.tape.make_room(1);
    fixture.write();
    assert_eq!(fixture.queue.relieved, 0, "nothing was refused");
    for relieved in 1..=2 {
        fixture.write_on();
        fixture.write_on();
        fixture.tape.make_room(1);
        fixture.write_on();
        assert_eq!(fixture.queue.relieved, relieved);
    }
}

/// The write deadline begins with the refusal and anew with each 64 KiB that have left.
#[test]
fn progress_restarts_a_stall() {
    let mut fixture = Fixture::new(1 << 20, 8);
    fixture.push(&"x".repeat(200 << 10));
    fixture.write();
    let begun = fixture.queue.stall.expect("refused").since;
    fixture.tape.make_room(PROGRESS as usize - 1);
    fixture.write_on();
    assert_eq!(fixture.queue.stall.map(|stall| stall.since), Some(begun));
    fixture.tape.make_room(1);
    fixture.write_on();
    assert!(fixture.queue.stall.is_some_and(|stall| stall.since > begun));
    fixture.tape.make_room(PLENTY);
    fixture.write_on();
    assert!(fixture.queue.stall.is_none());
}

/// A peer that takes 64 KiB more slowly than in 20 ms gets smaller batches, until it is faster.
#[test]
fn batches_for_a_slow_peer_are_small() {
    let mut fixture = Fixture::new(1 << 20, 8);
    assert_eq!(fixture.queue.batch(), BATCH as u64);
    fixture.push(&"x".repeat(500 << 10));
    fixture.write();
    let long_ago = Instant::now() - 2 * SLOW;
    // However long this thread stands still, that is not over.
    let not_yet = Instant::now() + Duration::from_secs(3_600);
    for (since, batch) in [
        (long_ago, SLOW_BATCH),
        (not_yet, BATCH as u64),
        (long_ago, SLOW_BATCH),
    ] {
        fixture.queue.stall.as_mut().expect("refused").since = since;
        fixture.tape.make_room(PROGRESS as usize);
        fixture.write_on();
        assert_eq!(fixture.queue.batch(), batch);
    }
}

/// A full socket is tried again only by what is stalled, and not while the connection is closing.
#[test]
fn a_full_socket_is_tried_again_unless_closing() {
    let mut fixture = Fixture::new(1 << 20, 8);
    assert!(fixture.queue.take_stalled_writer().is_none());
    fixture.push("12345");
    fixture.write();
    let writer = fixture.queue.take_stalled_writer();
    assert!(writer.is_some() && fixture.queue.take_stalled_writer().is_none());
    fixture.tape.make_room(PLENTY);
    assert_eq!(fixture.write_with(writer), ["12345"]);
    let mut fixture = Fixture::new(1 << 20, 8);
    fixture.push("12345");
    fixture.write();
    fixture.close(1000, Urgency::Overtaking);
    assert!(fixture.queue.is_stalled() && fixture.queue.take_stalled_writer().is_none());
}

/// A stalled writer lies there for its keepers alone: the background, unless somebody polls.
#[test]
fn a_stalled_writer_is_left_to_a_keeper() {
    let mut fixture = Fixture::new(1 << 20, 8);
    fixture.push("a");
    fixture.write();
    assert!(fixture.queue.keepers.background);
    assert!(
        fixture.queue.take_to_write(&mut fixture.after).is_none(),
        "it is stalled"
    );
    fixture.queue.keepers = Keepers::default();
    fixture.queue.keepers.pollers = 1;
    fixture.write_on();
    assert!(!fixture.queue.keepers.background, "somebody polls");
    fixture.queue.keepers.pollers = 0;
    fixture.queue.find_keeper(&mut fixture.after);
    assert!(fixture.queue.keepers.background);
}

/// A sender that waits for room, or else for the lane, is called to write on, and answers once.
#[test]
fn a_sender_that_waits_is_called() {
    let mut fixture = Fixture::new(1 << 20, 1);
    fixture.push("a");
    fixture.write();
    assert!(
        !fixture.queue.call_sender(&mut fixture.after),
        "nobody waits"
    );
    fixture.begin_stream();
    let lane = fixture.queue.lane.as_mut().expect("made");
    lane.set_bell(Some(Queue::<Tape>::new_bell()));
    assert!(fixture.queue.call_sender(&mut fixture.after), "the author");
    fixture.queue.keepers.called = false;
    fixture.join("b");
    assert!(fixture.queue.answer_call().is_none(), "not called yet");
    assert!(fixture.queue.call_sender(&mut fixture.after));
    let writer = fixture.queue.answer_call().expect("called");
    assert!(fixture.queue.answer_call().is_none(), "answered");
    assert!(!fixture.queue.keepers.called);
    fixture.queue.refuse(writer, &mut fixture.after);
}

/// The end gives up all there is, in the queue and in the writer, counts the messages and resolves
/// the deliveries; it counts once.
#[test]
fn the_end_counts_what_was_not_written() {
    let mut fixture = Fixture::new(1 << 20, 8);
    let held = fixture.push_tracked("in the writer");
    fixture.tape.make_room(3);
    fixture.write();
    let queued = fixture.push_tracked("in the queue");
    let barrier = fixture.push_barrier();
    fixture.begin_stream();
    fixture.ping("1");
    fixture.queue.needs_flush = true;
    assert_eq!(fixture.queue.messages(), 3);
    assert!(fixture.end() && !fixture.end());
    for delivery in [held, queued, barrier] {
        assert_eq!(outcome(&delivery), Err(DeliveryError::Aborted));
    }
    assert_eq!(
        (fixture.queue.undelivered, fixture.queue.messages()),
        (3, 0)
    );
    assert_eq!(
        (fixture.queue.buffered(), fixture.queue.budget.places()),
        (0, 0)
    );
    assert!(matches!(fixture.queue.writer, Seat::Gone) && fixture.queue.is_flushed());
    assert!(fixture.queue.stall.is_none() && fixture.queue.has_nothing_before());
}

/// A writer that is out when the end comes is buried by its holder, and counts then.
#[test]
fn a_writer_that_is_out_is_buried_by_its_holder() {
    let mut fixture = Fixture::new(1 << 20, 8);
    let delivery = fixture.push_tracked("a");
    let writer = fixture
        .queue
        .take_to_write(&mut fixture.after)
        .expect("free");
    fixture.end();
    assert_eq!(
        (fixture.queue.undelivered, outcome(&delivery)),
        (0, PENDING)
    );
    assert!(matches!(fixture.queue.writer, Seat::Taken));
    fixture.queue.discard_writer(writer, &mut fixture.after);
    assert_eq!(fixture.queue.undelivered, 1);
    assert_eq!(outcome(&delivery), Err(DeliveryError::Aborted));
    assert!(matches!(fixture.queue.writer, Seat::Gone));
}

/// What was given up first says why all the rest is.
#[test]
fn the_first_reason_counts() {
    let mut fixture = Fixture::new(1 << 20, 8);
    let held = fixture.push_tracked("in the writer");
    fixture.write();
    fixture
        .queue
        .discard(DeliveryError::Closed(1002.into()), &mut fixture.after);
    fixture.end();
    assert_eq!(outcome(&held), Err(DeliveryError::Closed(1002.into())));
}

/// A failed write ends the sending, and leaves the reading open.
#[test]
fn a_failed_write_ends_the_sending_alone() {
    let mut fixture = Fixture::new(1 << 20, 8);
    fixture.push("a");
    fixture
        .queue
        .lose(io::ErrorKind::BrokenPipe.into(), &mut fixture.after);
    let life = &fixture.queue.life;
    assert!(life.is_sending_over() && life.has_write_failed() && !life.is_cut());
    assert_eq!(fixture.queue.undelivered, 1);
    assert_eq!(fixture.queue.admits(0, true), Err(SendErrorKind::Closed));
}

/// A panic in writing ends the connection, which would be mute for ever, and counts what the writer held.
#[test]
fn a_panic_in_writing_ends_the_connection() {
    let tape = std::sync::Arc::new(Tape::default());
    let config = std::sync::Arc::new(Config::new());
    let outbox = Outbox::new(Role::Server, &config, None, tape.clone());
    tape.panics.store(true, Ordering::Relaxed);
    let sent = std::panic::catch_unwind(|| outbox.send_message(Message::from("a"), None).is_ok());
    assert!(sent.is_err() && outbox.is_cut());
    let counters = outbox.counters();
    assert_eq!((counters.queued_messages, counters.queued_bytes), (0, 0));
    assert_eq!(outbox.tell().0.undelivered(), 1);
}

/// A wire that will soon take no more is closed in order, behind what was sent before that shows.
#[test]
fn a_worn_out_wire_is_closed_in_order() {
    let tape = std::sync::Arc::new(Tape::default());
    tape.make_room(PLENTY);
    let config = std::sync::Arc::new(Config::new());
    let outbox = Outbox::new(Role::Server, &config, None, tape.clone());
    outbox.send_message(Message::from("fresh"), None).unwrap();
    assert!(!outbox.is_closing());
    tape.nears_key_limit.store(true, Ordering::Relaxed);
    outbox
        .send_message(Message::from("the last"), None)
        .unwrap();
    assert_eq!(tape.frames(), ["fresh", "the last", "close 1001"]);
    let refused = outbox
        .send_message(Message::from("late"), None)
        .map_err(|error| error.kind());
    assert_eq!(refused, Err(SendErrorKind::Closed));
}
