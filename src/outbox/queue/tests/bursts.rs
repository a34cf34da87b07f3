//! Bursts to many in a queue.

use super::*;
use crate::outbox::frames::Piece;
use crate::outbox::framing::Framing;
use crate::outbox::gathered::{Gathered, MOST_MESSAGES};

/// Makes a burst of texts.
fn burst(texts: &[&str]) -> std::sync::Arc<Gathered> {
    let (first, others) = texts.split_first().expect("a burst has a message");
    let gathered = Gathered::of(&Message::from(*first), vec![Framing::Plain]);
    others
        .iter()
        .for_each(|text| assert!(gathered.push(&Message::from(*text)).is_some()));
    gathered
}

/// A queue that follows a burst takes what was gathered since the last time, each message once.
#[test]
fn takes_what_was_gathered_since() {
    let mut fixture = Fixture::fast(1 << 20, 1_000);
    let gathered = burst(&["a", "b"]);
    assert!(fixture.queue.follow(&gathered, 0));
    fixture.queue.catch_up();
    assert_eq!(fixture.queue.messages(), 2);
    fixture.push("alone");
    assert!(gathered.push(&"c".into()).is_some());
    fixture.queue.catch_up();
    fixture.queue.catch_up();
    assert_eq!(fixture.queue.messages(), 4);
    assert_eq!(fixture.write_all(), ["a", "b", "alone", "c"]);
    let frames = gathered.close();
    assert!(fixture.queue.take_rest(&gathered, &frames).is_none());
    assert_eq!((fixture.queue.delivered, fixture.queue.messages()), (4, 0));
}

/// The messages of a piece leave one by one: each releases its room once its last byte is taken.
#[test]
fn messages_of_a_piece_are_counted_as_they_leave() {
    let mut fixture = Fixture::new(1 << 20, 1_000);
    let gathered = burst(&["ab", "", "cd"]);
    assert!(fixture.queue.follow(&gathered, 0));
    fixture.queue.catch_up();
    let counts = |fixture: &Fixture| {
        let queue = &fixture.queue;
        (queue.delivered, queue.messages(), queue.buffered())
    };
    assert_eq!(counts(&fixture), (0, 3, 4));
    fixture.tape.make_room(3);
    fixture.write();
    assert_eq!(counts(&fixture), (0, 3, 4));
    for (room, counted) in [(1, (1, 2, 2)), (2, (2, 1, 2)), (4, (3, 0, 0))] {
        fixture.tape.make_room(room);
        fixture.write_on();
        assert_eq!(counts(&fixture), counted);
    }
}

/// A policy that drops takes the messages of a piece one by one, the oldest first.
#[test]
fn messages_of_a_piece_are_dropped_one_by_one() {
    let mut fixture = Fixture::fast(1 << 20, 1_000);
    let gathered = burst(&["a", "b", "c"]);
    assert!(fixture.queue.follow(&gathered, 0));
    fixture.queue.catch_up();
    fixture.push("alone");
    assert!(fixture.queue.drop_oldest().is_some());
    assert_eq!((fixture.queue.dropped, fixture.queue.messages()), (1, 3));
    assert_eq!(fixture.write_all(), ["b", "c", "alone"]);
    for text in ["d", "e"] {
        fixture
            .queue
            .push(Outgoing::Piece(Piece::of(&text.into(), None)));
    }
    assert!(fixture.queue.drop_oldest().is_some());
    assert!(fixture.queue.drop_oldest().is_some());
    assert!(fixture.queue.drop_oldest().is_none());
    assert_eq!((fixture.queue.dropped, fixture.queue.buffered()), (3, 0));
}

/// A queue follows while it has room for a whole burst, and ends the gathering when it has none left.
#[test]
fn follows_while_there_is_room() {
    let most = MOST_MESSAGES as usize;
    let mut fixture = Fixture::fast(1 << 20, most);
    let gathered = burst(&["a"]);
    fixture.push("alone");
    assert!(!fixture.queue.follow(&gathered, 0));
    fixture.write_all();
    assert!(fixture.queue.follow(&gathered, 0));
    fixture.queue.catch_up();
    assert!(gathered.push(&"b".into()).is_none());
    assert_eq!(fixture.write_all(), ["a"]);
}

/// A queue follows one burst at a time: another one ends the gathering of the one before. The end of the
/// sending leaves a burst to the others that follow it, and counts what was gathered.
#[test]
fn follows_one_burst() {
    let mut fixture = Fixture::fast(1 << 20, 1_000);
    let (one, other) = (burst(&["a"]), burst(&["b"]));
    assert!(fixture.queue.follow(&one, 0) && fixture.queue.follow(&other, 0));
    assert!(one.push(&"c".into()).is_none());
    assert!(other.push(&"d".into()).is_some());
    assert!(fixture.end());
    assert_eq!(
        (fixture.queue.undelivered, fixture.queue.messages()),
        (3, 0)
    );
    assert_eq!(other.push(&"e".into()), Some((0, false)));
}
