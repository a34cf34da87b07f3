//! Who gets into a queue, and who waits.

use super::*;

/// Whoever never waits is judged by the limits alone; whoever waits stands behind those who do.
#[test]
fn not_my_turn_is_not_full() {
    let mut fixture = Fixture::new(10, 3);
    assert!(fixture.send("12345678"));
    fixture.join("9 bytes..");
    assert_eq!(fixture.queue.admits(2, false), Ok(()));
    assert_eq!(fixture.queue.admits(2, true), FULL);
    assert_eq!(fixture.queue.admits(3, false), FULL);
    assert!(fixture.send("") && fixture.send(""));
    assert_eq!(fixture.queue.admits(0, false), FULL, "a fourth message");
}

/// A message larger than the whole budget gets in where nothing waits, also from the line.
#[test]
fn too_large_a_message_gets_in_alone() {
    let mut fixture = Fixture::fast(4, 8);
    assert!(fixture.send("too large") && !fixture.send(""));
    let ticket = fixture.join("also large");
    assert_eq!(fixture.write(), ["too large"]);
    assert!(!fixture.queue.is_in_line(ticket));
    assert_eq!(fixture.write(), ["also large"]);
}

/// The line is let in from half empty on, in its order, as far as there is room; nobody passes who is
/// smaller than the first.
#[test]
fn the_line_moves_up_in_order_from_half_empty_on() {
    let mut fixture = Fixture::fast(10, 8);
    fixture.push("123456");
    fixture.push("7890");
    let tickets = ["large..", "small", "s"].map(|text| fixture.join(text));
    let waiting = |fixture: &Fixture| tickets.map(|ticket| fixture.queue.is_in_line(ticket));
    fixture.queue.budget.release(4, 1);
    fixture.queue.grant(&mut fixture.after);
    assert_eq!(
        waiting(&fixture),
        [true; 3],
        "six of ten bytes are more than half"
    );
    fixture.queue.budget.release(1, 0);
    fixture.queue.grant(&mut fixture.after);
    assert_eq!(waiting(&fixture), [true; 3], "the first does not fit yet");
    fixture.queue.budget.release(2, 0);
    fixture.queue.grant(&mut fixture.after);
    assert_eq!(
        waiting(&fixture),
        [false, true, true],
        "three and seven are ten"
    );
    fixture.queue.budget.take(7, 1);
    assert_eq!(
        fixture.write_all(),
        ["123456", "7890", "large..", "small", "s"]
    );
}

/// Where the socket refuses more, whoever fits is let in at once: half of the queue may take a slow peer
/// longer than anybody waits.
#[test]
fn a_refusal_lets_in_those_who_fit() {
    let mut fixture = Fixture::new(10, 8);
    fixture.push("12");
    fixture.push("345678");
    let tickets = ["90", "ab", "c"].map(|text| fixture.join(text));
    fixture.tape.make_room("12".len() + 2);
    assert_eq!(fixture.write(), ["12"]);
    let waiting = |fixture: &Fixture| tickets.map(|ticket| fixture.queue.is_in_line(ticket));
    assert_eq!(waiting(&fixture), [true; 3], "eight of ten bytes");
    assert!(fixture.write_on().is_empty());
    assert_eq!(waiting(&fixture), [false, false, true]);
}

/// Whoever has been the first in line for a queue's worth of writing is let in beyond the limits, once;
/// what left before it came does not count.
#[test]
fn the_first_in_line_is_not_kept_out_for_ever() {
    let mut fixture = Fixture::fast(100, 4);
    for _ in 0..9 {
        fixture.push("before");
    }
    fixture.write_all();
    for _ in 0..4 {
        fixture.push("flood");
    }
    let [first, second] = ["first", "second"].map(|text| fixture.join(text));
    let mut left = 0;
    while fixture.queue.is_in_line(first) {
        // One leaves, and somebody who never waits takes its place at once.
        left += 1;
        fixture.queue.line.note_left(5, 1);
        fixture.queue.grant(&mut fixture.after);
        assert!(left <= 4, "kept out");
    }
    assert_eq!(left, 4);
    assert_eq!(fixture.queue.budget.places(), 5, "one beyond the limit");
    assert!(fixture.queue.is_in_line(second));
    assert!(!fixture.send(""), "truly full for those who never wait");
}

