//! Messages that leave in several frames.

use super::*;

/// The shortest that a largest frame may be.
const FRAME: usize = 125;

/// A queue of many messages that leave in frames of at most `max_frame` bytes.
fn splitting(max_frame: usize) -> Fixture {
    let config = Config::new().max_queue_bytes(1 << 30);
    let fixture = Fixture::of(&config.max_outgoing_frame(max_frame));
    fixture.tape.make_room(PLENTY);
    fixture
}

fn long(length: usize) -> String {
    "l".repeat(length)
}

/// Returns frames as the tape shows those of a long message, of these lengths.
fn frames(lengths: &[usize]) -> Vec<String> {
    let last = lengths.len() - 1;
    let show = |(at, length): (usize, &usize)| {
        let text = if *length > 125 {
            length.to_string()
        } else {
            long(*length)
        };
        let (first, more) = (
            if at == 0 { "" } else { "+" },
            if at == last { "" } else { "-" },
        );
        format!("{first}{text}{more}")
    };
    lengths.iter().enumerate().map(show).collect()
}

/// What is larger than a frame leaves in full ones and a rest, what is not in one; an empty message is
/// one, too.
#[test]
fn messages_are_split_at_the_largest_frame() {
    let mut fixture = splitting(FRAME);
    let table: [(usize, &[usize]); 7] = [
        (0, &[0]),
        (1, &[1]),
        (FRAME, &[FRAME]),
        (FRAME + 1, &[FRAME, 1]),
        (2 * FRAME, &[FRAME, FRAME]),
        (2 * FRAME + 1, &[FRAME, FRAME, 1]),
        (4 * FRAME - 1, &[FRAME, FRAME, FRAME, FRAME - 1]),
    ];
    for (length, lengths) in table {
        fixture.push(&long(length));
        fixture.push("behind");
        let mut expected = frames(lengths);
        expected.push("behind".to_owned());
        assert_eq!(fixture.write_all(), expected, "{length}");
    }
    let (delivered, left) = (fixture.queue.delivered, fixture.queue.budget.places());
    assert_eq!((delivered, left), (14, 0));
}

/// Frames of 16 KiB and more leave one a write, from where they lie, shorter ones in batches of 16 KiB.
/// Then control frames have their turn.
#[test]
fn control_frames_come_between_fragments() {
    let mut fixture = splitting(MIN_UNCOPIED);
    fixture.push(&long(3 * MIN_UNCOPIED));
    let large = MIN_UNCOPIED.to_string();
    assert_eq!(fixture.write(), [format!("{large}-")]);
    fixture.ping("1");
    assert_eq!(fixture.write(), ["ping 1".to_owned(), format!("+{large}-")]);
    assert_eq!(fixture.write(), [format!("+{large}")]);
    let mut fixture = splitting(MIN_UNCOPIED / 4);
    fixture.push(&long(2 * MIN_UNCOPIED));
    assert_eq!(fixture.write().len(), 4);
    fixture.ping("1");
    assert_eq!(fixture.write().len(), 1 + 4);
    assert!(fixture.queue.is_flushed());
}

/// Behind it everything waits for the last fragment, whoever sends it.
#[test]
fn nothing_passes_a_split_message() {
    let mut fixture = splitting(MIN_UNCOPIED);
    fixture.push(&long(2 * MIN_UNCOPIED));
    fixture.write();
    assert!(!fixture.queue.is_flushed() && !fixture.queue.has_nothing_before());
    assert!(fixture.queue.take_writer_for(3).is_none());
    assert!(!fixture.encode("behind"));
    let stream = fixture.begin_stream();
    assert!(fixture.push_fragment(stream, "s", Fin::Last));
    fixture.close(1000, Urgency::AfterMessages);
    let last = format!("+{MIN_UNCOPIED}");
    assert_eq!(fixture.write(), [last]);
    assert_eq!(fixture.write(), ["s", "close 1000"]);
}

/// A message that nothing is before has to pass the channel, if it is to be split.
#[test]
fn only_messages_of_one_frame_pass_the_channel_by() {
    let mut fixture = splitting(FRAME);
    let too_long = FRAME as u64 + 1;
    assert!(fixture.queue.take_writer_for(too_long).is_none());
    let too_long = Message::from(long(FRAME + 1));
    assert!(!fixture.encode(too_long));
    assert!(fixture.queue.take_writer_for(FRAME as u64).is_some());
}

/// It counts once, and keeps its room until the last fragment has left; then its sender is told.
#[test]
fn a_split_message_is_released_with_its_last_fragment() {
    let mut fixture = splitting(MIN_UNCOPIED);
    let delivery = fixture.push_tracked(&long(3 * MIN_UNCOPIED));
    for left in [2, 1, 0] {
        fixture.write();
        let room = if left == 0 {
            (0, 0)
        } else {
            (1, 3 * MIN_UNCOPIED as u64)
        };
        assert_eq!((fixture.queue.messages(), fixture.queue.buffered()), room);
        assert_eq!(fixture.queue.delivered, u64::from(left == 0));
        let expected = if left == 0 { Ok(()) } else { PENDING };
        assert_eq!(outcome(&delivery), expected);
    }
}

/// No policy drops a message of which a fragment has left.
#[test]
fn what_has_begun_to_leave_is_not_dropped() {
    let mut fixture = splitting(MIN_UNCOPIED);
    fixture.push(&long(2 * MIN_UNCOPIED));
    fixture.push("droppable");
    fixture.write();
    let droppable = |outgoing: Outgoing| outgoing.weight() == "droppable".len() as u64;
    assert!(fixture.queue.drop_oldest().is_some_and(droppable));
    assert!(fixture.queue.drop_oldest().is_none());
    assert_eq!(fixture.write(), [format!("+{MIN_UNCOPIED}")]);
}

/// A Close that overtakes goes into the middle: the message is given up at once, and counted once.
#[test]
fn an_overtaking_close_tears_a_split_message() {
    let mut fixture = splitting(MIN_UNCOPIED);
    let torn = fixture.push_tracked(&long(3 * MIN_UNCOPIED));
    fixture.push("behind");
    fixture.write();
    fixture.close(1002, Urgency::Overtaking);
    assert_eq!(outcome(&torn), Err(DeliveryError::Closed(1002.into())));
    assert_eq!(fixture.write(), ["close 1002"]);
    let queue = &fixture.queue;
    assert_eq!((queue.undelivered, queue.delivered), (2, 0));
    assert_eq!((queue.messages(), queue.buffered()), (0, 0));
}

/// The end of the sending counts it once, wherever its fragments are.
#[test]
fn the_end_counts_a_split_message_once() {
    for taken in [0, 1, MIN_UNCOPIED + 10, 2 * MIN_UNCOPIED + 10] {
        let config = Config::new().max_outgoing_frame(MIN_UNCOPIED);
        let mut fixture = Fixture::of(&config);
        let delivery = fixture.push_tracked(&long(2 * MIN_UNCOPIED));
        fixture.tape.make_room(taken);
        fixture.write();
        for _ in 0..4 {
            fixture.write_on();
            fixture.write();
        }
        assert!(fixture.end());
        let whole = taken > 2 * MIN_UNCOPIED;
        let queue = &fixture.queue;
        let counted = (queue.delivered, queue.undelivered);
        assert_eq!(counted, (u64::from(whole), u64::from(!whole)), "{taken}");
        assert_eq!((queue.messages(), queue.buffered()), (0, 0));
        assert_eq!(outcome(&delivery).is_ok(), whole);
    }
}