/// No limit of bytes lets more than one in beyond it.
#[test]
fn a_budget_of_nothing_takes_one_at_a_time() {
    let mut fixture = Fixture::fast(0, 8);
    assert!(fixture.send("one") && !fixture.send("two"));
    let tickets = ["two", "three", "four"].map(|text| fixture.join(text));
    let waiting = |fixture: &Fixture| tickets.map(|ticket| fixture.queue.is_in_line(ticket));
    fixture.write();
    assert_eq!(waiting(&fixture), [false, true, true]);
    fixture.write();
    assert_eq!(waiting(&fixture), [false, false, true]);
}

/// Whoever leaves the line takes its message along, unless that was let in; those behind move up.
#[test]
fn leaving_the_line_lets_the_next_move_up() {
    let mut fixture = Fixture::fast(10, 8);
    fixture.push("1234");
    let [large, small] = ["too large", "small"].map(|text| fixture.join(text));
    let left = fixture.queue.leave_line(large, &mut fixture.after);
    assert!(matches!(left, Some(Outgoing::Message(text)) if text == Message::from("too large")));
    assert!(
        fixture
            .queue
            .leave_line(small, &mut fixture.after)
            .is_none(),
        "it was let in"
    );
    assert_eq!(fixture.write_all(), ["1234", "small"]);
}

/// A closing queue lets nobody in, neither from the line nor past it.
#[test]
fn nobody_gets_into_a_closing_queue() {
    let mut fixture = Fixture::fast(10, 1);
    fixture.push("a");
    let ticket = fixture.join("b");
    fixture.close(1000, Urgency::AfterMessages);
    for waits in [false, true] {
        assert_eq!(fixture.queue.admits(0, waits), Err(SendErrorKind::Closed));
    }
    assert_eq!(fixture.write_all(), ["a", "close 1000"]);
    assert!(
        fixture
            .queue
            .leave_line(ticket, &mut fixture.after)
            .is_some()
    );
}

/// The oldest message is dropped, not what stands among the messages without being one, and not what
/// the writer has.
#[test]
fn the_oldest_message_is_dropped() {
    let mut fixture = Fixture::new(10, 8);
    fixture.push("taken");
    fixture.write();
    let barrier = fixture.push_barrier();
    let dropped = fixture.push_tracked("old");
    fixture.push("new");
    let oldest = fixture.queue.drop_oldest().expect("one that waits");
    fixture.after.give_up(oldest, DeliveryError::Dropped);
    assert_eq!(outcome(&dropped), Err(DeliveryError::Dropped));
    assert!(fixture.queue.drop_oldest().is_some() && fixture.queue.drop_oldest().is_none());
    assert_eq!((fixture.queue.dropped, fixture.queue.messages()), (2, 1));
    fixture.tape.make_room(PLENTY);
    assert_eq!(fixture.write_on(), ["taken"]);
    assert_eq!(
        (outcome(&barrier), fixture.write()),
        (PENDING, vec!["barrier".to_owned()])
    );
    assert_eq!(fixture.queue.budget.places(), 0);
}

/// Each policy has its answer to a full queue: whoever drops the oldest always gets in, even where all
/// there is to drop is being written.
#[test]
fn a_full_queue_is_answered_by_the_policy() {
    let send = |overflows: &[Overflow]| {
        let tape = std::sync::Arc::new(Tape::default());
        let config = std::sync::Arc::new(Config::new().max_queue_messages(1));
        let outbox = Outbox::new(Role::Server, &config, None, tape.clone());
        outbox
            .send_message(Message::from("held"), None)
            .expect("there is room");
        let send =
            |overflow: &Overflow| outbox.send_message(Message::from("next"), Some(*overflow));
        let kinds = overflows
            .iter()
            .map(|overflow| send(overflow).err().map(|error| error.kind()));
        let kinds: Vec<_> = kinds.collect();
        let counters = outbox.counters();
        (
            kinds,
            counters.queued_messages,
            counters.dropped,
            outbox.is_closing(),
        )
    };
    let (full, closed) = (Some(SendErrorKind::Full), Some(SendErrorKind::Closed));
    assert_eq!(send(&[Overflow::HandBack]), (vec![full], 1, 0, false));
    assert_eq!(send(&[Overflow::DropNewest]), (vec![None], 1, 1, false));
    let twice = [Overflow::DropOldest; 2];
    assert_eq!(send(&twice), (vec![None, None], 2, 1, false));
    assert_eq!(send(&[Overflow::Close]), (vec![closed], 1, 0, true));
}
